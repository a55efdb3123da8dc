"""Questions → statements → rows, on a small database whose answers are known."""

from datetime import date

import pytest

from app.errors import InvalidInput
from app.query.construction.sql_build import build_sql
from app.query.construction.sql_schema import Column, ForeignKey, SqlSchema, Table
from tests.unit.query.construction.company import company

TODAY = date(2026, 6, 15)


@pytest.fixture
def source(tmp_path):
    return company(tmp_path)


def answer(source, question):
    statement = build_sql(question, source.schema(), today=TODAY)
    assert statement.text, statement.explanation
    return list(source.execute(statement.text, statement.parameters).rows)


@pytest.mark.parametrize(
    ("question", "rows"),
    [
        ("What is the salary of Ann Lee?", [(52000.0,)]),
        ("What is the salary of ann lee?", [(52000.0,)]),
        ("What is the average salary?", [(52500.0,)]),
        ("What is the highest salary?", [(71000.0,)]),
        ("What is the lowest salary in Research?", [(39000.0,)]),
        ("How many employees are in Berlin?", [(2,)]),
        ("How many departments are there?", [(2,)]),
        ("Which employees have a salary over 50k?", [("Ann Lee",), ("Cleo Park",)]),
        ("employees with salary between 40000 and 60000", [("Ann Lee",), ("Bob Stone",)]),
        ("employees hired after 2021", [("Cleo Park",), ("Dan O'Hara",)]),
        ("employees hired before March 2020", [("Ann Lee",)]),
        ("What is the average salary per city?", [("Berlin", 50000.0), ("Paris", 55000.0)]),
        ("number of employees per city", [("Berlin", 2), ("Paris", 2)]),
        ("top 2 employees by salary", [("Cleo Park",), ("Ann Lee",)]),
        ("Which employee has the highest salary?", [("Cleo Park",)]),
        ("Which employee has the lowest salary?", [("Dan O'Hara",)]),
        ("What is the salary of Dan O'Hara?", [(39000.0,)]),
        ("What is the city of the Sales department?", [("Berlin",)]),
    ],
)
def test_the_rows_are_the_answer(source, question, rows):
    assert sorted(answer(source, question)) == sorted(rows)


def test_what_a_question_says_is_bound_and_not_written(source):
    statement = build_sql("What is the salary of Ann Lee?", source.schema(), today=TODAY)
    assert "Ann" not in statement.text
    assert statement.parameters == {"p1": "Ann Lee"}
    assert statement.text.endswith("LIMIT 100")
    assert "'Ann Lee'" in statement.explanation


def test_a_question_of_nothing_in_the_tables_is_said_to_be_so(source):
    statement = build_sql("Why is the sky blue?", source.schema(), today=TODAY)
    assert (statement.text, statement.parameters, statement.confidence) == ("", {}, 0.0)
    assert "names no column" in statement.explanation


def test_tables_without_a_key_between_them_are_not_joined_by_guess():
    schema = SqlSchema(
        (
            Table("orders", (Column("amount", "number"),)),
            Table("shops", (Column("city", "text", ("Berlin",)),)),
        )
    )
    statement = build_sql("What is the total amount in Berlin?", schema, today=TODAY)
    assert statement.text == ""
    assert "No foreign keys join" in statement.explanation


def test_a_join_goes_through_the_tables_between():
    schema = SqlSchema(
        (
            Table("cities", (Column("id", "number"), Column("city", "text", ("Oslo",)))),
            Table(
                "shops", (Column("id", "number"), Column("city_id", "number")), (ForeignKey("city_id", "cities", "id"),)
            ),
            Table(
                "orders",
                (Column("amount", "number"), Column("shop_id", "number")),
                (ForeignKey("shop_id", "shops", "id"),),
            ),
        )
    )
    statement = build_sql("What is the average amount in Oslo?", schema, today=TODAY)
    assert statement.text.count("JOIN") == 2
    assert statement.parameters == {"p1": "Oslo"}


def test_values_that_no_sample_holds_are_read_beside_their_column():
    schema = SqlSchema((Table("players", (Column("player"), Column("college"), Column("pick", "number"))),))
    statement = build_sql("Which player has a college of Wake Forest and a pick larger than 20?", schema, today=TODAY)
    assert statement.parameters == {"p1": "Wake Forest", "p2": 20}
    assert statement.text.startswith('SELECT "player" FROM "players" WHERE "college"')


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ((), "0 tables"),
        ((Table("t", ()),), "no columns"),
        ((Table("t", (Column("a"), Column("A"))),), "twice"),
        ((Table("t", (Column("a"),), (ForeignKey("a", "u", "b"),)),), "foreign key"),
    ],
)
def test_a_schema_that_does_not_hold_is_refused(tables, told):
    with pytest.raises(InvalidInput, match=told):
        SqlSchema(tables)
