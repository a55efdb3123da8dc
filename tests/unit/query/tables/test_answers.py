"""Rows in words, with the rows that each part was read from."""

import pytest

from app.query.construction.sql_engine import Rows, cell_shown
from app.query.tables.answers import sentence, shown


def rows(columns, values, *, truncated=False, ids=()):
    return Rows(tuple(columns), tuple(values), truncated, 1.0, tuple(ids))


@pytest.mark.parametrize(
    ("question", "statement", "found", "text"),
    [
        ("pay of Ann?", "SELECT pay FROM t", rows(["pay"], [(52000.0,)]), "Pay: 52000."),
        ("how many?", "SELECT COUNT(*) FROM t", rows(["COUNT(*)"], [(4,)]), "Number of rows: 4."),
        ("average?", "SELECT AVG(pay) FROM t", rows(["x"], [(0.1 + 0.2,)]), "Average pay: 0.3."),
        ("有多少行？", "SELECT COUNT(*) FROM t", rows(["x"], [(4,)]), "行数：4。"),
        ("平均金额？", 'SELECT AVG("金额") FROM t', rows(["x"], [(2.5,)]), "金额的平均：2.5。"),
        ("who?", "SELECT name FROM t", rows(["name"], [("Ann",), ("Bob",)]), "name: Ann; Bob."),
        (
            "per city",
            "SELECT city, SUM(pay) FROM t",
            rows(["city", "x"], [("Oslo", 3), ("Rome", None)]),
            "Oslo: sum of pay 3\nRome: ",
        ),
        ("who?", "SELECT name FROM t", rows(["name"], []), "No row of the tables fits the question."),
        ("max?", "SELECT MAX(pay) FROM t", rows(["x"], [(None,)]), "No row of the tables fits the question."),
        ("谁？", "SELECT name FROM t", rows(["name"], []), "没有符合条件的行。"),
    ],
)
def test_sentences(question, statement, found, text):
    assert sentence(question, statement, found).text == text


def test_many_rows_are_cut_and_said():
    found = sentence("who?", "SELECT name FROM t", rows(["name"], [(f"n{n}",) for n in range(14)]))
    assert found.text == "name: n0; n1; n2; n3; n4; n5; n6; n7; n8; n9 (and 4 more rows)."
    limited = sentence("who?", "SELECT name FROM t", rows(["name"], [("a",), ("b",)], truncated=True))
    assert "more rows" in limited.text


def test_claims_mark_the_values_of_their_rows():
    ids = [(("t", 1),), (("t", 5),)]
    found = sentence("who?", "SELECT name FROM t", rows(["name"], [("Ann",), ("Bob",)], ids=ids))
    assert [(found.text[c.char_start : c.char_end], c.rows) for c in found.claims] == [
        ("Ann", ((("t", 1),),)), ("Bob", ((("t", 5),),)),
    ]  # fmt: skip
    single = sentence("sum?", "SELECT SUM(pay) FROM t", rows(["x"], [(9,)]), behind=[(("t", n),) for n in range(1, 6)])
    assert [row[0][1] for row in single.claims[0].rows] == [1, 2, 3]


def test_cells_as_json_and_as_text():
    assert shown("a\n b") == "a b"
    assert shown(1e20) == "1e+20"
    assert cell_shown(b"abc") == "<3 bytes>"
    assert cell_shown(float("nan")) is None
    assert cell_shown("x\x00y") == "xy"
