"""The conditions that a question puts on a graph: which property is compared with which stated value, and how."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.query.construction.cypher_links import LabelLink, Links, PropertyLink, Stated, naming_property
from app.query.construction.cypher_schema import CypherSchema, Edge, Label, Property
from app.query.construction.fields import stem

_REACH = 6  # words between a property and its value
_N = r"\d{1,4}|two|three|four|five|six|seven|eight|nine|ten"
_TOP = re.compile(
    rf"\b(?:top|first|bottom|last|any|only)\s+(?P<n>{_N})\b"
    rf"|^\W*(?:\w+\s+){{0,4}}?(?P<n2>{_N})\s+(?!(?:or|and|to)\b)[A-Za-z]",
    re.IGNORECASE,
)
_NUMBER_SIGNS = (
    (">=", r"(?:at least|no less than|not less than|minimum of|on or after|since|from)\s*$"),
    ("<=", r"(?:at most|no more than|not more than|up to|maximum of|on or before|until)\s*$"),
    ("<>", r"(?:other than|not equal to|not|except)\s*$"),
    (
        ">",
        r"(?:(?:greater|more|higher|larger|bigger|longer|later|older|better) than|over|above|exceed(?:s|ing|ed)?|after"
        r"|beyond|past|(?:greater|more|higher) then)\s*$",
    ),
    ("<", r"(?:(?:less|lower|fewer|smaller|shorter|earlier|younger) than|under|below|before|beneath)\s*$"),
)
_AFTERWARDS = (
    (">=", r"\s*(?:or|and)\s+(?:more|above|higher|greater|later|over)\b"),
    ("<=", r"\s*(?:or|and)\s+(?:less|below|lower|fewer|earlier)\b"),
)
_TEXT_SIGNS = (
    ("STARTS WITH", r"\b(?:start(?:s|ing|ed)?|begin(?:s|ning)?)\s+with\b[^'\"]{0,30}$"),
    ("ENDS WITH", r"\bend(?:s|ing|ed)?\s+(?:with|in)\b[^'\"]{0,30}$"),
    (
        "CONTAINS",
        r"(?:\b(?:contain(?:s|ing|ed)?|includ(?:e|es|ing)|mention(?:s|ing|ed)?)\s+(?:the\s+)?(?:\w+\s+)?(?:of\s+)?$"
        r"|\b(?:the )?(?:word|term|phrase|keyword)\s*$)",
    ),
    ("<>", r"\b(?:not|other than|except|excluding)\b[^'\"]{0,12}$"),
)
_BETWEEN = re.compile(r"\b(?:between|from)\s*$", re.IGNORECASE)
_BY = re.compile(r"\bby\s*$", re.IGNORECASE)
_AND = re.compile(r"\s*(?:and|to|-|–)\s*", re.IGNORECASE)
_NOT = re.compile(r"\b(?:not|no|isn't|aren't|never|un)\W*(?:\w+\W+)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Condition:
    """`owner.property operator value`; `span` is the value's place in the question, `at` the property's words.

    `dated`: the value is a time, which graph databases compare as such only through `datetime()`.
    """

    owner: Label | Edge
    property: Property
    operator: str
    value: str | int | float | bool
    span: tuple[int, int]
    at: tuple[int, int] | None = None
    dated: bool = False


@dataclass(frozen=True, slots=True)
class CountCondition:
    """So many nodes of a label: "with more than 3 products"."""

    label: LabelLink
    operator: str
    value: int | float
    span: tuple[int, int]


def limit_of(question: str, stated: Sequence[Stated]) -> tuple[int | None, Stated | None]:
    """How many rows are asked for, and the number that says so."""
    match = _TOP.search(question)
    if match is None:
        return None, None
    place = match.start("n") if match["n"] else match.start("n2")
    number = next((each for each in stated if each.start == place), None)
    return (int(number.value), number) if number is not None and not isinstance(number.value, str) else (None, None)


def find_conditions(
    links: Links, schema: CypherSchema, used: Stated | None
) -> tuple[list[Condition], list[CountCondition]]:
    """The conditions by position; a value that no property can be found for makes none."""
    found: list[Condition] = []
    counts: list[CountCondition] = []
    left = [each for each in links.stated if each is not used]
    while left:
        value = left.pop(0)
        if isinstance(value.value, str):
            if (condition := _of_text(links, schema, value, found)) is not None:
                found.append(condition)
            continue
        before = links.question[: value.start]
        if _BETWEEN.search(before) and left and _AND.fullmatch(links.question[value.end : left[0].start]):
            high = left.pop(0)
            named = _numeric(links, value, high.end, {condition.at for condition in found})
            if named is not None:
                span = (value.start, high.end)
                found += [
                    Condition(named.owner, named.property, sign, each.value, span, (named.first, named.last))
                    for sign, each in ((">=", value), ("<=", high))
                ]
            continue
        sign = _number_sign(before, links.question[value.end :])
        after = links.at(value.end)
        label = next((each for each in links.labels if after <= each.first <= after + 1), None)
        nearest = next((each for each in links.properties if after <= each.first <= after + 1), None)
        if label is not None and nearest is None and sign != "=":
            counts.append(CountCondition(label, sign, value.value, (value.start, value.end)))
            continue
        named = _numeric(links, value, value.end, {condition.at for condition in found})
        if named is not None:
            found += _compared(named, sign, value)
    return [*found, *_booleans(links)], counts


def _number_sign(before: str, after: str) -> str:
    for sign, words in _AFTERWARDS:
        if re.match(words, after, re.IGNORECASE):
            return sign
    before = re.sub(r"(?:\b(?:a|an|the|year|date|of|value)\b|[$€£])\s*$", "", before.rstrip() + " ", flags=re.I)
    for sign, words in _NUMBER_SIGNS:
        if re.search(rf"\b{words}", before.rstrip(), re.IGNORECASE):
            if sign == ">=" and re.search(r"\bfrom\s*$", before, re.IGNORECASE):
                return "="
            return sign
    return "="


def _compared(named: PropertyLink, sign: str, value: Stated) -> list[Condition]:
    """The condition, or the two that a year makes of a property that holds dates."""
    span, at = (value.start, value.end), (named.first, named.last)
    year = value.value
    if named.property.type != "date" or not isinstance(year, int) or not 1000 <= year <= 2200:
        return [Condition(named.owner, named.property, sign, value.value, span, at)]
    first, after = f"{year:04d}-01-01T00:00:00Z", f"{year + 1:04d}-01-01T00:00:00Z"
    edges = {"=": [(">=", first), ("<", after)], ">": [(">=", after)], "<=": [("<", after)]}
    found = edges.get(sign, [(sign, first)])
    return [Condition(named.owner, named.property, each, edge, span, at, dated=True) for each, edge in found]


def _numeric(links: Links, value: Stated, end: int, used: Collection[tuple[int, int] | None]) -> PropertyLink | None:
    """The number's property: right behind it, else the nearest before it."""
    at, after = links.at(value.start), links.at(end)
    fitting = [
        each
        for each in links.properties
        if (
            each.property.type in ("number", "date")
            or (each.score == 1 and each.property.type == "text" and at - 2 <= each.last <= at)
        )
        and (each.first, each.last) not in used
    ]
    if _is_year(value) and not isinstance(value.value, str):
        dates = [each for each in fitting if each.property.type == "date" or "year" in each.property.name.lower()]
        near = [each for each in fitting if at - 3 <= each.last <= at]
        if not near:
            fitting = dates or ([only] if (only := _only_date(links)) is not None else [])
            if fitting:
                return fitting[0]
    behind = [each for each in fitting if after <= each.first <= after + 1 and each.property.type == "number"]
    before = [each for each in fitting if at - _REACH <= each.last <= at]
    before.sort(key=lambda each: (-each.last, each.property.type == "text", -each.score))
    if behind and (not before or before[0].last < at - 3):
        return behind[0]
    return _preferred(links, before) or (behind[0] if behind else None)


def _is_year(value: Stated) -> bool:
    return isinstance(value.value, int) and 1900 <= value.value <= 2100


def _only_date(links: Links) -> PropertyLink | None:
    """The one date of a label that the question names."""
    for link in links.labels:
        dates = [each for each in link.label.properties if each.type == "date"]
        if len(dates) == 1:
            return PropertyLink(link.label, dates[0], link.first, link.first, 0.5)
    return None


def _preferred(links: Links, candidates: Sequence[PropertyLink]) -> PropertyLink | None:
    """The first; among those of the same words, the one of a label that the question names."""
    if not candidates:
        return None
    best = [each for each in candidates if (each.first, each.last) == (candidates[0].first, candidates[0].last)]
    named = {link.label.name: -link.first for link in links.labels}
    linked = {link.edge.type for link in links.edges}

    def rank(each: PropertyLink) -> tuple[int, int]:
        if isinstance(each.owner, Edge):
            return (1 if each.owner.type in linked else 0), -99
        return (2, named[each.owner.name]) if each.owner.name in named else (0, 0)

    return max(best, key=rank)


def _of_text(links: Links, schema: CypherSchema, value: Stated, before: Sequence[Condition]) -> Condition | None:
    text = str(value.value)
    at, after = links.at(value.start), links.at(value.end)
    lead = links.question[: value.start]
    sign = next((sign for sign, words in _TEXT_SIGNS if re.search(words, lead, re.IGNORECASE)), None)
    sign = sign or _number_sign(lead, links.question[value.end :])
    start = max([0, *(links.at(each.span[1]) for each in before)])
    span = (value.start, value.end)
    typed = [each for each in links.properties if each.property.type in ("text", "date", "boolean")]
    named = [each for each in typed if max(start, at - _REACH) <= each.first and each.last <= at]
    named.sort(key=lambda each: (-each.last, -each.score))
    behind = re.match(
        r"\s*(?:in|as|for) (?:their|its|the|his|her|whose)\s+", links.question[value.end :], re.IGNORECASE
    )
    if behind:  # "mention 'x' in their text"
        later = [each for each in typed if each.first == after + 2]
        named = later or named
    chosen = _preferred(links, named)
    if chosen and any(chosen.first <= each.first < chosen.last for each in links.edges) and _BY.search(lead):
        chosen = None  # "published by 'Acme'" is about who published, not when
    if behind and chosen is not None and chosen.first == after + 2:
        return Condition(chosen.owner, chosen.property, sign, text, span, (chosen.first, chosen.last))
    if chosen is None or chosen.last < at - 3:  # "in the 'Dairy' category", "the movie 'Heat'", "tagged 'java'"
        near = [each for each in links.labels if each.first == after or each.last == at]
        near = near or [each for each in links.labels if at - 3 <= each.last <= at]
        edges = [each for each in links.edges if at - 2 <= each.last <= at]
        if near and edges and near[-1].last <= edges[-1].first:  # "books published by 'Acme'": Acme is no book
            near = []
        label = near[-1].label if near else schema.get(edges[-1].edge.end) if edges else None
        label = label or (links.labels[0].label if links.labels and chosen is None else None)
        holder = (_holder(schema, links, text) or _place(schema, lead)) if not near else None
        if holder is not None:
            return Condition(holder[0], holder[1], sign, text, span)
        named_by = naming_property(label) if label else None
        if label is not None and named_by is not None:
            return Condition(label, named_by, sign, text, span)
    if chosen is None:
        return None
    return Condition(chosen.owner, chosen.property, sign, text, span, (chosen.first, chosen.last))


def _place(schema: CypherSchema, lead: str) -> tuple[Label, Property] | None:
    """The name of the one label that holds places, for "in 'China'"."""
    if not re.search(r"\b(?:in|from|of)\s*$", lead, re.IGNORECASE):
        return None
    places = [label for label in schema.labels if stem(label.name) in ("countri", "citi", "region", "locat", "timezon")]
    named = naming_property(places[0]) if len(places) == 1 else None
    return (places[0], named) if named else None


def _holder(schema: CypherSchema, links: Links, text: str) -> tuple[Label, Property] | None:
    """The one property among whose known values the text is, in a label that the question names or anywhere."""
    folded = text.casefold()
    found = [
        (label, each)
        for label in schema.labels
        for each in label.properties
        if any(value.casefold() == folded for value in each.values)
    ]
    named = [each for each in found if any(link.label.name == each[0].name for link in links.labels)]
    return (named or found)[0] if len(named or found) == 1 else None


def _booleans(links: Links) -> list[Condition]:
    found = []
    for each in links.properties:
        if each.property.type != "boolean" or each.score < 1:
            continue
        start, end = links.words[each.first].start, links.words[each.last - 1].end
        before = links.question[:start]
        if re.match(r"\s*(?:status|property|flag|value)\b", links.question[end:], re.IGNORECASE):
            continue
        negated = _NOT.search(before) is not None
        found.append(Condition(each.owner, each.property, "=", not negated, (start, end), (each.first, each.last)))
    return found
