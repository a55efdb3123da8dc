"""What a worker does when there is nothing else to do, and the compact job."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from app.errors import Conflict
from app.index.blobs import BlobStore
from app.index.catalog import Catalog
from app.index.generations import CollectionIndex, IndexStore, PreparedVersion
from app.index.jobs import JobQueue
from app.index.publishing import publish
from app.index.records import NewDocument
from app.types import Chunk, LoadedDocument
from ingestion import maintenance as maintenance_module
from ingestion.maintenance import Maintenance


@dataclass
class House:
    """A home with an index of unit vectors and its maintenance."""

    root: Path

    def __post_init__(self) -> None:
        self.catalog = Catalog.open(f"sqlite:///{self.root / 'attest.db'}")
        self.jobs = JobQueue(self.catalog)
        self.blobs = BlobStore(self.root / "blobs")
        self.index = IndexStore(self.root / "index", encoder_name="e", embed_dim=4)
        self.maintenance = Maintenance(
            catalog=self.catalog, jobs=self.jobs, blobs=self.blobs, index=self.index, compact_segments=2
        )

    def add(self, word: str, collection: str = "default") -> str:
        """Publishes a document of one chunk as a generation of its own; returns its id."""
        sha256, size = self.blobs.put(word.encode(), 100)
        _, (document,) = self.catalog.submit(collection, [NewDocument(sha256, size, None, word, word, None)])
        text = LoadedDocument(word, "text/plain")
        self.catalog.store_text(document.version_id, text, word, [Chunk(0, word, 0, len(word))])
        vector = np.array([[1, 0, 0, 0]], dtype=np.float32)
        prepared = PreparedVersion(document.version_id, document.id, [f"{word}\n{word}"], vector)
        publish(self.catalog, self.index, self.catalog.get_collection(collection).id, [prepared])
        return document.id

    def own(self, collection: str = "default") -> CollectionIndex:
        return self.index.collection(self.catalog.get_collection(collection).id)

    def settle(self) -> int:
        """Lets every chore that is due run; returns how many there were."""
        for chores in range(10):
            self.maintenance._look_at_s = 0.0
            if not self.maintenance.start_if_due():
                return chores
            self.maintenance.wait(60)
        raise AssertionError("maintenance never comes to rest")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    made.settle()
    yield made
    made.maintenance.wait(60)
    made.catalog.close()


def test_a_tidy_home_is_left_alone(house: House) -> None:
    house.add("albatross")
    assert house.settle() == 0
    assert house.own().generation == 1


def test_many_segments_are_merged(house: House) -> None:
    for word in ("albatross", "bison", "cormorant"):
        house.add(word)
    assert len(house.own().snapshot().manifest.segments) == 3
    assert house.settle() == 1
    snapshot = house.own().snapshot()
    assert len(snapshot.manifest.segments) == 1
    assert len(snapshot.search_lexical(["bison"], 10, snapshot.mask())[0]) == 1


def test_it_looks_only_now_and_then(house: House) -> None:
    for word in ("albatross", "bison", "cormorant"):
        house.add(word)
    house.maintenance._look_at_s = float("inf")
    assert house.maintenance.start_if_due() is False


@pytest.mark.parametrize("error", [Conflict("another compaction is at work"), OSError("disk full")])
def test_a_failure_is_survived_and_tried_again_later(
    error: Exception, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for word in ("albatross", "bison", "cormorant"):
        house.add(word)

    def fail(*_: object) -> int:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(CollectionIndex, "compact", fail)
        house.maintenance._look_at_s = 0.0
        assert house.maintenance.start_if_due() is True
        house.maintenance.wait(60)
        assert house.maintenance.start_if_due() is False, "not at once"
    assert house.settle() == 1
    assert len(house.own().snapshot().manifest.segments) == 1


def test_bytes_that_no_version_refers_to_are_removed_once_they_are_old(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance_module, "_BLOBS_AT_ONCE", 1)
    house.add("albatross")
    orphan, _ = house.blobs.put(b"submitted by nobody", 100)
    fresh, _ = house.blobs.put(b"just being submitted", 100)
    kept = [sha256 for sha256 in house.blobs.sha256s() if sha256 not in (orphan, fresh)]
    long_ago = 1_000_000_000
    for sha256 in (orphan, *kept):
        os.utime(house.blobs.path(sha256), (long_ago, long_ago))
    house.maintenance._sweep_at_s = 0.0
    assert house.settle() == 1
    assert sorted(house.blobs.sha256s()) == sorted([fresh, *kept])


def test_the_catalogs_file_is_scrubbed_after_a_deletion(house: House) -> None:
    document = house.add("albatross")
    house.catalog.remove_document_rows(document)
    assert house.catalog.scrub_due()
    house.maintenance._scrub_at_s = 0.0
    assert house.settle() == 1
    assert not house.catalog.scrub_due()


def test_the_compact_job_takes_every_collection_or_the_one_it_names(house: House) -> None:
    house.catalog.create_collection("other")
    for word in ("falcon", "gannet"):
        house.add(word)
        house.add(word, "other")
    house.jobs.enqueue("compact", {}, "other")
    named = house.jobs.claim("w", ["compact"])
    assert named is not None
    assert house.maintenance.compact_all(named, lambda: None) == {"generations": {"other": 3}}
    house.jobs.enqueue("compact", {})
    every = house.jobs.claim("w", ["compact"])
    assert every is not None
    assert house.maintenance.compact_all(every, lambda: None) == {"generations": {"default": 3, "other": 3}}
    snapshot = house.own("other").snapshot()
    assert len(snapshot.search_lexical(["gannet"], 10, snapshot.mask())[0]) == 1


def test_old_jobs_are_forgotten_with_the_daily_sweep(house: House) -> None:
    house.maintenance = Maintenance(
        catalog=house.catalog,
        jobs=house.jobs,
        blobs=house.blobs,
        index=house.index,
        compact_segments=2,
        keep_jobs=1,
        keep_jobs_days=0.0,
    )
    made = []
    for _ in range(3):
        made.append(house.jobs.enqueue("a", {}).id)
        assert house.jobs.claim("w", ["a"]) is not None
        assert house.jobs.succeed(made[-1], "w")
    waiting = house.jobs.enqueue("a", {}).id
    house.settle()
    assert [job.id for job in house.jobs.list()[0]] == [waiting, made[-1]]
