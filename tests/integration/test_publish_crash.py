"""A process dies between any two steps of a change: readers see the old or the new generation whole, and work goes on.

The dying processes are real ones that kill themselves with SIGKILL; they come from a fork server that has imported
everything already.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np
import pytest

from app.index.blobs import BlobStore
from app.index.catalog import Catalog
from app.index.generations import IndexStore, PreparedVersion
from app.index.publishing import delete_collection, delete_document, publish, recover, texts_of
from app.index.records import NewDocument
from app.index.residuals import measure
from app.types import Chunk, LoadedDocument
from tests.unit.index.corpus import EMBED_DIM, day, own_word, vector_of

PUBLISH = [
    "publish_locked",
    "publish_cleaned",
    "publish_segment_written",
    "publish_retirements_written",
    "publish_lexicon_added",
    "publish_lexicon_committed",
    "publish_manifest_written",
    "publish_current_replaced",
    "publish_catalog_finished",
    "publish_finished",
]
COMPACT = [
    "compact_lexicon_built",
    "compact_segment_built",
    "compact_locked",
    "compact_moved",
    "compact_manifest_written",
    "compact_current_replaced",
    "compact_finished",
]
DELETE = [
    "delete_locked",
    "delete_recorded",
    "delete_manifest_written",
    "delete_current_replaced",
    "delete_postings_committed",
    "delete_vectors_scrubbed",
    "delete_cleaned",
]
REBUILD = ["rebuild_segment_built", "rebuild_moved", "rebuild_manifest_written", "rebuild_current_replaced"]
CHUNKS = 3


def no_fault(_step: str) -> None:
    """Nothing goes wrong."""


class House:
    """Catalog, index and blobs of one home directory, as one process holds them."""

    def __init__(self, home: Path, fault: Callable[[str], None] = no_fault, encoder: str = "fake") -> None:
        self.catalog = Catalog.open(f"sqlite:///{home / 'attest.db'}")
        self.store = IndexStore(
            home / "index", encoder_name=encoder, embed_dim=EMBED_DIM, exact_below=1_000, fault=fault
        )
        self.blobs = BlobStore(home / "blobs")
        self.collection_id = self.catalog.get_collection("default").id
        self.index = self.store.collection(self.collection_id)

    def submit(self, document_id: str) -> int:
        """A new version with text and chunks, not yet published; returns its id."""
        number = len(self.versions(document_id)) + 1
        sha256, size = self.blobs.put(f"{document_id} {number}".encode(), 100)
        new = NewDocument(sha256, size, "text/plain", None, document_id, None, {}, document_id)
        _, submitted = self.catalog.submit("default", [new])
        version = submitted[0].version_id
        text = "\n".join(f"common {own_word(version)}" for _ in range(CHUNKS))
        line = len(text) // CHUNKS + 1
        chunks = [Chunk(i, text[i * line :][: line - 1], i * line, (i + 1) * line - 1) for i in range(CHUNKS)]
        self.catalog.store_text(version, LoadedDocument(text, "text/plain"), document_id, chunks)
        self.catalog.set_version_status(version, "indexing")
        return version

    def versions(self, document_id: str) -> list[int]:
        known, _ = self.catalog.list_documents()
        if document_id not in {record.id for record in known}:
            return []
        return [record.id for record in reversed(self.catalog.get_versions(document_id))]

    def prepared(self, version: int) -> PreparedVersion:
        texts = self.catalog.embedding_texts([version])
        vectors = np.array([vector_of(version, i) for i in range(CHUNKS)], np.float32)
        return PreparedVersion(version, "", [texts[version, i] for i in range(CHUNKS)], vectors)

    def publish(self, *versions: int, on: int = 0) -> int:
        return self.publish_prepared(*(self.prepared(version) for version in versions), on=on)

    def publish_prepared(self, *versions: PreparedVersion, on: int = 0) -> int:
        return publish(self.catalog, self.store, self.collection_id, versions, valid_from=day(on))

    def found(self) -> set[int]:
        """The versions that a search finds, after checking that both searches and the mask agree to the chunk."""
        now = self.index.snapshot()
        lexical = [hit.slot for hit in now.search_lexical(["common"], 10_000)[0]]
        dense = [hit.slot for hit in now.search_dense(vector_of(0, 0)[None], 10_000)[0]]
        assert sorted(lexical) == sorted(dense)
        assert len(set(lexical)) == len(lexical) == now.live_chunks
        mask = now.mask()
        if mask is not None:
            assert sorted(lexical) == np.flatnonzero(mask.allowed).tolist()
        keys = now.locate(lexical)
        versions = {version for version, _ in keys}
        assert sorted(keys) == sorted((version, i) for version in versions for i in range(CHUNKS))
        return versions

    def status(self, *versions: int) -> list[str]:
        records = self.catalog.get_version_records(versions)
        return [records[version].status for version in versions]


class KillAt:
    """Kills its own process, without a chance to clean up, at the given step."""

    def __init__(self, step: str) -> None:
        self.step = step

    def __call__(self, step: str) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def do_publish(home: Path, step: str, versions: tuple[int, ...], on: int) -> None:
    House(home, KillAt(step)).publish(*versions, on=on)


def do_delete(home: Path, step: str, document_id: str) -> None:
    house = House(home, KillAt(step))
    delete_document(house.catalog, house.store, house.blobs, document_id)


def do_compact(home: Path, step: str) -> None:
    house = House(home, KillAt(step))
    house.index.compact(texts_of(house.catalog))


def do_rebuild(home: Path, step: str) -> None:
    house = House(home, KillAt(step), encoder="other")
    with house.store.stage_rebuild(house.collection_id) as rebuild:
        rebuild.add([house.prepared(version) for version in rebuild.missing()])
        rebuild.publish()


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def dies(processes: ForkServerContext, target: Callable[..., None], *arguments: object) -> None:
    process = processes.Process(target=target, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, "the step was never reached"


@pytest.fixture
def house(home: Path) -> Iterator[House]:
    """A first version of "a", and "b", published."""
    made = House(home)
    assert made.publish(made.submit("a"), made.submit("b")) == 1
    yield made
    made.catalog.close()


def reopened(home: Path) -> House:
    """As a process that has just started sees it."""
    return House(home)


def test_these_are_all_the_steps(home: Path) -> None:
    steps: list[str] = []
    house = House(home, steps.append)
    first = house.submit("a")
    house.publish(first)
    steps.clear()
    house.publish(house.submit("a"), house.submit("b"))
    assert steps == PUBLISH
    steps.clear()
    delete_document(house.catalog, house.store, house.blobs, "b")
    assert steps == [*DELETE, *COMPACT]  # small as it is, its BM25 index is rebuilt at once
    steps.clear()
    with house.store.stage_rebuild(house.collection_id) as rebuild:
        rebuild.add([house.prepared(version) for version in rebuild.missing()])
        rebuild.publish()
    assert steps == REBUILD
    house.catalog.close()


@pytest.mark.parametrize("step", PUBLISH)
def test_killed_while_publishing(home: Path, house: House, processes: ForkServerContext, step: str) -> None:
    a1, b = house.versions("a")[0], house.versions("b")[0]
    a2, c = house.submit("a"), house.submit("c")
    dies(processes, do_publish, home, step, (a2, c), 5)
    published = PUBLISH.index(step) >= PUBLISH.index("publish_current_replaced")
    expected = {a2, b, c} if published else {a1, b}
    assert house.found() == expected  # a reader that was there before
    fresh = reopened(home)
    assert fresh.found() == expected
    assert fresh.status(a2, c) == (["ready"] * 2 if PUBLISH.index(step) >= 8 else ["indexing"] * 2)

    fresh.publish(a2, c, on=6)  # the repeated job
    assert fresh.found() == house.found() == {a2, b, c}
    assert fresh.status(a1, b, a2, c) == ["ready"] * 4
    records = fresh.catalog.get_version_records([a1, a2])
    assert records[a1].valid_to == records[a2].valid_from == day(5 if published else 6)
    as_of = fresh.index.snapshot().mask(as_of=day(4))
    assert as_of is not None
    assert as_of.versions.tolist() == [a1, b]
    assert fresh.index.snapshot().num_docs == 4 * CHUNKS
    assert fresh.index.verify() == []
    fresh.catalog.close()


def test_recovery_finishes_what_the_manifest_already_names(
    home: Path, house: House, processes: ForkServerContext
) -> None:
    a2 = house.submit("a")
    dies(processes, do_publish, home, "publish_current_replaced", (a2,), 5)
    assert house.status(a2) == ["indexing"]
    assert recover(house.catalog, house.store) == 1
    assert house.status(a2) == ["ready"]
    assert house.catalog.get_version_records([a2])[a2].valid_from == day(5)
    assert recover(house.catalog, house.store) == 0


def test_the_next_version_retires_one_whose_publication_was_interrupted(
    home: Path, house: House, processes: ForkServerContext
) -> None:
    """The catalog does not know yet that the second version serves when the third replaces it."""
    a2 = house.submit("a")
    b = house.versions("b")[0]
    dies(processes, do_publish, home, "publish_current_replaced", (a2,), 5)
    a3 = house.submit("a")
    house.publish(a3, on=7)
    assert house.found() == {a3, b}
    assert house.status(a2, a3) == ["ready", "ready"]
    assert house.catalog.get_version_records([a2])[a2].valid_to == day(7)


def test_a_deleted_document_leaves_nothing(house: House) -> None:
    a, b = house.versions("a")[0], house.versions("b")[0]
    sha256 = house.catalog.get_document("a").sha256
    left = delete_document(house.catalog, house.store, house.blobs, "a")
    assert left == {"vectors": 0, "postings": 0, "chunks": 0, "derived": 0}
    assert not house.blobs.exists(sha256)
    assert house.found() == {b}
    house.publish_prepared(PreparedVersion(a, "a", ["common"], vector_of(a, 0)[None]))  # a worker that was too slow
    assert house.found() == {b}


def test_a_version_that_another_has_overtaken_is_not_published(house: House) -> None:
    b = house.versions("b")[0]
    slow, fast = house.submit("a"), house.submit("a")
    house.publish(fast)
    house.publish(slow)
    assert house.found() == {fast, b}


def test_a_deleted_collection_leaves_no_index_and_no_blob(house: House, home: Path) -> None:
    record = house.catalog.create_collection("other")
    sha256, size = house.blobs.put(b"only here", 100)
    new = NewDocument(sha256, size, "text/plain", None, "t", None, {}, "z")
    _, submitted = house.catalog.submit("other", [new])
    chunk = Chunk(0, "common", 0, 6)
    house.catalog.store_text(submitted[0].version_id, LoadedDocument("common", "text/plain"), "t", [chunk])
    version = PreparedVersion(submitted[0].version_id, "z", ["common"], vector_of(1, 0)[None])
    publish(house.catalog, house.store, record.id, [version])
    folder = home / "index" / str(record.id)
    assert folder.exists()
    assert house.blobs.exists(sha256)
    assert delete_collection(house.catalog, house.store, house.blobs, "other").id == record.id
    assert not folder.exists()
    assert not house.blobs.exists(sha256)
    assert len(house.found()) == 2


@pytest.mark.parametrize("step", [*DELETE, *COMPACT])
def test_killed_while_deleting(home: Path, house: House, processes: ForkServerContext, step: str) -> None:
    a1, b = house.versions("a")[0], house.versions("b")[0]
    a2 = house.submit("a")
    house.publish(a2, on=5)
    dies(processes, do_delete, home, step, "a")
    gone = step in COMPACT or DELETE.index(step) >= DELETE.index("delete_current_replaced")
    fresh = reopened(home)
    assert house.found() == fresh.found() == ({b} if gone else {a2, b})
    recover(fresh.catalog, fresh.store)
    assert fresh.found() == house.found() == {b}
    left = measure(fresh.index.layout, fresh.index.snapshot(), frozenset([a1, a2]))
    assert (left.vectors, left.postings) == (0, 0)
    assert fresh.index.verify() == []
    again = delete_document(fresh.catalog, fresh.store, fresh.blobs, "a")
    assert again == {"vectors": 0, "postings": 0, "chunks": 0, "derived": 0}
    fresh.index.compact(texts_of(fresh.catalog))
    assert fresh.index.snapshot().manifest.lexicon.erasable == 0  # type: ignore[union-attr]
    assert fresh.found() == {b}
    fresh.catalog.close()


@pytest.mark.parametrize("step", COMPACT)
def test_killed_while_compacting(home: Path, house: House, processes: ForkServerContext, step: str) -> None:
    c, d = house.submit("c"), house.submit("d")
    house.publish(c, on=1)
    house.publish(d, on=2)
    house.index.delete([d])
    found = house.found()
    dies(processes, do_compact, home, step)
    fresh = reopened(home)
    assert fresh.found() == house.found() == found
    e = fresh.submit("e")
    fresh.publish(e, on=3)  # cleans up after the dead
    assert fresh.found() == {*found, e}
    assert not fresh.index.layout.staging.exists()
    fresh.index.compact(texts_of(fresh.catalog))
    assert fresh.found() == house.found() == {*found, e}
    assert fresh.index.verify() == []
    fresh.catalog.close()


@pytest.mark.parametrize("step", REBUILD)
def test_killed_while_rebuilding(home: Path, house: House, processes: ForkServerContext, step: str) -> None:
    found = house.found()
    dies(processes, do_rebuild, home, step)
    fresh = House(home, encoder="other")
    replaced = step == "rebuild_current_replaced"
    assert fresh.index.snapshot().encoder_name == ("other" if replaced else "fake")
    assert fresh.found() == found
    with fresh.store.stage_rebuild(fresh.collection_id) as rebuild:
        rebuild.add([fresh.prepared(version) for version in rebuild.missing()])
        rebuild.publish()
    assert fresh.index.snapshot().encoder_name == "other"
    assert fresh.found() == found
    assert fresh.index.verify() == []
    fresh.catalog.close()


def change_all_the_time(home: Path, mark: str, rounds: int) -> None:
    """Publishes, replaces, deletes and compacts."""
    house = House(home)
    for i in range(rounds):
        house.publish(house.submit(f"{mark}{i % 4}"))
        if i % 5 == 4:
            delete_document(house.catalog, house.store, house.blobs, f"{mark}{(i - 2) % 4}")
    house.publish(house.submit(f"{mark}-last"))
    house.catalog.close()


def test_readers_see_whole_generations_while_others_publish(
    home: Path, house: House, processes: ForkServerContext
) -> None:
    """Two publishers in processes of their own; every snapshot's dense, lexical and mask agree to the chunk."""
    writers = [processes.Process(target=change_all_the_time, args=(home, mark, 6)) for mark in ("x", "y")]
    for writer in writers:
        writer.start()
    generations = set()
    while any(writer.is_alive() for writer in writers):
        house.found()
        generations.add(house.index.snapshot().generation)
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(generations) > 5
    serving = set(house.catalog.serving_versions(house.collection_id))
    assert house.found() == serving
    assert {house.versions("x-last")[-1], house.versions("y-last")[-1]} <= serving
    assert house.index.verify() == []
