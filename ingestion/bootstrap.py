"""The one place that wires the worker: settings → catalog, index, encoder, loaders, and what to do for each job."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from app.embedding.loading import load_encoder
from app.errors import IntegrityError
from app.index.blobs import BlobStore
from app.index.catalog import Catalog
from app.index.durable import sha256_of
from app.index.generations import IndexStore
from app.index.jobs import JobQueue
from app.index.publishing import recover
from app.index.records import WorkItem
from app.protocols import Encoder
from app.settings import Settings
from app.types import Chunk, LoadedDocument
from ingestion.chunking import chunk
from ingestion.loaders import load
from ingestion.loaders.limits import LoadLimits
from ingestion.maintenance import Maintenance
from ingestion.pipeline import IngestionPipeline
from ingestion.reindex import Reindexer, check_fit
from ingestion.worker import Work, Worker


def build_encoder(settings: Settings) -> Encoder:
    """The configured encoder. Raises Unavailable, IntegrityError: see `load_encoder`."""
    chosen = settings.embedding
    return load_encoder(
        chosen.model,
        revision=chosen.revision,
        engine=chosen.engine,
        dtype=chosen.dtype,
        batch_tokens=chosen.batch_tokens,
        threads=chosen.threads,
    )


def build_index(settings: Settings, encoder: Encoder) -> IndexStore:
    """The indexes of the home directory, for this encoder."""
    return IndexStore(
        settings.home / "index",
        encoder_name=encoder.name,
        embed_dim=encoder.embed_dim,
        lexicon_engine=settings.index.lexicon,
        bm25_variant=settings.index.bm25_variant,
        exact_below=settings.index.exact_below,
    )


def build_worker(
    settings: Settings,
    *,
    encoder: Encoder | None = None,
    index: IndexStore | None = None,
    kinds: Sequence[str] = ("ingest", "compact"),
) -> Worker:
    """A worker for `kinds` of jobs; `encoder` and `index` replace the configured ones in tests.

    Raises:
        Unavailable: a model is missing. (A worker whose encoder is not the index's is built, but refuses to run, unless
            it is there for "reindex".)
        IntegrityError: weights are not what their checksum says.
    """
    encoder = encoder or build_encoder(settings)
    index = index or build_index(settings, encoder)
    catalog = Catalog.open(settings.database_url)
    jobs = JobQueue(catalog, max_attempts=settings.worker.max_attempts)
    blobs = BlobStore(settings.home / "blobs")
    pipeline = IngestionPipeline(
        catalog=catalog,
        jobs=jobs,
        index=index,
        encoder=encoder,
        load=partial(_load, blobs, _limits(settings)),
        split=partial(_split, encoder, settings.chunking.max_tokens, settings.chunking.overlap_tokens),
        batch_chunks=settings.worker.batch_chunks,
    )
    maintenance = Maintenance(
        catalog=catalog,
        jobs=jobs,
        blobs=blobs,
        index=index,
        compact_segments=settings.index.compact_segments,
        keep_jobs=settings.worker.keep_jobs,
        keep_jobs_days=settings.worker.keep_jobs_days,
    )
    reindexer = Reindexer(
        catalog=catalog, jobs=jobs, index=index, encoder=encoder, batch_chunks=settings.worker.batch_chunks
    )
    work: dict[str, Work] = {"ingest": pipeline.run, "compact": maintenance.compact_all, "reindex": reindexer.run}

    def fit() -> None:
        if "reindex" not in kinds:
            check_fit(catalog, index)

    return Worker(
        jobs=jobs,
        fit=fit,
        work={kind: work[kind] for kind in kinds},
        recover=partial(recover, catalog, index),
        maintain=maintenance.start_if_due if "ingest" in kinds else lambda: False,
        settings=settings.worker,
        close=catalog.close,
    )


def _limits(settings: Settings) -> LoadLimits:
    limits = settings.limits
    return LoadLimits(text_chars=limits.text_chars, pages=limits.pages, archive_ratio=limits.archive_ratio)


def _split(
    encoder: Encoder, max_tokens: int, overlap_tokens: int, document: LoadedDocument, _title: str
) -> Sequence[Chunk]:
    return chunk(document, max_tokens=max_tokens, overlap_tokens=overlap_tokens, count_tokens=encoder.count_tokens)


def _load(blobs: BlobStore, limits: LoadLimits, item: WorkItem) -> LoadedDocument:
    path = blobs.path(item.sha256)
    name = item.filename or item.document_id
    if not path.exists():
        raise IntegrityError(f"the stored bytes of {name} are gone; upload the file again")
    if sha256_of(path) != item.sha256:
        raise IntegrityError(f"the stored bytes of {name} are damaged; upload the file again")
    return load(path, filename=item.filename, media_type=item.media_type, limits=limits)
