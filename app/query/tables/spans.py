"""Where a table's rows stand in the extracted text of their document, so that an answer from a row can quote it.

The text has one line for each row, with the cells in order and names of columns between them. A row's span is taken
only where a line holds every filled cell of the row, in order, so a wrong line can hardly be taken: rows whose cells
are the same are told apart by their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from typing import Any

_LOOK_AHEAD = 200  # lines: titles, headings and blank lines between two rows


def row_spans(text: str, rows: Iterable[Sequence[Any]]) -> list[tuple[int, int] | None]:
    """For each row the half-open `[char_start, char_end)` of its line in `text`; None where no line holds it.

    Args:
        text: the document's extracted text.
        rows: as the file holds them, in its order.
    """
    lines: list[tuple[int, int, str]] = []
    start = 0
    for line in text.split("\n"):
        if line.strip():
            lines.append((start, start + len(line), line))
        start += len(line) + 1
    found: list[tuple[int, int] | None] = []
    at = missed = 0
    for row in rows:
        cells = [shown for cell in row if (shown := _shown(cell))]
        span = None
        # after many rows in a row without a line the table is not this text's: one line is looked at, not 200
        for place in range(at, min(at + (_LOOK_AHEAD if missed < 50 else 1), len(lines))):
            begin, end, line = lines[place]
            if cells and _holds(line, cells):
                span = (begin, end)
                at = place + 1
                break
        missed = 0 if span else missed + 1
        found.append(span)
    return found


def _holds(line: str, cells: Sequence[tuple[str, ...]]) -> bool:
    at = 0
    for forms in cells:
        places = [(place, form) for form in forms if (place := line.find(form, at)) >= 0]
        if not places:
            return False
        place, form = min(places)
        at = place + len(form)
    return True


def _shown(cell: Any) -> tuple[str, ...]:
    """The ways in which a loader writes the cell; () for an empty one."""
    if cell is None:
        return ()
    if isinstance(cell, bool):
        return ("TRUE", "True", "true") if cell else ("FALSE", "False", "false")
    if isinstance(cell, datetime):
        day = cell.date().isoformat()
        return (day,) if cell.time() == time() else (cell.isoformat(sep=" ", timespec="seconds"),)
    if isinstance(cell, date):
        return (cell.isoformat(),)
    if isinstance(cell, int | float):
        number = float(cell)
        whole = (repr(int(number)),) if number.is_integer() and abs(number) < 1e15 else ()
        return (*whole, f"{number:.15g}", str(cell))
    text = " ".join(str(cell).split())
    return (text,) if text else ()
