"""An HTML tree → headings, paragraphs, list items, table rows, code, captions; never scripts, styles or menus."""

from __future__ import annotations

import re
from typing import Any

from ingestion.loaders.builder import TextBuilder
from ingestion.loaders.rows import add_table, infer_header
from ingestion.loaders.safe_xml import local_name

_SKIPPED_TEXT = """
    script style noscript template svg head iframe object embed applet button select option textarea input nav menu
    audio video canvas map annotation annotation-xml datalist dialog rp
"""
_BLOCKS_TEXT = """
    html body p div section article main header footer aside ul ol dl dt dd li table caption thead tbody tfoot tr td th
    pre blockquote figure figcaption form fieldset legend address details summary hr center hgroup search
"""
_SKIPPED, _BLOCKS = (frozenset(names.split()) for names in (_SKIPPED_TEXT, _BLOCKS_TEXT))
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SPACE = re.compile(r"[ \t\r\n\f]+")
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_MAX_DEPTH = 150  # of nested elements that keep their structure; deeper ones give their text only
_MAX_SPAN = 100


class HtmlBlocks:
    """Writes the blocks of one or more trees into a builder. `shift` is added to heading levels (EPUB chapters)."""

    def __init__(self, builder: TextBuilder, shift: int = 0) -> None:
        self._builder = builder
        self._shift = shift
        self._inline: list[str] = []
        self._marker = ""  # the number of the list item whose text is still to come
        self._counters: list[int | None] = []  # of the lists that are open; `None` for one without numbers
        self._kind: Any = "paragraph"

    def add(self, root: Any) -> None:
        """Appends the blocks of `root` and everything in it."""
        self._visit(root, 0)
        self._flush()

    def _flush(self) -> None:
        if self._inline:
            lines = (_SPACE.sub(" ", line).strip() for line in "".join(self._inline).split("\v"))
            text = "\n".join(line for line in lines if line)
            if text:
                self._builder.add(self._kind, self._marker + text)
                self._marker = ""
            self._inline = []

    def _visit(self, element: Any, depth: int) -> None:
        tag = local_name(element)
        if not tag or tag in _SKIPPED or _is_hidden(element):
            return
        if tag in _HEADINGS:
            self._flush()
            level = min(6, _HEADINGS[tag] + self._shift)
            self._builder.add("heading", _SPACE.sub(" ", visible_text(element)), level)
        elif tag == "pre":
            self._flush()
            self._builder.add("code", visible_text(element, breaks="\n").strip("\n"))
        elif tag == "table" and depth < _MAX_DEPTH:
            self._flush()
            self._table(element, depth)
        elif tag == "br":
            self._inline.append("\v")
        elif depth >= _MAX_DEPTH:
            self._inline.append(visible_text(element))
        elif tag in _BLOCKS:
            self._flush()
            self._block(tag, element, depth)
        else:
            self._children(element, depth)

    def _block(self, tag: str, element: Any, depth: int) -> None:
        outer = self._kind
        if tag in ("li", "dd"):
            self._kind = "list_item"
        elif tag in ("figcaption", "caption"):
            self._kind = "caption"
        elif tag in ("ul", "ol", "dl"):
            self._kind = "paragraph"
            self._counters.append(_number(element, "start", 1) if tag == "ol" else None)
            if outer != "list_item":
                self._builder.gap()
        if tag == "li" and self._counters and (count := self._counters[-1]) is not None:
            self._marker = f"{count}. "
            self._counters[-1] = count + 1
        self._children(element, depth)
        self._flush()
        if tag == "li":
            self._marker = ""
        if tag in ("ul", "ol", "dl"):
            self._counters.pop()
        self._kind = outer

    def _children(self, element: Any, depth: int) -> None:
        if element.text:
            self._inline.append(element.text)
        for child in element:
            self._visit(child, depth + 1)
            if child.tail:
                self._inline.append(child.tail)

    def _table(self, table: Any, depth: int) -> None:
        inside = {local_name(node) for node in table.iterdescendants()}
        if "table" in inside or inside & _HEADINGS.keys() or not inside & {"td", "th"}:  # a table only for layout
            self._children(table, depth)
            self._flush()
            return
        for caption in table:
            if local_name(caption) == "caption":
                self._builder.add("caption", _SPACE.sub(" ", visible_text(caption)))
        rows, head_rows = _grid(table)
        if not rows:
            return
        widest = max(map(len, rows))
        if widest == 1:
            for row in rows:
                self._builder.gap()
                self._builder.add("paragraph", row[0])
            return
        if 0 < head_rows < len(rows):
            rows = [_merged_header(rows[:head_rows]), *rows[head_rows:]]
            add_table(self._builder, rows, header=True)
        else:
            add_table(self._builder, rows, header=head_rows == 0 and infer_header(rows))


def _grid(table: Any) -> tuple[list[list[str]], int]:
    """(rows of cells with spans filled in, how many rows at the top are headers)."""
    rows: list[list[str]] = []
    head_rows = 0
    carried: dict[int, tuple[int, str]] = {}  # column → (rows left, text) of a cell that spans downwards
    for line in table.iterdescendants():
        if local_name(line) != "tr" or _is_hidden(line):
            continue
        cells = [cell for cell in line if local_name(cell) in ("td", "th")]
        if not cells:
            continue
        is_head = all(local_name(cell) == "th" for cell in cells) or local_name(line.getparent()) == "thead"
        row: list[str] = []
        for cell in cells:
            _fill_carried(row, carried)
            text = _SPACE.sub(" ", visible_text(cell)).strip()
            across, down = _span(cell, "colspan"), _span(cell, "rowspan")
            for offset in range(across):
                shown = text if offset == 0 or is_head else ""
                if down > 1:
                    carried[len(row)] = (down - 1, shown)
                row.append(shown)
        _fill_carried(row, carried)
        if is_head and head_rows == len(rows):
            head_rows += 1
        rows.append(row)
    return rows, head_rows


def _fill_carried(row: list[str], carried: dict[int, tuple[int, str]]) -> None:
    while (entry := carried.get(len(row))) is not None:
        left, text = entry
        if left > 1:
            carried[len(row)] = (left - 1, text)
        else:
            del carried[len(row)]
        row.append(text)


def _span(cell: Any, name: str) -> int:
    return min(_MAX_SPAN, max(1, _number(cell, name, 1)))


def _number(element: Any, name: str, default: int) -> int:
    value = (element.get(name) or "").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) < 6 else default


def _merged_header(rows: list[list[str]]) -> list[str]:
    width = max(map(len, rows))
    merged = []
    for column in range(width):
        parts = [row[column] for row in rows if column < len(row) and row[column]]
        merged.append(" ".join(dict.fromkeys(parts)))
    return merged


def _is_hidden(element: Any) -> bool:
    if element.get("hidden") is not None or element.get("aria-hidden") == "true":
        return True
    style = element.get("style")
    return bool(style and _HIDDEN_STYLE.search(style))


def visible_text(element: Any, breaks: str = " ") -> str:
    """All text in `element` but that of scripts, styles and hidden parts; block elements and `<br>` become `breaks`."""
    parts: list[str] = []
    stack: list[tuple[Any, bool]] = [(element, False)]
    while stack:
        node, leaving = stack.pop()
        if leaving:
            if local_name(node) in _BLOCKS and node is not element:
                parts.append(breaks)
            if node is not element and node.tail:
                parts.append(node.tail)
            continue
        stack.append((node, True))
        tag = local_name(node)
        if not tag or tag in _SKIPPED or _is_hidden(node):
            continue
        if tag == "br" or (tag in _BLOCKS and node is not element):
            parts.append(breaks)
        if node.text:
            parts.append(node.text)
        stack.extend((child, False) for child in reversed(node))
    return "".join(parts)
