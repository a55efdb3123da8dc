"""Raw tables → one SQLite file with typed columns and inferred keys, and where each row stands in its document."""

from __future__ import annotations

import os
import sqlite3
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.query.construction.sql_schema import MAX_COLUMNS, MAX_TABLES
from app.query.tables.columns import ColumnRead, read_column
from app.query.tables.raw import RawTable, unique_names
from app.query.tables.spans import row_spans

_TYPES = {"number": "NUMERIC", "date": "TEXT", "text": "TEXT"}
_MAX_KEYS = 300  # pairs of columns that are compared
_KEY_WORDS = ("id", "code", "key", "no", "nr", "number", "编号", "代码", "号")


@dataclass(frozen=True, slots=True)
class Placed:
    """A raw table and, where it was uploaded as a document, the version and its extracted text."""

    raw: RawTable
    version_id: int | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class RowPlaces:
    """Row `n` (SQLite's rowid, from 1) of a table is `text[starts[n - 1]:ends[n - 1]]` of the version; -1: unknown."""

    version_id: int
    starts: array[int]
    ends: array[int]

    def get(self, row_id: int) -> tuple[int, int] | None:
        """The half-open span of the row, in code points of the version's text."""
        if not 1 <= row_id <= len(self.starts) or self.starts[row_id - 1] < 0:
            return None
        return self.starts[row_id - 1], self.ends[row_id - 1]

    def within(self, spans: Sequence[tuple[int, int]]) -> list[int]:
        """The ids of the rows that overlap one of the spans of the version's text, those of the first spans first."""
        ranked = sorted((start, end, rank) for rank, (start, end) in enumerate(spans))
        begins = [start for start, _, _ in ranked]
        found: list[tuple[int, int]] = []
        for row_id, (start, end) in enumerate(zip(self.starts, self.ends, strict=True), start=1):
            last = bisect_left(
                begins, end
            )  # spans that begin before the row ends; chunks overlap their neighbours only
            ranks = [rank for _, stop, rank in ranked[max(0, last - 3) : last] if stop > start >= 0]
            if ranks:
                found.append((min(ranks), row_id))
        return [row_id for _, row_id in sorted(found)]


@dataclass(frozen=True, slots=True)
class Built:
    """What became of the tables: `notes` in words, `places` by table name, for tables of documents only."""

    notes: tuple[str, ...]
    places: Mapping[str, RowPlaces]


@dataclass(frozen=True, slots=True)
class _Read:
    name: str
    header: tuple[str, ...]
    columns: tuple[ColumnRead, ...]


def build_file(path: Path, tables: Sequence[Placed]) -> Built:
    """Writes the tables to a new SQLite file at `path`, complete or not at all.

    Tables and columns past what a schema holds are left out, which the notes say.
    """
    notes: list[str] = []
    read: list[_Read] = []
    places: dict[str, RowPlaces] = {}
    room = MAX_COLUMNS
    names = _table_names([table.raw.name for table in tables])
    for name, table in zip(names, tables, strict=True):
        width = len(table.raw.header)
        if len(read) == MAX_TABLES or width > room:
            notes.append(f"table {name!r} was left out: a source holds {MAX_TABLES} tables and {MAX_COLUMNS} columns")
            continue
        room -= width
        cells = list(zip(*table.raw.rows, strict=True)) or [()] * width
        columns = tuple(read_column(column, values) for column, values in zip(table.raw.header, cells, strict=True))
        read.append(_Read(name, table.raw.header, columns))
        notes += [*table.raw.notes, *(note for column in columns for note in column.notes)]
        if table.version_id is not None and table.text is not None:
            spans = row_spans(table.text, table.raw.rows)
            starts = array("q", (span[0] if span else -1 for span in spans))
            ends = array("q", (span[1] if span else -1 for span in spans))
            places[name] = RowPlaces(table.version_id, starts, ends)
            if missing := sum(span is None for span in spans):
                notes.append(f"table {name!r}: {missing} of {len(spans)} rows were not found in the document's text")
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with closing(sqlite3.connect(partial)) as connection, connection:
        keys = _keys(read)
        for table_read in read:
            _write(connection, table_read, keys.get(table_read.name, ()))
    os.chmod(partial, 0o600)
    os.replace(partial, path)
    return Built(tuple(notes), places)


def _write(connection: sqlite3.Connection, table: _Read, keys: Sequence[tuple[str, str, str]]) -> None:
    columns = [
        f"{quoted(name)} {_TYPES[column.kind]}" for name, column in zip(table.header, table.columns, strict=True)
    ]
    columns += [
        f"FOREIGN KEY ({quoted(column)}) REFERENCES {quoted(to_table)} ({quoted(to_column)})"
        for column, to_table, to_column in keys
    ]
    connection.execute(f"CREATE TABLE {quoted(table.name)} ({', '.join(columns)})")
    marks = ", ".join("?" * len(table.columns))
    rows: Iterator[tuple[Any, ...]] = zip(*(column.values for column in table.columns), strict=True)
    connection.executemany(f"INSERT INTO {quoted(table.name)} VALUES ({marks})", rows)


def quoted(name: str) -> str:
    """The name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _keys(tables: Sequence[_Read]) -> dict[str, list[tuple[str, str, str]]]:
    """Table → (column, other table, its column): same name, unique there, and every value here is found there.

    Only columns that are named like keys, or whose table's name the column's begins with, so that two lists of cities
    do not join by chance.
    """
    unique: dict[tuple[str, str], frozenset[Any]] = {}
    by_name: dict[str, list[tuple[_Read, int]]] = {}
    for table in tables:
        for place, name in enumerate(table.header):
            if _is_key_name(name):
                by_name.setdefault(name.casefold(), []).append((table, place))
                by_name.setdefault(f"{table.name} {name}".casefold().replace("_", " "), []).append((table, place))
            values = table.columns[place].values
            if _is_key_name(name) and values and None not in values and len(set(values)) == len(values):
                unique[table.name, name] = frozenset(values)
    found: dict[str, list[tuple[str, str, str]]] = {}
    compared = 0
    for table in tables:
        for place, name in enumerate(table.header):
            if (table.name, name) in unique and len(by_name.get(name.casefold(), ())) < 2:
                continue
            for other, at in _candidates(by_name, name):
                target = unique.get((other.name, other.header[at]))
                if other.name == table.name or target is None or compared >= _MAX_KEYS:
                    continue
                compared += 1
                own = {value for value in table.columns[place].values if value is not None}
                if own and own <= target and (table.name, name) not in unique:
                    found.setdefault(table.name, []).append((name, other.name, other.header[at]))
                    break
    return found


def _candidates(by_name: Mapping[str, list[tuple[_Read, int]]], name: str) -> list[tuple[_Read, int]]:
    """Columns that one of that name may refer to: `shop_id` → `shop_id` elsewhere, or `id` of `shop` or `shops`."""
    plain = name.casefold().replace("_", " ").strip()
    head, _, tail = plain.rpartition(" ")
    found = list(by_name.get(name.casefold(), ())) if _is_key_name(name) else []
    if head and tail in _KEY_WORDS:
        for table in (head, f"{head}s", f"{head}es", f"{head.removesuffix('y')}ies"):
            found += by_name.get(f"{table} {tail}", [])
    return found


def _is_key_name(name: str) -> bool:
    plain = name.casefold().replace("_", " ").strip()
    return plain.split(" ")[-1] in _KEY_WORDS or plain.endswith(("id", "编号", "代码", "号"))


def _table_names(names: Sequence[str]) -> list[str]:
    """Names that SQLite takes and that differ; its own begin with `sqlite_`."""
    cleaned = [" ".join(name.replace("\x00", "").split())[:100] for name in names]
    cleaned = [f"table {name}" if name.casefold().startswith("sqlite_") else name for name in cleaned]
    return list(unique_names([name or "table" for name in cleaned], len(cleaned)))
