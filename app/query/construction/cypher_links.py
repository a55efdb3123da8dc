"""Where a question names a schema's labels, relationships and properties, and which values it states."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from app.query.construction.cypher_schema import CypherSchema, Edge, Label, Property
from app.query.construction.fields import Field, stem
from app.query.construction.sql_mentions import name_stems
from app.query.construction.values import Word, words_of

_QUOTED = re.compile(r"(?<!\w)'((?:[^']|'(?=\w))+)'(?!\w)|\"([^\"]+)\"|“([^”]+)”|‘([^’]+)’|「([^」]+)」")
_NUMBER = re.compile(
    r"(?<![\w.'-])(?P<n>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)\s?(?P<scale>%|million\b|billion\b|thousand\b|[kKmM]\b)?(?![\w-])"
)
_CALLED = re.compile(r"\s*(?:property|attribute|field|relationship)s?\b", re.IGNORECASE)
_NUMBER_WORDS = {
    "zero": 0, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
}  # fmt: skip
_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(_NUMBER_WORDS)})\b", re.IGNORECASE)
_SCALES = {"million": 10**6, "m": 10**6, "billion": 10**9, "thousand": 1_000, "k": 1_000}
_SAME = {"peopl": "person", "individu": "person", "film": "movi"}
_VERBS = {
    "written": "wrote", "writer": "wrote", "author": "wrote", "write": "wrote", "bought": "purchas", "buy": "purchas",
}  # fmt: skip
_SMALL = frozenset(
    {"of", "the", "in", "at", "on", "by", "for", "and", "or", "a", "s", "to", "is", "was", "has", "with"}
)


@dataclass(frozen=True, slots=True)
class LabelLink:
    """`words[first:last]` name the label."""

    label: Label
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class EdgeLink:
    """`words[first:last]` name the relationship; `role` where they name those at its start, as "directors" do."""

    edge: Edge
    first: int
    last: int
    role: bool = False


@dataclass(frozen=True, slots=True)
class PropertyLink:
    """`words[first:last]` name a property of `owner`; `score` is 1 for its whole name."""

    owner: Label | Edge
    property: Property
    first: int
    last: int
    score: float


@dataclass(frozen=True, slots=True)
class Stated:
    """A value that the question states at `question[start:end]`: a quoted text or a number."""

    value: str | int | float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Links:
    """Everything that was found; `words` are those outside quotes."""

    question: str
    words: list[Word]
    stems: list[str]
    labels: list[LabelLink]
    edges: list[EdgeLink]
    properties: list[PropertyLink]
    stated: list[Stated]

    def at(self, position: int) -> int:
        """The first word that begins at or behind the character."""
        return next((n for n, word in enumerate(self.words) if word.start >= position), len(self.words))


def link(question: str, schema: CypherSchema) -> Links:
    """The mentions, each list in the order of the question."""
    names = _names(schema)
    quoted = [
        Stated(text, match.start(), match.end())
        for match in _QUOTED.finditer(question)
        if (text := next(group for group in match.groups() if group)).casefold().replace(" ", "") not in names
        and not _CALLED.match(question, match.end())
    ]
    plain = question
    for each in quoted:
        plain = plain[: each.start] + " " * (each.end - each.start) + plain[each.end :]
    words = words_of(plain)
    stems = [_SAME.get(found, found) for found in (stem(word.text) for word in words)]
    properties = _properties(words, stems, schema)
    wide = [each for each in properties if each.score == 1 and each.last - each.first > 1]
    labels = [each for each in _labels(stems, schema) if not _covered(each, wide) and not _is_verb(each, words)]
    edges = [
        each for each in _edges(words, stems, schema) if not _covered(each, wide) and not _named_by(each, labels, words)
    ]
    properties = [found for found in properties if not _inside(found, labels)]
    stated = sorted([*quoted, *_numbers(plain)], key=lambda each: each.start)
    return Links(question, words, stems, labels, edges, properties, stated)


def naming_property(label: Label) -> Property | None:
    """The property that a node of the label is called by: name or title, or one that ends so."""
    texts = [each for each in label.properties if each.type == "text"]
    for wanted in ("name", "title", "label"):
        for each in texts:
            if each.name.lower() == wanted:
                return each
    own = stem(label.name)
    for wanted in ("name", "titl", "label"):
        for each in texts:
            parts = name_stems(each.name)
            if parts[-1] == wanted and (len(parts) == 1 or parts[0] in (own, "compani", "display", "full", "user")):
                return each
    return None


@lru_cache(maxsize=64)
def _names(schema: CypherSchema) -> frozenset[str]:
    """Names that a question may put into quotes without meaning a value."""
    owners: list[Label | Edge] = [*schema.labels, *schema.edges]
    found = {
        each.name.casefold().replace("_", "") for owner in owners for each in owner.properties if len(each.name) > 5
    }
    return frozenset(
        found | {name.replace("_", "") for name in found} | {edge.type.casefold() for edge in schema.edges}
    )


def _covered(link: LabelLink | EdgeLink, wide: Sequence[PropertyLink]) -> bool:
    """Whether the words belong to the longer name of a property: "country" in "originator bank country"."""
    return any(each.first <= link.first and link.last <= each.last for each in wide)


def _is_verb(link: LabelLink, words: Sequence[Word]) -> bool:
    """Whether the word is what publishers do rather than a publisher."""
    said = words[link.first].text.casefold()
    return said.endswith("ed") and not link.label.name.casefold().endswith("ed")


def _named_by(edge: EdgeLink, labels: Sequence[LabelLink], words: Sequence[Word]) -> bool:
    """Whether the words name a label rather: "orders" where there are orders, but not "ordered"."""
    verb = words[edge.first].text.casefold().endswith(("ed", "en"))
    return not verb and any(link.first <= edge.first and edge.last <= link.last for link in labels)


def _numbers(text: str) -> Iterator[Stated]:
    for match in _NUMBER_WORD.finditer(text):
        yield Stated(_NUMBER_WORDS[match.group().lower()], match.start(), match.end())
    for match in _NUMBER.finditer(text):
        digits = match["n"].replace(",", "")
        value: int | float = float(digits) if "." in digits else int(digits)
        value *= _SCALES.get((match["scale"] or "").lower(), 1)
        yield Stated(value, match.start(), match.end())


@lru_cache(maxsize=4096)
def _parts(name: str) -> tuple[str, ...]:
    return tuple(_SAME.get(part, part) for part in name_stems(name))


def _labels(stems: Sequence[str], schema: CypherSchema) -> list[LabelLink]:
    found: list[LabelLink] = []
    for label in schema.labels:
        parts = _parts(label.name)
        joined = stem("".join(parts)) if len(parts) > 1 else ""
        for first in range(len(stems)):
            if tuple(stems[first : first + len(parts)]) == parts:
                found.append(LabelLink(label, first, first + len(parts)))
            elif joined and stems[first] == joined:
                found.append(LabelLink(label, first, first + 1))
    widest = [
        each
        for each in found
        if not any(
            o.first <= each.first and each.last <= o.last and o.last - o.first > each.last - each.first for o in found
        )
    ]
    return sorted(widest, key=lambda each: each.first)


def _edges(words: Sequence[Word], stems: Sequence[str], schema: CypherSchema) -> list[EdgeLink]:
    types = {edge.type.casefold().replace("_", ""): edge for edge in schema.edges}
    found = [
        EdgeLink(types[word.text.casefold()], at, at + 1)
        for at, word in enumerate(words)
        if word.text.casefold() in types and any(char.isdigit() for char in word.text)
    ]
    if found:  # INTERACTS45 is not INTERACTS
        return found
    labels = {part for label in schema.labels for part in _parts(label.name)}
    for edge in schema.edges:
        parts = [part for part in _parts(edge.type) if part not in _SMALL] or list(_parts(edge.type))
        telling = [part for part in parts if part not in labels] or parts
        for first, spoken in enumerate(stems):
            said = _VERBS.get(spoken, spoken)
            if said == telling[0] or _akin(said, telling[0]):
                rest = stems[first + 1 : first + 4]
                if len(telling) > 1 and not any(part in rest for part in telling[1:]):
                    continue
                role = spoken != telling[0] and spoken.endswith(("or", "er", "ist"))
                found.append(EdgeLink(edge, first, first + 1, role))
    return sorted(found, key=lambda each: each.first)


def _akin(said: str, part: str) -> bool:
    """Whether two stems come from one word: "actor" and "acted", "director" and "directed"."""
    if said == part or min(len(said), len(part)) < 3:
        return said == part
    for ending in ("or", "er", "ion", "ist", "e"):
        if said.removesuffix(ending) == part.removesuffix("e") or said == part.removesuffix(ending):
            return True
    return len(said) > 5 and len(part) > 5 and said[:6] == part[:6]


def _properties(words: Sequence[Word], stems: Sequence[str], schema: CypherSchema) -> list[PropertyLink]:
    found: list[PropertyLink] = []
    owners: list[Label | Edge] = [*schema.labels, *{edge.type: edge for edge in schema.edges}.values()]
    lowered = [word.text.casefold() for word in words]
    for owner in owners:
        for each in owner.properties:
            found += _of_property(stems, lowered, owner, each)
    best = [
        each
        for each in found
        if not any(
            o.first <= each.first
            and each.last <= o.last
            and (o.score, o.last - o.first) > (each.score, each.last - each.first)
            for o in found
        )
    ]
    return sorted(best, key=lambda each: (each.first, -each.score))


def _of_property(
    stems: Sequence[str], lowered: Sequence[str], owner: Label | Edge, each: Property
) -> Iterator[PropertyLink]:
    parts = _parts(each.name)
    telling = [part for part in parts if part not in _SMALL] or list(parts)
    whole = each.name.casefold()
    for first in range(len(stems)):
        if lowered[first] == whole:
            yield PropertyLink(owner, each, first, first + 1, 1.0)
            continue
        if stems[first] not in telling:
            continue
        at = last = first + 1
        matched = {stems[first]}
        while at < len(stems) and len(matched) < len(telling) and (stems[at] in telling or stems[at] in _SMALL):
            if stems[at] in telling:
                matched.add(stems[at])
                last = at + 1
            at += 1
        score = len(matched & set(telling)) / len(telling)
        counted = telling[0] if telling[-1] in ("count", "number", "num", "total") else telling[-1]
        if score == 1 or (score >= 0.5 and len(telling) == 2 and stems[first] == counted and len(stems[first]) > 3):
            yield PropertyLink(owner, each, first, last, score)
    if each.type != "text" and len(telling) == 1:
        synonyms = Field(each.name, each.type).words
        for first, said in enumerate(stems):
            if said in synonyms and said != telling[0] and said not in _SMALL:
                yield PropertyLink(owner, each, first, first + 1, 0.6)


def _inside(found: PropertyLink, labels: Sequence[LabelLink]) -> bool:
    """Whether the words name a label rather: "country" where there are countries."""
    return any(
        link.first <= found.first and found.last <= link.last and isinstance(found.owner, Label) for link in labels
    )
