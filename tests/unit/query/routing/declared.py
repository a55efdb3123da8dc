"""Routes that the tests declare, a small database, and a model that writes what it is told to."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from app.query.routing.routes import checked_all
from app.routing_types import Route
from app.types import Message

ROUTES = checked_all(
    (
        Route(
            "hr",
            collections=("hr",),
            description="Vacation, sick leave, pay and working hours",
            examples=("How many vacation days do I get?", "When is the salary paid?", "Can I work from home?"),
        ),
        Route(
            "products",
            collections=("products",),
            description="Manuals of the coffee machines",
            examples=("How do I descale the X200?", "What does error E14 mean?"),
        ),
        Route(
            "orders",
            "sql",
            source="shop",
            description="Table of orders: customer, product, amount",
            examples=("How many orders did Ada place?", "What is the total amount of all orders?"),
        ),
        Route(
            "admin",
            collections=("secrets",),
            description="Administration: passwords, keys and permissions of the system",
            examples=("What is the administrator's password?", "Who has access to the admin console?"),
        ),
        Route("hello", "chitchat"),
        Route(
            "advice",
            "refuse",
            description="Medical, legal or investment advice",
            examples=("Should I buy gold?", "Which medicine helps against a headache?"),
        ),
    )
)
HONEST = {
    "How many vacation days do I have per year?": "hr",
    "How do I descale my coffee machine X200?": "products",
    "What is the total amount of the orders?": "orders",
    "Should I buy shares of gold mines?": "advice",
}


def shop(path: Path) -> Path:
    """A SQLite file with three orders."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE orders (id INTEGER, customer TEXT, product TEXT, amount REAL)")
        connection.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?)",
            [(1, "Ada", "grinder", 120.0), (2, "Bob", "kettle", 30.0), (3, "Ada", "kettle", 31.5)],
        )
    return path


class Scripted:
    """A `TextModel` that writes the texts it was given, in order, and keeps what it was asked."""

    name = "scripted"

    def __init__(self, *texts: str | Exception) -> None:
        self._texts = list(texts)
        self.asked: list[Sequence[Message]] = []
        self.schemas: list[Mapping[str, Any] | None] = []

    def complete(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: Mapping[str, Any] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> str:
        del max_tokens, cancelled
        self.asked.append(messages)
        self.schemas.append(schema)
        text = self._texts.pop(0) if len(self._texts) > 1 else self._texts[0]
        if isinstance(text, Exception):
            raise text
        return text
