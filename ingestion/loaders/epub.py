"""EPUB: the chapters of the spine in reading order, headings from the chapters, else from the table of contents."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from app.errors import UnreadableDocument
from app.types import LoadedDocument
from ingestion.loaders.archive import Archive
from ingestion.loaders.builder import TextBuilder
from ingestion.loaders.html import html_blocks
from ingestion.loaders.limits import LoadLimits
from ingestion.loaders.safe_xml import local_name, parse_xml

_CHAPTERS = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"})
_FIELDS = {"title": "title", "creator": "author", "date": "created", "language": "language", "publisher": "publisher"}


def load_epub(path: Path, media_type: str, limits: LoadLimits) -> LoadedDocument:
    """Text of every chapter; title, author, date and language of the book."""
    with Archive(path, "EPUB", limits) as archive:
        root_file = _root_file(archive)
        data = archive.read(root_file)
        if data is None:
            raise _corrupt(f"its package file {root_file!r} is missing")
        package = parse_xml(data, "the EPUB package file", recover=True)
        folder = posixpath.dirname(root_file)
        locked = _locked(archive)
        items, order, fields = _contents(package, folder)
        labels = _labels(archive, items)
        builder = TextBuilder("EPUB", limits)
        chapters = 0
        for name in order:
            if name in locked:
                raise UnreadableDocument(
                    "the EPUB file is locked by its seller (DRM); upload a copy without the lock", code="encrypted"
                )
            content = archive.read(name)
            if content is None:
                builder.warnings.append(f"chapter {name!r} is missing in the file")
                continue
            chapters += 1
            before = len(builder.blocks)
            _add_chapter(builder, content, labels.get(name), limits)
            if len(builder.blocks) == before:
                continue
    if chapters == 0:
        raise _corrupt("none of its chapters is there")
    title = fields.pop("title", None)
    return builder.build(media_type, title=title, metadata={**fields, "chapters": chapters})


def _add_chapter(builder: TextBuilder, content: bytes, label: str | None, limits: LoadLimits) -> None:
    trial = TextBuilder("EPUB", limits)
    html_blocks(trial, content)
    if not trial.blocks:
        return
    document = trial.build("")
    first = next((block for block in trial.blocks[:5] if block.kind == "heading"), None)
    if first is None and label:
        builder.add("heading", label, 1)
    for position, block in enumerate(document.blocks):
        tight = position and document.text[document.blocks[position - 1].char_end : block.char_start] == "\n"
        if not tight:
            builder.gap()
        builder.add(block.kind, document.text[block.char_start : block.char_end], block.level)


def _root_file(archive: Archive) -> str:
    data = archive.read("META-INF/container.xml")
    if data is not None:
        for node in parse_xml(data, "the EPUB container file", recover=True).iter():
            if local_name(node) == "rootfile" and node.get("full-path"):
                return str(node.get("full-path"))
    for name in archive.names:
        if name.lower().endswith(".opf"):
            return name
    raise _corrupt("it names no package file")


def _locked(archive: Archive) -> set[str]:
    """Members that are encrypted; embedded fonts often are, chapters only under DRM."""
    data = archive.read("META-INF/encryption.xml")
    if data is None:
        return set()
    root = parse_xml(data, "the EPUB encryption file", recover=True)
    return {unquote(node.get("URI") or "") for node in root.iter() if local_name(node) == "cipherreference"}


def _contents(package: Any, folder: str) -> tuple[dict[str, tuple[str, str, str]], list[str], dict[str, str]]:
    """(manifest id → (member, media type, properties), members in reading order, metadata)."""
    items: dict[str, tuple[str, str, str]] = {}
    order: list[str] = []
    fields: dict[str, str] = {}
    for node in package.iter():
        tag = local_name(node)
        if tag == "item" and node.get("href"):
            member = posixpath.normpath(posixpath.join(folder, unquote(node.get("href"))))
            items[node.get("id") or member] = (member, node.get("media-type") or "", node.get("properties") or "")
        elif tag == "itemref" and node.get("idref") in items:
            member, kind, _ = items[node.get("idref")]
            if (kind in _CHAPTERS or member.lower().endswith((".xhtml", ".html", ".htm"))) and member not in order:
                order.append(member)
        elif tag in _FIELDS and local_name(node.getparent()) in ("metadata", "dc-metadata"):
            value = " ".join((node.text or "").split())
            if value:
                name = _FIELDS[tag]
                fields.setdefault(name, value.partition("-")[0].lower() if name == "language" else value[:1000])
    if not order:
        order = [member for member, kind, properties in items.values() if kind in _CHAPTERS and "nav" not in properties]
    return items, order, fields


def _labels(archive: Archive, items: dict[str, tuple[str, str, str]]) -> dict[str, str]:
    """Member → its name in the table of contents (EPUB 2's NCX or EPUB 3's nav)."""
    labels: dict[str, str] = {}
    for member, kind, properties in items.values():
        if "nav" not in properties.split() and kind != "application/x-dtbncx+xml":
            continue
        data = archive.read(member)
        if data is None:
            continue
        folder = posixpath.dirname(member)
        for node in parse_xml(data, "the EPUB table of contents", recover=True).iter():
            tag = local_name(node)
            if tag == "a" and node.get("href"):
                target, label = node.get("href"), "".join(node.itertext(with_tail=False))
            elif tag == "navpoint":
                content = next((part for part in node if local_name(part) == "content"), None)
                name = next((part for part in node if local_name(part) == "navlabel"), None)
                if content is None or name is None:
                    continue
                target = content.get("src") or ""
                label = "".join(part.text or "" for part in name.iter() if local_name(part) == "text")
            else:
                continue
            name_of = posixpath.normpath(posixpath.join(folder, unquote(target.partition("#")[0])))
            labels.setdefault(name_of, " ".join(label.split()))
    return labels


def _corrupt(seen: str) -> UnreadableDocument:
    return UnreadableDocument(
        f"the EPUB file is damaged ({seen}); download it again or convert it anew", code="corrupt"
    )
