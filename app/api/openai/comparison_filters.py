"""OpenAI's attribute filters (`eq ne gt gte lt lte in nin`, `and`, `or`) as ours, which all must hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.api.errors import invalid_field
from app.errors import InvalidInput
from app.index.filters import parse
from app.index.metadata_values import check_json

_COMPARISONS = frozenset({"eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"})


def to_filters(given: Mapping[str, Any], loc: tuple[str | int, ...]) -> dict[str, dict[str, Any]]:
    """`{field: {operator: value}}` of a comparison or a conjunction of comparisons.

    An `or` over one field's equalities is an `in`; any other disjunction can't be said in our filters and is refused
    rather than read as something else.

    Raises:
        InvalidFields: an unknown type, a disjunction over several fields, or a value of the wrong kind.
    """
    found: dict[str, dict[str, Any]] = {}
    for field, operator, value in _terms(given, loc):
        held = found.setdefault(field, {})
        if operator in held and held[operator] != value:
            raise invalid_field(loc, f"compares {field!r} twice with {operator!r}: no document could match")
        held[operator] = value
    try:
        check_json("filters", found)
        parse(found)
    except InvalidInput as error:
        raise invalid_field(loc, error.message, "filters") from None
    return found


def _terms(given: Any, loc: tuple[str | int, ...]) -> list[tuple[str, str, Any]]:
    kind = given.get("type") if isinstance(given, Mapping) else None
    parts = given.get("filters") if isinstance(given, Mapping) else None
    if kind in ("and", "or"):
        if not isinstance(parts, list) or not 1 <= len(parts) <= 100:
            raise invalid_field(loc, f"must hold 1 to 100 `filters` under {kind!r}")
        terms = [term for part in parts for term in _terms(part, loc)]
        if kind == "and" or len(terms) == 1:
            return terms
        fields = {field for field, _, _ in terms}
        if len(fields) == 1 and all(operator in ("eq", "in") for _, operator, _ in terms):
            values = [v for _, operator, value in terms for v in (value if operator == "in" else [value])]
            return [(fields.pop(), "in", values)]
        raise invalid_field(loc, "has an `or` over several fields or ranges: ask once for each of its parts instead")
    if kind not in _COMPARISONS or not isinstance(given.get("key"), str) or "value" not in given:
        raise invalid_field(
            loc, f"must be {{type, key, value}} with a type of {sorted(_COMPARISONS)}, or and/or of such"
        )
    return [(given["key"], kind, given["value"])]
