"""DOCX: headings by style or outline level, numbered paragraphs with their numbers, lists, tables, notes, text boxes.

Read from the XML itself: python-docx skips text boxes, content controls, footnotes and automatic numbers, and refuses
macro-enabled files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from app.errors import UnreadableDocument
from app.types import LoadedDocument
from ingestion.loaders.archive import Archive
from ingestion.loaders.builder import TextBuilder
from ingestion.loaders.docx_numbering import Numbering
from ingestion.loaders.limits import LoadLimits
from ingestion.loaders.office import Package, attribute, child, children
from ingestion.loaders.rows import add_table, infer_header
from ingestion.loaders.safe_xml import local_name

_HEADING = re.compile(r"(?:heading|überschrift|titre|标题|標題|見出し)\s*(\d)", re.I)
_SKIPPED = frozenset(
    {"del", "movefrom", "fallback", "ppr", "rpr", "instrtext", "deltext", "footnoteref", "endnoteref", "annotationref"}
)
_MAX_DEPTH = 60


def load_docx(path: Path, media_type: str, limits: LoadLimits) -> LoadedDocument:
    """The body in reading order, then footnotes and endnotes; deleted text of tracked changes is left out."""
    with Archive(path, "DOCX", limits) as archive:
        package = Package(archive, "DOCX")
        main = package.main_part("word/document.xml")
        root = package.part(main)
        body = child(root, "body") if root is not None else None
        if body is None:
            raise UnreadableDocument(
                "the DOCX file has no document body; open it in Word or LibreOffice and save it again", code="corrupt"
            )
        related = dict(package.relations(main).values())
        styles = _Styles(package.part(related.get("styles", "word/styles.xml")))
        numbering = Numbering(package.part(related.get("numbering", "word/numbering.xml")))
        builder = TextBuilder("DOCX", limits)
        walker = _Walker(builder, styles, numbering)
        walker.blocks(body, 0)
        for kind in ("footnotes", "endnotes"):
            walker.notes(package.part(related[kind]) if kind in related else None)
        fields = package.properties()
        title = fields.pop("title", None) or walker.title
        return builder.build(media_type, title=title, metadata=fields)


class _Styles:
    """Heading level and list membership of paragraph styles, inheritance followed."""

    def __init__(self, root: Any) -> None:
        self._styles: dict[str, tuple[str, str | None, Any]] = {}  # id → (name, based on, paragraph properties)
        for style in children(root, "style") if root is not None else ():
            name = child(style, "name")
            based = child(style, "basedon")
            self._styles[attribute(style, "styleId") or ""] = (
                (attribute(name, "val") or "") if name is not None else "",
                attribute(based, "val") if based is not None else None,
                child(style, "ppr"),
            )

    def chain(self, style_id: str | None) -> list[tuple[str, Any]]:
        """(name, paragraph properties) from the style to its oldest ancestor."""
        found: list[tuple[str, Any]] = []
        while style_id in self._styles and len(found) < 20:
            name, based, properties = self._styles[style_id]
            found.append((name, properties))
            style_id = based
        return found


class _Walker:
    def __init__(self, builder: TextBuilder, styles: _Styles, numbering: Numbering) -> None:
        self._builder = builder
        self._styles = styles
        self._numbering = numbering
        self.title: str | None = None

    def blocks(self, container: Any, depth: int) -> None:
        """Paragraphs and tables of a body, cell, text box or content control."""
        for node in container:
            tag = local_name(node)
            if tag == "p":
                self._paragraph(node, depth)
            elif tag == "tbl":
                self._table(node, depth)
            elif tag not in _SKIPPED and len(node) and depth < _MAX_DEPTH:
                self.blocks(node, depth + 1)

    def notes(self, root: Any) -> None:
        for note in root if root is not None else ():
            if attribute(note, "type") in ("separator", "continuationSeparator", "continuationNotice"):
                continue
            text = " ".join(_text(paragraph)[0] for paragraph in note.iter() if local_name(paragraph) == "p")
            self._builder.add("paragraph", f"[{attribute(note, 'id')}] {text.strip()}" if text.strip() else "")

    def _paragraph(self, paragraph: Any, depth: int) -> None:
        text, boxes = _text(paragraph)
        level, numbered = self._describe(paragraph)
        label = self._numbering.label(numbered) if numbered and text.strip() else ""
        if level and len(text) <= 300:
            if self.title is None and level == 1:
                self.title = text.strip() or None
            self._builder.add("heading", f"{label} {' '.join(text.split())}".strip() if text.strip() else "", level)
        elif numbered:
            self._builder.add("list_item", f"{label} {text.strip()}".strip() if text.strip() else "")
        else:
            self._builder.add("paragraph", text)
        for box in boxes:
            if depth < _MAX_DEPTH:
                self.blocks(box, depth + 1)

    def _describe(self, paragraph: Any) -> tuple[int, tuple[str, int] | None]:
        """(heading level or 0, (list id, list level) or `None`); the paragraph's own properties before its style's."""
        own = child(paragraph, "ppr")
        style = child(own, "pstyle") if own is not None else None
        chain = self._styles.chain(attribute(style, "val") if style is not None else None)
        heading: int | None = None
        list_id: str | None = None
        list_level: int | None = None
        for name, properties in [("", own), *chain]:
            if heading is None:
                if match := _HEADING.fullmatch(name.strip()):
                    heading = int(match[1])
                elif name.strip().lower() == "title":
                    heading = 1
                elif properties is not None and (outline := child(properties, "outlinelvl")) is not None:
                    value = _number(attribute(outline, "val"), 9)
                    heading = value + 1 if value < 9 else 0
            numbers = child(properties, "numpr") if properties is not None else None
            if numbers is not None:
                identifier, indent = child(numbers, "numid"), child(numbers, "ilvl")
                if list_id is None and identifier is not None:
                    list_id = attribute(identifier, "val")
                if list_level is None and indent is not None:
                    list_level = _number(attribute(indent, "val"), 0)
        numbered = None if list_id is None or list_id == "0" else (list_id, list_level or 0)
        return min(6, heading or 0), numbered

    def _table(self, table: Any, depth: int) -> None:
        rows: list[list[str]] = []
        marked = 0
        above: dict[int, str] = {}
        lines = [node for node in table.iter() if local_name(node) == "tr" and _table_of(node) is table]
        cells_of = [
            [cell for cell in line.iter() if local_name(cell) == "tc" and _row_of(cell) is line] for line in lines
        ]
        if all(len(cells) <= 1 for cells in cells_of):  # a frame round text, no table
            for cells in cells_of:
                for cell in cells:
                    self.blocks(cell, depth + 1)
            return
        for line, cells in zip(lines, cells_of, strict=True):
            row: list[str] = []
            for cell in cells:
                properties = child(cell, "tcpr")
                merge = child(properties, "vmerge") if properties is not None else None
                span = child(properties, "gridspan") if properties is not None else None
                text = " ".join(_text(node)[0] for node in cell.iter() if local_name(node) == "p")
                if merge is not None and attribute(merge, "val") in (None, "continue"):
                    text = above.get(len(row), "")
                above[len(row)] = text
                row.append(text)
                across = _number(attribute(span, "val"), 1) if span is not None else 1
                row.extend([""] * (min(100, across) - 1))
            properties = child(line, "trpr")
            if properties is not None and child(properties, "tblheader") is not None and marked == len(rows):
                marked += 1
            rows.append(row)
        add_table(self._builder, rows, header=True if marked == 1 else infer_header(rows))


def _text(paragraph: Any) -> tuple[str, list[Any]]:
    """(text of the paragraph's runs, text boxes that hang in it)."""
    parts: list[str] = []
    boxes: list[Any] = []
    stack = list(reversed(paragraph))
    while stack:
        node = stack.pop()
        tag = local_name(node)
        if tag in _SKIPPED:
            continue
        if tag == "t":
            parts.append(node.text or "")
        elif tag in ("tab", "ptab"):
            parts.append("\t")
        elif tag == "br":
            parts.append("" if attribute(node, "type") in ("page", "column") else "\n")
        elif tag == "cr":
            parts.append("\n")
        elif tag == "nobreakhyphen":
            parts.append("-")
        elif tag == "txbxcontent":
            boxes.append(node)
        else:
            stack.extend(reversed(node))
    return "".join(parts), boxes


def _number(value: str | None, default: int) -> int:
    return int(value) if value is not None and value.isascii() and value.isdigit() and len(value) < 10 else default


def _table_of(row: Any) -> Any:
    return next((node for node in row.iterancestors() if local_name(node) == "tbl"), None)


def _row_of(cell: Any) -> Any:
    return next((node for node in cell.iterancestors() if local_name(node) == "tr"), None)
