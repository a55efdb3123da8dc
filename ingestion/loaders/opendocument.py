"""OpenDocument text, slides and sheets (.odt, .odp, .ods)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.errors import UnreadableDocument
from app.types import LoadedDocument
from ingestion.loaders.archive import Archive
from ingestion.loaders.builder import TextBuilder
from ingestion.loaders.limits import LoadLimits
from ingestion.loaders.office import attribute, child
from ingestion.loaders.rows import add_table
from ingestion.loaders.safe_xml import local_name, parse_xml

_FIELDS = {
    "title": "title",
    "creator": "author",
    "initial-creator": "author",
    "creation-date": "created",
    "language": "language",
}
_SKIPPED = frozenset({"tracked-changes", "annotation", "sequence-decls", "forms", "ruby-text", "script", "settings"})
_MAX_REPEAT = 1_000
_MAX_DEPTH = 60


def load_opendocument(path: Path, media_type: str, limits: LoadLimits) -> LoadedDocument:
    """Headings, paragraphs, list items, table rows; slides and sheets are pages."""
    with Archive(path, "OpenDocument", limits) as archive:
        manifest = archive.read("META-INF/manifest.xml")
        if manifest is not None and b"encryption-data" in manifest:
            raise UnreadableDocument(
                "the OpenDocument file is protected by a password; save it without one and upload it again",
                code="encrypted",
            )
        content, meta = archive.read("content.xml"), archive.read("meta.xml")
    if content is None:
        raise UnreadableDocument(
            "the OpenDocument file has no content.xml; open it in LibreOffice and save it again", code="corrupt"
        )
    fields: dict[str, str] = {}
    if meta is not None:
        for node in parse_xml(meta, "the OpenDocument meta.xml", recover=True).iter():
            name, value = _FIELDS.get(local_name(node)), " ".join((node.text or "").split())
            if name and value:
                fields.setdefault(name, value.partition("-")[0].lower() if name == "language" else value)
    builder = TextBuilder("OpenDocument", limits)
    root = parse_xml(content, "the OpenDocument content.xml")
    body = child(root, "body")
    _Walker(builder).blocks(body if body is not None else root, 0)
    title = fields.pop("title", None)
    return builder.build(media_type, title=title, metadata=fields)


class _Walker:
    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._pages = 0

    def blocks(self, container: Any, depth: int, kind: Any = "paragraph") -> None:
        for node in container:
            tag = local_name(node)
            if tag in _SKIPPED or depth > _MAX_DEPTH:
                continue
            if tag == "h":
                level = attribute(node, "outline-level") or "1"
                self._builder.add(
                    "heading", " ".join(_text(node).split()), min(6, int(level)) if level.isdigit() else 1
                )
            elif tag == "p":
                self._builder.add(kind, _text(node))
                for box in (inner for inner in node.iter() if local_name(inner) == "text-box"):
                    self.blocks(box, depth + 1, kind)
            elif tag == "list":
                if kind != "list_item":
                    self._builder.gap()
                self.blocks(node, depth + 1, "list_item")
            elif tag == "page":
                self._page(node, depth)
            elif tag == "table":
                if local_name(container) == "spreadsheet":
                    self._pages += 1
                    self._builder.page(self._pages)
                    self._builder.add("heading", attribute(node, "name") or f"Sheet {self._pages}", 1)
                add_table(self._builder, _rows(node))
            elif tag == "notes":
                text = " ".join(_text(part) for part in node.iter() if local_name(part) == "p").strip()
                self._builder.add("paragraph", f"Notes: {text}" if text else "")
            elif len(node):
                self.blocks(node, depth + 1, kind)

    def _page(self, page: Any, depth: int) -> None:
        self._pages += 1
        self._builder.page(self._pages)
        titles = [frame for frame in page if attribute(frame, "class") == "title"]
        title = " ".join(
            _text(part) for frame in titles for part in frame.iter() if local_name(part) in ("p", "h")
        ).strip()
        self._builder.add("heading", title or f"Slide {self._pages}", 1)
        for frame in page:
            if frame not in titles:
                self.blocks([frame], depth + 1)


def _text(node: Any) -> str:
    """Text of a paragraph; notes and text boxes inside it are left out."""
    parts = [node.text or ""]
    for inner in node:
        tag = local_name(inner)
        if tag == "s":
            count = attribute(inner, "c") or "1"
            parts.append(" " * (min(100, int(count)) if count.isdigit() else 1))
        elif tag == "tab":
            parts.append("\t")
        elif tag == "line-break":
            parts.append("\n")
        elif tag not in ("note", "annotation", "frame", "custom-shape", "text-box"):
            parts.append(_text(inner))
        parts.append(inner.tail or "")
    return "".join(parts)


def _rows(table: Any) -> list[list[str]]:
    rows: list[list[str]] = []
    for line in table.iter():
        if local_name(line) != "table-row":
            continue
        row: list[str] = []
        for cell in line:
            if local_name(cell) not in ("table-cell", "covered-table-cell"):
                continue
            text = " ".join(_text(part) for part in cell.iter() if local_name(part) in ("p", "h"))
            row.extend([text] * _repeat(cell, "number-columns-repeated"))
        while row and not row[-1]:
            row.pop()
        if row:
            rows.extend([row] * _repeat(line, "number-rows-repeated"))
    return rows


def _repeat(node: Any, name: str) -> int:
    value = attribute(node, name) or "1"
    return min(_MAX_REPEAT, max(1, int(value))) if value.isdigit() and len(value) < 9 else 1
