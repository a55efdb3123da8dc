from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import pytest

from app.errors import Cancelled, InvalidInput, NotFound
from app.index.blobs import BlobStore
from app.index.catalog import Catalog
from app.index.jobs import JobQueue
from tests.unit.index.catalog.house import add, digest, new, publish, store

SECRET = "Zanzibarium ist ein Geheimnis 秘密"


def raw_bytes(tmp_path: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(tmp_path.glob("attest.db*")))


def fill(catalog: Catalog) -> list[int]:
    """A document whose every trace holds SECRET: two published versions, a failed one, an answer, feedback."""
    texts = [f"{SECRET}. Much more of {SECRET} {i}." + f"\n{SECRET} filler." * 500 for i in range(3)]
    given: dict[str, Any] = {"title": SECRET, "source_url": SECRET, "filename": SECRET, "metadata": {"tags": [SECRET]}}
    for text in texts[:2]:
        add(catalog, text, "x", **given)
    job, [failed] = catalog.submit("default", [new(texts[2], "x", **given)])
    store(catalog, failed.version_id, texts[2], SECRET, author=SECRET)
    queue = JobQueue(catalog)
    assert queue.claim("w", ["ingest"]) is not None
    catalog.set_version_status(failed.version_id, "failed", f"{SECRET} broke", "corrupt")
    queue.finish_item(job.id, failed.version_id, "failed", f"{SECRET} broke")
    body = {"answer": SECRET, "citations": [{"document_id": "x", "quote": SECRET}]}
    assert catalog.save_answer("answer", "q", body)
    catalog.add_feedback("answer", 1, f"{failed.version_id}-0", SECRET)
    return [version.id for version in catalog.get_versions("x")]


def test_nothing_is_left_not_even_in_the_files(catalog: Catalog, tmp_path: Path) -> None:
    version_ids = fill(catalog)
    catalog.save_answer("other", "q", {"citations": []})
    assert SECRET.encode() in raw_bytes(tmp_path)
    before = catalog.residual_rows("x")
    assert before["chunks"] > 0
    assert before["derived"] >= 3 + 3 + 3 + 1  # texts, metadata entries, described versions, the answer
    records = catalog.remove_document_rows("x")
    assert [record.id for record in records] == version_ids
    assert all(record.sha256 for record in records)
    assert catalog.residual_rows("x") == {"chunks": 0, "derived": 0}
    assert (tmp_path / "attest.db-wal").stat().st_size == 0
    assert catalog.scrub_due()
    assert catalog.scrub()
    assert not catalog.scrub_due()
    files = raw_bytes(tmp_path)
    assert SECRET.encode() not in files
    assert b"Zanzibarium" not in files  # how JSON escapes the rest does not matter
    assert catalog.get_answer("other") == {"citations": []}
    with pytest.raises(NotFound, match="quoted was deleted"):
        catalog.get_answer("answer")
    assert catalog.list_feedback() == ([], None)
    assert catalog.deleted_versions(1) == sorted(version_ids)


def test_no_copy_is_left_where_pages_were_split(catalog: Catalog, tmp_path: Path) -> None:
    """Deleting zeroes a row, but not the copies that SQLite leaves in a page's unused middle when it moves rows."""
    random = Random(0)
    numbers = random.sample(range(1_500), 1_500)  # inserting in no order splits pages
    gone = set(random.sample(range(1_500), 750))
    with catalog.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE probe (n INTEGER PRIMARY KEY, text TEXT)")
        rows = [(n, f"MARK{n:04d}X" + "w" * random.randrange(1, 300)) for n in numbers]
        connection.exec_driver_sql("INSERT INTO probe VALUES (?, ?)", rows)
    with catalog.writing() as connection:
        connection.exec_driver_sql("DELETE FROM probe WHERE n = ?", [(n,) for n in sorted(gone)])
    assert catalog.scrub()
    found = {int(number) for number in re.findall(rb"MARK(\d{4})X", raw_bytes(tmp_path))}
    assert found == set(numbers) - gone


def test_a_tombstone_stays_and_the_id_may_come_back(catalog: Catalog) -> None:
    add(catalog, "One. Two.", "x", title="T", metadata={"k": "v"})
    old = catalog.get_document("x").version_id
    catalog.remove_document_rows("x")
    record = catalog.get_document("x")
    assert (record.status, record.title, record.metadata, record.sha256, record.chunks) == ("deleted", "", {}, "", 0)
    assert catalog.list_documents() == ([], None)
    assert catalog.get_chunks([(old, 0)]) == {}
    assert catalog.matching_versions("default", {"k": "v"}) == set()
    with pytest.raises(NotFound, match="deleted"):
        catalog.get_text("x")
    assert [version.status for version in catalog.remove_document_rows("x")] == ["deleted"]  # again: harmless
    add(catalog, "One. Two.", "x")
    assert (catalog.get_document("x").version, catalog.get_document("x").status) == (2, "ready")
    assert [version.status for version in catalog.get_versions("x")] == ["ready", "deleted"]
    assert catalog.deleted_versions(1) == [old]


def test_a_deleted_id_may_come_back_in_another_collection(catalog: Catalog) -> None:
    catalog.create_collection("laws")
    add(catalog, "One.", "x")
    catalog.remove_document_rows("x")
    add(catalog, "One.", "x", "laws")
    record = catalog.get_document("x")
    assert (record.collection, record.version, record.status) == ("laws", 2, "ready")
    assert catalog.deleted_versions(1) == [1]


def test_work_under_way_stops_and_can_not_bring_it_back(catalog: Catalog, queue: JobQueue) -> None:
    _, [submitted, other] = catalog.submit("default", [new("One.", "x"), new("Two.", "y")])
    job = queue.claim("w", ["ingest"])
    assert job is not None
    store(catalog, submitted.version_id, "One.")
    catalog.remove_document_rows("x")
    assert catalog.why_unwanted(submitted.version_id) == "the document was deleted"
    for step in (
        lambda: store(catalog, submitted.version_id, "One."),
        lambda: catalog.set_version_status(submitted.version_id, "indexing"),
        lambda: catalog.work_item(submitted.version_id),
    ):
        with pytest.raises(Cancelled, match="deleted"):
            step()
    catalog.set_version_status(submitted.version_id, "failed", "late")
    publish(catalog, submitted.version_id)
    queue.finish_item(job.id, submitted.version_id, "ready")
    assert catalog.get_document("x").status == "deleted"
    assert catalog.residual_rows("x") == {"chunks": 0, "derived": 0}
    assert [item.status for item in queue.items(job.id)] == ["cancelled", "queued"]
    assert not catalog.save_answer("late", "q", {"passages": [{"hit": {"chunk": {"document_id": "x"}}}]})
    assert catalog.is_wanted(other.version_id)


def test_errors_that_may_name_the_file_go_too(catalog: Catalog, queue: JobQueue) -> None:
    catalog.submit("default", [new("a", "x"), new("b", "y")])
    job = queue.claim("w", ["ingest"])
    assert job is not None
    for item in queue.items(job.id):
        catalog.set_version_status(item.version_id, "failed", "contract.pdf is encrypted")
        queue.finish_item(job.id, item.version_id, "failed", "contract.pdf is encrypted")
    assert queue.succeed(job.id, "w")
    assert "contract.pdf" in (queue.get(job.id).error or "")
    catalog.remove_document_rows("x")
    assert queue.get(job.id).error == "removed together with a deleted document"
    assert [item.error for item in queue.items(job.id)] == [None, "contract.pdf is encrypted"]


def test_unknown_documents(catalog: Catalog) -> None:
    for call in (catalog.remove_document_rows, catalog.residual_rows, catalog.get_versions):
        with pytest.raises(NotFound, match="'x'"):
            call("x")  # type: ignore[operator]


def test_blobs_go_with_their_last_reference(catalog: Catalog, tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    catalog.create_collection("laws")
    for text in ("Shared.", "Own."):
        blobs.put(text.encode(), 100)
    add(catalog, "Shared.", "x")
    add(catalog, "Own.", "x")
    add(catalog, "Shared.", "law", "laws")
    digests = {record.sha256 for record in catalog.remove_document_rows("x")}
    assert digests == {digest("Shared."), digest("Own.")}
    assert catalog.release_blobs(digests, blobs.delete) == [digest("Own.")]
    assert list(blobs.sha256s()) == [digest("Shared.")]
    catalog.remove_document_rows("law")
    assert catalog.release_blobs([*digests, ""], blobs.delete) == sorted(digests)
    assert list(blobs.sha256s()) == []


def test_checkpoint_says_when_a_reader_is_in_the_way(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.index.dialect.CHECKPOINT_TIMEOUT_MS", 10)
    add(catalog, "One.")
    with catalog.reading() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM documents").scalar()
        add(catalog, "Two.")
        assert catalog.checkpoint() is False
        catalog.remove_document_rows(catalog.list_documents()[0][0].id)
        assert catalog.scrub() is False
        assert catalog.scrub_due()
    assert catalog.checkpoint() is True
    assert catalog.scrub() is True


class TestAnswers:
    def test_saved_read_and_judged(self, catalog: Catalog) -> None:
        add(catalog, "One.", "x")
        body = {"answer": "One. [1]", "citations": [{"document_id": "x"}], "confidence": 0.5}
        assert catalog.save_answer("a", "q", body)
        assert catalog.get_answer("a") == body
        first = catalog.add_feedback("a", 1)
        second = catalog.add_feedback("a", -1, "1-0", "wrong")
        page, cursor = catalog.list_feedback(limit=1)
        assert [record.id for record in page] == [first]
        page, cursor = catalog.list_feedback(cursor=cursor)
        assert [(r.id, r.answer_id, r.rating, r.chunk_id, r.comment) for r in page] == [
            (second, "a", -1, "1-0", "wrong")
        ]
        assert cursor is None
        assert catalog.list_feedback("b") == ([], None)

    def test_refusals(self, catalog: Catalog) -> None:
        catalog.save_answer("a", "q", {})
        for rating in (0, 2, True):
            with pytest.raises(InvalidInput, match="rating"):
                catalog.add_feedback("a", rating)
        with pytest.raises(NotFound, match="'b'"):
            catalog.add_feedback("b", 1)
        with pytest.raises(NotFound, match="'b'"):
            catalog.get_answer("b")
        with pytest.raises(InvalidInput, match="body"):
            catalog.save_answer("c", "q", {"score": float("nan")})
