"""Questions over several tables: paths along keys, cells and columns of each, groups, orders, the same table twice."""

from datetime import date

import pytest

from app.query.construction.sql_build import build_sql
from app.query.construction.sql_instances import Instances
from app.query.construction.sql_joined import build_joined
from app.query.construction.sql_keys import inferred_keys, is_key
from app.query.construction.sql_nouns import label_of
from app.query.construction.sql_schema import Column, ForeignKey, SqlSchema, Table
from app.query.construction.sql_source import SqlSource
from app.query.construction.values import words_of
from tests.unit.query.construction.library import library

TODAY = date(2026, 1, 1)
ASKED = {
    "Which books were written by Ada Moor?": {("The Long Way",), ("Winter Light",), ("Two Rivers",)},
    "Which books did Ada Moor and Ben Hill write?": {("Winter Light",)},
    "books by Ben Hill or Cleo Park": {("Red Sand",), ("Winter Light",), ("Two Rivers",)},
    "What is the city of the publisher of Red Sand?": {("Madrid",)},
    "Who wrote Red Sand?": {("Ben Hill",)},
    "Which writers have books published by Blue House?": {("Ada Moor",), ("Ben Hill",), ("Cleo Park",)},
    "Which writers have cooperated with Ben Hill?": {("Ada Moor",)},
    "How many books did Ada Moor write?": {(3,)},
    "How many books are there?": {(4,)},
    "books of Northern Press after 2000": {("Winter Light",)},
    "books with more than 300 pages sold in Paper Moon": {("The Long Way",), ("Winter Light",)},
    "writers with more than 1 book": {("Ada Moor",), ("Ben Hill",)},
    "Which writer has the most books?": {("Ada Moor",)},
    "Which publisher has the book with the most pages?": {("Northern Press",)},
    "What is the average price of books sold in Paper Moon?": {(17.0,)},
    "total pages of the books of Blue House": {(360,)},
    "Which is the longest book by Ben Hill?": {("Winter Light",)},
    "What is the largest shop?": {("Paper Moon",)},
    "number of books for each publisher": {("Northern Press", 2), ("Blue House", 2)},
    "top 2 books by pages": {("Winter Light",), ("The Long Way",)},
    'books by "Ada Moor"': {("The Long Way",), ("Winter Light",), ("Two Rivers",)},
    "Return the names of shops in Oslo that sold books by Ada Moor": {("Corner Books",)},
}


@pytest.fixture(scope="module", params=["declared keys", "keys by name"])
def source(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "library.db"
    return SqlSource("library", library(path, keys=request.param == "declared keys"))


@pytest.mark.parametrize("question", ASKED)
def test_the_rows_answer_the_question(source, question):
    statement = build_sql(question, source.schema(), today=TODAY)
    assert statement.text, statement.explanation
    rows = source.execute(statement.text, statement.parameters).rows
    shown = {tuple(round(cell, 6) if isinstance(cell, float) else cell for cell in row) for row in rows}
    assert shown == ASKED[question], statement.text
    assert len(rows) == len(shown)  # no row twice, however many sales a book has


@pytest.mark.parametrize("question", ASKED)
def test_what_a_question_says_is_bound_never_written_into_the_statement(source, question):
    statement = build_sql(question, source.schema(), today=TODAY)
    for value in statement.parameters.values():
        if isinstance(value, str):
            assert value not in statement.text
    assert statement.text.startswith("SELECT")
    assert 0 < statement.confidence <= 1


@pytest.mark.parametrize(
    "question",
    [
        'Which books were written by "Robert\'); DROP TABLE book;--"?',
        "books by Ada Moor; DELETE FROM writer",
        "Which writer has the most (SELECT name FROM sqlite_master) books?",
        "books by x' OR '1'='1",
        "的 的 的 book",
        "book " * 200,
        "Which books" + "\x00" + " are there?",
        "?",
    ],
)
def test_no_question_makes_anything_but_one_select(source, question):
    statement = build_sql(question, source.schema(), today=TODAY)
    if statement.text:
        assert statement.text.count("SELECT") == 1
        assert ";" not in statement.text
        source.execute(statement.text, statement.parameters)
    assert len(source.execute("SELECT name FROM writer", {}).rows) == 3


def test_tables_without_a_key_between_them_are_not_multiplied():
    schema = SqlSchema(
        (Table("cat", (Column("name", "text", ("Tom",)),)), Table("planet", (Column("title", "text", ("Mars",)),)))
    )
    statement = build_sql("Which planets did Tom see?", schema, today=TODAY)
    assert "JOIN" not in statement.text
    assert "planet" not in statement.text or "Tom" not in statement.parameters.values()


def test_keys_are_guessed_by_name_and_only_where_values_agree():
    tables = (
        Table("customer", (Column("id", "number"), Column("name"))),
        Table("invoice", (Column("id", "number"), Column("customer_id", "number"), Column("num_customers", "number"))),
        Table("author", (Column("aid", "number"), Column("name"))),
        Table("writes", (Column("aid", "number"), Column("pid", "number"))),
        Table("airport", (Column("airport_code"), Column("city"))),
        Table("flight", (Column("from_airport"), Column("carrier_code"))),
    )
    found = inferred_keys(tables)
    assert found == {
        "invoice": (ForeignKey("customer_id", "customer", "id"),),
        "writes": (ForeignKey("aid", "author", "aid"),),
        "flight": (ForeignKey("from_airport", "airport", "airport_code"),),
    }
    assert inferred_keys(tables, lambda *places: places[0] != "writes").keys() == {"invoice", "flight"}
    declared = (tables[0], Table("invoice", tables[1].columns, (ForeignKey("customer_id", "customer", "id"),)))
    assert inferred_keys(declared) == {}


def test_a_guess_that_no_row_supports_joins_nothing(tmp_path):
    import sqlite3
    from contextlib import closing

    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE team (team_id INTEGER, name TEXT)")
        connection.execute("CREATE TABLE player (team_id INTEGER, name TEXT)")
        connection.execute("CREATE TABLE coach (team_id INTEGER, name TEXT)")
        connection.execute("INSERT INTO team VALUES (1, 'Reds'), (2, 'Blues')")
        connection.execute("INSERT INTO player VALUES (1, 'Ann'), (9, 'Bob')")
        connection.execute("INSERT INTO coach VALUES (77, 'Cid')")
    schema = SqlSource("x", path).schema()
    assert schema.get("player").foreign_keys == (ForeignKey("team_id", "team", "team_id"),)
    assert schema.get("coach").foreign_keys == ()
    assert SqlSource("x", path, guess_keys=False).schema().get("player").foreign_keys == ()


def test_the_label_and_the_keys_of_a_table():
    table = Table("shop", (Column("shop_code"), Column("note"), Column("shop_name"), Column("size", "number")))
    assert label_of(table).name == "shop_name"
    assert label_of(Table("t", (Column("id", "number"), Column("amount", "number")))) is None
    assert [is_key(column) for column in table.columns] == [True, False, False, False]


def test_the_cheapest_path_leads_through_what_the_question_names():
    def table(name, *keys):
        columns = (Column("id", "number"), *(Column(f"{key}_id", "number") for key in keys))
        return Table(name, columns, tuple(ForeignKey(f"{key}_id", key, "id") for key in keys))

    schema = SqlSchema((table("a"), table("b"), table("left", "a", "b"), table("right", "a", "b"), table("alone")))
    plain, told = Instances(schema, "a"), Instances(schema, "a", {"right"})
    assert plain.connect("b")
    assert told.connect("b")
    assert [join.table for join in plain.joins] == ["left", "b"]
    assert [join.table for join in told.joins] == ["right", "b"]
    assert not plain.connect("alone")
    assert plain.again("a", "b") == "a_2"
    assert [(join.alias, join.other) for join in plain.joins[2:]] == [("left_2", "b"), ("a_2", "left_2")]


def test_two_cells_whose_roles_are_not_said_make_no_statement(source):
    """ "from A to B" is no "A and B": the rows would be others than those that were asked for."""
    question = "books sent from Ada Moor to Ben Hill"
    assert build_joined(question, words_of(question), source.schema(), today=TODAY) is None


def test_quoted_text_that_nothing_explains_makes_no_statement(source):
    for question, built in [('books by "Zoe Nobody"', False), ('books by the writer "Zoe Nobody"', True)]:
        statement = build_joined(question, words_of(question), source.schema(), today=TODAY)
        assert (statement is not None) == built, question
    assert source.execute(statement.text, statement.parameters).rows == ()


def test_the_rendering_for_postgresql_keeps_letter_case_out_of_either_or(source):
    statement = build_sql("books by ben hill or CLEO PARK", source.schema(), today=TODAY)
    assert statement.text.count("NOCASE") == 2
    assert " OR " in statement.text
    assert source.execute(statement.text, statement.parameters).rows
