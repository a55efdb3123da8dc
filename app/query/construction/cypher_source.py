"""A collection's knowledge graph as something to ask: of the generation that serves, checked, read-only, limited.

Three walls against writing: the statement is parsed by a grammar that has nothing but reading, what runs is written
anew from its tree with every value bound, and the database is opened read-only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from app.errors import Unavailable
from app.index.generations import CollectionIndex
from app.index.graph_engine import GraphDatabase, GraphRows
from app.index.graph_facts import entity_key
from app.index.graph_files import GraphFiles, current_versions
from app.query.construction.cypher_check import DEFAULT_LIMIT, check_cypher
from app.query.construction.cypher_schema import CypherSchema, collection_schema
from app.query.construction.cypher_tree import parameterized, statement_text

_MAX_QUESTION_CHARS = 400
_MAX_NAME_WORDS = 8
_MAX_NAME_CHARS = 24  # of scripts without spaces
_MAX_RELATIONS = 2_000
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+(?:['’.&-][^\W\u3400-\u9fff]+)*")
_HAN = re.compile(r"[\u3400-\u9fff]")
_LINKS = "UNWIND $names AS name MATCH (e:Entity) WHERE e.id = name OR lower(e.acronym) = name RETURN name, e.id, e.name"
_RELATIONS = "MATCH (:Entity)-[r:RELATION]->(:Entity) RETURN DISTINCT r.name"


@dataclass(frozen=True, slots=True)
class EntityLink:
    """`question[start:end]` names the entity `id`, which is best written `name`."""

    start: int
    end: int
    id: str
    name: str


class GraphSource:
    """The graph of one collection. Threads may share it: every call opens the database for itself (milliseconds).

    Args:
        index: of the collection.
        time_limit_ms: of one statement.
        row_limit: of one statement.
        buffer_bytes: of memory for one statement's pages.
    """

    def __init__(
        self,
        name: str,
        index: CollectionIndex,
        *,
        time_limit_ms: float = 2_000.0,
        row_limit: int = DEFAULT_LIMIT,
        buffer_bytes: int = 256 * 2**20,
    ) -> None:
        self.name = name
        self._index = index
        self._time_limit_ms = time_limit_ms
        self._row_limit = row_limit
        self._buffer_bytes = buffer_bytes

    @property
    def schema(self) -> CypherSchema:
        """Labels, relationship types and properties; the same for every collection."""
        return collection_schema()

    def execute(self, text: str, parameters: Mapping[str, Any]) -> GraphRows:
        """The rows of a statement; checked here, whoever built it.

        Raises:
            InvalidInput: the statement is not one that may run.
            Unavailable: the graph is not built for the generation that serves, or the statement took too long.
            MissingPackage: the graph engine is not installed.
        """
        checked = check_cypher(text, self.schema, limit=self._row_limit, parameters=parameters)
        bound, own = parameterized(checked, taken=parameters)
        with self._open() as database:
            return database.run(
                statement_text(bound),
                {**parameters, **own},
                row_limit=self._row_limit,
                time_limit_ms=self._time_limit_ms,
            )

    def entities_in(self, question: str) -> list[EntityLink]:
        """The entities that the question names, by name or acronym; the longest where names overlap, in order.

        Raises:
            Unavailable, MissingPackage: as `execute`.
        """
        spans: dict[str, list[tuple[int, int]]] = {}
        for start, end in _spans(question[:_MAX_QUESTION_CHARS]):
            spans.setdefault(entity_key(question[start:end]), []).append((start, end))
        with self._open() as database:
            rows = database.run(
                _LINKS, {"names": sorted(spans)}, row_limit=10_000, time_limit_ms=self._time_limit_ms
            ).rows
        found = [
            EntityLink(start, end, str(id_), str(name)) for key, id_, name in rows for start, end in spans[str(key)]
        ]
        kept: list[EntityLink] = []
        for link in sorted(found, key=lambda each: (each.start - each.end, each.start, each.id)):
            if not any(link.start < other.end and other.start < link.end for other in kept):
                kept.append(link)
        return sorted(kept, key=lambda each: each.start)

    def relations(self) -> list[str]:
        """The names of the relations that the graph holds, such as "capital of". Raises as `execute`."""
        with self._open() as database:
            rows = database.run(_RELATIONS, {}, row_limit=_MAX_RELATIONS, time_limit_ms=self._time_limit_ms).rows
        return sorted(str(row[0]) for row in rows)

    @contextmanager
    def _open(self) -> Iterator[GraphDatabase]:
        """The graph of the generation that serves now; a deletion may take it away at any moment."""
        versions = current_versions(self._index.snapshot())
        path = GraphFiles(self._index.layout.root).database(versions)
        try:
            with GraphDatabase(path, buffer_bytes=self._buffer_bytes) as database:
                yield database
        except FileNotFoundError:
            raise Unavailable(
                f"collection {self.name!r} has no graph of its present documents: give it the setting "
                '"graph.enabled": true, or wait until the worker has built it'
            ) from None


def _spans(question: str) -> Iterator[tuple[int, int]]:
    """Every run of words that could be a name."""
    words = list(_WORD.finditer(question))
    for first, word in enumerate(words):
        most = _MAX_NAME_CHARS if _HAN.match(word.group()) else _MAX_NAME_WORDS
        for last in range(first, min(first + most, len(words))):
            yield word.start(), words[last].end()
            if words[last].group().endswith(("'s", "’s")):
                yield word.start(), words[last].end() - 2
