"""The one place that picks and wires implementations for the API and the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.embedding.sentence_transformer import load_encoder
from app.generation.abstention import abstention_threshold, calibrated_confidence, load_calibration
from app.generation.fallback import FallbackGenerator, is_latin
from app.generation.reader import bundled_folder, load_reader
from app.generation.sentences import SentenceSelector, load_confidence
from app.index.analysis import analyze
from app.index.blobs import BlobStore
from app.index.catalog import Catalog
from app.index.generations import IndexStore
from app.index.jobs import JobQueue
from app.pipeline import Pipeline
from app.protocols import Encoder, Generator
from app.rerank.ranker import Ranker
from app.retrieval.hybrid import HybridRetriever
from app.settings import Settings
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
    pipeline: Pipeline
    metrics: Metrics

    def close(self) -> None:
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
    analyze("第一次调用会读入词典")  # jieba's dictionary: half a second that no question should wait for
    retriever = HybridRetriever(catalog, index, encoder)
    ranker = Ranker.load(settings.rerank.model) if settings.rerank.enabled else None
    pipeline = Pipeline(
        texts=catalog,
        retriever=retriever,
        ranker=ranker,
        encoder=encoder,
        generator=generator or _generator(settings),
        calibrate=_calibration(settings),
        budget_tokens=settings.context.budget_tokens,
    )
    return Services(
        settings=settings,
        catalog=catalog,
        jobs=JobQueue(catalog, max_attempts=settings.worker.max_attempts),
        blobs=BlobStore(settings.home / "blobs"),
        index=index,
        encoder=encoder,
        retriever=retriever,
        ranker=ranker,
        pipeline=pipeline,
        metrics=Metrics(),
    )


def _generator(settings: Settings) -> Generator:
    if settings.generation.generator == "sentences":
        return SentenceSelector()
    return FallbackGenerator(load_reader(settings.generation.reader), SentenceSelector(), is_latin)


def _calibration(settings: Settings) -> Callable[[Generated], tuple[float, float]]:
    """Output → (confidence, threshold): each generator has a calibration of its own."""
    reader = load_calibration((settings.generation.reader or bundled_folder()) / "calibration.json")
    sentences = load_confidence()
    override = settings.generation.abstain_below

    def calibrate(generated: Generated) -> tuple[float, float]:
        if generated.model == SentenceSelector.name:
            confidence, threshold = sentences.confidence(generated.evidence), sentences.threshold
        else:
            confidence, threshold = calibrated_confidence(generated.evidence, reader), abstention_threshold(reader)
        return confidence, threshold if override is None else override

    return calibrate
