"""What runs statements: SQLite files, tables loaded from files, PostgreSQL; and the rows that come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol

from app.query.construction.sql_schema import SqlSchema

MAX_CELL_CHARS = 10_000


@dataclass(frozen=True, slots=True)
class Rows:
    """What a statement returned; `truncated` where the row limit was reached: there may be more.

    `row_ids`: for each row the (table, rowid) pairs that it was read from, where that was asked for and can be told.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool
    ms: float
    row_ids: tuple[tuple[tuple[str, int], ...], ...] = ()


class SqlEngine(Protocol):
    """A read-only source of tables. Threads may share it."""

    name: str
    row_limit: int

    def schema(self) -> SqlSchema:
        """Raises Unavailable: it can't be read now."""

    def execute(
        self,
        text: str,
        parameters: Mapping[str, Any],
        *,
        limit: int | None = None,
        row_ids: bool = False,
        only: tuple[str, Sequence[int]] | None = None,
    ) -> Rows:
        """The rows of a SELECT in SQLite's dialect, checked, within the row and time limits.

        Raises:
            InvalidInput: the statement is not one that may run, or `row_ids` or `only` can't be done here.
            Unavailable: the source can't be read, or took too long.
        """


def cell_shown(value: Any) -> Any:
    """A cell as JSON can say it: bytes are told by their number, long texts are cut, dates are ISO."""
    if isinstance(value, str):
        return value.replace("\x00", "")[:MAX_CELL_CHARS]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    return str(value)[:MAX_CELL_CHARS]
