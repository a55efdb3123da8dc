"""The one place that picks and wires implementations for the API and the command line."""

from __future__ import annotations

import functools
import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from app.embedding.loading import load_encoder
from app.embedding.split_encoder import SplitEncoder
from app.generation.breaker import CircuitBreaker
from app.generation.bundled import Judge, copying_generator, judge_of
from app.generation.chat import ChatModel
from app.generation.collection_calibration import CollectionCalibrations
from app.generation.prompted import PromptedGenerator
from app.generation.reader import bilingual_folder, bundled_folder
from app.generation.remote import RemoteChat, RemoteLimits
from app.generation.rescue import RescuedGenerator
from app.generation.sentences import bundled_confidence_file
from app.generation.styles.styled import StyledGenerator
from app.generation.text_model import ChatTextModel
from app.generation.writer import bundled_writer
from app.index.analysis import analyze
from app.index.blobs import BlobStore
from app.index.calibrations import CalibrationStore
from app.index.catalog import Catalog
from app.index.field_statistics import FieldStatistics
from app.index.generations import IndexStore
from app.index.jobs import JobQueue
from app.index.routes import RouteStore
from app.index.table_documents import table_versions
from app.pipeline import Pipeline
from app.protocols import Encoder, Generator, TextModel
from app.query.auto_filter import FilterReader
from app.query.construction.cypher_source import GraphSource
from app.query.graph_target import GraphTarget
from app.query.policy.auto import open_auto, writer_name
from app.query.rewriting import Rewriting
from app.query.routing.book import RouteBook, Routing
from app.query.routing.desk import Desk
from app.query.routing.router import Router
from app.query.routing.targets import TablesTarget
from app.query.tables.documents import MEDIA_TYPES, Versions, documents_of
from app.query.tables.loaded import Contents
from app.query.tables.registry import TableSources
from app.query.translation import Translator
from app.rerank.ranker import Ranker
from app.rerank.serving import ServingRanker, following
from app.retrieval.hybrid import HybridRetriever
from app.routing_types import Route
from app.settings import EmbeddingSettings, RemoteSettings, Settings
from app.stages import Stages
from app.telemetry import Metrics

_FIELDS_KEPT_S = 30.0  # reading them takes a walk over all metadata of the collection


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
    encoder = encoder or _encoder(settings.embedding)
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
    ranker = _ranker(settings, catalog) if settings.rerank.enabled else None
    chat = chat_model(settings) if generator is None else None
    bundled = functools.cache(lambda: _bundled(settings, encoder))
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
        calibrate=_calibration(settings),
        budget_tokens=settings.context.budget_tokens,
        translator=Translator(text_model, rewriting=rewriting, budget_ms=settings.query.budget_ms),
        rewriter=text_model,
        rewriting=rewriting,
        filter_reader=FilterReader(_fields_of(catalog, index), enabled=settings.query.auto_filters),
        auto=open_auto(settings.query.policy, settings.query.auto_budget_ms, writer_name(text_model, rewriting)),
        style=settings.generation.style,
        own=CollectionCalibrations(CalibrationStore(catalog).correction, _calibration_id(settings)),
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


def open_graphs(settings: Settings, catalog: Catalog, index: IndexStore) -> Callable[[str], GraphSource]:
    """Collection name → its knowledge graph, as far as it has one. The function raises NotFound for an unknown name."""

    def open_graph(name: str) -> GraphSource:
        return GraphSource(
            name,
            index.collection(catalog.get_collection(name).id),
            time_limit_ms=settings.graph.time_limit_ms,
            row_limit=settings.graph.row_limit,
            buffer_bytes=settings.graph.buffer_bytes,
        )

    return open_graph


def build_routing(
    settings: Settings,
    catalog: Catalog,
    tables: TableSources,
    encoder: Encoder,
    model: TextModel | None,
    graphs: Callable[[str], GraphSource],
) -> Routing:
    """The declared routes, who chooses among them, and what they can be sent to.

    Raises:
        InvalidInput: a route of the settings does not hold.
    """
    chosen = settings.routing
    store = RouteStore(catalog)

    def open_sql(route: Route) -> TablesTarget:
        named = [tables.get(route.source)] if route.source is not None else []
        return TablesTarget(named or [tables.of_collection(name) for name in route.collections], encoder, catalog)

    def open_graph(route: Route) -> GraphTarget:
        return GraphTarget([graphs(name) for name in route.collections], catalog)

    book = RouteBook(
        [
            Route(name, route.kind or ("sql" if route.source else "collections"), **route.model_dump(exclude={"kind"}))
            for name, route in chosen.routes.items()
        ],
        lambda: [(record.name, record.body) for record in store.list_all()],
        lambda: tables.names,
    )
    router = Router(encoder, model, method=chosen.method, threshold=chosen.threshold)
    return Routing(book, router, Desk(router, {"sql": open_sql, "graph": open_graph}, model=model))


def build_models(
    settings: Settings, generator: Generator, bundled: Callable[[], Generator] | None
) -> dict[str, Generator]:
    """The generators that a request may name: the configured one, the settings' further ones, and the bundled one.

    Args:
        settings: `generation`.
        generator: the configured one.
        bundled: the one that rescues it where it is a language model; None where it is the bundled one itself.

    Raises:
        Unavailable: a further model can't be loaded.
    """
    models: dict[str, Generator] = {}
    for name in settings.generation.models:
        chat = chat_model(settings, name)
        models[name] = build_generator(settings, chat, bundled)
    if bundled is not None and settings.generation.on_failure == "bundled":
        models["bundled"] = bundled()
    models[settings.generation.model] = generator
    for name in list(models):
        models.setdefault(name.partition(":")[2] or name, models[name])
    return models


def _fields_of(catalog: Catalog, index: IndexStore) -> Callable[[str], Sequence[FieldStatistics]]:
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


def _encoder(chosen: EmbeddingSettings) -> Encoder:
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


def open_tables(settings: Settings, catalog: Catalog, blobs: BlobStore) -> TableSources:
    """The sources of tables that the settings name, and the table documents of every collection.

    Raises:
        InvalidInput: a PostgreSQL URL is none.
    """

    def documents(collection: str) -> Contents:
        def versions(limit: int) -> Versions:
            with catalog.reading() as connection:
                return table_versions(connection, collection, MEDIA_TYPES, limit)

        return documents_of(versions, catalog.get_texts, blobs.path)

    return TableSources(
        files=settings.sql.sources,
        postgres={name: url.get_secret_value() for name, url in settings.sql.postgres.items()},
        documents=documents if settings.sql.documents else None,
        folder=settings.home / "tables",
        time_limit_ms=settings.sql.time_limit_ms,
        row_limit=settings.sql.row_limit,
    )


def _ranker(settings: Settings, catalog: Catalog) -> Ranker:
    """The configured model as it is, or the shipped one, in whose place a collection's promoted one serves."""
    if settings.rerank.model is not None:
        return Ranker.load(settings.rerank.model)
    return following(ServingRanker.load(), settings.home, catalog)


def chat_model(settings: Settings, model: str | None = None) -> ChatModel | None:
    """The language model that `ATTEST_GENERATION__MODEL`, or `model`, names; None for the bundled reader.

    Raises:
        Unavailable: its weights are missing or can not be run; the message says which part.
    """
    kind, _, name = (model or settings.generation.model).partition(":")
    if kind == "bundled":
        return None
    return _remote(settings.generation.remote, name) if kind == "remote" else _local(settings, name)


def build_generator(
    settings: Settings, chat: ChatModel | None, bundled: Callable[[], Generator] | None = None
) -> Generator:
    """The generator over the language model, rescued by the bundled one where the settings say so; or that one alone.

    Args:
        settings: `generation`.
        chat: the language model.
        bundled: makes the bundled one, or hands over the one that is there; None makes a new one.

    Raises:
        Unavailable: the bundled weights are missing.
    """
    make = bundled or (lambda: _bundled(settings))
    if chat is None:
        return make()
    written = PromptedGenerator(chat)
    return RescuedGenerator(written, make()) if settings.generation.on_failure == "bundled" else written


def _remote(server: RemoteSettings, model: str) -> ChatModel:
    assert server.base_url is not None  # the settings' own check
    return RemoteChat(
        model,
        server.base_url,
        api_key=server.api_key.get_secret_value() if server.api_key else None,
        limits=RemoteLimits(server.connect_s, server.first_token_s, server.total_s, server.attempts),
        breaker=CircuitBreaker(server.breaker_failures, server.breaker_open_s),
        logprobs=server.logprobs,
    )


def _local(settings: Settings, name: str) -> ChatModel:
    from app.generation.local import LocalChat, load_language_model, start_engine  # the transformer core: only if used
    from app.generation.model_place import find_model

    here = settings.generation.local
    folder = find_model(name, settings.home / "models", download=here.download, revision=here.revision)
    model = load_language_model(folder, dtype=here.dtype, native_kernels=here.native_kernels)
    engine = start_engine(
        model,
        context_tokens=here.context_tokens,
        cache_bytes=here.cache_bytes,
        max_batch=here.max_batch,
        passage_reuse=here.passage_reuse,
        passage_bytes=here.passage_bytes,
        threads=settings.generation.threads,
    )
    return LocalChat(model, engine)


def _bundled(settings: Settings, encoder: Encoder | None = None) -> Generator:
    """The bundled generator with its styles of answer; without the encoder they choose sentences by words alone."""
    chosen = settings.generation
    copying = copying_generator(chosen.generator, chosen.reader, verify=chosen.verify)
    return StyledGenerator(copying, _calibration(settings), encoder=encoder, writer=bundled_writer())


def _calibration_id(settings: Settings) -> str:
    """What tells the shipped calibrations in use from others: a collection's own corrects these and no others."""
    chosen = settings.generation
    folders = (chosen.reader or bundled_folder(), bilingual_folder())
    files = [*(folder / "calibration.json" for folder in folders), bundled_confidence_file()]
    digest = hashlib.sha256(f"{chosen.generator} {chosen.verify}".encode())
    for file in files:
        digest.update(file.read_bytes() if file.is_file() else b"none")
    return digest.hexdigest()[:16]


def _calibration(settings: Settings) -> Judge:
    chosen = settings.generation
    reads = chosen.generator == "reader" and (
        "bundled" in (chosen.model, *chosen.models) or chosen.on_failure == "bundled"
    )
    return judge_of(reads=reads, reader=chosen.reader, abstain_below=chosen.abstain_below)
