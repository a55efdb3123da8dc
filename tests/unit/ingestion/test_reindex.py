"""Rebuilding every index under another encoder while the old one serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from app.errors import Unavailable
from app.index.catalog import Catalog
from app.index.generations import IndexStore
from app.index.jobs import JobQueue
from app.index.lease import LeaseLost
from app.index.records import JobRecord, NewDocument
from app.types import Chunk, LoadedDocument
from ingestion.pipeline import IngestionPipeline
from ingestion.reindex import Reindexer, check_fit
from tests.fakes import FakeEncoder


def nothing() -> None:
    """A check that never raises."""


@dataclass
class Library:
    """A home whose documents were indexed by the encoder "old", and a store and reindexer for "new"."""

    root: Path

    def __post_init__(self) -> None:
        self.catalog = Catalog.open(f"sqlite:///{self.root / 'attest.db'}")
        self.jobs = JobQueue(self.catalog)
        self.old = FakeEncoder(embed_dim=16, name="old")
        self.new = FakeEncoder(embed_dim=24, name="new")
        self.old_index = self.store(self.old)
        self.new_index = self.store(self.new)
        self.reindexer = Reindexer(
            catalog=self.catalog, jobs=self.jobs, index=self.new_index, encoder=self.new, batch_chunks=2
        )

    def store(self, encoder: FakeEncoder) -> IndexStore:
        return IndexStore(self.root / "index", encoder_name=encoder.name, embed_dim=encoder.embed_dim)

    def add(self, words: list[str], collection: str = "default", *, by_new: bool = False) -> None:
        self.catalog.submit(
            collection, [NewDocument(sha256(word.encode()).hexdigest(), 1, None, word, word, None) for word in words]
        )
        pipeline = IngestionPipeline(
            catalog=self.catalog,
            jobs=self.jobs,
            index=self.new_index if by_new else self.old_index,
            encoder=self.new if by_new else self.old,
            load=lambda item: LoadedDocument(f"the {item.title} one\nthe {item.title} two", "text/plain"),
            split=lambda document, _: [
                Chunk(0, document.text.split("\n")[0], 0, document.text.index("\n")),
                Chunk(1, document.text.split("\n")[1], document.text.index("\n") + 1, len(document.text)),
            ],
            batch_chunks=100,
        )
        job = self.jobs.claim("w", ["ingest"])
        assert job is not None
        pipeline.run(job, nothing)
        self.jobs.succeed(job.id, "w")

    def job(self, attempts: int = 1) -> JobRecord:
        self.jobs.enqueue("reindex", {}, unit="chunks")
        job = self.jobs.claim("w", ["reindex"])
        assert job is not None
        return job

    def found(self, store: IndexStore, word: str, collection: str = "default") -> int:
        snapshot = store.collection(self.catalog.get_collection(collection).id).snapshot()
        return len(snapshot.search_lexical([word], 10, snapshot.mask())[0])

    def nearest(self, word: str) -> set[str]:
        """Titles of the two nearest chunks by the new encoder."""
        snapshot = self.new_index.collection(self.catalog.get_collection("default").id).snapshot()
        rows = snapshot.search_dense(self.new.encode_queries([word]), 2, snapshot.mask())[0]
        chunks = self.catalog.get_chunks(snapshot.locate([row.slot for row in rows]))
        return {chunk.title for chunk in chunks.values()}


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    made = Library(tmp_path)
    made.add(["albatross", "bison"])
    yield made
    made.catalog.close()


def test_an_index_of_another_encoder_is_refused_with_the_remedy(library: Library) -> None:
    check_fit(library.catalog, library.old_index)
    with pytest.raises(Unavailable, match=r"'default'.*old.*new.*attest reindex"):
        check_fit(library.catalog, library.new_index)


def test_everything_is_embedded_again_and_found(library: Library) -> None:
    result = library.reindexer.run(library.job(), nothing)
    assert result == {"generations": {"default": 2}, "encoder": "new"}
    check_fit(library.catalog, library.new_index)
    assert library.nearest("albatross") == {"albatross"}
    assert library.found(library.new_index, "bison") == 2
    assert library.new_index.collection(1).verify() == []
    library.add(["cormorant"], by_new=True)
    assert library.found(library.new_index, "cormorant") == 2


def test_the_old_index_serves_until_the_swap_and_after_an_interruption(library: Library) -> None:
    calls = 0

    def interrupt() -> None:
        nonlocal calls
        calls += 1
        assert library.found(library.old_index, "albatross") == 2
        if calls == 4:
            raise LeaseLost("gone")

    job = library.job()
    with pytest.raises(LeaseLost):
        library.reindexer.run(job, interrupt)
    assert library.old_index.collection(1).generation == 1
    assert library.old_index.collection(1).verify() == []
    library.reindexer.run(job, nothing)
    assert library.found(library.new_index, "albatross") == 2


def test_a_document_published_meanwhile_is_not_lost(library: Library) -> None:
    published = False

    def publish_meanwhile() -> None:
        nonlocal published
        if not published:
            published = True
            library.add(["dolphin"])

    library.reindexer.run(library.job(), publish_meanwhile)
    assert library.found(library.new_index, "dolphin") == 2
    assert library.nearest("dolphin") == {"dolphin"}


def test_a_document_published_just_before_the_swap_is_not_lost(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.index.generations import Rebuild

    publish, late = Rebuild.publish, iter(["elephant"])

    def after_a_late_document(self: Rebuild) -> int:
        for word in late:
            library.add([word])
        return publish(self)

    monkeypatch.setattr(Rebuild, "publish", after_a_late_document)
    library.reindexer.run(library.job(), nothing)
    assert library.found(library.new_index, "elephant") == 2


def test_only_foreign_indexes_are_rebuilt_where_there_are_any(library: Library) -> None:
    library.catalog.create_collection("own")
    library.add(["falcon"], "own", by_new=True)
    assert library.reindexer.run(library.job(), nothing)["generations"].keys() == {"default"}
    assert library.reindexer.run(library.job(), nothing)["generations"].keys() == {"default", "own"}


def test_a_repeated_job_does_not_rebuild_what_it_has_rebuilt(library: Library) -> None:
    job = library.job()
    library.reindexer.run(job, nothing)
    library.jobs.fail(job.id, "w", "killed before its end", 0.0)
    again = library.jobs.claim("w", ["reindex"])
    assert again is not None
    assert library.reindexer.run(again, nothing)["generations"] == {}


def test_progress_counts_chunks(library: Library) -> None:
    job = library.job()
    library.reindexer.run(job, nothing)
    seen = library.jobs.get(job.id)
    assert (seen.done, seen.total, seen.unit) == (4, 4, "chunks")
