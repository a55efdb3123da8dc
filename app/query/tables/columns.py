"""A column's cells → its type and its values, with an honest account of what did not fit.

A type is taken only where nearly all cells have it: up to one cell in twenty may be something else; it becomes empty
in the column, and is counted and shown. Below that the column is text, every cell as it was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from app.query.tables.cells import (
    DayOrder,
    DecimalMark,
    day_order,
    decimal_mark,
    is_ambiguous_date,
    is_blank,
    native_date,
    plain,
    read_date,
    read_number,
)

Kind = Literal["number", "date", "text"]
_UNFIT_SHARE = 0.05
_SHOWN = 3
_SHOWN_CHARS = 40


@dataclass(frozen=True, slots=True)
class ColumnRead:
    """`values` as SQLite keeps them (numbers, ISO dates as text, text, None); `notes` in words, for people.

    `unfit`: cells that are not of the column's type and became empty.
    """

    kind: Kind
    values: tuple[Any, ...]
    unfit: int = 0
    notes: tuple[str, ...] = ()


def read_column(name: str, cells: Sequence[Any]) -> ColumnRead:
    """The column in its narrowest honest type."""
    filled = [cell for cell in cells if not is_blank(cell)]
    if not filled:
        return ColumnRead("text", tuple(None if is_blank(cell) else _text(cell) for cell in cells))
    texts = [plain(cell) for cell in filled if isinstance(cell, str)]
    mark, mark_note = _mark(name, texts)
    found = _typed(name, cells, len(filled), "number", lambda cell: _number(cell, mark))
    if found is not None:
        percent = sum(bool(read and read.percent) for read in (read_number(text, mark) for text in texts))
        notes = [mark_note] if mark_note else []
        if percent and percent >= len(filled) / 2:
            notes.append(f"column {name!r}: percentages; 12.5% is kept as 12.5")
        elif percent:
            return ColumnRead(
                "text",
                _as_text(cells),
                0,
                (f"column {name!r}: percentages beside plain numbers; kept as text",),
            )
        return ColumnRead("number", found.values, found.unfit, (*found.notes, *notes))
    order, unclear = _order(texts)
    if unclear:
        note = f"column {name!r}: in {unclear[:_SHOWN_CHARS]!r} day and month can't be told apart; kept as text"
        dated = sum(_date(cell, "day") is not None for cell in filled)
        return ColumnRead("text", _as_text(cells), 0, (note,) if dated >= 0.95 * len(filled) else ())
    found = _typed(name, cells, len(filled), "date", lambda cell: _date(cell, order))
    return found or ColumnRead("text", _as_text(cells))


def _typed(name: str, cells: Sequence[Any], filled: int, kind: Kind, read: Any) -> ColumnRead | None:
    """The column as `kind`, unless too many cells are none."""
    allowed = int(filled * _UNFIT_SHARE)
    values: list[Any] = []
    unfit: list[str] = []
    for cell in cells:
        if is_blank(cell):
            values.append(None)
            continue
        value = read(cell)
        if value is None:
            unfit.append(_text(cell))
            if len(unfit) > allowed:
                return None
        values.append(value)
    notes: tuple[str, ...] = ()
    if unfit:
        shown = ", ".join(repr(text[:_SHOWN_CHARS]) for text in unfit[:_SHOWN])
        notes = (f"column {name!r}: {len(unfit)} of {filled} cells are no {kind} ({shown}); left empty",)
    return ColumnRead(kind, tuple(values), len(unfit), notes)


def _mark(name: str, texts: Sequence[str]) -> tuple[DecimalMark, str | None]:
    """The decimal mark of the column: the one that its digits prove most often; a point where none does."""
    proofs = [proof for text in texts if (proof := decimal_mark(text)) is not None]
    if proofs:
        return ("," if proofs.count(",") * 2 > len(proofs) else "."), None
    unproven = next((text for text in texts if "," in text and read_number(text, ".") is not None), None)
    if unproven is not None:
        return ".", f"column {name!r}: the comma in {unproven[:_SHOWN_CHARS]!r} is read as a thousands separator"
    return ".", None


def _order(texts: Sequence[str]) -> tuple[DayOrder, str | None]:
    """What stands first in dates like 3/4/2024, and one of them where no date of the column tells."""
    proofs = {proof for text in texts if (proof := day_order(text)) is not None}
    if len(proofs) == 1:
        return proofs.pop(), None
    return "day", next((text for text in texts if is_ambiguous_date(text)), None)


def _number(cell: Any, mark: DecimalMark) -> float | int | None:
    if isinstance(cell, bool):
        return None
    if isinstance(cell, int | float):
        return cell if abs(cell) < 2**63 and cell == cell else None
    read = read_number(plain(cell), mark) if isinstance(cell, str) else None
    return read.value if read else None


def _date(cell: Any, order: DayOrder) -> str | None:
    return read_date(plain(cell), order) if isinstance(cell, str) else native_date(cell)


def _as_text(cells: Sequence[Any]) -> tuple[str | None, ...]:
    return tuple(
        None if cell is None or (isinstance(cell, str) and not cell.strip()) else _text(cell) for cell in cells
    )


def _text(cell: Any) -> str:
    """A cell as a reader would write it; empty for none."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, date):
        return native_date(cell) or ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return " ".join(str(cell).split())
