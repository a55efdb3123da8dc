"""Tables of files or of documents as a source: one SQLite file, built again when they changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from app.errors import AttestError, Unavailable
from app.query.construction.sql_engine import Rows
from app.query.construction.sql_schema import SqlSchema
from app.query.construction.sql_source import SqlSource
from app.query.tables.table_file import Placed, RowPlaces, build_file


@dataclass(frozen=True, slots=True)
class Contents:
    """What there is to load: `key` changes whenever it does; `load` gives the tables and, in words, what is missing."""

    key: Hashable
    load: Callable[[], tuple[Sequence[Placed], Sequence[str]]]


@dataclass(frozen=True, slots=True)
class _Opened:
    key: Hashable
    path: Path
    source: SqlSource
    notes: tuple[str, ...]
    places: Mapping[str, RowPlaces]


class LoadedTables:
    """A `SqlEngine` over tables that are loaded by themselves. Threads may share it.

    Args:
        name: of the source.
        folder: where the SQLite file is kept; nothing in it needs to survive.
        contents: what there is now; asked at every use, so that nothing deleted is ever read.
        time_limit_ms: of one statement, without the loading.
        row_limit: of one statement.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        contents: Callable[[], Contents],
        *,
        time_limit_ms: float = 2_000.0,
        row_limit: int = 100,
    ) -> None:
        self.name = name
        self.row_limit = row_limit
        self._folder = folder
        self._contents = contents
        self._time_limit_ms = time_limit_ms
        self._lock = Lock()
        self._opened: _Opened | None = None

    def schema(self) -> SqlSchema:
        """Raises Unavailable: there are no tables, or they can't be read."""
        return self._current().source.schema()

    def execute(
        self,
        text: str,
        parameters: Mapping[str, Any],
        *,
        limit: int | None = None,
        row_ids: bool = False,
        only: tuple[str, Sequence[int]] | None = None,
    ) -> Rows:
        """As `SqlSource.execute`."""
        return self._current().source.execute(text, parameters, limit=limit, row_ids=row_ids, only=only)

    def notes(self) -> tuple[str, ...]:
        """In words, what of the files could not be taken as it stands. Raises Unavailable."""
        return self._current().notes

    def places(self) -> Mapping[str, RowPlaces]:
        """Where the rows of each table stand in their documents. Raises Unavailable."""
        return self._current().places

    def sweep(self) -> None:
        """Deletes the file unless it still holds what there is."""
        with self._lock:
            try:
                stale = self._opened is not None and self._contents().key != self._opened.key
            except AttestError:
                stale = True
            if stale:
                self._drop()

    def close(self) -> None:
        """Deletes the file; the next use loads it again."""
        with self._lock:
            self._drop()

    def _current(self) -> _Opened:
        with self._lock:
            contents = self._contents()
            if self._opened is not None and self._opened.key == contents.key and self._opened.path.is_file():
                return self._opened
            self._drop()
            tables, missing = contents.load()
            if not tables:
                why = f" ({'; '.join(missing)[:300]})" if missing else ""
                raise Unavailable(
                    f"the SQL source {self.name!r} holds no tables{why}: give it CSV, TSV, XLSX or Parquet files whose "
                    "first row names the columns"
                )
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            digest = hashlib.sha256(repr((self.name, contents.key)).encode()).hexdigest()[:24]
            path = self._folder / f"{digest}.db"
            built = build_file(path, tables)
            source = SqlSource(
                self.name, path, time_limit_ms=self._time_limit_ms, row_limit=self.row_limit, guess_keys=False
            )
            self._opened = _Opened(contents.key, path, source, (*missing, *built.notes), built.places)
            return self._opened

    def _drop(self) -> None:
        if self._opened is not None:
            self._opened.path.unlink(missing_ok=True)
            self._opened = None


def files_in(name: str, place: Path) -> Contents:
    """The tables of a file, or of the files right in a folder, in the order of their names.

    Raises:
        Unavailable: there is nothing of that kind.
    """
    from app.query.tables.files import SUFFIXES, read_tables

    try:
        files = [place] if place.is_file() else sorted(p for p in place.iterdir() if p.suffix.lower() in SUFFIXES)
        key = tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    except OSError as error:
        raise Unavailable(
            f"the SQL source {name!r} can't be read ({type(error).__name__}): check its place in ATTEST_SQL__SOURCES"
        ) from None

    def load() -> tuple[Sequence[Placed], Sequence[str]]:
        tables: list[Placed] = []
        missing: list[str] = []
        for file in files:
            try:
                tables += [Placed(raw) for raw in read_tables(file, file.stem)]
            except AttestError as error:
                missing.append(error.message)
            except OSError as error:
                missing.append(f"{file.name!r} can't be read ({type(error).__name__})")
        return tables, missing

    return Contents(key, load)
