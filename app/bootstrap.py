"""The one place that picks and wires implementations for the API and the command line."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from app.embedding.loading import load_encoder
from app.generation.abstention import abstention_threshold, calibrated_confidence, load_calibration
from app.generation.breaker import CircuitBreaker
from app.generation.chat import ChatModel
from app.generation.fallback import FallbackGenerator, is_latin
from app.generation.prompted import PromptedGenerator
from app.generation.reader import bundled_folder, load_reader
from app.generation.remote import RemoteChat, RemoteLimits
from app.generation.rescue import RescuedGenerator
from app.generation.sentences import SentenceSelector, load_confidence
from app.generation.support import SUPPORTED
from app.generation.text_model import ChatTextModel
from app.index.analysis import analyze
from app.index.blobs import BlobStore
from app.index.catalog import Catalog
from app.index.generations import IndexStore
from app.index.jobs import JobQueue
from app.pipeline import Pipeline
from app.protocols import Encoder, Generator
from app.query.translation import Translator
from app.rerank.ranker import Ranker
from app.retrieval.hybrid import HybridRetriever
from app.settings import RemoteSettings, Settings
from app.telemetry import Metrics
from app.types import Generated


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

    def close(self) -> None:
        if isinstance(self.generator, PromptedGenerator | RescuedGenerator):
            self.generator.close()
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
    encoder = encoder or load_encoder(
        settings.embedding.model,
        revision=settings.embedding.revision,
        engine=settings.embedding.engine,
        dtype=settings.embedding.dtype,
        batch_tokens=settings.embedding.batch_tokens,
        threads=settings.embedding.threads,
    )
    catalog = Catalog.open(settings.database_url)
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
    ranker = Ranker.load(settings.rerank.model) if settings.rerank.enabled else None
    chat = chat_model(settings) if generator is None else None
    generator = generator or build_generator(settings, chat)
    text_model = ChatTextModel(chat) if chat is not None else None
    translator = Translator(text_model, budget_ms=settings.query.budget_ms)
    pipeline = Pipeline(
        texts=catalog,
        retriever=retriever,
        ranker=ranker,
        encoder=encoder,
        generator=generator,
        calibrate=_calibration(settings),
        budget_tokens=settings.context.budget_tokens,
        translator=translator,
        rewriter=text_model,
    )
    # jieba's dictionary: a second of Python that neither the start nor the first Chinese question should wait for
    threading.Thread(target=analyze, args=("第一次调用会读入词典",), name="read-dictionary", daemon=True).start()
    return Services(
        settings=settings,
        catalog=catalog,
        jobs=JobQueue(catalog, max_attempts=settings.worker.max_attempts),
        blobs=BlobStore(settings.home / "blobs"),
        index=index,
        encoder=encoder,
        retriever=retriever,
        ranker=ranker,
        generator=generator,
        pipeline=pipeline,
        metrics=Metrics(),
    )


def chat_model(settings: Settings) -> ChatModel | None:
    """The language model that `ATTEST_GENERATION__MODEL` names; None for the bundled reader, which is none.

    Raises:
        Unavailable: its weights are missing or can not be run; the message says which part.
    """
    kind, _, name = settings.generation.model.partition(":")
    if kind == "bundled":
        return None
    return _remote(settings.generation.remote, name) if kind == "remote" else _local(settings, name)


def build_generator(settings: Settings, chat: ChatModel | None) -> Generator:
    """The generator over the language model, rescued by the bundled one where the settings say so; or that one alone.

    Raises:
        Unavailable: the bundled weights are missing.
    """
    bundled = _bundled(settings) if chat is None or settings.generation.on_failure == "bundled" else None
    if chat is None:
        assert bundled is not None
        return bundled
    written = PromptedGenerator(chat)
    return written if bundled is None else RescuedGenerator(written, bundled)


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
    model = load_language_model(folder, dtype=here.dtype)
    engine = start_engine(
        model,
        context_tokens=here.context_tokens,
        cache_bytes=here.cache_bytes,
        max_batch=here.max_batch,
        threads=settings.generation.threads,
    )
    return LocalChat(model, engine)


def _bundled(settings: Settings) -> Generator:
    if settings.generation.generator == "sentences":
        return SentenceSelector()
    return FallbackGenerator(load_reader(settings.generation.reader), SentenceSelector(), is_latin)


def _calibration(settings: Settings) -> Callable[[Generated], tuple[float, float]]:
    """Output → (confidence, threshold): each generator has a calibration of its own, free text its measured support."""
    chosen = settings.generation
    reads = chosen.generator == "reader" and (chosen.model == "bundled" or chosen.on_failure == "bundled")
    reader = load_calibration((chosen.reader or bundled_folder()) / "calibration.json") if reads else None
    sentences = load_confidence()

    def calibrate(generated: Generated) -> tuple[float, float]:
        if generated.evidence.support is not None:
            confidence, threshold = generated.evidence.support, SUPPORTED
        elif generated.model == SentenceSelector.name:
            confidence, threshold = sentences.confidence(generated.evidence), sentences.threshold
        else:
            confidence, threshold = calibrated_confidence(generated.evidence, reader), abstention_threshold(reader)
        return confidence, threshold if chosen.abstain_below is None else chosen.abstain_below

    return calibrate
