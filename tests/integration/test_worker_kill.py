"""Kill -9 at any moment: nothing is lost, nothing is indexed twice, nothing is half visible, and the work goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.index.blobs import BlobStore
from app.index.catalog import Catalog
from app.index.jobs import JobQueue
from app.index.records import JobRecord, NewDocument
from tests.integration.worker_runner import POINTS, settings_of, store_of, work, work_until_told

LEASE_S = 0.5
WORDS = ("albatross", "bison", "cormorant", "dolphin", "elephant")
SENTENCES = 3

# Children are forked from a small server that has imported the worker once: real processes, really killed.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.integration.worker_runner"])


def text_of(word: str) -> str:
    """A document of `SENTENCES` chunks, each with its word."""
    filler = "one two three four five six seven eight nine ten"
    return "\n\n".join(f"The {word} number{'abc'[n]} {filler}." for n in range(SENTENCES))


def submit(home: Path) -> JobRecord:
    catalog = Catalog.open(f"sqlite:///{home / 'attest.db'}")
    try:
        blobs = BlobStore(home / "blobs")
        documents = []
        for word in WORDS:
            sha256, size = blobs.put(text_of(word).encode(), 2**20)
            documents.append(NewDocument(sha256, size, None, f"{word}.txt", word, None))
        job, _ = catalog.submit("default", documents)
        return job
    finally:
        catalog.close()


def run(target: Callable[..., None], *args: Any) -> int | None:
    """Exit code of a child that ran `target`; negative for a signal."""
    child = processes.Process(target=target, args=args)
    child.start()
    child.join(100)
    code = child.exitcode
    child.close()
    return code


def visible(home: Path) -> dict[str, int]:
    """Chunks found for each word, through BM25 and through the vectors alike."""
    catalog = Catalog.open(f"sqlite:///{home / 'attest.db'}")
    try:
        snapshot = store_of(settings_of(home, LEASE_S)).collection(catalog.get_collection("default").id).snapshot()
        mask = snapshot.mask()
        counts: dict[str, int] = {}
        for word in WORDS:
            rows = snapshot.search_lexical([word], 100, mask)[0]
            keys = set(snapshot.locate([row.slot for row in rows]))
            chunks = catalog.get_chunks(sorted(keys))
            assert all(chunk.title == word for chunk in chunks.values())
            assert len(keys) == len(rows), "a chunk stands in the index twice"
            counts[word] = len(rows)
        assert snapshot.live_chunks == sum(counts.values())
        return counts
    finally:
        catalog.close()


def check_sound(home: Path, job_id: str) -> None:
    catalog = Catalog.open(f"sqlite:///{home / 'attest.db'}")
    try:
        jobs = JobQueue(catalog)
        ended = jobs.get(job_id)
        assert (ended.status, ended.error, ended.done, ended.total) == ("succeeded", None, len(WORDS), len(WORDS))
        assert [item.status for item in jobs.items(job_id)] == ["ready"] * len(WORDS)
        documents, _ = catalog.list_documents()
        assert sorted(document.title for document in documents) == sorted(WORDS)
        assert {document.status for document in documents} == {"ready"}
        assert {document.chunks for document in documents} == {SENTENCES}
        for document in documents:
            text = catalog.get_text(document.id)
            assert all(c.text == text[c.char_start : c.char_end] for c in catalog.get_document_chunks(document.id))
        index = store_of(settings_of(home, LEASE_S)).collection(catalog.get_collection("default").id)
        assert index.verify() == []
    finally:
        catalog.close()


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_worker_loses_and_doubles_nothing(point: str, home: Path) -> None:
    job = submit(home)
    # the second time, so that a generation is already published; some points come only once a job
    occurrence = {"claimed": 1, "before_job_end": 1, "after_job_end": 1, "loaded": 4, "embedded": 4}.get(point, 2)
    assert run(work, home, point, occurrence, LEASE_S) == -signal.SIGKILL
    assert set(visible(home).values()) <= {0, SENTENCES}, "a document is there as a whole or not at all"
    assert run(work, home, None, 0, LEASE_S) == 0
    assert visible(home) == dict.fromkeys(WORDS, SENTENCES)
    check_sound(home, job.id)


def test_a_worker_killed_again_and_again_still_gets_there(home: Path) -> None:
    job = submit(home)
    for point in ("loaded", "publish_lexicon_committed", "publish_current_replaced", "stored"):
        assert run(work, home, point, 1, LEASE_S) == -signal.SIGKILL
    assert run(work, home, None, 0, LEASE_S) == 0
    assert visible(home) == dict.fromkeys(WORDS, SENTENCES)
    check_sound(home, job.id)


def test_a_document_that_kills_every_worker_is_given_up_and_the_others_go_through(home: Path) -> None:
    job = submit(home)
    for _ in range(10):
        if run(work_but_die_over, home, "cormorant.txt", LEASE_S) == 0:
            break
    else:
        raise AssertionError("no worker ever got past the document")
    assert visible(home) == dict.fromkeys(WORDS, SENTENCES) | {"cormorant": 0}
    catalog = Catalog.open(f"sqlite:///{home / 'attest.db'}")
    try:
        ended = JobQueue(catalog).get(job.id)
        bad = next(each for each in catalog.list_documents()[0] if each.filename == "cormorant.txt")
        assert ended.status == "succeeded"
        assert "worker died" in (ended.error or "")
        assert (bad.status, bad.error_code) == ("failed", "worker_died")
    finally:
        catalog.close()


def work_but_die_over(home: Path, filename: str, lease_s: float) -> None:
    from ingestion import bootstrap

    load = bootstrap.load

    def deadly(path: Path, **kwargs: Any) -> Any:
        if kwargs["filename"] == filename:
            os.kill(os.getpid(), signal.SIGKILL)
        return load(path, **kwargs)

    bootstrap.load = deadly
    work(home, None, 0, lease_s)


def test_a_terminated_worker_hands_its_job_on_at_once(home: Path) -> None:
    job = submit(home)
    started = home / "started"
    child = processes.Process(target=work_until_told, args=(home, 3600.0, started))
    child.start()
    for _ in range(6000):
        if started.exists():
            break
        threading.Event().wait(0.01)
    os.kill(child.pid or 0, signal.SIGTERM)
    child.join(60)
    assert child.exitcode == 0
    child.close()
    assert run(work, home, None, 0, 3600.0) == 0, "with a lease of an hour: it was given back, not waited for"
    assert visible(home) == dict.fromkeys(WORDS, SENTENCES)
    check_sound(home, job.id)


def test_two_workers_share_the_work_and_publish_each_document_once(home: Path) -> None:
    first, second = submit(home), None
    catalog = Catalog.open(f"sqlite:///{home / 'attest.db'}")
    sha256, size = BlobStore(home / "blobs").put(b"The falcon flies.", 100)
    second, _ = catalog.submit("default", [NewDocument(sha256, size, None, "falcon.txt", "falcon", None)])
    catalog.close()
    children = [processes.Process(target=work, args=(home, None, 0, 30.0)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(100)
        assert child.exitcode == 0
        child.close()
    catalog = Catalog.open(f"sqlite:///{home / 'attest.db'}")
    assert {JobQueue(catalog).get(job.id).status for job in (first, second)} == {"succeeded"}
    index = store_of(settings_of(home, LEASE_S)).collection(catalog.get_collection("default").id)
    assert index.snapshot().live_chunks == len(WORDS) * SENTENCES + 1
    assert index.verify() == []
    catalog.close()
