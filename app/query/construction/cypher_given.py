"""Graph schemas as a caller gives them → checked schemas: JSON, or the text that graph databases print of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.errors import InvalidInput
from app.query.construction.cypher_schema import CypherSchema, Edge, Label, Property
from app.query.construction.fields import FieldType
from app.query.construction.given_schema import _entries, _field

_FORM = (
    'use {"nodes": [{"label": "Person", "properties": {"name": "text"}}], "relationships": [{"type": "KNOWS", '
    '"start": "Person", "end": "Person", "properties": {}}]}, or {"text": …} with lines such as (:A)-[:R]->(:B)'
)
_HEADING = re.compile(r"\s*-?\s*\*\*(?P<name>[^*]+)\*\*\s*")
_PROPERTY = re.compile(r"\s*-\s*`(?P<name>[^`:]+)(?:`\s*:\s*|:\s*)(?P<type>[A-Z_]+)`?(?P<rest>.*)")
_EDGE = re.compile(r"\(:(?P<start>[^()]+)\)-\[:(?P<type>[^\[\]]+)\]->\(:(?P<end>[^()]+)\)")
_VALUE = re.compile(r'"([^"]{1,100})"')
_KINDS: dict[str, FieldType] = {
    **dict.fromkeys(("INTEGER", "FLOAT", "LONG", "DOUBLE", "NUMBER"), "number"),
    **dict.fromkeys(("DATE", "DATE_TIME", "DATETIME", "LOCAL_DATE_TIME", "ZONED_DATETIME", "LOCAL_DATETIME"), "date"),
    "BOOLEAN": "boolean",
}


def cypher_schema(given: Mapping[str, Any]) -> CypherSchema:
    """The labels and relationships of `{"nodes", "relationships"}` or of `{"text"}`.

    Raises:
        InvalidInput: it is neither; the message names the part that is wrong.
    """
    if isinstance(given.get("text"), str):
        return read_schema_text(given["text"])
    if "nodes" not in given:
        raise InvalidInput(f"schema has no nodes: {_FORM}")
    labels = [
        Label(name, _properties(f"schema node {name!r}", entry))
        for name, entry in _entries("schema.nodes", _named(given["nodes"], "label"), _FORM)
    ]
    edges = []
    relationships = given.get("relationships") or ()
    if not isinstance(relationships, Sequence) or isinstance(relationships, str):
        raise InvalidInput(f"schema.relationships is {str(relationships)[:60]!r}: {_FORM}")
    for entry in relationships:
        parts = [entry.get(part) for part in ("type", "start", "end")] if isinstance(entry, Mapping) else []
        if len(parts) != 3 or not all(isinstance(part, str) and 0 < len(part) <= 128 for part in parts):
            raise InvalidInput(f"schema.relationships holds {str(entry)[:80]!r}: {_FORM}")
        type_, start, end = map(str, parts)
        edges.append(Edge(type_, start, end, _properties(f"schema relationship {type_!r}", entry)))
    return CypherSchema(tuple(labels), tuple(edges))


def read_schema_text(text: str) -> CypherSchema:
    """The schema in the text that graph tools give to language models: bold names, their properties, then triples.

    Raises:
        InvalidInput: it names no label.
    """
    labels: dict[str, list[Property]] = {}
    types: dict[str, list[Property]] = {}
    edges: list[tuple[str, str, str]] = []
    section, current = labels, ""
    for line in text.splitlines():
        lowered = line.strip().lower()
        if lowered.startswith("node properties"):
            section = labels
        elif lowered.startswith("relationship properties"):
            section = types
        elif heading := _HEADING.fullmatch(line):
            current = heading["name"].strip()
            section.setdefault(current, [])
        elif (told := _PROPERTY.match(line)) and current:
            kind = _KINDS.get(told["type"], "text")
            values = tuple(dict.fromkeys(_VALUE.findall(told["rest"]))) if kind == "text" else ()
            section[current].append(Property(told["name"].strip(), kind, values))
        edges += [(edge["start"], edge["type"], edge["end"]) for edge in _EDGE.finditer(line)]
    for start, _, end in edges:
        labels.setdefault(start, [])
        labels.setdefault(end, [])
    if not labels:
        raise InvalidInput(f"schema.text names no label: {_FORM}")
    return CypherSchema(
        tuple(Label(name, tuple(properties)) for name, properties in labels.items()),
        tuple(Edge(type_, start, end, tuple(types.get(type_, ()))) for start, type_, end in dict.fromkeys(edges)),
    )


def _named(given: Any, key: str) -> Any:
    """Entries that say `label` instead of `name`."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        return given
    return [{"name": entry[key], **entry} if isinstance(entry, Mapping) and key in entry else entry for entry in given]


def _properties(where: str, entry: Any) -> tuple[Property, ...]:
    given = entry.get("properties") if isinstance(entry, Mapping) else None
    if not given:
        return ()
    found = []
    for name, told in _entries(f"{where} properties", given, _FORM):
        read = _field(f"{where} property {name!r}", name, told)
        found.append(Property(read.name, read.type, read.values))
    return tuple(found)
