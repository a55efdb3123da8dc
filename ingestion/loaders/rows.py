"""Tables → one readable line a row, `Header: value; Header: value`, so that a row alone still says what it means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ingestion.loaders.builder import TextBuilder

_NUMERIC = re.compile(r"^[\s$€£¥%()+\-–—.,:/\d]*\d[\s$€£¥%()+\-–—.,:/\d]*[A-Za-z%]{0,3}$")
_SPACE = re.compile(r"\s+")


def cell_text(value: str) -> str:
    """`value` on one line."""
    return _SPACE.sub(" ", value).strip()


def is_numeric(cell: str) -> bool:
    """True for numbers, amounts, percentages, dates in digits, with at most a short unit."""
    return len(cell) <= 60 and bool(_NUMERIC.match(cell))


def infer_header(rows: Sequence[Sequence[str]]) -> bool:
    """True when the first row reads as column names: full, distinct, without numbers, over at least one row."""
    if len(rows) < 2:
        return False
    head = rows[0]
    if len(head) < 2 or any(not cell or is_numeric(cell) or len(cell) > 80 for cell in head):
        return False
    if len({cell.lower() for cell in head}) != len(head):
        return False
    return len(head) >= 3 or any(is_numeric(cell) for row in rows[1:] for cell in row)


def render_row(row: Sequence[str], header: Sequence[str] | None) -> str:
    """One line: `Header: value; …` with a header, else the cells between ` | `; empty cells are left out."""
    if header is None:
        return " | ".join(cell for cell in row if cell)
    parts = []
    for column, cell in enumerate(row):
        if not cell:
            continue
        name = header[column] if column < len(header) else ""
        parts.append(f"{name}: {cell}" if name and name != cell else cell)
    return "; ".join(parts)


def add_table(builder: TextBuilder, rows: Iterable[Sequence[str]], *, header: bool | None = None) -> None:
    """Writes `rows` as `table_row` blocks. `header`: whether the first row names the columns; `None` infers it."""
    cleaned = [[cell_text(cell) for cell in row] for row in rows]
    cleaned = [row for row in cleaned if any(row)]
    if not cleaned:
        return
    named = infer_header(cleaned) if header is None else header and len(cleaned) > 1
    builder.gap()
    for row in cleaned[1:] if named else cleaned:
        builder.add("table_row", render_row(row, cleaned[0] if named else None))
    builder.gap()
