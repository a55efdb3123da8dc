"""Routes of the settings and of the API in one book."""

import json

import pytest

from app.errors import InvalidInput
from app.query.routing.book import RouteBook
from app.query.routing.routes import as_json
from app.routing_types import Route
from app.settings import load_settings

TOML = """
[routing]
threshold = 0.6

[routing.routes.hr]
collections = ["hr"]
description = "Leave and pay"
examples = ["How many vacation days do I get?"]

[routing.routes.orders]
source = "shop"

[routing.routes.hello]
kind = "chitchat"
"""


def test_routes_are_declared_in_the_file_and_in_the_environment(tmp_path, monkeypatch):
    (tmp_path / "attest.toml").write_text(TOML, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    routing = load_settings({}).routing
    assert routing.threshold == 0.6
    assert routing.routes["hr"].examples == ("How many vacation days do I get?",)
    assert (routing.routes["orders"].kind, routing.routes["orders"].source) == (None, "shop")

    declared = json.dumps({"advice": {"kind": "refuse", "reply": "No."}})
    monkeypatch.setenv("ATTEST_ROUTING__ROUTES", declared)
    assert load_settings().routing.routes["advice"].reply == "No."


@pytest.mark.parametrize("body", [{"kind": "magic"}, {"colections": ["hr"]}, {"examples": "one"}, {"collections": 3}])
def test_a_wrong_route_of_the_settings_is_named(tmp_path, monkeypatch, body):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATTEST_ROUTING__ROUTES", json.dumps({"bad": body}))
    with pytest.raises(InvalidInput, match=r"routing\.routes\.bad"):
        load_settings()


def test_the_settings_come_first_and_keep_their_names():
    stored = [("hr", as_json(Route("hr", description="stored"))), ("law", as_json(Route("law", description="stored")))]
    book = RouteBook([Route("hr", description="settings")], lambda: stored, lambda: ["shop"])
    assert [(route.name, route.description) for route in book.all()] == [("hr", "settings"), ("law", "stored")]
    assert (book.names_in_settings, book.sources()) == (frozenset({"hr"}), frozenset({"shop"}))
    stored.pop()
    assert [route.name for route in book.all()] == ["hr"]


def test_a_route_that_does_not_hold_is_found_at_the_start():
    with pytest.raises(InvalidInput, match="name either its source"):
        RouteBook([Route("orders", "sql")], list, list)
