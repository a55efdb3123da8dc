"""PostgreSQL as a source, against a connection that records what it is told (a real server was tried by hand)."""

from datetime import date
from decimal import Decimal

import pytest
from pg8000.exceptions import DatabaseError

from app.errors import InvalidInput, Unavailable
from app.query.construction.sql_build import build_sql
from app.query.construction.sql_check import check_statement
from app.query.tables.postgres import PostgresSource, read_url, to_postgres

URL = "postgresql://reader:s%40cret@db.example:6543/shop?schema=sales&sslmode=disable"
COLUMNS = [
    ["employees", "id", "integer"],
    ["employees", "name", "text"],
    ["employees", "salary", "numeric"],
    ["employees", "hired", "date"],
    ["employees", "photo", "bytea"],
    ["employees", "department_id", "integer"],
    ["departments", "id", "integer"],
    ["departments", "city", "character varying"],
]
KEYS = [["employees", "department_id", "departments", "id"]]


class Recorded:
    """A connection of a driver: says what it was made for, and keeps every statement."""

    def __init__(self, log, answer, *arguments, **options):
        self.log = log
        self.answer = answer
        self.columns = [{"name": "salary"}]
        log.append(("connect", arguments, options))

    def run(self, sql, **parameters):
        self.log.append((sql, parameters))
        if "information_schema.columns" in sql:
            return COLUMNS
        if "referential_constraints" in sql:
            return KEYS
        if "SELECT DISTINCT" in sql:
            return [["Ann Lee"], ["Bob Stone"]] if '"name"' in sql else [["Berlin"]]
        if sql.startswith(("START", "ROLLBACK")):
            return []
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self):
        self.log.append(("close", {}))


def source(answer=None, **options):
    log = []
    made = PostgresSource(
        "shop",
        URL,
        connect=lambda *a, **o: Recorded(log, answer if answer is not None else [[Decimal("52000")]], *a, **o),
        **options,
    )
    return made, log


def test_the_url():
    place = read_url(URL)
    assert (place.host, place.port, place.database, place.user, place.password) == (
        "db.example",
        6543,
        "shop",
        "reader",
        "s@cret",
    )
    assert (place.schema, place.sslmode) == ("sales", "disable")
    assert "cret" not in repr(place)
    assert read_url("postgres://u@h/d").port == 5432


@pytest.mark.parametrize(
    "url",
    [
        "", "mysql://u@h/d", "postgresql://h/d", "postgresql://u@/d", "postgresql://u@h", "postgresql://u@h/a/b",
        "postgresql://u:secret@h/d?options=-c", "postgresql://u:secret@h/d?sslmode=maybe", "postgresql://u:secret@h:x/d",
        "postgresql://u:secret@h/d#f",
    ],
)  # fmt: skip
def test_a_url_that_is_none_is_refused_without_repeating_it(url):
    with pytest.raises(InvalidInput) as caught:
        read_url(url)
    assert "secret" not in caught.value.message
    assert "postgresql://USER" in caught.value.message


def test_the_schema_has_what_can_be_asked():
    made, _ = source()
    schema = made.schema()
    employees = schema.get("employees")
    assert [(column.name, column.type) for column in employees.columns] == [
        ("id", "number"), ("name", "text"), ("salary", "number"), ("hired", "date"), ("department_id", "number"),
    ]  # fmt: skip
    assert employees.get("name").values == ("Ann Lee", "Bob Stone")
    assert employees.foreign_keys[0].to_table == "departments"


def test_every_transaction_can_only_read_has_limits_and_is_rolled_back():
    made, log = source(time_limit_ms=1500.4)
    statement = build_sql("What is the salary of Ann Lee?", made.schema(), today=date(2026, 1, 1))
    log.clear()
    rows = made.execute(statement.text, statement.parameters)
    assert rows.rows == ((52000,),)
    kinds = [entry[0] for entry in log]
    assert kinds[0] == "connect"
    assert kinds[1] == (
        "START TRANSACTION READ ONLY; SET LOCAL statement_timeout = 1500; SET LOCAL lock_timeout = 1500; "
        'SET LOCAL jit = off; SET LOCAL search_path = "sales"'
    )
    assert kinds[2] == (
        'SELECT "salary" FROM "employees" WHERE LOWER(CAST("name" AS TEXT)) = LOWER(CAST(:p1 AS TEXT)) LIMIT 100'
    )
    assert log[2][1] == {"p1": "Ann Lee"}
    assert kinds[3:] == ["ROLLBACK", "close"]
    assert log[0][2]["host"] == "db.example"
    assert log[0][2]["ssl_context"] is False


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (DatabaseError({"C": "57014", "M": "canceling statement"}), Unavailable, "longer than 2000 ms"),
        (
            DatabaseError({"C": "42501", "M": "permission denied for table employees"}),
            InvalidInput,
            "permission denied",
        ),
        (ConnectionResetError("host db.example"), Unavailable, "stopped answering"),
    ],
)
def test_refusals_are_told_and_the_connection_is_closed(error, kind, told):
    made, log = source(error)
    made.schema()
    log.clear()
    with pytest.raises(kind, match=told) as caught:
        made.execute("SELECT salary FROM employees", {})
    assert "db.example" not in caught.value.message
    assert [entry[0] for entry in log][-2:] == ["ROLLBACK", "close"]


def test_a_server_that_is_not_there_is_said_without_its_address():
    def refuse(*arguments, **options):
        raise ConnectionRefusedError("db.example:6543")

    with pytest.raises(Unavailable) as caught:
        PostgresSource("shop", URL, connect=refuse).schema()
    assert "db.example" not in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM employees",
        "SELECT pg_sleep(10) FROM employees",
        "SELECT 1; DROP TABLE employees",
        "SELECT photo FROM employees",
    ],
)
def test_what_may_not_run_never_reaches_the_server(text):
    made, log = source()
    made.schema()
    log.clear()
    with pytest.raises(InvalidInput):
        made.execute(text, {})
    assert log == []


def test_row_ids_are_not_to_be_had():
    made, _ = source()
    with pytest.raises(InvalidInput, match="no row ids"):
        made.execute("SELECT name FROM employees", {}, row_ids=True)


def test_the_dialect():
    made, _ = source()
    text = "SELECT name FROM employees WHERE name LIKE :p1 ORDER BY name COLLATE NOCASE"
    checked = check_statement(text, made.schema())
    assert to_postgres(checked) == (
        "SELECT name FROM employees WHERE name ILIKE :p1 ORDER BY name NULLS FIRST LIMIT 100"
    )


def test_the_schema_is_read_again_when_it_is_old():
    now = [0.0]
    log = []
    made = PostgresSource("shop", URL, connect=lambda *a, **o: Recorded(log, [], *a, **o), clock=lambda: now[0])
    made.schema()
    count = len(log)
    made.schema()
    assert len(log) == count
    now[0] = 301.0
    made.schema()
    assert len(log) == 2 * count
