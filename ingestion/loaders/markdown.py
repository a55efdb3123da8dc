"""Markdown: the text stays as it is, so that offsets are those of the file; the structure is read off its lines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from app.types import Block, BlockKind, LoadedDocument
from ingestion.loaders.limits import LoadLimits
from ingestion.loaders.text import read_text

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+\S.*)$")
_SETEXT = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+\S")
_DELIMITER_ROW = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_FRONT_FIELD = re.compile(r"([A-Za-z][\w-]*):[ \t]*(.*)")
_KEPT_FIELDS = {"title": "title", "author": "author", "date": "created", "created": "created", "lang": "language"}


def load_markdown(path: Path, media_type: str, limits: LoadLimits) -> LoadedDocument:
    """The file's text with headings, list items, table rows and code as blocks; the front matter fills the metadata."""
    text, metadata, warnings = read_text(path, "Markdown", limits)
    front_end, fields = _front_matter(text)
    blocks = [Block("code", 0, len(text[:front_end].rstrip()))] if front_end else []
    blocks.extend(markdown_blocks(text, front_end))
    title = fields.pop("title", None)
    return LoadedDocument(
        text, media_type, title=title, blocks=tuple(blocks), metadata={**metadata, **fields}, warnings=warnings
    )


def _front_matter(text: str) -> tuple[int, dict[str, Any]]:
    """(where the front matter ends, the fields kept of it); (0, {}) without one."""
    if not text.startswith("---\n"):
        return 0, {}
    end = text.find("\n---", 3, 20_000)
    if end < 0 or text[end + 4 : end + 5] not in ("\n", ""):
        return 0, {}
    fields: dict[str, Any] = {}
    for line in text[4:end].split("\n"):
        match = _FRONT_FIELD.match(line)
        if match and (name := _KEPT_FIELDS.get(match[1].lower())):
            value = match[2].strip().strip("\"'")
            if value and value[0] not in "[{|>":
                fields[name] = value
    if "title" not in fields:
        return (end + 4, fields) if any(_FRONT_FIELD.match(line) for line in text[4:end].split("\n")) else (0, {})
    return end + 4, fields


class _Lines:
    """Collects lines into the block that is open and closes it when the kind changes."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.kind: BlockKind | None = None
        self.start = self.end = 0

    def close(self) -> None:
        if self.kind is not None:
            self.blocks.append(Block(self.kind, self.start, self.end))
            self.kind = None

    def put(self, kind: BlockKind, start: int, end: int, *, fresh: bool) -> None:
        if fresh or self.kind != kind:
            self.close()
            self.kind, self.start = kind, start
        self.end = end


def markdown_blocks(text: str, start: int = 0) -> list[Block]:
    """Blocks of `text[start:]`; every visible character is in one of them."""
    lines = _Lines()
    fence: str | None = None
    in_table = False
    after_blank = True
    at = start
    rows = text[start:].split("\n")
    for number, line in enumerate(rows):
        begin, end = at + len(line) - len(line.lstrip()), at + len(line.rstrip())
        at += len(line) + 1
        if fence is not None:
            if end > begin:
                lines.put("code", begin, end, fresh=False)
            closing = _FENCE.match(line)
            if closing and closing[1][0] == fence[0] and len(closing[1]) >= len(fence) and not closing[2].strip():
                lines.close()
                fence = None
            continue
        if begin >= end:
            after_blank, in_table = True, False
            if lines.kind != "list_item":
                lines.close()
            continue
        opening = _FENCE.match(line)
        if opening and "`" not in opening[2]:
            fence = opening[1]
            lines.put("code", begin, end, fresh=True)
        elif heading := _ATX.match(line):
            lines.close()
            lines.blocks.append(Block("heading", begin, end, len(heading[1])))
        elif lines.kind == "paragraph" and not after_blank and (under := _SETEXT.match(line)):
            lines.kind = None
            lines.blocks.append(Block("heading", lines.start, end, 1 if under[1][0] == "=" else 2))
        elif _RULE.match(line):
            lines.close()
            lines.put("paragraph", begin, end, fresh=True)
            lines.close()
        elif in_table and "|" in line:
            if _is_delimiter_row(line):
                lines.put("table_row", begin, end, fresh=False)
            else:
                lines.put("table_row", begin, end, fresh=True)
        elif "|" in line and number + 1 < len(rows) and "-" in rows[number + 1] and _is_delimiter_row(rows[number + 1]):
            in_table = True
            lines.put("table_row", begin, end, fresh=True)
        elif _ITEM.match(line):
            lines.put("list_item", begin, end, fresh=True)
        elif lines.kind == "list_item" and (not after_blank or line[:1] in " \t"):
            lines.put("list_item", begin, end, fresh=False)
        else:
            lines.put("paragraph", begin, end, fresh=after_blank or lines.kind == "table_row")
            in_table = False
        after_blank = False
    lines.close()
    return lines.blocks


def _is_delimiter_row(line: str) -> bool:
    return len(line) < 2_000 and _DELIMITER_ROW.match(line.strip()) is not None
