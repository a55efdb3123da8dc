"""Parquet files → one table, read by DuckDB with its network, its extensions and every other file shut off."""

from __future__ import annotations

from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.errors import UnreadableDocument
from app.query.tables.raw import MAX_COLUMNS, RawTable, table_of

_BATCH = 2_000
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "1GB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


def read_parquet(path: Path, name: str, *, max_rows: int) -> list[RawTable]:
    """The file's table; nested values are told as text. [] for a file without rows.

    Raises:
        UnreadableDocument: it is no Parquet file, or has too many columns.
    """
    import duckdb

    try:
        with (
            TemporaryDirectory(prefix="attest-parquet-") as folder,
            duckdb.connect(":memory:", config=_CONFIG) as connection,
        ):
            link = Path(folder) / "table.parquet"  # DuckDB takes *, ? and [ in a name for patterns
            link.symlink_to(path.resolve())
            connection.execute("SET allowed_paths = [?]", [str(link)])
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            cursor = connection.execute("SELECT * FROM read_parquet(?)", [str(link)])
            header = [str(column[0]) for column in cursor.description or ()]
            if len(header) > MAX_COLUMNS:
                raise UnreadableDocument(f"table {name!r} has {len(header)} columns: use at most {MAX_COLUMNS}")
            rows: list[tuple[Any, ...]] = []
            while len(rows) <= max_rows and (batch := cursor.fetchmany(_BATCH)):
                rows += [tuple(_cell(value) for value in row) for row in batch]
    except duckdb.Error as error:
        raise UnreadableDocument(
            f"table {name!r} can't be read as Parquet ({type(error).__name__}): write the file again"
        ) from None
    found = table_of(name, [header, *rows], max_rows=max_rows, header=True)
    return [] if found is None else [found]


def _cell(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, list | dict | tuple | time | timedelta):
        return str(value)
    return value
