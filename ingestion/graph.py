"""The knowledge graph of a collection: versions are read once, a generation's graph appears whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import combinations
from typing import Any

from app.errors import IntegrityError, NotFound
from app.index.catalog import Catalog
from app.index.generations import CollectionIndex, IndexStore
from app.index.graph_engine import REMEDY, build_database, is_installed
from app.index.graph_facts import CoOccurrence, Mention, Relation, VersionFacts
from app.index.graph_files import GraphFiles, current_versions
from app.index.records import CollectionRecord
from app.index.sentences import sentence_spans
from app.telemetry import get_logger
from ingestion.entities import find_mentions
from ingestion.outline import find_sections, find_tables
from ingestion.relations import MAX_SPAN_CHARS, find_relations

SETTING = "graph.enabled"
"""Of a collection: true where it has a graph. Others cost nothing."""
MAX_TOGETHER = 12
"""Entities of one sentence that count as together: a list of a hundred names says little of any two."""

log = get_logger(__name__)


def wants_graph(settings: Mapping[str, Any]) -> bool:
    """Whether a collection with these settings has a knowledge graph."""
    return settings.get(SETTING) is True


def read_facts(catalog: Catalog, version_id: int) -> VersionFacts:
    """What the graph holds of the version. Raises NotFound where it was deleted meanwhile."""
    record = catalog.get_version_records([version_id]).get(version_id)
    if record is None:
        raise NotFound(f"version {version_id} does not exist: it was deleted meanwhile")
    document = catalog.get_document(record.document_id, record.version)
    text = catalog.get_text(record.document_id, record.version)
    sections = find_sections(catalog.get_document_chunks(record.document_id, record.version))
    mentions, together, relations = connections_of(text)
    return VersionFacts(
        version_id=version_id,
        document_id=record.document_id,
        version=record.version,
        title=document.title,
        media_type=document.media_type,
        source_url=document.source_url or "",
        chars=len(text),
        metadata=tuple(_metadata(document.metadata)),
        sections=tuple(sections),
        tables=tuple(find_tables(text, sections)),
        mentions=tuple(mentions),
        co_occurrences=tuple(together),
        relations=tuple(relations),
    )


def _metadata(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in metadata.items():
        for each in value if isinstance(value, list) else [value]:
            yield key, str(each).lower() if isinstance(each, bool) else str(each)


def connections_of(text: str) -> tuple[list[Mention], list[CoOccurrence], list[Relation]]:
    """The text's mentions by position, which of them share sentences, and the relations that sentences state."""
    mentions = find_mentions(text)
    pairs: dict[tuple[str, str], list[int]] = {}
    relations: list[Relation] = []
    concepts: list[Mention] = []
    place = 0
    for start, end in sentence_spans(text):
        inside: list[Mention] = []
        while place < len(mentions) and mentions[place].char_start < end:
            inside.append(mentions[place])
            place += 1
        found, kinds = find_relations(text, (start, end), inside)
        relations += found
        concepts += kinds
        keys = sorted(dict.fromkeys(mention.key for mention in inside))
        if len(keys) > MAX_TOGETHER:
            keys = sorted(list(dict.fromkeys(mention.key for mention in inside))[:MAX_TOGETHER])
        for pair in combinations(keys, 2):
            if pair in pairs:
                pairs[pair][0] += 1
            else:
                ends = [mention for mention in inside if mention.key in pair]
                long = end - start > MAX_SPAN_CHARS
                pairs[pair] = [1, ends[0].char_start if long else start, ends[-1].char_end if long else end]
    together = [CoOccurrence(*pair, *counted) for pair, counted in sorted(pairs.items())]
    everything = sorted({*mentions, *concepts}, key=lambda each: (each.char_start, each.char_end, each.key))
    return everything, together, relations


class GraphBuilder:
    """Builds the graph of one collection where the generation that serves has none yet.

    A build holds no lock while it works. If the collection changes meanwhile the result is thrown away and the next
    build begins; what was read from each version is kept, so that only new versions are read.
    """

    def __init__(self, catalog: Catalog, index: IndexStore) -> None:
        self._catalog = catalog
        self._index = index
        self._told = False

    def due(self, collection: CollectionRecord) -> bool:
        """Whether there is anything to build or to remove."""
        own = self._index.collection(collection.id)
        files = GraphFiles(own.layout.root)
        if not wants_graph(collection.settings):
            return files.folder.exists()
        versions = current_versions(own.snapshot())
        if not is_installed():
            if versions and not self._told:
                log.warning("graph_engine_missing", collection=collection.name, remedy=REMEDY)
                self._told = True
            return False
        if not versions:
            return files.folder.exists() and files.untidy(versions)
        return not files.database(versions).exists() or files.untidy(versions)

    def build(self, collection: CollectionRecord, check: Callable[[], None] = lambda: None) -> bool:
        """Brings the collection's graph to its generation; False where that changed meanwhile: call it again.

        Args:
            collection: as the catalog has it now; without the setting its graph is removed.
            check: called between two versions; raises when the worker must let go.

        Raises:
            MissingPackage: the engine is not installed.
        """
        own = self._index.collection(collection.id)
        files = GraphFiles(own.layout.root)
        if not wants_graph(collection.settings):
            files.remove()
            return True
        versions = current_versions(own.snapshot())
        try:
            if versions and not files.database(versions).exists():
                return self._build(collection, own, files, versions, check)
            with files.lock():
                files.tidy(versions)
        except FileNotFoundError:  # the collection, or what was being built, was deleted
            return False
        return True

    def _build(
        self,
        collection: CollectionRecord,
        own: CollectionIndex,
        files: GraphFiles,
        versions: Sequence[int],
        check: Callable[[], None],
    ) -> bool:
        staged = files.stage()
        try:
            try:
                built = build_database(staged, self._facts(own, files, versions, check))
            except NotFound:
                return False
            except RuntimeError:
                if staged.exists():
                    raise
                return False  # a deletion took the folder away under the engine
            with files.lock():
                if current_versions(own.snapshot()) != list(versions):
                    return False
                files.adopt(built, versions)
        finally:
            with suppress(FileNotFoundError):
                shutil.rmtree(staged)
        log.info("graph_built", collection=collection.name, versions=len(versions))
        return True

    def _facts(
        self, own: CollectionIndex, files: GraphFiles, versions: Sequence[int], check: Callable[[], None]
    ) -> Iterator[VersionFacts]:
        for version_id in versions:
            check()
            try:
                facts = files.facts(version_id)
            except IntegrityError as damaged:
                log.warning("graph_facts_damaged", version_id=version_id, reason=damaged.message)
                facts = None
            if facts is None:
                facts = read_facts(self._catalog, version_id)
                with files.lock():
                    if not files.keep_facts(facts, own.snapshot()):
                        raise NotFound(f"version {version_id} was deleted meanwhile")
            yield facts
