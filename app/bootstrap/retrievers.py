"""What finds passages: the encoder, the ranker, and the metadata fields that a question's conditions are read by."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from app.embedding.loading import load_encoder
from app.embedding.split_encoder import SplitEncoder
from app.index.catalog import Catalog
from app.index.field_statistics import FieldStatistics
from app.index.generations import IndexStore
from app.protocols import Encoder
from app.rerank.ranker import Ranker
from app.rerank.serving import ServingRanker, following
from app.settings import EmbeddingSettings, Settings

_FIELDS_KEPT_S = 30.0  # reading them takes a walk over all metadata of the collection


def build_encoder(chosen: EmbeddingSettings) -> Encoder:
    """The encoder that the settings name, with one of its own for questions where they name that, too."""

    def load(model: str | None) -> Encoder:
        return load_encoder(
            model,
            revision=chosen.revision,
            engine=chosen.engine,
            dtype=chosen.dtype,
            batch_tokens=chosen.batch_tokens,
            threads=chosen.threads,
        )

    passages = load(chosen.model)
    return passages if chosen.query_model is None else SplitEncoder(passages, load(str(chosen.query_model)))


def build_ranker(settings: Settings, catalog: Catalog) -> Ranker:
    """The configured model as it is, or the shipped one, in whose place a collection's promoted one serves."""
    if settings.rerank.model is not None:
        return Ranker.load(settings.rerank.model)
    return following(ServingRanker.load(), settings.home, catalog)


def metadata_fields(catalog: Catalog, index: IndexStore) -> Callable[[str], Sequence[FieldStatistics]]:
    """The metadata fields of a collection, read again when it has changed, though not at every step of an ingestion."""
    kept: dict[str, tuple[tuple[int, int], float, Sequence[FieldStatistics]]] = {}

    def fields(name: str) -> Sequence[FieldStatistics]:
        record = catalog.get_collection(name)
        generation = index.collection(record.id).generation
        state, now = (record.id, generation), time.monotonic()
        known = kept.get(name)
        if known is None or known[0][0] != record.id or (known[0] != state and now - known[1] >= _FIELDS_KEPT_S):
            known = kept[name] = (state, now, catalog.metadata_fields(name))
        return known[2]

    return fields
