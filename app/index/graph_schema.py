"""What a knowledge graph holds: its node labels, relationship types and their properties, in one place.

The engine's tables are created from this, and statements are checked against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PropertyType = Literal["STRING", "INT64"]
GRAPH_FORMAT = 1
"""Part of a graph's digest: raised when the schema or the extraction changes, so that older graphs are built anew."""


@dataclass(frozen=True, slots=True)
class NodeTable:
    """`properties` in the order of a fact's row; the first is the primary key."""

    label: str
    properties: tuple[tuple[str, PropertyType], ...]


@dataclass(frozen=True, slots=True)
class RelationshipTable:
    """`(:start)-[:type]->(:end)`; `properties` in the order of a fact's row, after the two keys."""

    type: str
    start: str
    end: str
    properties: tuple[tuple[str, PropertyType], ...] = ()


SPAN: tuple[tuple[str, PropertyType], ...] = (
    ("document_id", "STRING"),
    ("version", "INT64"),
    ("char_start", "INT64"),
    ("char_end", "INT64"),
)
"""Where an edge was read: `text[char_start:char_end]` of that version of that document."""

NODES = (
    NodeTable(
        "Document",
        (
            ("id", "STRING"),
            ("title", "STRING"),
            ("version", "INT64"),
            ("media_type", "STRING"),
            ("source_url", "STRING"),
            ("chars", "INT64"),
        ),
    ),
    NodeTable("Section", (("id", "STRING"), ("title", "STRING"), ("level", "INT64"), *SPAN)),
    NodeTable("Table", (("id", "STRING"), ("title", "STRING"), ("columns", "STRING"), ("rows", "INT64"), *SPAN)),
    NodeTable("Metadata", (("id", "STRING"), ("key", "STRING"), ("value", "STRING"))),
    NodeTable("Entity", (("id", "STRING"), ("name", "STRING"), ("kind", "STRING"), ("acronym", "STRING"))),
)
RELATIONSHIPS = (
    RelationshipTable("HAS_SECTION", "Document", "Section"),
    RelationshipTable("HAS_TABLE", "Document", "Table"),
    RelationshipTable("HAS_METADATA", "Document", "Metadata"),
    RelationshipTable("MENTIONS", "Document", "Entity", SPAN),
    RelationshipTable("CO_OCCURS", "Entity", "Entity", (*SPAN, ("count", "INT64"))),
    RelationshipTable("RELATION", "Entity", "Entity", (*SPAN, ("name", "STRING"))),
)
