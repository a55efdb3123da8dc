"""What a route may hold."""

from dataclasses import replace

import pytest

from app.errors import InvalidInput
from app.query.routing.routes import (
    MAX_EXAMPLES,
    MAX_ROUTES,
    as_json,
    checked,
    checked_all,
    from_json,
    of_collection,
    texts_of,
)
from app.routing_types import Route
from tests.unit.query.routing.declared import ROUTES


@pytest.mark.parametrize("name", ["", " hr", "hr ", "auto", "ALL", "a/b", "x" * 65, "-hr", "h\nr", "hr\x00"])
def test_a_name_that_can_not_be_said_is_refused(name):
    with pytest.raises(InvalidInput, match="route name"):
        checked(Route(name))


@pytest.mark.parametrize("name", ["hr", "HR rules", "人事", "a.b-c_d", "x" * 64, "none"])
def test_ordinary_names_are_taken(name):
    assert checked(Route(name)).name == name


@pytest.mark.parametrize(
    ("route", "says"),
    [
        (Route("a", "sql"), "name either its source"),
        (Route("a", "sql", collections=("c",), source="s"), "name either its source"),
        (Route("a", source="s"), "use kind 'sql'"),
        (Route("a", "chitchat", collections=("c",)), "leave them out"),
        (Route("a", "refuse", template="Be kind."), "leave template out"),
        (Route("a", reply="no"), "leave reply out"),
        (Route("a", examples=tuple(f"question {n}?" for n in range(MAX_EXAMPLES + 1))), "at most 50"),
        (Route("a", description="d" * 2_001), "2001 characters"),
        (Route("a", collections=tuple(f"c{n}" for n in range(101))), "101 collections"),
    ],
)
def test_a_target_that_does_not_fit_is_refused_with_the_remedy(route, says):
    with pytest.raises(InvalidInput, match=says):
        checked(route)


def test_texts_are_trimmed_and_repeats_fall_out():
    route = checked(Route("a", description=" d ", examples=(" q ", "q", "  "), collections=("c", "c")))
    assert (route.description, route.examples, route.collections) == ("d", ("q",), ("c",))


def test_a_chit_chat_route_needs_no_examples():
    assert "你好" in checked(Route("hello", "chitchat")).examples
    assert checked(Route("hello", "chitchat", examples=("yo",))).examples == ("yo",)


def test_a_set_of_routes_has_each_name_once_and_a_limit():
    with pytest.raises(InvalidInput, match="a are declared twice"):
        checked_all((Route("a"), Route("a")))
    with pytest.raises(InvalidInput, match="at most 100"):
        checked_all([Route(f"r{n}") for n in range(MAX_ROUTES + 1)])


def test_there_is_always_something_to_compare_with():
    assert texts_of(of_collection("annual-reports_2024", "")) == ("annual reports 2024",)
    assert texts_of(of_collection("hr", " Leave ")) == ("Leave",)
    assert texts_of(Route("a", examples=("q",))) == ("q",)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_json_keeps_a_route(route):
    assert from_json(route.name, as_json(route)) == route
    assert from_json(route.name, {}) == replace(Route(route.name))
