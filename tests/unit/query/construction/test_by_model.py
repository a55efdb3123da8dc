"""What is taken of a language model's filters and statements, and what the rules do where it fails."""

import json
from datetime import date

import pytest

from app.errors import Cancelled, Unavailable
from app.query.construction.by_model import construct_filter, construct_sql
from app.query.construction.sql_schema import Column, SqlSchema, Table
from tests.unit.query.construction.filter_schemas import SCHEMAS, TODAY

TABLES = SqlSchema((Table("sales", (Column("amount", "number"), Column("city", "text", ("Oslo",)))),))


class Scripted:
    """A text model that says what it was told to, and remembers what it was asked."""

    name = "scripted"

    def __init__(self, said):
        self.said = said
        self.asked = []

    def complete(self, messages, *, max_tokens, schema=None, cancelled=lambda: False):
        self.asked.append((messages, schema))
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def filtered(said, question="Acme reports of 2023"):
    text = said if isinstance(said, str | Exception) else json.dumps(said)
    return construct_filter(question, SCHEMAS["reports"], today=TODAY, model=Scripted(text))


def test_a_filter_that_holds_is_taken():
    found = filtered({"filter": {"any": [{"company": "Acme"}, {"year": {"gte": 2023}}]}, "text": "reports"})
    assert found.filter == {"any": [{"company": "Acme"}, {"year": {"gte": 2023}}]}
    assert (found.text_left, found.how) == ("reports", "scripted")


def test_the_model_is_told_fields_values_and_the_day_and_bound_to_a_schema():
    model = Scripted('{"filter": {}}')
    construct_filter("anything", SCHEMAS["reports"], today=TODAY, model=model)
    (messages, schema) = model.asked[0]
    assert "2026-06-15, Monday" in messages[0].content
    assert '- company: text, values: ["Acme"' in messages[0].content
    assert messages[1].content == "Question: anything"
    assert schema["required"] == ["filter"]


@pytest.mark.parametrize(
    "said",
    [
        "I can not do that.",
        {"filter": "company = Acme"},
        {"filter": {"ceo": "Smith"}},
        {"filter": {"company": "Umbrella"}},
        {"filter": {"year": "2023"}},
        {"filter": {"audited": "yes"}},
        {"filter": {"published": {"gte": "last week"}}},
        {"filter": {"company": {"like": "A%"}}},
        {"filter": {"not": {"any": [{"hidden": 1}]}}},
        Unavailable("the server is gone"),
    ],
)
def test_the_rules_stand_in_for_what_does_not_hold(said):
    found = filtered(said)
    assert found.filter == {"company": "Acme", "year": 2023}
    assert found.how == "rules"
    assert "By rules, as scripted failed" in found.explanation


def test_an_empty_filter_of_the_model_is_one():
    found = filtered({"filter": {}, "text": "nothing of the question"})
    assert (found.filter, found.confidence) == ({}, 0.0)
    assert found.text_left == "Acme reports of 2023"


def test_a_cancelled_request_ends():
    with pytest.raises(Cancelled):
        construct_filter("q", SCHEMAS["reports"], today=TODAY, model=Scripted('{"filter": {}}'), cancelled=lambda: True)


def stated(sql):
    return construct_sql(
        "What is the average amount?", TABLES, today=date(2026, 1, 1), model=Scripted(json.dumps({"sql": sql}))
    )


def test_a_statement_that_passes_is_taken_with_its_literals_bound():
    found = stated("SELECT SUM(amount) FROM sales WHERE city = 'Oslo' AND amount > 2.5 LIMIT 7")
    assert found.text == "SELECT SUM(amount) FROM sales WHERE city = :p1 AND amount > :p2 LIMIT 7"
    assert found.parameters == {"p1": "Oslo", "p2": 2.5}
    assert found.how == "scripted"


@pytest.mark.parametrize(
    "sql", ["", "DROP TABLE sales", "SELECT secret FROM sales", "SELECT amount FROM sales; DELETE FROM sales", 7, None]
)
def test_a_statement_that_does_not_pass_gives_way_to_the_rules(sql):
    found = stated(sql)
    assert found.text == 'SELECT AVG("amount") FROM "sales" LIMIT 100'
    assert "By rules, as scripted failed" in found.explanation


# --- a model's SQL: one path for scripted, random and large models ---------------------------------------------------

ORDERS = SqlSchema(
    (
        Table(
            "orders",
            (Column("amount", "number"), Column("city", "text", ("Oslo",)), Column("comment", "text", prose=True)),
        ),
    )
)


class Turns:
    """A text model that says one thing after the other, and remembers the schema that each was bound to."""

    name = "turns"

    def __init__(self, *said):
        self.said = [text if isinstance(text, str) else json.dumps(text) for text in said]
        self.schemas = []

    def complete(self, messages, *, max_tokens, schema=None, cancelled=lambda: False):
        self.schemas.append(schema)
        return self.said[len(self.schemas) - 1]


def form(**changed):
    return {
        "select": [{"aggregate": "", "column": "orders.amount"}],
        "conditions": [],
        "group_by": "",
        "order_by": "",
        "descending": False,
        "limit": 100,
        **changed,
    }


REFUSED = [
    "DROP TABLE orders",
    "SELECT password FROM orders",
    "SELECT amount FROM orders; DELETE FROM orders",
    "SELECT load_extension('x') FROM orders",
    "SELECT amount FROM orders WHERE city = :city",
    "SELECT amount FROM secrets",
    "SELECT amount FROM orders WHERE similar(city, 'x') OR 1",
    "",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_bad_sql_of_a_model_gives_way_to_its_form_and_then_to_the_rules(sql):
    good = form(select=[{"aggregate": "SUM", "column": "orders.amount"}])
    model = Turns({"sql": sql}, good)
    found = construct_sql("How much in Oslo?", ORDERS, today=TODAY, model=model)
    assert (found.text, found.how) == ('SELECT SUM("orders"."amount") FROM "orders" LIMIT 100', "turns")
    assert "was refused" in found.explanation
    rules = construct_sql(
        "What is the highest amount?", ORDERS, today=TODAY, model=Turns({"sql": sql}, form(select=[{"column": "x"}]))
    )
    assert (rules.how, rules.text) == ("rules", 'SELECT MAX("amount") FROM "orders" LIMIT 100')
    assert "By rules, as turns failed" in rules.explanation


def test_the_form_names_the_tables_columns_and_no_others():
    model = Turns({"sql": "no"}, form())
    construct_sql("How much?", ORDERS, today=TODAY, model=model)
    shape = model.schemas[1]
    assert shape["properties"]["group_by"]["enum"] == ["", "orders.amount", "orders.city", "orders.comment"]
    assert shape["properties"]["select"]["items"]["properties"]["column"]["enum"][-1] == "*"
    assert shape["additionalProperties"] is False


@pytest.mark.parametrize(
    ("filled", "text", "parameters"),
    [
        (
            form(conditions=[{"column": "orders.city", "operator": "=", "value": "Oslo'; DROP TABLE orders; --"}]),
            'SELECT "orders"."amount" FROM "orders" WHERE "orders"."city" COLLATE NOCASE = :p1 LIMIT 100',
            {"p1": "Oslo'; DROP TABLE orders; --"},
        ),
        (
            form(
                conditions=[
                    {"column": "orders.amount", "operator": ">", "value": 5},
                    {"column": "orders.comment", "operator": "SIMILAR", "value": "late"},
                ],
                order_by="orders.amount",
                descending=True,
                limit=3,
            ),
            'SELECT "orders"."amount" FROM "orders" WHERE "orders"."amount" > :p1 AND SIMILAR("orders"."comment", :p2) '
            'ORDER BY "orders"."amount" DESC LIMIT 3',
            {"p1": 5.0, "p2": "late"},
        ),
        (
            form(select=[{"aggregate": "COUNT", "column": "*"}], group_by="orders.city"),
            'SELECT "orders"."city", COUNT(*) FROM "orders" GROUP BY "orders"."city" LIMIT 100',
            {},
        ),
    ],
)
def test_a_filled_form_becomes_a_statement_with_bound_values(filled, text, parameters):
    found = construct_sql("q", ORDERS, today=TODAY, model=Turns({"sql": "no"}, filled))
    assert (found.text, found.parameters) == (text, parameters)


@pytest.mark.parametrize(
    "filled",
    [
        form(conditions=[{"column": "orders.amount", "operator": "SIMILAR", "value": "x"}]),
        form(conditions=[{"column": "orders.amount", "operator": "exec", "value": 1}]),
        form(select=[]),
        form(limit="many"),
        {"select": "amount"},
        [],
        "not json",
    ],
)
def test_a_form_that_does_not_hold_gives_way_to_the_rules(filled):
    found = construct_sql("What is the highest amount?", ORDERS, today=TODAY, model=Turns({"sql": "no"}, filled))
    assert found.how == "rules"


def test_the_semantic_predicate_of_a_model_is_kept_and_its_phrase_bound():
    said = {"sql": "SELECT amount FROM orders WHERE amount > 3 AND similar(comment, 'late delivery')"}
    found = construct_sql("q", ORDERS, today=TODAY, model=Turns(said))
    assert found.text == "SELECT amount FROM orders WHERE amount > :p1 AND SIMILAR(comment, :p2)"
    assert found.parameters == {"p1": 3, "p2": "late delivery"}
