"""Everything that depends on the database product: connections, write locks, durability, conditional SQL.

The rest of the catalog is portable SQLAlchemy. Today this is SQLite (WAL); PostgreSQL needs another branch here only.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Engine, FromClause, Table, bindparam, create_engine, event, func
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from app.errors import InvalidInput, Overloaded, Unavailable
from app.index.schema import RESTORING

BUSY_TIMEOUT_MS = 30_000
CHECKPOINT_TIMEOUT_MS = 5_000
MAX_PARAMETERS = 30_000  # of one statement; SQLite's own limit is 32,766
# FULL, not NORMAL: in WAL mode NORMAL does not sync at commit, so a power cut may take back an acknowledged upload.
# secure_delete: freed pages are zeroed, so deleted text does not linger in the file.
_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -16384",
)
_WRITES = "attest_writes"


def open_engine(url: str) -> Engine:
    """An engine for `url` whose transactions, opened through `writing`, take the write lock at their start.

    Raises InvalidInput for a URL that is not a SQLite file, Unavailable where the file cannot be opened.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        raise InvalidInput(
            f"database url {parsed.render_as_string()!r} is not a SQLite file: use sqlite:////absolute/path/attest.db"
        )
    path = Path(str(parsed.database))
    if (path.parent / RESTORING).exists():
        raise Unavailable(
            "a restore into this home is at work or was interrupted, so nothing in it may be used: run "
            f"`attest restore` again, or remove the folder {RESTORING} together with what the restore brought"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _use_wal(path)
    except (OSError, sqlite3.OperationalError, sqlite3.DatabaseError) as error:
        raise Unavailable(
            f"the catalog {path.name!r} cannot be opened ({error}): check ATTEST_HOME and its rights"
        ) from error
    engine = create_engine(url, pool_size=8, max_overflow=-1, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _use_wal(path: Path) -> None:
    """Set WAL, which the file remembers; the switch ignores the busy timeout, so two starting processes retry."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000)
    try:
        for attempt in range(200):
            try:
                if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal":
                    return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or attempt == 199:
                    raise
            time.sleep(0.02)
        raise sqlite3.OperationalError("the file system does not support WAL (a network share?)")
    finally:
        connection.close()


def _lower(value: object) -> str | None:
    return None if value is None else str(value).lower()


def _on_connect(dbapi_connection: Any, _record: object) -> None:
    dbapi_connection.isolation_level = None  # the driver must not begin transactions behind our back
    for pragma in _PRAGMAS:
        dbapi_connection.execute(pragma)
    dbapi_connection.create_function("lower", 1, _lower, deterministic=True)  # SQLite's own folds ASCII only


def _on_begin(connection: Connection) -> None:
    # A deferred transaction that reads, then writes, fails at once with SQLITE_BUSY when another wrote in between.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


class WriteLock:
    """Queues the threads of this process that write: fairer and quicker than SQLite's sleeping and trying again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None

    def __enter__(self) -> None:
        if self._owner == threading.get_ident():
            raise RuntimeError("a write transaction inside another of the same thread would wait for itself for ever")
        self._lock.acquire()
        self._owner = threading.get_ident()

    def __exit__(self, *exc: object) -> None:
        self._owner = None
        self._lock.release()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one state of the catalog and blocks nobody."""
    with _domain_errors(), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine, lock: WriteLock) -> Iterator[Connection]:
    """A transaction that holds the write lock from its start; on disk when the block has ended without an exception.

    Raises Overloaded when another process has held the lock for longer than the busy timeout.
    """
    with (
        _domain_errors(),
        lock,
        engine.connect().execution_options(**{_WRITES: True}) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def _domain_errors() -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError as error:
        raise InvalidInput("a value holds a lone surrogate, which UTF-8 cannot: remove it") from error
    except OverflowError as error:
        raise InvalidInput("a number is outside of 64 bits: use a smaller one") from error
    except OperationalError as error:
        if "locked" in str(error.orig):
            raise Overloaded("the catalog is busy with a long change: try again", retry_after_s=5) from error
        raise


def checkpoint(engine: Engine) -> bool:
    """Move the write-ahead log into the database and empty it, so that no deleted text stays in it.

    Returns False when a reader kept it from being emptied: call again later.
    """
    with _raw(engine, CHECKPOINT_TIMEOUT_MS) as connection:
        try:
            return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            return False


def note_deletion(connection: Connection) -> None:
    """Remember, in the caller's transaction, that `scrub` has something to do."""
    noted = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    connection.exec_driver_sql(f"PRAGMA user_version = {noted % 1_000_000_000 + 1}")


def scrub_due(engine: Engine) -> bool:
    with reading(engine) as connection:
        return bool(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def scrub(engine: Engine, lock: WriteLock) -> bool:
    """Rewrite the database file without the unused parts of its pages; False when a reader was in the way.

    secure_delete zeroes what is deleted, but when SQLite splits or merges pages it leaves copies of moved rows in their
    unused middle: a stress test found bytes of about 1 in 100 deleted documents there. Only VACUUM removes those.
    Takes time and disk space in proportion to the whole file, and keeps writers waiting.
    """
    with _raw(engine, CHECKPOINT_TIMEOUT_MS) as connection:
        noted = connection.execute("PRAGMA user_version").fetchone()[0]
        try:
            with lock:
                connection.execute("PRAGMA temp_store = FILE")  # the copy may not fit in memory
                connection.execute("VACUUM")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise Unavailable(
                    f"the catalog cannot be scrubbed ({error}): free twice its size on the disk"
                ) from error
            return False
        finally:
            connection.execute("PRAGMA temp_store = MEMORY")
    if not checkpoint(engine):
        return False
    with writing(engine, lock) as transaction:
        if transaction.exec_driver_sql("PRAGMA user_version").scalar_one() == noted:  # no deletion came after
            transaction.exec_driver_sql("PRAGMA user_version = 0")
    return True


@contextmanager
def _raw(engine: Engine, busy_timeout_ms: int) -> Iterator[sqlite3.Connection]:
    """A connection outside of any transaction."""
    pooled = engine.raw_connection()
    connection = cast(sqlite3.Connection, pooled.driver_connection)
    try:
        connection.execute(f"PRAGMA busy_timeout = {busy_timeout_ms}")
        yield connection
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        pooled.close()


def pairs_parameter(name: str) -> tuple[FromClause, ColumnElement[int], ColumnElement[int]]:
    """Rows of a JSON parameter `[[a, b], …]`, and their two columns.

    To join with: SQLite answers `(a, b) IN (VALUES …)` by scanning the table; and one parameter, one cached statement.
    """
    rows = func.json_each(bindparam(name)).table_valued("value", name=name)
    return rows, func.json_extract(rows.c.value, "$[0]"), func.json_extract(rows.c.value, "$[1]")


def insert_or_update(connection: Connection, table: Table, row: dict[str, Any], update: tuple[str, ...]) -> None:
    """Insert `row`, or set its `update` columns on the row that has its primary key (none: leave that row alone)."""
    statement = sqlite_insert(table).values(row)
    keys = list(table.primary_key.columns)
    if update:
        statement = statement.on_conflict_do_update(index_elements=keys, set_={name: row[name] for name in update})
    else:
        statement = statement.on_conflict_do_nothing()
    connection.execute(statement)
