from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidInput, NotFound
from app.index import filters
from app.index.catalog import Catalog
from tests.unit.index.catalog.house import Clock, add, new

METADATA: dict[str, dict[str, Any]] = {
    "a": {"year": 2019, "lang": "en", "tags": ["tax", "Law"], "draft": False},
    "b": {"year": 2020.5, "lang": "de", "tags": ["law"], "draft": True},
    "c": {"year": "2019", "lang": "zh", "tags": [], "note": "100% of_it"},
    "d": {"rank": 1, "lang": "ÉN", "mixed": [1, "1", True]},
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """Documents a–d, each made a day after the one before."""
    clock = Clock()
    catalog = Catalog.open(f"sqlite:///{tmp_path_factory.mktemp('filters') / 'attest.db'}", clock)
    for name, metadata in METADATA.items():
        add(catalog, f"Text {name}.", name, title=f"Title {name.upper()}", metadata=metadata)
        clock.advance(86_400)
    yield catalog
    catalog.close()


def found(catalog: Catalog, conditions: dict[str, Any]) -> str:
    matching = catalog.matching_versions("default", conditions)
    return "".join(name for name in METADATA if catalog.get_document(name).version_id in matching)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, "abcd"),
        ({"lang": "en"}, "a"),
        ({"lang": {"eq": "en"}}, "a"),
        ({"lang": {"ne": "en"}}, "bcd"),
        ({"year": 2019}, "a"),  # a number is no string
        ({"year": 2019.0}, "a"),
        ({"year": "2019"}, "c"),
        ({"year": {"gt": 2019}}, "b"),
        ({"year": {"gte": 2019, "lt": 2020}}, "a"),
        ({"year": {"lte": "2020"}}, "c"),
        ({"year": {"ne": 2019}}, "bcd"),
        ({"draft": True}, "b"),
        ({"draft": {"ne": True}}, "acd"),
        ({"rank": True}, ""),  # true is not 1
        ({"rank": 1}, "d"),
        ({"mixed": 1}, "d"),
        ({"mixed": "1"}, "d"),
        ({"mixed": False}, ""),
        ({"lang": {"in": ["de", "zh", "xx"]}}, "bc"),
        ({"lang": {"nin": ["de", "zh"]}}, "ad"),
        ({"mixed": {"in": [7, "1"]}}, "d"),
        ({"tags": "law"}, "b"),
        ({"tags": {"contains": "LAW"}}, "ab"),
        ({"tags": {"contains": "aw"}}, "ab"),
        ({"mixed": {"contains": 1}}, "d"),
        ({"lang": {"contains": "én"}}, "d"),
        ({"note": {"contains": "100%"}}, "c"),
        ({"note": {"contains": "0_o"}}, ""),  # no wildcards
        ({"note": {"contains": "%"}}, "c"),
        ({"tags": {"exists": True}}, "abc"),
        ({"tags": {"exists": False}}, "d"),
        ({"nothing": {"exists": True}}, ""),
        ({"nothing": {"ne": 1}}, "abcd"),
        ({"lang": "en", "year": 2019}, "a"),
        ({"lang": "en", "year": 2020.5}, ""),
        ({"any": [{"lang": "en"}, {"year": {"gt": 2020}}]}, "ab"),
        ({"all": [{"lang": "en"}, {"draft": False}]}, "a"),
        ({"not": {"lang": "en"}}, "bcd"),
        ({"not": {"lang": "en", "year": 1}}, "abcd"),
        ({"tags": {"exists": True}, "not": {"any": [{"lang": "en"}, {"lang": "de"}]}}, "c"),
        ({"any": {"eq": 1}}, ""),  # a field that happens to be called so
        ({"title": "Title A"}, "a"),
        ({"title": {"contains": "title"}}, "abcd"),
        ({"title": {"gt": "Title B"}}, "cd"),
        ({"source_url": {"exists": False}}, "abcd"),
        ({"source_url": {"ne": "https://example.org"}}, "abcd"),
        ({"media_type": {"in": ["text/plain"]}}, "abcd"),
        ({"document_id": {"in": ["a", "d"]}}, "ad"),
        ({"created_at": {"gte": "2026-01-02T00:00:00Z"}}, "bcd"),
        ({"created_at": {"gt": "2026-01-02"}}, "cd"),
        ({"created_at": "2026-01-01T01:00:00+01:00"}, "a"),
        ({"created_at": {"ne": datetime(2026, 1, 1, tzinfo=UTC)}}, "bcd"),
        ({"updated_at": {"lt": "2026-01-02"}}, "a"),
    ],
)
def test_what_passes(library: Catalog, conditions: dict[str, Any], expected: str) -> None:
    assert found(library, conditions) == expected


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"year": {"like": 1}}, "operator 'like' is unknown: use one of eq, ne, gt"),
        ({"year": {"$gt": 1}}, r"'\$gt' is unknown"),
        ({"year": {}}, "no operator"),
        ({"year": None}, "exists"),
        ({"year": {"eq": None}}, "exists"),
        ({"year": [2019]}, "in"),
        ({"year": {"eq": {"a": 1}}}, "finite number"),
        ({"year": {"gt": float("nan")}}, "finite number"),
        ({"year": {"gt": 10**400}}, "finite number"),
        ({"draft": {"gt": True}}, "no order"),
        ({"year": {"in": 2019}}, "list of 1 to"),
        ({"year": {"in": []}}, "list of 1 to"),
        ({"year": {"in": [None]}}, "finite number"),
        ({"year": {"exists": 1}}, "true or false"),
        ({"title": {"gt": 1}}, "needs a string"),
        ({"created_at": {"gt": "yesterday"}}, "RFC 3339"),
        ({"created_at": {"contains": "2026"}}, "contains nothing"),
        ({"lang": "\ud800"}, "surrogate"),
        ({"lang": {"contains": "x" * 5_000}}, "at most 4000"),
        ({"any": []}, "at least one"),
        ({"any": [1]}, "not an object"),
        ({"not": 1}, "not an object"),
        ({"": 1}, "not a name"),
        ({"all": [{"a": 1}] * 101}, "at most 100"),
    ],
)
def test_what_is_refused(library: Catalog, conditions: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        library.matching_versions("default", conditions)


def test_nesting_is_bounded() -> None:
    conditions: dict[str, Any] = {"a": 1}
    for _ in range(50):
        conditions = {"not": conditions}
    with pytest.raises(InvalidInput, match="nested more than 8 deep"):
        filters.parse(conditions)


def test_retired_versions_pass_and_failed_ones_do_not(catalog: Catalog) -> None:
    add(catalog, "Old.", "x", metadata={"k": "old"})
    old = catalog.get_document("x").version_id
    add(catalog, "New.", "x", metadata={"k": "new"})
    assert catalog.matching_versions("default", {"k": "old"}) == {old}
    _, [failed] = catalog.submit("default", [new("Bad.", metadata={"k": "old"})])
    catalog.set_version_status(failed.version_id, "failed", "corrupt")
    assert catalog.matching_versions("default", {"k": "old"}) == {old}
    assert failed.version_id not in catalog.matching_versions("default", {"k": {"ne": "new"}})


def test_other_collections_do_not_pass(catalog: Catalog) -> None:
    catalog.create_collection("laws")
    add(catalog, "One.", "x", "laws", metadata={"k": 1})
    assert catalog.matching_versions("default", {"k": 1}) == set()
    assert catalog.matching_versions("default", {"k": {"ne": 1}}) == set()
    with pytest.raises(NotFound, match="nowhere"):
        catalog.matching_versions("nowhere", {"k": 1})


# --- against the same rules written in Python ------------------------------------------------------------------------

_scalars = st.sampled_from([2019, 2020.5, 1, "1", "2019", "en", "law", "Law", "tax", True, False])
_fields = st.sampled_from(["year", "lang", "tags", "draft", "rank", "mixed", "nothing"])
_operations = st.one_of(
    st.tuples(st.sampled_from(["eq", "ne", "contains"]), _scalars),
    st.tuples(st.sampled_from(["gt", "gte", "lt", "lte"]), _scalars.filter(lambda v: not isinstance(v, bool))),
    st.tuples(st.sampled_from(["in", "nin"]), st.lists(_scalars, min_size=1, max_size=3)),
    st.tuples(st.just("exists"), st.booleans()),
)
_conditions = st.recursive(
    st.builds(lambda field, operation: {field: dict([operation])}, _fields, _operations),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=5,
)


def kind(value: object) -> str:
    return "bool" if isinstance(value, bool) else "number" if isinstance(value, int | float) else "text"


def passes(metadata: dict[str, Any], condition: dict[str, Any]) -> bool:
    [(field, value)] = condition.items()
    if field == "any":
        return any(passes(metadata, part) for part in value)
    if field == "all":
        return all(passes(metadata, part) for part in value)
    if field == "not":
        return not passes(metadata, value)
    [(operator, operand)] = value.items()
    stored = metadata.get(field)
    values = stored if isinstance(stored, list) else [] if stored is None else [stored]

    def some(test: Any, wanted: object = operand) -> bool:
        return any(kind(v) == kind(wanted) and test(v, wanted) for v in values)

    match operator:
        case "exists":
            return (field in metadata) == operand
        case "eq":
            return some(lambda v, w: v == w)
        case "ne":
            return not some(lambda v, w: v == w)
        case "in":
            return any(some(lambda v, w: v == w, each) for each in operand)
        case "nin":
            return not any(some(lambda v, w: v == w, each) for each in operand)
        case "contains":
            return some(lambda v, w: w.lower() in v.lower() if kind(w) == "text" else v == w)
        case "gt":
            return some(lambda v, w: v > w)
        case "gte":
            return some(lambda v, w: v >= w)
        case "lt":
            return some(lambda v, w: v < w)
        case _:
            return some(lambda v, w: v <= w)


@settings(max_examples=150, deadline=None)
@given(condition=_conditions)
def test_sql_says_what_python_says(library: Catalog, condition: dict[str, Any]) -> None:
    expected = "".join(name for name, metadata in METADATA.items() if passes(metadata, condition))
    assert found(library, condition) == expected
