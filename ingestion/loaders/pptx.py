"""PPTX: a page a slide: title, text, lists, tables, charts, diagrams, and the speaker's notes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.errors import UnreadableDocument
from app.types import LoadedDocument
from ingestion.loaders.archive import Archive
from ingestion.loaders.builder import TextBuilder
from ingestion.loaders.limits import LoadLimits
from ingestion.loaders.office import Package, attribute, child, children
from ingestion.loaders.rows import add_table
from ingestion.loaders.safe_xml import local_name

_TITLES = frozenset({"title", "ctrTitle"})
_FURNITURE = frozenset({"dt", "ftr", "sldNum", "hdr"})  # date, footer, slide number, header
_MAX_DEPTH = 40


def load_pptx(path: Path, media_type: str, limits: LoadLimits) -> LoadedDocument:
    """Slides in the order of the show; one without a title is headed `Slide n`, so that no other's title covers it."""
    with Archive(path, "PPTX", limits) as archive:
        package = Package(archive, "PPTX")
        main = package.main_part("ppt/presentation.xml")
        root = package.part(main)
        if root is None:
            raise UnreadableDocument(
                "the PPTX file has no presentation part; open it in PowerPoint and save it again", code="corrupt"
            )
        relations = package.relations(main)
        slides = child(root, "sldidlst")
        builder = TextBuilder("PPTX", limits)
        title: str | None = None
        number = 0
        for entry in slides if slides is not None else ():
            # two attributes are called id: the slide's number, and the relation's in its own namespace
            identifier = next((value for key, value in entry.attrib.items() if key.endswith("}id")), "")
            name = relations.get(identifier, ("", ""))[1]
            slide = package.part(name) if name else None
            number += 1
            builder.page(number)
            if slide is None:
                builder.warnings.append(f"slide {number} is missing in the file")
                continue
            shown = _Slide(builder, package, package.relations(name)).write(slide, number)
            title = title or shown
        fields: dict[str, Any] = dict(package.properties())
        own_title = fields.pop("title", None)
        return builder.build(media_type, title=own_title or title, metadata={**fields, "slides": number})


class _Slide:
    def __init__(self, builder: TextBuilder, package: Package, relations: dict[str, tuple[str, str]]) -> None:
        self._builder = builder
        self._package = package
        self._relations = relations

    def write(self, slide: Any, number: int) -> str | None:
        """Appends the slide; returns its title."""
        shapes = [node for node in slide.iter() if local_name(node) == "sptree"][:1]
        titles = [shape for tree in shapes for shape in tree.iter() if _placeholder(shape) in _TITLES]
        title = " ".join(" ".join(_paragraph_text(p).split()) for shape in titles for p in _paragraphs(shape)).strip()
        before = len(self._builder.blocks)
        self._builder.add("heading", title or f"Slide {number}", 1)
        for tree in shapes:
            self._shapes(tree, 0)
        for kind, target in self._relations.values():
            if kind == "notesSlide":
                self._notes(self._package.part(target))
        if not title and len(self._builder.blocks) == before + 1:
            self._builder.warnings.append(f"slide {number} holds no text")
        return title or None

    def _shapes(self, tree: Any, depth: int) -> None:
        for shape in tree:
            tag = local_name(shape)
            if tag == "grpsp" and depth < _MAX_DEPTH:
                self._shapes(shape, depth + 1)
            elif tag == "alternatecontent" and depth < _MAX_DEPTH:
                for choice in children(shape, "choice")[:1]:
                    self._shapes(choice, depth + 1)
            elif tag == "graphicframe":
                self._frame(shape)
            elif tag == "sp" and _placeholder(shape) not in _TITLES | _FURNITURE:
                self._text(shape)

    def _text(self, shape: Any) -> None:
        bulleted = _placeholder(shape) in ("body", "obj", "")
        self._builder.gap()
        for paragraph in _paragraphs(shape):
            properties = child(paragraph, "ppr")
            item = bulleted
            if properties is not None:
                if child(properties, "bunone") is not None:
                    item = False
                elif child(properties, "buchar") is not None or child(properties, "buautonum") is not None:
                    item = True
            self._builder.add("list_item" if item else "paragraph", _paragraph_text(paragraph))

    def _frame(self, frame: Any) -> None:
        for node in frame.iter():
            tag = local_name(node)
            if tag == "tbl":
                rows = [
                    [" ".join(map(_paragraph_text, _paragraphs(cell))) for cell in children(row, "tc")]
                    for row in children(node, "tr")
                ]
                properties = child(node, "tblpr")
                first = attribute(properties, "firstRow") if properties is not None else None
                add_table(self._builder, rows, header=True if first == "1" else None)
            elif tag == "chart" and attribute(node, "id"):
                self._chart(self._package.part(self._relations.get(attribute(node, "id") or "", ("", ""))[1]))
            elif tag == "relids" and attribute(node, "dm"):
                diagram = self._package.part(self._relations.get(attribute(node, "dm") or "", ("", ""))[1])
                for paragraph in _paragraphs(diagram) if diagram is not None else ():
                    self._builder.add("list_item", _paragraph_text(paragraph))

    def _chart(self, root: Any) -> None:
        if root is None:
            return
        chart = next((node for node in root.iter() if local_name(node) == "chart"), root)
        title = child(chart, "title")
        if title is not None:
            self._builder.add("caption", " ".join(map(_paragraph_text, _paragraphs(title))))
        header, columns = [""], []
        categories: list[str] = []
        for series in (node for node in chart.iter() if local_name(node) == "ser"):
            parts = {local_name(node): _points(node) for node in series}
            header.append(" ".join(parts.get("tx", [])) or f"Series {len(header)}")
            categories = categories or parts.get("cat") or parts.get("xval") or []
            columns.append(parts.get("val") or parts.get("yval") or [])
        length = max(map(len, columns), default=0)
        rows = [
            [_at(categories, index), *(_at(column, index) for column in columns)]
            for index in range(min(length, 10_000))
        ]
        if rows:
            add_table(self._builder, [header, *rows], header=True)

    def _notes(self, root: Any) -> None:
        if root is None:
            return
        for shape in root.iter():
            if local_name(shape) == "sp" and _placeholder(shape) == "body":
                text = "\n".join(_paragraph_text(paragraph) for paragraph in _paragraphs(shape)).strip()
                self._builder.add("paragraph", f"Notes: {text}" if text else "")


def _placeholder(shape: Any) -> str | None:
    """The kind of placeholder that a shape fills; "" for the plain one, `None` for a shape that is none."""
    if local_name(shape) != "sp":
        return None
    for holder in shape:
        if local_name(holder).startswith("nvsp"):
            for node in holder.iter():
                if local_name(node) == "ph":
                    return attribute(node, "type") or ""
    return None


def _paragraphs(node: Any) -> list[Any]:
    return [found for found in node.iter() if local_name(found) == "p"]


def _paragraph_text(paragraph: Any) -> str:
    parts = []
    for node in paragraph.iter():
        tag = local_name(node)
        if tag == "t":
            parts.append(node.text or "")
        elif tag == "br":
            parts.append("\n")
        elif tag == "tab":
            parts.append("\t")
    return "".join(parts)


def _points(node: Any) -> list[str]:
    return [value.text or "" for value in node.iter() if local_name(value) == "v"]


def _at(values: list[str], index: int) -> str:
    return values[index] if index < len(values) else ""
