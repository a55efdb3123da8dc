"""What a statement leaves out of its question."""

import pytest

from app.query.construction.sql_statement import Statement
from app.query.routing.unheard import unheard

STATEMENT = Statement(
    'SELECT COUNT(*) FROM "orders" WHERE "customer" = :p1',
    {"p1": "Ada", "p2": "2023-01-01"},
    "COUNT of the rows of orders; customer = 'Ada' (from 'Ada'); date >= '2023-01-01' (from 'in March 2023').",
    0.9,
)


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("How many orders did Ada place?", []),
        ("How many Orders has Ada's firm?", []),
        ("Orders of Ada in March 2023", []),
        ("How many orders did Zoe place?", ["Zoe"]),
        ('How many orders for "red kettle"?', ["red kettle"]),
        ('How many orders of " Ada " are there " "?', []),
        ("How many orders above 500?", ["500"]),
        ("Was it Ada? Zoe said so.", []),
        ("有多少订单来自 Berlin？", ["Berlin"]),
        ("五月有多少订单？", []),
        ("May I ask how many orders there are?", []),
        ("", []),
    ],
)
def test_names_and_numbers_are_heard_or_told(question, left):
    assert unheard(question, STATEMENT) == left
