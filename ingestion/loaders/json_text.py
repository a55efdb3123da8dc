"""JSON and JSONL: one `key.path: value` line a value, flat objects as one row each; notebooks as their cells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.errors import UnreadableDocument
from app.types import Block, LoadedDocument
from ingestion.loaders.builder import TextBuilder
from ingestion.loaders.encoding import clean_text
from ingestion.loaders.limits import LoadLimits
from ingestion.loaders.markdown import markdown_blocks
from ingestion.loaders.rows import cell_text
from ingestion.loaders.text import read_text

_JSONL = "application/x-ndjson"
_LONG_CHARS = 200


def load_json(path: Path, media_type: str, limits: LoadLimits) -> LoadedDocument:
    """Readable text of the values with their key paths; numbers as they are written in the file.

    Raises:
        UnreadableDocument: `corrupt` with the line of the first syntax error.
    """
    text, metadata, warnings = read_text(path, "JSON", limits)
    builder = TextBuilder("JSON", limits)
    builder.warnings.extend(warnings)
    title: str | None = None
    if media_type == _JSONL:
        _add_lines(builder, text)
    else:
        value = _parse(text, 0)
        if isinstance(value, dict) and "nbformat" in value and isinstance(value.get("cells"), list):
            return _notebook(builder, value, media_type)
        if isinstance(value, dict) and isinstance(value.get("title"), str):
            title = value["title"]
        _add_value(builder, value)
    return builder.build(media_type, title=title, metadata=metadata)


def _parse(text: str, line: int) -> Any:
    try:
        return json.loads(text, parse_float=_Literal, parse_int=_Literal, parse_constant=_Literal)
    except ValueError as error:
        where = line + getattr(error, "lineno", 1)
        reason = getattr(error, "msg", str(error))
        raise UnreadableDocument(
            f"the JSON file has a syntax error in line {where} ({reason}); mend it, or upload it as .txt",
            code="corrupt",
        ) from error


class _Literal(str):
    """A number as the file spells it: 1.10 stays 1.10 and a long integer stays whole."""

    __slots__ = ()


def _add_lines(builder: TextBuilder, text: str) -> None:
    bad = 0
    for number, line in enumerate(text.split("\n")):
        if not line.strip():
            continue
        try:
            value = _parse(line, number)
        except UnreadableDocument:
            if not len(builder):
                raise
            bad += 1  # kept as it stands: a row is never dropped
            builder.add("paragraph", line)
            continue
        builder.add("table_row", row_text(value))
    if bad:
        builder.warnings.append(f"{bad:,} lines are no JSON and were kept as text")


def _add_value(builder: TextBuilder, value: Any) -> None:
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        for item in value:
            builder.add("table_row", row_text(item))
        return
    lines: list[str] = []
    group: str | None = None
    for path, leaf in leaves(value):
        top = path.partition(".")[0].partition("[")[0]
        if isinstance(value, dict) and top != group:
            _flush(builder, lines)
            group = top
        if len(leaf) > _LONG_CHARS:
            _flush(builder, lines)
            builder.add("paragraph", f"{path}: {leaf}" if path else leaf)
        else:
            lines.append(f"{path}: {leaf}" if path else leaf)
        if len(lines) >= 40:
            _flush(builder, lines)
    _flush(builder, lines)


def _flush(builder: TextBuilder, lines: list[str]) -> None:
    for line in lines:
        builder.add("table_row", line)
    if lines:
        builder.gap()
    lines.clear()


def row_text(value: Any) -> str:
    """One line of all leaves: `key: value; other.key: value`."""
    return "; ".join(f"{path}: {cell_text(leaf)}" if path else cell_text(leaf) for path, leaf in leaves(value))


def leaves(value: Any) -> Iterator[tuple[str, str]]:
    """(key path, text) of every value that is no container, in order; a list of plain values is one leaf."""
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        path, node = stack.pop()
        if isinstance(node, dict):
            stack.extend((f"{path}.{key}" if path else str(key), child) for key, child in reversed(node.items()))
        elif isinstance(node, list):
            if node and not any(isinstance(item, dict | list) for item in node):
                yield path, ", ".join(text for item in node if (text := _scalar(item)))
            else:
                stack.extend((f"{path}[{index}]", child) for index, child in reversed(list(enumerate(node))))
        elif text := _scalar(node):
            yield path, text


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip()


def _notebook(builder: TextBuilder, notebook: dict[str, Any], media_type: str) -> LoadedDocument:
    for cell in notebook["cells"]:
        if not isinstance(cell, dict):
            continue
        source = clean_text(_joined(cell.get("source")))
        if cell.get("cell_type") == "markdown":
            for block in markdown_blocks(source):
                _add_block(builder, source, block)
        elif source.strip():
            builder.add("code", source)
        for output in cell.get("outputs") or ():
            shown = _output_text(output) if isinstance(output, dict) else ""
            if shown.strip():
                builder.add("code", shown)
    return builder.build(media_type, metadata={"kind": "notebook"})


def _add_block(builder: TextBuilder, source: str, block: Block) -> None:
    piece = source[block.char_start : block.char_end]
    builder.add(block.kind, piece.lstrip("#").strip() if block.kind == "heading" else piece, block.level)


def _output_text(output: dict[str, Any]) -> str:
    data = output.get("data")
    plain = data.get("text/plain") if isinstance(data, dict) else None
    return _joined(output.get("text") or plain)


def _joined(source: Any) -> str:
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""
