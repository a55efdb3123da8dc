"""`similar(column, phrase)`: where it may stand, and exactly which rows it leaves, with an encoder reckoned by hand."""

import sqlite3
from datetime import date

import numpy as np
import pytest

from app.errors import Cancelled, InvalidInput
from app.query.construction import sql_similar
from app.query.construction.sql_build import build_sql
from app.query.construction.sql_similar import FLOOR, execute_similar, split_similar
from app.query.construction.sql_source import SqlSource

TODAY = date(2026, 6, 15)
AXES = ("late", "delivery", "colour", "price")
ORDERS = [
    (1, 150, "the delivery was late", 1),  # cosine with "late delivery": 1
    (2, 50, "late delivery", 2),  # 1, but cheap
    (3, 300, "nice colour", 1),  # 0
    (4, 120, "late", 2),  # 1 / sqrt(2)
    (5, 500, None, 1),
    (6, 200, "delivery late, colour off, price high", 2),  # 2 / (sqrt(2) * 2) = 1 / sqrt(2)
    (7, 130, "late colour price", 1),  # 1 / sqrt(6)
]


class Axes:
    """Counts four words: [n, 4] float32 of unit length; zeros for texts without any."""

    name = "axes"
    embed_dim = 4
    max_tokens = 99

    def __init__(self):
        self.asked = []

    def count_tokens(self, texts):
        return [len(text.split()) for text in texts]

    def encode_passages(self, texts):
        self.asked.append(list(texts))
        found = np.array([[text.count(word) for word in AXES] for text in texts], dtype=np.float32)
        norms = np.linalg.norm(found, axis=1, keepdims=True)
        return found / np.where(norms == 0, 1, norms)

    def encode_queries(self, texts):
        return self.encode_passages(texts)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "orders.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, country TEXT)")
        connection.execute(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, amount REAL, comment TEXT, "
            "customer_id INTEGER REFERENCES customers(id))"
        )
        connection.executemany("INSERT INTO customers VALUES (?, ?)", [(1, "Norway"), (2, "France")])
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", ORDERS)
    connection.close()
    return SqlSource("orders", path)


def run(source, text, **parameters):
    return execute_similar(source, Axes(), text, parameters)


def test_relational_conditions_first_then_the_most_similar(source):
    encoder = Axes()
    found = execute_similar(
        source, encoder, "SELECT id FROM orders WHERE amount > 100 AND similar(comment, 'late delivery') LIMIT 10", {}
    )
    assert [row[0] for row in found.rows.rows] == [1, 4, 6, 7]
    assert found.similarities == pytest.approx((1.0, 0.7071, 0.7071, 0.4082), abs=1e-4)
    assert found.rows.columns == ("id",)
    texts = [text for batch in encoder.asked[1:] for text in batch]
    assert "late delivery" not in texts  # the cheap order's comment is never embedded
    assert len(texts) == 5
    assert found.explanation == (
        "the other conditions leave 5 rows; of them 4 have a comment whose similarity to 'late delivery' is at least "
        "0.3. The most similar come first."
    )


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("SELECT id FROM orders WHERE similar(comment, 'late delivery', 0.9)", [(1,), (2,)]),
        ("SELECT id FROM orders WHERE similar(comment, 'late delivery') LIMIT 2", [(1,), (2,)]),
        ("SELECT id FROM orders WHERE similar(comment, 'late delivery') LIMIT 2 OFFSET 2", [(4,), (6,)]),
        (
            "SELECT id FROM orders WHERE similar(comment, 'late delivery') ORDER BY amount DESC",
            [(6,), (1,), (7,), (4,), (2,)],
        ),
        ("SELECT id FROM orders WHERE (similar(comment, 'colour', 0.9))", [(3,)]),
        ("SELECT id FROM orders WHERE similar(comment, 'unheard of')", []),
        ("SELECT COUNT(*) FROM orders WHERE similar(comment, 'late delivery') AND amount > 100", [(4,)]),
        ("SELECT AVG(amount) FROM orders WHERE similar(comment, 'late delivery', 0.9)", [(100.0,)]),
        ("SELECT COUNT(*) FROM orders WHERE similar(comment, 'unheard of')", [(0,)]),
        (
            "SELECT customer_id, COUNT(*) FROM orders WHERE similar(comment, 'late delivery') GROUP BY customer_id "
            "ORDER BY customer_id",
            [(1, 2), (2, 3)],
        ),
        (
            "SELECT o.id FROM orders AS o JOIN customers AS c ON c.id = o.customer_id WHERE c.country = 'France' AND "
            "similar(o.comment, 'late delivery')",
            [(2,), (4,), (6,)],
        ),
        (
            "SELECT COUNT(*) FROM orders AS o JOIN customers AS c ON c.id = o.customer_id WHERE c.country = 'Norway' "
            "AND similar(o.comment, 'late delivery')",
            [(2,)],
        ),
        ("SELECT id FROM orders WHERE comment LIKE '%similar%'", []),
    ],
)  # fmt: skip
def test_the_rows_are_exactly_these(source, text, rows):
    assert list(run(source, text).rows.rows) == rows


def test_phrase_and_floor_may_be_bound(source):
    found = run(source, "SELECT id FROM orders WHERE similar(comment, :p) AND amount > :a", p="colour", a=100)
    assert [row[0] for row in found.rows.rows] == [3, 7, 6]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELECT id FROM orders WHERE similar(comment, 'x') OR amount > 1", "condition of its own"),
        ("SELECT id FROM orders WHERE NOT similar(comment, 'x')", "condition of its own"),
        ("SELECT similar(comment, 'x') FROM orders", "condition of its own"),
        ("SELECT id FROM orders WHERE similar(comment, 'x') AND similar(comment, 'y')", "2 times"),
        ("SELECT id FROM orders ORDER BY similar(comment, 'x')", "condition of its own"),
        ("SELECT id FROM orders WHERE similar(amount, 'x')", "holds a number"),
        ("SELECT id FROM orders WHERE similar(nothing, 'x')", "none of the statement's tables"),
        ("SELECT id FROM orders WHERE similar('comment', 'x')", "takes a column"),
        ("SELECT id FROM orders WHERE similar(comment)", "takes a column"),
        ("SELECT id FROM orders WHERE similar(comment, '')", "1 to 500 characters"),
        ("SELECT id FROM orders WHERE similar(comment, 5)", "1 to 500 characters"),
        ("SELECT id FROM orders WHERE similar(comment, :missing)", "1 to 500 characters"),
        ("SELECT id FROM orders WHERE similar(comment, 'x', 7)", "from -1 to 1"),
        ("SELECT id FROM orders WHERE similar(comment, (SELECT sql FROM sqlite_master))", "similar can't take"),
        ("SELECT id FROM orders WHERE similar(comment, 'x') AND load_extension('y')", "not allowed"),
        ("SELECT id FROM orders WHERE similar(comment, 'x'); DROP TABLE orders", "condition of its own"),
        ("DELETE FROM orders WHERE similar(comment, 'x')", "condition of its own"),
        ("SELECT password FROM orders WHERE similar(comment, 'x')", "password"),
        ("SELECT id FROM (SELECT * FROM orders) WHERE similar(comment, 'x')", "not allowed"),
        (
            "SELECT id FROM orders WHERE similar(comment, 'x') UNION SELECT sql FROM sqlite_master",
            "condition of its own",
        ),
    ],
)
def test_anywhere_else_it_is_refused(source, text, told):
    with pytest.raises(InvalidInput, match=told):
        run(source, text)


def test_bounds_are_kept_and_said(source, monkeypatch):
    monkeypatch.setattr(sql_similar, "MAX_ROWS", 3)
    found = run(source, "SELECT id FROM orders WHERE similar(comment, 'late delivery')")
    assert [row[0] for row in found.rows.rows] == [1, 2]
    assert found.rows.truncated
    assert "Only the first 3 rows" in found.explanation
    monkeypatch.setattr(sql_similar, "MAX_ROWS", 5_000)
    monkeypatch.setattr(sql_similar, "MAX_TEXTS", 2)
    found = run(source, "SELECT id FROM orders WHERE similar(comment, 'late delivery')")
    assert [row[0] for row in found.rows.rows] == [1, 2]
    assert "4 different texts past the first 2 were not looked at" in found.explanation


def test_where_there_are_too_many_rows_those_of_the_nearest_chunks_are_looked_at(source, monkeypatch):
    monkeypatch.setattr(sql_similar, "MAX_ROWS", 3)
    asked = []

    def nearest(table, phrase):
        asked.append((table, phrase))
        return [6, 4]

    text = "SELECT o.id FROM orders AS o WHERE o.amount > 100 AND similar(o.comment, 'late delivery')"
    found = execute_similar(source, Axes(), text, {}, nearest=nearest)
    assert asked == [("orders", "late delivery")]
    assert [row[0] for row in found.rows.rows] == [4, 6]
    assert found.explanation.startswith("too many rows to look at each: of the 2 in the chunks nearest to the phrase")
    counted = execute_similar(
        source, Axes(), "SELECT COUNT(*) FROM orders WHERE similar(comment, 'late')", {}, nearest=nearest
    )
    assert counted.rows.rows == ((2,),)
    monkeypatch.setattr(sql_similar, "MAX_ROWS", 5_000)
    execute_similar(source, Axes(), text, {}, nearest=nearest)
    assert len(asked) == 2  # few rows need no index


def test_a_cancelled_request_embeds_nothing_more(source):
    with pytest.raises(Cancelled):
        execute_similar(source, Axes(), "SELECT id FROM orders WHERE similar(comment, 'x')", {}, cancelled=lambda: True)


def test_the_statement_without_the_predicate_is_what_the_source_sees(source):
    schema = source.schema()
    checked, similar = split_similar(
        "SELECT id FROM orders WHERE similar(comment, 'x') AND amount > 3", schema, {}, limit=50
    )
    assert checked == "SELECT id FROM orders WHERE amount > 3 LIMIT 50"
    assert (similar.table, similar.column, similar.phrase, similar.floor) == ("orders", "comment", "x", FLOOR)


@pytest.mark.parametrize(
    ("question", "rows"),
    [
        ("orders over 100 euro whose comment complains about late delivery", [1, 4, 6, 7]),
        ("Which orders have a comment about colour?", [3, 7, 6]),
        ("orders from France that complain about late delivery", [2, 4, 6]),
        ("Show the orders with a comment that mentions late delivery, over 140 euros", [1, 6]),
    ],
)
def test_questions_by_rules(source, question, rows):
    statement = build_sql(question, source.schema(), today=TODAY)
    assert "SIMILAR" in statement.text
    found = execute_similar(source, Axes(), statement.text, statement.parameters)
    assert [row[0] for row in found.rows.rows] == rows


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("How many orders mention late delivery?", 5),
        ("What is the average amount of orders whose comment is about colour?", pytest.approx(210.0)),
    ],
)
def test_questions_for_a_number_by_rules(source, question, value):
    statement = build_sql(question, source.schema(), today=TODAY)
    found = execute_similar(source, Axes(), statement.text, statement.parameters)
    assert found.rows.rows == ((value,),)


@pytest.mark.parametrize(
    "question",
    [
        "How many orders are there?",
        "What is the highest amount?",
        "orders over 100 euro",
        "amount of orders from France",
    ],
)
def test_questions_that_ask_for_no_meaning_get_none(source, question):
    assert "SIMILAR" not in build_sql(question, source.schema(), today=TODAY).text
