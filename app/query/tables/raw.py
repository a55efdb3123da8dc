"""A table as a file holds it: names of columns and rows of cells, before anything is said of their types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.query.tables.cells import is_blank, plain, read_date, read_number

MAX_COLUMNS = 500
_NAME_CHARS = 120
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class RawTable:
    """`rows` are as wide as `header`; a cell is text, a number, a date, a truth value or None.

    `notes`: in words, what of the file is not in the rows, and why.
    """

    name: str
    header: tuple[str, ...]
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def table_of(name: str, rows: Iterable[Sequence[Any]], *, max_rows: int, header: bool | None = None) -> RawTable | None:
    """The rows as a table; None where they hold none (no row of two cells, or only names).

    Rows before the names that fill one cell (a title) are left out. Rows with more cells than there are names lose
    the last ones, which is counted and told; shorter ones end empty.

    Args:
        name: of the table; the notes use it too.
        rows: from the top; blank rows are skipped.
        max_rows: rows that are kept; what comes after is told.
        header: whether the first row names the columns; None infers it.
    """
    kept: list[tuple[Any, ...]] = []
    names: list[str] | None = None
    title_rows = 0
    cut = False
    for row in rows:
        cells = [None if isinstance(cell, str) and not cell.strip() else cell for cell in row]
        while cells and cells[-1] is None:
            cells.pop()
        if not cells:
            continue
        if names is None and not kept:
            if header is None and sum(cell is not None for cell in cells) < 2 and title_rows < 5:
                title_rows += 1
                continue
            if header or (header is None and looks_like_names(cells)):
                names = [_text(cell) for cell in cells]
                continue
        if len(kept) >= max_rows:
            cut = True
            break
        kept.append(tuple(cells))
    if not kept:
        return None
    width = min(len(names) if names is not None else max(map(len, kept)), MAX_COLUMNS)
    if width < 1 or (names is None and width < 2):
        return None
    wide = sum(len(row) > width for row in kept)
    notes = []
    if names is None:
        notes.append(f"table {name!r}: the first row names no columns; they are called column 1, column 2, …")
    if wide:
        notes.append(f"table {name!r}: {wide} of {len(kept)} rows have more cells than the {width} columns; cut")
    if cut:
        notes.append(f"table {name!r}: only its first {max_rows} rows are used")
    fitted = [(*row[:width], *(None,) * (width - len(row))) for row in kept]
    return RawTable(name, unique_names((names or [])[:width], width), fitted, tuple(notes))


def looks_like_names(cells: Sequence[Any]) -> bool:
    """Whether a row names columns: mostly filled, all text, distinct, no numbers but years, no dates."""
    texts = [_text(cell) for cell in cells if cell is not None]
    if len(texts) < len(cells) * 0.5 or not all(isinstance(cell, str) for cell in cells if cell is not None):
        return all(isinstance(cell, int) and 1500 <= cell <= 2200 for cell in cells[1:]) and isinstance(cells[0], str)
    if any(len(text) > _NAME_CHARS for text in texts) or all(is_blank(text) for text in texts):
        return False
    values = [text for text in texts if read_number(plain(text)) or read_date(plain(text))]
    if any(not re.fullmatch(r"(?:1[5-9]|2[01])\d\d", text) for text in values) or len(values) == len(texts):
        return False
    return len({text.casefold() for text in texts}) >= 0.5 * len(texts)


def unique_names(names: Sequence[str], width: int) -> tuple[str, ...]:
    """`width` names: an empty one becomes `column N`, a repeated one gets a number."""
    found: list[str] = []
    seen: set[str] = set()
    for place in range(width):
        base = (names[place] if place < len(names) else "").replace("\x00", "")[:_NAME_CHARS] or f"column {place + 1}"
        name, number = base, 1
        while name.casefold() in seen:
            number += 1
            name = f"{base} {number}"
        seen.add(name.casefold())
        found.append(name)
    return tuple(found)


def _text(cell: Any) -> str:
    return "" if cell is None else _SPACE.sub(" ", str(cell)).strip()
