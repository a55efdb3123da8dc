"""The graph that a question may be asked of: labels, relationship types, their properties, and what joins what."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from app.errors import InvalidInput
from app.index.graph_schema import NODES, RELATIONSHIPS
from app.query.construction.fields import FieldType

MAX_LABELS = 200
MAX_PROPERTIES = 2_000


@dataclass(frozen=True, slots=True)
class Property:
    """`values`: a bounded sample of a text property's values, as they are written."""

    name: str
    type: FieldType = "text"
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Label:
    """A kind of node."""

    name: str
    properties: tuple[Property, ...] = ()

    def get(self, name: str) -> Property | None:
        """The property of exactly that name: Cypher minds letter case."""
        return next((each for each in self.properties if each.name == name), None)


@dataclass(frozen=True, slots=True)
class Edge:
    """`(:start)-[:type]->(:end)`; a type that joins several pairs of labels is several edges."""

    type: str
    start: str
    end: str
    properties: tuple[Property, ...] = ()

    def get(self, name: str) -> Property | None:
        """The property of exactly that name."""
        return next((each for each in self.properties if each.name == name), None)


@dataclass(frozen=True, slots=True)
class CypherSchema:
    """Raises InvalidInput for no label, a label twice, an edge between unknown labels, or more than it holds."""

    labels: tuple[Label, ...]
    edges: tuple[Edge, ...] = ()
    _by_label: dict[str, Label] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.labels) <= MAX_LABELS or len(self.edges) > 4 * MAX_LABELS:
            raise InvalidInput(
                f"schema has {len(self.labels)} labels and {len(self.edges)} relationships: give 1 to {MAX_LABELS} "
                f"labels and at most {4 * MAX_LABELS} relationships"
            )
        owners: list[Label | Edge] = [*self.labels, *self.edges]
        properties = sum(len(each.properties) for each in owners)
        if properties > MAX_PROPERTIES:
            raise InvalidInput(f"schema has {properties} properties: use at most {MAX_PROPERTIES}")
        for label in self.labels:
            if label.name in self._by_label:
                raise InvalidInput(f"schema names the label {label.name!r} twice: give each once")
            self._by_label[label.name] = label
        for edge in self.edges:
            if edge.start not in self._by_label or edge.end not in self._by_label:
                raise InvalidInput(
                    f"relationship (:{edge.start})-[:{edge.type}]->(:{edge.end}) joins a label that the schema does "
                    "not have: correct or remove it"
                )

    def get(self, label: str) -> Label | None:
        """The label of exactly that name."""
        return self._by_label.get(label)

    def edges_of(self, type_: str) -> list[Edge]:
        """Every pair of labels that the type joins; empty for an unknown type."""
        return [edge for edge in self.edges if edge.type == type_]

    def path(self, start: str, end: str, *, most: int = 3) -> list[tuple[Edge, bool]] | None:
        """The fewest edges from one label to another, each with whether it is walked forwards; None past `most`."""
        queue: deque[tuple[str, list[tuple[Edge, bool]]]] = deque([(start, [])])
        seen = {start}
        while queue:
            label, path = queue.popleft()
            if len(path) == most:
                continue
            for edge in self.edges:
                for here, there, forwards in ((edge.start, edge.end, True), (edge.end, edge.start, False)):
                    if here != label or (there in seen and there != end):
                        continue
                    walked = [*path, (edge, forwards)]
                    if there == end:
                        return walked
                    seen.add(there)
                    queue.append((there, walked))
        return None


def collection_schema() -> CypherSchema:
    """The schema of a collection's own knowledge graph."""
    kinds: dict[str, FieldType] = {"STRING": "text", "INT64": "number"}
    return CypherSchema(
        tuple(Label(t.label, tuple(Property(name, kinds[kind]) for name, kind in t.properties)) for t in NODES),
        tuple(
            Edge(t.type, t.start, t.end, tuple(Property(name, kinds[kind]) for name, kind in t.properties))
            for t in RELATIONSHIPS
        ),
    )
