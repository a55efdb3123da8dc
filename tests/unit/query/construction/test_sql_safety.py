"""Nothing that a question, a value, a name or a statement says can write, read other files, or run for long."""

import hashlib
import sqlite3
from contextlib import closing
from datetime import date

import pytest

from app.errors import InvalidInput, Unavailable
from app.query.construction.sql_build import build_sql
from app.query.construction.sql_check import check_statement
from app.query.construction.sql_schema import Column, SqlSchema, Table
from app.query.construction.sql_source import SqlSource, _guard
from tests.unit.query.construction.company import company

TODAY = date(2026, 6, 15)
STATEMENTS = [
    "DROP TABLE employees",
    "DELETE FROM employees",
    "UPDATE employees SET salary = 0",
    "INSERT INTO employees(name) VALUES ('x')",
    "REPLACE INTO employees(name) VALUES ('x')",
    "CREATE TABLE x (a)",
    "ALTER TABLE employees ADD COLUMN x",
    "ATTACH DATABASE '/tmp/x.db' AS x",
    "DETACH DATABASE main",
    "PRAGMA query_only = OFF",
    "VACUUM INTO '/tmp/copy.db'",
    "BEGIN",
    "EXPLAIN SELECT name FROM employees",
    "SELECT name FROM employees; DROP TABLE employees",
    "SELECT name FROM employees; SELECT name FROM employees",
    "SELECT load_extension('/tmp/x.so') FROM employees",
    "SELECT readfile('/etc/passwd') FROM employees",
    "SELECT writefile('/tmp/x', name) FROM employees",
    "SELECT randomblob(1000000000) FROM employees",
    "SELECT zeroblob(1000000000) FROM employees",
    "SELECT printf('%1000000000d', 1) FROM employees",
    "SELECT group_concat(name) FROM employees",
    "SELECT sql FROM sqlite_master",
    "SELECT name FROM sqlite_schema",
    "SELECT name FROM pragma_table_info('employees')",
    "SELECT value FROM json_each('[1]')",
    "SELECT name FROM main.employees",
    "SELECT name FROM temp.employees",
    "SELECT name FROM (SELECT name FROM employees)",
    "SELECT name FROM employees WHERE salary = (SELECT max(salary) FROM employees)",
    "SELECT name FROM employees UNION SELECT sql FROM sqlite_master",
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
    "WITH e AS (SELECT name FROM employees) SELECT name FROM e",
    "SELECT password FROM employees",
    "SELECT employees.title FROM employees JOIN departments ON departments.id = employees.department_id",
    "SELECT name FROM customers",
    "SELECT CAST(name AS BLOB) FROM employees",
    "SELECT name FROM employees /* quietly */",
    "SELECT name FROM employees -- quietly",
    "SELECT name FROM employees LIMIT (SELECT 5)",
    "SELECT name FROM employees ORDER BY name COLLATE evil",
    "SELECT name FROM employees WHERE name REGEXP '(a+)+$'",
    "SELECT name FROM employees WHERE name MATCH 'x'",
    "SELECT name INTO other FROM employees",
    "SELECT 1",
    "VALUES (1)",
    "",
    ";",
    "not sql at all",
    "SELECT " + "(" * 3_000 + "1" + ")" * 3_000 + " FROM employees",
    "SELECT name FROM employees WHERE " + " OR ".join(["name = 'x'"] * 2_000),
]
QUESTIONS = [
    "What is the salary of Robert'); DROP TABLE employees;--",
    "employees; DELETE FROM employees",
    "What is the salary of '; UPDATE employees SET salary = 0; --?",
    'What is the name of "x"" OR ""1""=""1"?',
    "salary of Ann Lee UNION SELECT sql FROM sqlite_master",
    "Ignore the tables and run PRAGMA writable_schema = ON",
    "ATTACH DATABASE '/etc/passwd' AS p; what is the highest salary?",
    "employees with salary over 1; VACUUM INTO '/tmp/x.db'",
    "How many employees have a name of \x00'; DROP TABLE employees",
    "What is the salary of :p1 ? ?1 @x $y",
    "employees with name of load_extension('/tmp/evil.so')",
    "用户的 salary'; DROP TABLE employees; -- 是多少",
]


@pytest.fixture
def source(tmp_path):
    return company(tmp_path)


def digest(tmp_path):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}


@pytest.mark.parametrize("text", STATEMENTS, ids=lambda text: text[:60])
def test_a_statement_that_is_no_plain_select_is_refused(source, tmp_path, text):
    before = digest(tmp_path)
    with pytest.raises(InvalidInput):
        source.execute(text, {})
    assert digest(tmp_path) == before


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_a_question_says_becomes_a_parameter_or_nothing(source, tmp_path, question):
    before = digest(tmp_path)
    statement = build_sql(question, source.schema(), today=TODAY)
    if statement.text:
        assert check_statement(statement.text, source.schema()) == statement.text
        for word in ("DROP", "DELETE", "UPDATE", "UNION", "PRAGMA", "ATTACH", "VACUUM", "load_extension", "';"):
            assert word not in statement.text
        source.execute(statement.text, statement.parameters)
    assert digest(tmp_path) == before


def test_values_and_names_of_the_database_itself_can_not_break_out(tmp_path):
    path = tmp_path / "odd.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute('CREATE TABLE "od""d; DROP TABLE x" ("na""me; --" TEXT, "select" REAL)')
        connection.execute("INSERT INTO \"od\"\"d; DROP TABLE x\" VALUES ('Zed''); DROP TABLE y;--', 7)")
        connection.commit()
    source = SqlSource("odd", path)
    statement = build_sql("What is the select of Zed'); DROP TABLE y;--", source.schema(), today=TODAY)
    assert source.execute(statement.text, statement.parameters).rows == ((7.0,),)
    assert list(statement.parameters.values()) == ["Zed'); DROP TABLE y;--"]


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM employees",
        "CREATE TABLE x (a)",
        "PRAGMA query_only = OFF",
        "ATTACH DATABASE ':memory:' AS x",
        "SELECT sql FROM sqlite_master",
        "SELECT load_extension('x')",
        "SELECT randomblob(10) FROM employees",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
    ],
)
def test_the_connection_refuses_even_what_was_never_checked(source, text):
    with closing(source._connect()) as connection:
        _guard(connection, source.schema(), float("inf"))
        with pytest.raises(sqlite3.Error):
            connection.execute(text).fetchall()


def test_a_read_only_file_can_not_be_written_without_the_guard_either(source):
    with (
        closing(source._connect()) as connection,
        pytest.raises(sqlite3.OperationalError, match=r"readonly|query_only"),
    ):
        connection.execute("DELETE FROM employees")


def test_rows_are_limited_and_a_cut_is_said(tmp_path):
    rows = company(tmp_path, row_limit=3).execute("SELECT name FROM employees LIMIT 1000", {})
    assert len(rows.rows) == 3
    assert rows.truncated
    assert rows.columns == ("name",)


def test_a_statement_that_takes_too_long_is_stopped(tmp_path):
    source = company(tmp_path, time_limit_ms=0.0)
    with sqlite3.connect(tmp_path / "a company.db") as connection:
        connection.executemany("INSERT INTO departments(title) VALUES (?)", [("x",)] * 3_000)
    connection.close()
    with pytest.raises(Unavailable, match="longer than 0 ms"):
        source.execute("SELECT COUNT(*) FROM departments AS a JOIN departments AS b ON a.title <> b.title", {})


@pytest.mark.parametrize("content", [None, b"", b"no database, just text " * 50])
def test_a_file_that_is_no_database_is_said_without_its_path(tmp_path, content):
    path = tmp_path / "secret-place.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unavailable) as caught:
        SqlSource("sales", path).schema()
    assert "'sales'" in caught.value.message
    assert "secret-place" not in caught.value.message


def test_a_missing_file_is_not_made(tmp_path):
    with pytest.raises(Unavailable):
        SqlSource("sales", tmp_path / "none.db").schema()
    assert list(tmp_path.iterdir()) == []


def test_the_schema_is_read_again_when_the_file_changes(source, tmp_path):
    assert source.schema() is source.schema()
    with sqlite3.connect(tmp_path / "a company.db") as connection:
        connection.execute("CREATE TABLE offices (room TEXT)")
        connection.executemany("INSERT INTO offices VALUES (?)", [("x" * 90,)] * 500)
    connection.close()
    assert source.schema().get("offices") is not None


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("SELECT a FROM t", 100, "SELECT a FROM t LIMIT 100"),
        ("SELECT a FROM t LIMIT 5", 100, "SELECT a FROM t LIMIT 5"),
        ("SELECT a FROM t LIMIT 500", 100, "SELECT a FROM t LIMIT 100"),
        ("select COUNT(DISTINCT a) from t where a = :p1", 9, "SELECT COUNT(DISTINCT a) FROM t WHERE a = :p1 LIMIT 9"),
    ],
)
def test_a_limit_is_added_or_lowered(text, limit, expected):
    schema = SqlSchema((Table("t", (Column("a"),)),))
    assert check_statement(text, schema, limit=limit) == expected
