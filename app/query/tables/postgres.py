"""A PostgreSQL database that an operator lets be asked; only ever read.

Walls against writing: the statement is checked against the schema, every transaction is READ ONLY, and it is rolled
back. Rows are limited in the statement, time by the server's own `statement_timeout`. The user of the URL should be
one that may only read, all the same.
"""

from __future__ import annotations

import importlib
import ssl
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import sqlglot
from sqlglot import exp

from app.errors import InvalidInput, Unavailable
from app.query.construction.fields import FieldType
from app.query.construction.sql_check import DEFAULT_LIMIT, check_statement
from app.query.construction.sql_engine import Rows, cell_shown
from app.query.construction.sql_schema import MAX_COLUMNS, MAX_TABLES, Column, ForeignKey, SqlSchema, Table, is_prose

_SAMPLED_ROWS = 5_000
_SAMPLED_VALUES = 500
_VALUE_CHARS = 100
_SCHEMA_AGE_S = 300.0
_NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision", "money")
_DATES = ("date", "timestamp without time zone", "timestamp with time zone")
_TEXTS = ("text", "character varying", "character", "USER-DEFINED", "uuid", "boolean")
_COLUMNS = (
    "SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c "
    "JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name "
    "WHERE c.table_schema = :schema AND t.table_type IN ('BASE TABLE', 'VIEW') "
    "AND has_table_privilege(quote_ident(c.table_schema) || '.' || quote_ident(c.table_name), 'SELECT') "
    f"ORDER BY c.table_name, c.ordinal_position LIMIT {MAX_COLUMNS + 1}"
)
_KEYS = (
    "SELECT k.table_name, k.column_name, r.table_name, r.column_name FROM information_schema.referential_constraints c "
    "JOIN information_schema.key_column_usage k ON k.constraint_name = c.constraint_name "
    "AND k.constraint_schema = c.constraint_schema "
    "JOIN information_schema.key_column_usage r ON r.constraint_name = c.unique_constraint_name "
    "AND r.constraint_schema = c.unique_constraint_schema AND r.ordinal_position = k.position_in_unique_constraint "
    "WHERE c.constraint_schema = :schema"
)

Connect = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """Where the database is, as `postgresql://user:password@host:port/name?schema=public&sslmode=require` says."""

    host: str
    port: int
    database: str
    user: str
    password: str | None = field(repr=False)
    schema: str = "public"
    sslmode: str = "prefer"


def read_url(url: str) -> PostgresPlace:
    """The parts of a PostgreSQL URL. The message of an error never holds the URL: it may hold a password.

    Raises:
        InvalidInput: it is none, or has parameters other than `schema` and `sslmode`.
    """
    form = (
        "use postgresql://USER:PASSWORD@HOST:5432/NAME, with ?schema= and ?sslmode=disable|prefer|require|verify-full"
    )
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:
        raise InvalidInput(f"the PostgreSQL URL can't be read: {form}") from None
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname or not parts.username:
        raise InvalidInput(f"the PostgreSQL URL lacks its scheme, host or user: {form}")
    database = unquote(parts.path.lstrip("/"))
    given = parse_qs(parts.query, keep_blank_values=True)
    if not database or "/" in database or set(given) - {"schema", "sslmode"} or parts.fragment:
        raise InvalidInput(f"the PostgreSQL URL names no database, or something unknown after it: {form}")
    sslmode = given.get("sslmode", ["prefer"])[-1]
    if sslmode not in ("disable", "prefer", "require", "verify-full"):
        raise InvalidInput(f"the PostgreSQL URL has sslmode={sslmode[:20]!r}: {form}")
    password = unquote(parts.password) if parts.password is not None else None
    schema = given.get("schema", ["public"])[-1]
    return PostgresPlace(parts.hostname, port, database, unquote(parts.username), password, schema, sslmode)


class PostgresSource:
    """A `SqlEngine`. Threads may share it: every statement has a connection of its own, closed after it.

    Args:
        name: of the source.
        url: see `read_url`.
        time_limit_ms: of one statement, kept by the server.
        row_limit: of one statement.
        connect: takes `pg8000.native.Connection`'s arguments; None takes that.
        clock: seconds, monotonic.

    Raises:
        InvalidInput: the URL is none.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        time_limit_ms: float = 2_000.0,
        row_limit: int = DEFAULT_LIMIT,
        connect: Connect | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.row_limit = row_limit
        self._place = read_url(url)
        self._time_limit_ms = time_limit_ms
        self._connect = connect
        self._clock = clock
        self._lock = Lock()
        self._read: tuple[float, SqlSchema] | None = None

    def schema(self) -> SqlSchema:
        """Tables and views that the user may read, columns with types and sampled values; kept for five minutes.

        Raises:
            Unavailable: the server can't be reached, or the schema holds nothing.
        """
        with self._lock:
            if self._read is None or self._clock() - self._read[0] > _SCHEMA_AGE_S:
                self._read = (self._clock(), self._run(self._tables))
            return self._read[1]

    def execute(
        self,
        text: str,
        parameters: Mapping[str, Any],
        *,
        limit: int | None = None,
        row_ids: bool = False,
        only: tuple[str, Sequence[int]] | None = None,
    ) -> Rows:
        """As `SqlEngine.execute`; PostgreSQL has no row ids that could be asked for."""
        if row_ids or only is not None:
            raise InvalidInput(f"the SQL source {self.name!r} has no row ids: ask without them")
        limit = self.row_limit if limit is None else limit
        checked = to_postgres(check_statement(text, self.schema(), limit=limit))
        started = time.monotonic()

        def ask(connection: Any) -> tuple[list[Any], tuple[str, ...]]:
            used = {name: value for name, value in parameters.items() if f":{name}" in checked}
            rows = connection.run(checked, **used)
            return rows, tuple(str(column["name"]) for column in connection.columns or ())

        rows, columns = self._run(ask)
        kept = tuple(tuple(cell_shown(value) for value in row) for row in rows[:limit])
        return Rows(columns, kept, len(rows) >= limit, (time.monotonic() - started) * 1e3)

    def _run(self, work: Callable[[Any], Any]) -> Any:
        """`work` on a connection whose one transaction can't write, and is rolled back."""
        connection = self._open()
        try:
            milliseconds = max(1, round(self._time_limit_ms))
            connection.run(
                "START TRANSACTION READ ONLY; "
                f"SET LOCAL statement_timeout = {milliseconds}; SET LOCAL lock_timeout = {milliseconds}; "
                f"SET LOCAL jit = off; SET LOCAL search_path = {_quoted(self._place.schema)}"
            )
            return work(connection)
        except InvalidInput as error:
            raise Unavailable(f"the SQL source {self.name!r} can't be used: {error.message}") from None
        except _driver_errors() as error:
            raise self._refused(error) from None
        finally:
            with suppress(*_driver_errors()):
                connection.run("ROLLBACK")
            with suppress(*_driver_errors()):
                connection.close()

    def _open(self) -> Any:
        _driver_errors()  # says what is missing
        connect = self._connect or importlib.import_module("pg8000.native").Connection
        place = self._place
        wanted: Any = None if place.sslmode == "prefer" else False
        if place.sslmode in ("require", "verify-full"):
            wanted = ssl.create_default_context()
            if place.sslmode == "require":
                wanted.check_hostname = False
                wanted.verify_mode = ssl.CERT_NONE
        try:
            return connect(
                place.user,
                host=place.host,
                port=place.port,
                database=place.database,
                password=place.password,
                ssl_context=wanted,
                timeout=max(5.0, 2 * self._time_limit_ms / 1e3),
                application_name="attest",
            )
        except _driver_errors() as error:  # its message may name the host and the user
            raise Unavailable(
                f"the SQL source {self.name!r} can't be reached ({type(error).__name__}): check its URL in "
                "ATTEST_SQL__POSTGRES and that the server runs"
            ) from None

    def _refused(self, error: Exception) -> InvalidInput | Unavailable:
        told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        code, message = str(told.get("C", "")), str(told.get("M", type(error).__name__))[:200]
        if code == "57014":
            return Unavailable(
                f"the statement took longer than {self._time_limit_ms:.0f} ms on {self.name!r}: ask for less"
            )
        if not told:
            return Unavailable(f"the SQL source {self.name!r} stopped answering ({type(error).__name__}): try again")
        return InvalidInput(f"the SQL source {self.name!r} refuses the statement: {message}")

    def _tables(self, connection: Any) -> SqlSchema:
        listed: dict[str, list[tuple[str, FieldType]]] = {}
        for table, column, told in connection.run(_COLUMNS, schema=self._place.schema)[:MAX_COLUMNS]:
            if len(listed) < MAX_TABLES or table in listed:
                kind = _kind(str(told))
                if kind is not None:
                    listed.setdefault(str(table), []).append((str(column), kind))
        keys = connection.run(_KEYS, schema=self._place.schema)
        tables = []
        for name, columns in listed.items():
            known = {column for column, _ in columns}
            found = [
                ForeignKey(str(column), str(to_table), str(to_column))
                for table, column, to_table, to_column in keys
                if table == name and column in known and to_column in {c for c, _ in listed.get(str(to_table), ())}
            ]
            read = [_column(connection, name, column, kind) for column, kind in columns]
            tables.append(Table(name, tuple(read), tuple(dict.fromkeys(found))))
        return SqlSchema(tuple(tables))


def _driver_errors() -> tuple[type[Exception], ...]:
    """What the driver raises: its own errors, the socket's, and those of bytes that are not what they should be.

    Raises:
        Unavailable: it is not installed.
    """
    try:
        from pg8000.exceptions import Error
    except ImportError:
        raise Unavailable("PostgreSQL needs the package pg8000: pip install 'attest-rag[postgres]'") from None
    return (Error, OSError, struct.error, ValueError)


def to_postgres(checked: str) -> str:
    """A checked statement in PostgreSQL's words: text compared without case as SQLite's NOCASE does."""
    tree = sqlglot.parse_one(checked, dialect="sqlite")
    for node in list(tree.find_all(exp.Collate)):
        parent = node.parent
        if isinstance(parent, exp.EQ | exp.NEQ) and parent.this is node:
            parent.set("expression", exp.Lower(this=exp.cast(parent.expression.copy(), "text")))
            node.replace(exp.Lower(this=exp.cast(node.this.copy(), "text")))
        else:
            node.replace(node.this.copy())
    for like in list(tree.find_all(exp.Like)):  # SQLite's LIKE has no case
        like.replace(exp.ILike(this=like.this.copy(), expression=like.expression.copy()))
    for mark in list(tree.find_all(exp.Placeholder)):
        mark.replace(exp.Var(this=f":{mark.name}"))  # as the driver writes it, not as psycopg does
    return tree.sql(dialect="postgres", unsupported_level=sqlglot.ErrorLevel.RAISE)


def _column(connection: Any, table: str, column: str, kind: FieldType) -> Column:
    if kind != "text":
        return Column(column, kind)
    name = _quoted(column)
    rows = connection.run(
        f"SELECT DISTINCT v FROM (SELECT left({name}::text, 1000) AS v FROM {_quoted(table)} LIMIT {_SAMPLED_ROWS}) s "
        f"WHERE v IS NOT NULL AND v <> '' LIMIT {_SAMPLED_VALUES}"
    )
    texts = sorted(str(row[0]) for row in rows)
    return Column(column, kind, tuple(text for text in texts if len(text) <= _VALUE_CHARS), is_prose(texts))


def _kind(told: str) -> FieldType | None:
    """The type of a column as questions see it; None for what can't be asked, such as bytes and arrays."""
    if told in _NUMBERS:
        return "number"
    if told in _DATES:
        return "date"
    return "text" if told in _TEXTS else None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("\x00", "") + '"'
