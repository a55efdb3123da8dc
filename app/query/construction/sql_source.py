"""A SQLite file that an operator lets be asked: its schema, and statements run on it that can only read.

Four walls, each enough alone against writing: the statement is checked against the schema, the file is opened
read-only, `query_only` is on, and SQLite's authorizer allows nothing but reading known tables. Rows
and time are limited.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import Any

from app.errors import InvalidInput, Unavailable
from app.query.construction.fields import FieldType
from app.query.construction.sql_check import DEFAULT_LIMIT, check_statement
from app.query.construction.sql_engine import Rows, cell_shown
from app.query.construction.sql_keys import inferred_keys
from app.query.construction.sql_rows import with_row_ids
from app.query.construction.sql_schema import MAX_COLUMNS, MAX_TABLES, Column, ForeignKey, SqlSchema, Table, is_prose

_SAMPLED_ROWS = 20_000
_SAMPLED_VALUES = 500
_VALUE_CHARS = 100
_STEPS = 1_000  # of SQLite's machine between two looks at the clock
_FUNCTIONS = frozenset({"count", "sum", "avg", "max", "min", "lower", "upper", "length", "abs", "round", "like"})
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?")
_NUMERIC = ("INT", "REAL", "FLOA", "DOUB", "NUM", "DEC")


class SqlSource:
    """One SQLite file. Threads may share it: every call has a connection of its own.

    Args:
        time_limit_ms: of one statement.
        row_limit: of one statement.
        guess_keys: join columns whose names say that they belong together and that have values in common, though no
            key is declared; False where whoever wrote the file has looked already.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        time_limit_ms: float = 2_000.0,
        row_limit: int = DEFAULT_LIMIT,
        guess_keys: bool = True,
    ) -> None:
        self.name = name
        self._path = path
        self._guess_keys = guess_keys
        self._time_limit_ms = time_limit_ms
        self.row_limit = row_limit
        self._lock = Lock()
        self._read: tuple[tuple[int, int], SqlSchema] | None = None

    def schema(self) -> SqlSchema:
        """Tables, columns with types and sampled values, foreign keys; read again when the file has changed.

        Raises:
            Unavailable: the file is missing, unreadable, no SQLite database, or has no tables.
        """
        try:
            found = self._path.stat()
            state = (found.st_mtime_ns, found.st_size)
            with self._lock:
                if self._read is None or self._read[0] != state:
                    with closing(self._connect()) as connection:
                        self._read = (state, SqlSchema(tuple(_tables(connection, self._guess_keys))))
                return self._read[1]
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(
                f"the SQL source {self.name!r} can't be read ({type(error).__name__}): check its file in "
                "ATTEST_SQL__SOURCES"
            ) from None
        except InvalidInput as error:
            raise Unavailable(f"the SQL source {self.name!r} can't be used: {error.message}") from None

    def execute(
        self,
        text: str,
        parameters: Mapping[str, Any],
        *,
        limit: int | None = None,
        row_ids: bool = False,
        only: tuple[str, Sequence[int]] | None = None,
    ) -> Rows:
        """The rows of a SELECT; checked again here, whoever built it.

        Args:
            text: the statement.
            parameters: bound to its names.
            limit: rows at most; None: the source's own limit.
            row_ids: say from which rows of which tables each row was read, where no aggregate stands between.
            only: a table and the rowids of it that may be read.

        Raises:
            InvalidInput: the statement is not one that may run.
            Unavailable: the file can't be read, or the statement took longer than the limit.
        """
        schema = self.schema()
        limit = self.row_limit if limit is None else limit
        checked = check_statement(text, schema, limit=limit)
        tables: tuple[str, ...] = ()
        if row_ids or only is not None:
            checked, tables = with_row_ids(checked, only, wanted=row_ids)
        started = time.monotonic()
        try:
            with closing(self._connect()) as connection:
                _guard(connection, schema, started + self._time_limit_ms / 1e3)
                cursor = connection.execute(checked, dict(parameters))
                rows = cursor.fetchmany(limit)
                columns = tuple(str(column[0]) for column in cursor.description or ())
        except sqlite3.OperationalError as error:
            if "interrupted" in str(error):
                raise Unavailable(
                    f"the statement took longer than {self._time_limit_ms:.0f} ms on {self.name!r}: ask for less"
                ) from None
            raise InvalidInput(f"the SQL source {self.name!r} refuses the statement: {str(error)[:200]}") from None
        except (sqlite3.Error, OverflowError) as error:
            raise InvalidInput(f"the SQL source {self.name!r} refuses the statement: {str(error)[:200]}") from None
        ms = (time.monotonic() - started) * 1e3
        width = len(columns) - len(tables)
        kept = tuple(tuple(cell_shown(value) for value in row[:width]) for row in rows)
        ids = tuple(tuple(zip(tables, row[width:], strict=True)) for row in rows) if tables else ()
        return Rows(columns[:width], kept, len(rows) >= limit, ms, ids)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA trusted_schema = OFF")  # views and generated columns call no unsafe function
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 64 * 2**20)
        return connection


def _guard(connection: sqlite3.Connection, schema: SqlSchema, deadline: float) -> None:
    """From here on the connection reads the schema's tables until the deadline, and nothing else."""
    known = {table.name.casefold() for table in schema.tables}

    def authorize(action: int, first: str | None, second: str | None, _db: str | None, _via: str | None) -> int:
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and (first or "").casefold() in known:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").casefold() in _FUNCTIONS:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    connection.set_authorizer(authorize)
    connection.set_progress_handler(lambda: int(time.monotonic() > deadline), _STEPS)


def _tables(connection: sqlite3.Connection, guess_keys: bool) -> list[Table]:
    names = [
        str(row[0])
        for row in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
            "AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name LIMIT ?",
            (MAX_TABLES,),
        )
    ]
    tables: list[Table] = []
    room = MAX_COLUMNS
    for name in names:
        columns = tuple(
            _column(connection, name, str(row[0]), str(row[1] or ""))
            for row in connection.execute("SELECT name, type FROM pragma_table_info(?) LIMIT ?", (name, room))
        )
        room -= len(columns)
        if columns:
            tables.append(Table(name, columns))
    declared = [Table(table.name, table.columns, _keys(connection, table, tables)) for table in tables]
    if not guess_keys:
        return declared
    guessed = inferred_keys(declared, lambda *places: _shares(connection, *places))
    return [Table(t.name, t.columns, (*t.foreign_keys, *guessed.get(t.name, ()))) for t in declared]


def _shares(connection: sqlite3.Connection, table: str, column: str, other: str, key: str) -> bool:
    """Whether a sample of the column has a value in common with the key; a column without values has all."""
    values = f"SELECT DISTINCT {_quoted(column)} AS v FROM {_quoted(table)} WHERE v IS NOT NULL LIMIT {_SAMPLED_VALUES}"
    keys = f"SELECT {_quoted(key)} FROM {_quoted(other)} LIMIT {_SAMPLED_ROWS}"
    row = connection.execute(
        f"SELECT EXISTS ({values}), EXISTS (SELECT 1 FROM ({values}) WHERE v IN ({keys})), EXISTS ({keys})"
    ).fetchone()
    return not row[0] or not row[2] or bool(row[1])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _keys(connection: sqlite3.Connection, table: Table, tables: list[Table]) -> tuple[ForeignKey, ...]:
    found = []
    rows = connection.execute('SELECT "from", "table", "to" FROM pragma_foreign_key_list(?)', (table.name,))
    for column, to_table, to_column in rows.fetchall():
        other = next((entry for entry in tables if entry.name.casefold() == str(to_table).casefold()), None)
        if other is None:
            continue
        if to_column is None:  # the other table's primary key
            primary = connection.execute(
                "SELECT name FROM pragma_table_info(?) WHERE pk = 1 LIMIT 1", (other.name,)
            ).fetchone()
            to_column = primary[0] if primary else None
        if to_column is not None and other.get(str(to_column)):
            found.append(ForeignKey(str(column), other.name, str(to_column)))
    return tuple(found)


def _column(connection: sqlite3.Connection, table: str, name: str, declared: str) -> Column:
    quoted, quoted_table = _quoted(name), _quoted(table)
    rows = connection.execute(
        f"SELECT DISTINCT {quoted} FROM (SELECT {quoted} FROM {quoted_table} LIMIT {_SAMPLED_ROWS}) "
        f"WHERE {quoted} IS NOT NULL LIMIT {_SAMPLED_VALUES}"
    )
    values = [row[0] for row in rows]
    kind: FieldType = "text"
    if (values and all(isinstance(value, int | float) for value in values)) or (
        not values and declared.upper().startswith(_NUMERIC)
    ):
        kind = "number"
    elif values and all(isinstance(value, str) and _DATE.fullmatch(value) for value in values):
        kind = "date"
    if kind != "text":
        return Column(name, kind)
    texts = [value for value in values if isinstance(value, str) and value]
    return Column(name, kind, tuple(v for v in texts if len(v) <= _VALUE_CHARS), is_prose(texts[:_SAMPLED_VALUES]))
