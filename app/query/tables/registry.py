"""The sources of tables that there are: the operator's files and databases by name, and each collection's documents."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock

from app.errors import NotFound
from app.query.construction.sql_engine import SqlEngine
from app.query.construction.sql_source import SqlSource
from app.query.tables.files import SUFFIXES
from app.query.tables.loaded import Contents, LoadedTables, files_in
from app.query.tables.postgres import PostgresSource

_MOST_COLLECTIONS = 50  # whose tables are kept loaded
_PROCESS = "process-"


class TableSources:
    """One object for each source, so that a schema is read once and again only when it changed. Threads may share it.

    Args:
        files: name → SQLite file, table file, or folder of table files.
        postgres: name → URL.
        documents: what the table documents of a collection hold; None: collections are no sources.
        folder: for what is loaded, each process in a folder of its own; what dead ones left is deleted here.
        time_limit_ms: of one statement.
        row_limit: of one statement.

    Raises:
        InvalidInput: a PostgreSQL URL is none.
    """

    def __init__(
        self,
        *,
        files: Mapping[str, Path],
        postgres: Mapping[str, str],
        documents: Callable[[str], Contents] | None,
        folder: Path,
        time_limit_ms: float = 2_000.0,
        row_limit: int = 100,
    ) -> None:
        self._documents = documents
        self._folder = folder / f"{_PROCESS}{os.getpid()}"
        self._time_limit_ms = time_limit_ms
        self._row_limit = row_limit
        self._lock = Lock()
        self._collections: dict[str, LoadedTables] = {}
        _clear(folder, self._folder)
        self._named: dict[str, SqlEngine] = {name: self._file(name, path) for name, path in files.items()}
        for name, url in postgres.items():
            self._named[name] = PostgresSource(name, url, time_limit_ms=time_limit_ms, row_limit=row_limit)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the operator's sources, sorted."""
        return tuple(sorted(self._named))

    def get(self, name: str) -> SqlEngine:
        """The operator's source of that name. Raises NotFound."""
        found = self._named.get(name)
        if found is None:
            known = ", ".join(self.names) or "none: set ATTEST_SQL__SOURCES"
            raise NotFound(f"there is no SQL source {name[:80]!r} (there are {known})")
        return found

    def of_collection(self, collection: str) -> LoadedTables:
        """The collection's documents that are tables. Raises NotFound: such are no sources here."""
        if self._documents is None:
            raise NotFound("documents are not asked as tables here: set ATTEST_SQL__DOCUMENTS=true")
        with self._lock:
            found = self._collections.pop(collection, None)
            if found is None:
                found = self._loaded(collection, partial(self._documents, collection))
            self._collections[collection] = found
            while len(self._collections) > _MOST_COLLECTIONS:
                self._collections.pop(next(iter(self._collections))).close()
            return found

    def sweep(self) -> None:
        """Forgets on the disk what its documents do not hold any more."""
        with self._lock:
            loaded = list(self._collections.values())
        for source in loaded:
            source.sweep()

    def close(self) -> None:
        """Deletes every file that was loaded."""
        with self._lock:
            for source in (*self._collections.values(), *self._named.values()):
                if isinstance(source, LoadedTables):
                    source.close()
        with suppress(OSError):
            self._folder.rmdir()

    def _file(self, name: str, path: Path) -> SqlEngine:
        if path.is_dir() or path.suffix.lower() in SUFFIXES:
            return self._loaded(name, partial(files_in, name, path))
        return SqlSource(name, path, time_limit_ms=self._time_limit_ms, row_limit=self._row_limit)

    def _loaded(self, name: str, contents: Callable[[], Contents]) -> LoadedTables:
        return LoadedTables(name, self._folder, contents, time_limit_ms=self._time_limit_ms, row_limit=self._row_limit)


def _clear(folder: Path, own: Path) -> None:
    """Deletes what processes left that are gone, and what an earlier one with this process's number did."""
    for left in folder.glob(f"{_PROCESS}*") if folder.is_dir() else ():
        number = left.name.removeprefix(_PROCESS)
        if left == own or not (number.isdigit() and _runs(int(number))):
            shutil.rmtree(left, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
