"""The one place that picks and wires implementations for the API and the command line: here, in the order of start-up.

`retrievers` picks what finds passages, `generators` what answers from them, `targets` what else can be asked.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.bootstrap.generators import (
    build_generator,
    build_judge,
    build_models,
    bundled_generator,
    calibration_id,
    chat_model,
)
from app.bootstrap.retrievers import build_encoder, build_ranker, metadata_fields
from app.bootstrap.targets import build_routing, open_graphs, open_tables
from app.generation.collection_calibration import CollectionCalibrations
from app.generation.prompted import PromptedGenerator
from app.generation.rescue import RescuedGenerator
from app.generation.text_model import ChatTextModel
from app.generation.writer import bundled_writer
from app.index.analysis import analyze
from app.index.blobs import BlobStore
from app.index.calibrations import CalibrationStore
from app.index.catalog import Catalog
from app.index.generations import IndexStore
from app.index.jobs import JobQueue
from app.pipeline import Pipeline
from app.protocols import Encoder, Generator, TextModel
from app.query.auto_filter import FilterReader
from app.query.construction.cypher_source import GraphSource
from app.query.policy.auto import open_auto, writer_name
from app.query.rewriting import Rewriting
from app.query.routing.book import Routing
from app.query.tables.registry import TableSources
from app.query.translation import Translator
from app.rerank.ranker import Ranker
from app.retrieval.hybrid import HybridRetriever
from app.settings import Settings
from app.stages import Stages
from app.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that an API process or a command needs; `close()` releases files and connections."""

    settings: Settings
    catalog: Catalog
    jobs: JobQueue
    blobs: BlobStore
    index: IndexStore
    encoder: Encoder
    retriever: HybridRetriever
    ranker: Ranker | None
    generator: Generator
    pipeline: Pipeline
    metrics: Metrics
    tables: TableSources | None = None
    text_model: TextModel | None = None
    routing: Routing | None = None
    graphs: Callable[[str], GraphSource] | None = None
    models: Mapping[str, Generator] = field(default_factory=dict)

    def close(self) -> None:
        if self.tables is not None:
            self.tables.close()
        for generator in {id(each): each for each in (self.generator, *self.models.values())}.values():
            if isinstance(generator, PromptedGenerator | RescuedGenerator):
                generator.close()
        self.catalog.close()


def build_services(
    settings: Settings, *, encoder: Encoder | None = None, generator: Generator | None = None
) -> Services:
    """Opens the home directory and loads the models; `encoder` and `generator` replace the configured ones in tests.

    Raises:
        Unavailable: a model or a package is missing; the message says the remedy.
        IntegrityError: weights or index files are not what their checksums say.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    encoder = encoder or build_encoder(settings.embedding)
    catalog = Catalog.open(settings.database_url)
    blobs = BlobStore(settings.home / "blobs")
    tables = open_tables(settings, catalog, blobs)
    index = IndexStore(
        settings.home / "index",
        encoder_name=encoder.name,
        embed_dim=encoder.embed_dim,
        lexicon_engine=settings.index.lexicon,
        bm25_variant=settings.index.bm25_variant,
        exact_below=settings.index.exact_below,
    )
    encoder.encode_queries(["the first call plans its kernels"])
    retriever = HybridRetriever(catalog, index, encoder)
    ranker = build_ranker(settings, catalog) if settings.rerank.enabled else None
    chat = chat_model(settings) if generator is None else None
    bundled = functools.cache(lambda: bundled_generator(settings, encoder))
    generator = generator or build_generator(settings, chat, bundled)
    text_model = ChatTextModel(chat) if chat is not None else None
    rewriting = Rewriting(bundled_writer(), settings.query.rewriter)
    graphs = open_graphs(settings, catalog, index)
    routing = build_routing(settings, catalog, tables, encoder, text_model, graphs)
    routing.router.warm(routing.book.all())
    models = build_models(settings, generator, bundled if chat is not None else None)
    for each in {id(each): each for each in (generator, *models.values())}.values():
        if isinstance(each, PromptedGenerator | RescuedGenerator):
            index.on_deletion(each.forget)
    stages = Stages(
        texts=catalog,
        retriever=retriever,
        ranker=ranker,
        encoder=encoder,
        calibrate=build_judge(settings),
        budget_tokens=settings.context.budget_tokens,
        translator=Translator(text_model, rewriting=rewriting, budget_ms=settings.query.budget_ms),
        rewriter=text_model,
        rewriting=rewriting,
        filter_reader=FilterReader(metadata_fields(catalog, index), enabled=settings.query.auto_filters),
        auto=open_auto(settings.query.policy, settings.query.auto_budget_ms, writer_name(text_model, rewriting)),
        style=settings.generation.style,
        own=CollectionCalibrations(CalibrationStore(catalog).correction, calibration_id(settings)),
    )
    pipeline = Pipeline(
        stages,
        generator=generator,
        models=models,
        desk=routing.desk,
        step_threads=min(4, settings.model_threads),
    )
    # jieba's dictionary: a second of Python that neither the start nor the first Chinese question should wait for
    threading.Thread(target=analyze, args=("第一次调用会读入词典",), name="read-dictionary", daemon=True).start()
    return Services(
        settings=settings,
        catalog=catalog,
        jobs=JobQueue(catalog, max_attempts=settings.worker.max_attempts),
        blobs=blobs,
        index=index,
        encoder=encoder,
        retriever=retriever,
        ranker=ranker,
        generator=generator,
        pipeline=pipeline,
        metrics=Metrics(),
        tables=tables,
        text_model=text_model,
        routing=routing,
        graphs=graphs,
        models=models,
    )
