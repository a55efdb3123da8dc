"""Which reader a file wants, by its media type or its name, and the tables that it holds."""

from __future__ import annotations

from pathlib import Path

from app.errors import UnsupportedMedia
from app.query.tables.delimited import read_delimited
from app.query.tables.parquet import read_parquet
from app.query.tables.raw import RawTable
from app.query.tables.workbook import read_workbook

_TYPES = {
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
}
SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".xlsx": "xlsx", ".parquet": "parquet", ".pq": "parquet"}
MAX_ROWS = 200_000
"""Of one table: all of its cells are in memory while it is read."""


def kind_of(path: Path | None, media_type: str | None) -> str | None:
    """`csv`, `tsv`, `xlsx` or `parquet`; None for what holds no tables."""
    by_type = _TYPES.get((media_type or "").partition(";")[0].strip().lower())
    return by_type or (SUFFIXES.get(path.suffix.lower()) if path is not None else None)


def read_tables(path: Path, name: str, *, media_type: str | None = None, max_rows: int = MAX_ROWS) -> list[RawTable]:
    """The tables of a file, named `name` where it has one and by its sheets where it has several.

    Raises:
        UnsupportedMedia: no reader for it. UnreadableDocument: it is not what it says, or too large.
    """
    kind = kind_of(path, media_type)
    if kind in ("csv", "tsv"):
        return read_delimited(path, name, max_rows=max_rows, delimiter="\t" if kind == "tsv" else None)
    if kind == "xlsx":
        return read_workbook(path, name, max_rows=max_rows)
    if kind == "parquet":
        return read_parquet(path, name, max_rows=max_rows)
    raise UnsupportedMedia(f"{name!r} holds no tables that can be read: use {', '.join(sorted(SUFFIXES))}")
