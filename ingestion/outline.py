"""Sections and tables of a document, from its chunks' headings and from the lines that loaders write for table rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from app.index.graph_facts import Section, Table
from app.types import StoredChunk

_LINE = re.compile(r"[^\n]+")
_CELL = re.compile(r"(?:^|; )([^:;\n]{1,80}): ")
_MAX_TITLE_CHARS = 300


def find_sections(chunks: Sequence[StoredChunk]) -> list[Section]:
    """One section a run of chunks under the same headings, by position; chunks without a heading are in none."""
    sections: list[Section] = []
    open_path: tuple[str, ...] = ()
    for chunk in chunks:
        if chunk.heading_path and chunk.heading_path == open_path:
            last = sections[-1]
            sections[-1] = Section(last.title, last.level, last.char_start, max(last.char_end, chunk.char_end))
        elif chunk.heading_path:
            title = chunk.heading_path[-1][:_MAX_TITLE_CHARS]
            sections.append(Section(title, len(chunk.heading_path), chunk.char_start, chunk.char_end))
        open_path = chunk.heading_path
    return sections


def find_tables(text: str, sections: Sequence[Section]) -> list[Table]:
    """Runs of two or more lines that are rows: `Header: value; …` with headers in common, or cells between ` | `.

    Its title is that of the innermost section around it, which is the nearest thing to a caption that a text has.
    """
    tables: list[Table] = []
    for rows in _runs(text):
        start, end = rows[0].start(), rows[-1].end()
        inside = [section for section in sections if section.char_start <= start < section.char_end]
        title = max(inside, key=lambda section: section.level).title if inside else ""
        columns = dict.fromkeys(name for row in rows for name in _headers(row.group()))
        tables.append(Table(title, tuple(columns), len(rows), start, end))
    return tables


def _runs(text: str) -> Iterator[list[re.Match[str]]]:
    run: list[re.Match[str]] = []
    for line in _LINE.finditer(text):
        if run and text[run[-1].end() : line.start()] == "\n" and _alike(run[-1].group(), line.group()):
            run.append(line)
            continue
        if len(run) > 1:
            yield run
        run = [line] if _is_row(line.group()) else []
    if len(run) > 1:
        yield run


def _is_row(line: str) -> bool:
    return len(_headers(line)) > 1 or " | " in line


def _alike(before: str, line: str) -> bool:
    """Whether two neighbouring lines are rows of one table: most headers in common, or about as many cells."""
    first, second = set(_headers(before)), set(_headers(line))
    if len(first) > 1 and len(second) > 1:
        return 2 * len(first & second) >= min(len(first), len(second))
    return " | " in before and " | " in line and abs(before.count(" | ") - line.count(" | ")) <= 1


def _headers(line: str) -> list[str]:
    return _CELL.findall(line)
