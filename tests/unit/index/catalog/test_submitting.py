"""What is submitted: new, duplicate, refused, and past a limit."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.errors import Conflict, InvalidInput, NotFound, Overloaded, Unavailable
from app.index.catalog import Catalog
from app.index.records import SubmittedDocument
from tests.unit.index.catalog.house import Clock, add, digest, new, publish, store, submit_one


class TestSubmitting:
    def test_new_documents_are_queued_in_one_job(self, catalog: Catalog, clock: Clock) -> None:
        job, submitted = catalog.submit("default", [new("a", title="A", metadata={"y": 1}), new("b", "mine")])
        assert [(d.version, d.status, d.duplicate) for d in submitted] == [(1, "queued", False)] * 2
        assert submitted[1].id == "mine"
        assert submitted[0].id.startswith("doc_")
        assert (job.status, job.kind, job.done, job.total, job.unit) == ("queued", "ingest", 0, 2, "documents")
        assert job.document_ids == tuple(d.id for d in submitted)
        record = catalog.get_document(submitted[0].id)
        assert (record.title, record.metadata, record.status, record.created_at) == ("A", {"y": 1}, "queued", clock())
        item = catalog.work_item(submitted[0].version_id)
        assert (item.collection, item.sha256, item.title, item.status) == ("default", digest("a"), "A", "queued")

    def test_same_bytes_are_a_duplicate(self, catalog: Catalog) -> None:
        first = submit_one(catalog, "a")
        job, [again, under_an_id] = catalog.submit("default", [new("a"), new("a", "mine")])
        assert (again.id, again.version_id, again.duplicate, again.status) == (
            first.id,
            first.version_id,
            True,
            "queued",
        )
        assert under_an_id.id == first.id
        assert (job.status, job.done, job.total) == ("succeeded", 2, 2)
        assert job.finished_at is not None
        assert len(catalog.list_documents()[0]) == 1

    def test_same_bytes_in_one_batch(self, catalog: Catalog) -> None:
        job, [first, second] = catalog.submit("default", [new("a"), new("a")])
        assert (first.duplicate, second.duplicate) == (False, True)
        assert first.version_id == second.version_id
        assert (job.status, job.done, job.total) == ("queued", 1, 2)

    def test_other_collections_do_not_matter(self, catalog: Catalog) -> None:
        catalog.create_collection("laws")
        first = submit_one(catalog, "a")
        other = catalog.submit("laws", [new("a")])[1][0]
        assert not other.duplicate
        assert other.id != first.id

    def test_concurrent_submissions_store_once(self, catalog: Catalog) -> None:
        barrier = threading.Barrier(8)

        def one(_: int) -> SubmittedDocument:
            barrier.wait()
            return submit_one(catalog, "the same")

        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(one, range(8)))
        assert len({result.version_id for result in results}) == 1
        assert sorted(result.duplicate for result in results) == [False] + [True] * 7

    def test_a_known_id_gets_a_version(self, catalog: Catalog) -> None:
        submit_one(catalog, "a", "x")
        assert submit_one(catalog, "b", "x").version == 2
        assert submit_one(catalog, "c", "x", replace=True).version == 3
        assert [v.version for v in catalog.get_versions("x")] == [3, 2, 1]

    def test_two_versions_of_one_id_in_a_batch(self, catalog: Catalog) -> None:
        job, submitted = catalog.submit("default", [new("a", "x"), new("b", "x"), new("b", "x")])
        assert [(d.version, d.duplicate) for d in submitted] == [(1, False), (2, False), (2, True)]
        assert job.document_ids == ("x",)
        assert submit_one(catalog, "a").duplicate is False  # nothing serves or will serve those bytes

    def test_put_needs_the_document(self, catalog: Catalog) -> None:
        with pytest.raises(NotFound, match="'x'"):
            submit_one(catalog, "a", "x", replace=True)
        add(catalog, "a", "x")
        catalog.remove_document_rows("x")
        with pytest.raises(NotFound, match="'x'"):
            submit_one(catalog, "b", "x", replace=True)

    def test_saying_the_same_again_is_a_duplicate(self, catalog: Catalog) -> None:
        _, [first] = catalog.submit("default", [new("One.", "x", title="T", metadata={"year": 2020})])
        store(catalog, first.version_id, "One.", "T", author="loader")
        publish(catalog, first.version_id)
        assert submit_one(catalog, "One.", "x", title="T", metadata={"year": 2020}, replace=True).duplicate
        assert submit_one(catalog, "One.", "x").duplicate
        assert submit_one(catalog, "One.", "x", metadata={"year": 2021}, replace=True).version == 2
        assert submit_one(catalog, "One.", "x", title="Another").version == 3

    def test_an_update_to_bytes_of_another_document_is_not_lost(self, catalog: Catalog) -> None:
        add(catalog, "a", "x")
        add(catalog, "b", "y")
        update = submit_one(catalog, "a", "y", replace=True)
        assert (update.id, update.version, update.duplicate) == ("y", 2, False)
        assert submit_one(catalog, "a").id == "x"
        assert submit_one(catalog, "b").duplicate is False

    def test_swapping_bytes_in_one_batch(self, catalog: Catalog) -> None:
        add(catalog, "a", "x")
        add(catalog, "b", "y")
        _, swapped = catalog.submit("default", [new("b", "x"), new("a", "y"), new("a"), new("b")])
        assert [(d.id, d.version, d.duplicate) for d in swapped[:2]] == [("x", 2, False), ("y", 2, False)]
        assert catalog.get_versions("x")[0].sha256 == digest("b")

    def test_all_or_nothing(self, catalog: Catalog) -> None:
        catalog.create_collection("laws")
        submit_one(catalog, "a", "x")
        with pytest.raises(Conflict, match="another collection"):
            catalog.submit("laws", [new("fine"), new("b", "x")])
        assert catalog.list_documents("laws") == ([], None)
        assert [v.version for v in catalog.get_versions("x")] == [1]

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"document_id": "a/b"}, "document id"),
            ({"document_id": ".."}, "document id"),
            ({"document_id": "a" * 129}, "document id"),
            ({"metadata": {"a": None}}, "'a'"),
            ({"metadata": {"a": {"b": 1}}}, "'a'"),
            ({"metadata": {"a": float("inf")}}, "'a'"),
            ({"metadata": {"a": 10**400}}, "'a'"),
            ({"metadata": {"a": ["x", ["y"]]}}, "'a'"),
            ({"metadata": {"": 1}}, "1 to 128"),
            ({"metadata": {"a": "\ud800"}}, "surrogate"),
            ({"metadata": {str(i): i for i in range(300)}}, "at most 256"),
            ({"title": "\ud800"}, "title"),
            ({"replace": True}, "document_id"),
        ],
    )
    def test_bad_documents(self, catalog: Catalog, given: dict[str, object], message: str) -> None:
        with pytest.raises(InvalidInput, match=message):
            submit_one(catalog, "a", **given)
        assert catalog.list_documents() == ([], None)

    def test_bad_calls(self, catalog: Catalog) -> None:
        with pytest.raises(InvalidInput, match="at least one"):
            catalog.submit("default", [])
        with pytest.raises(NotFound, match="laws"):
            catalog.submit("laws", [new("a")])

    def test_bytes_deleted_while_they_were_uploaded(self, catalog: Catalog) -> None:
        with pytest.raises(Unavailable, match="upload them again"):
            catalog.submit("default", [new("a")], blob_exists=lambda _: False)
        assert catalog.list_documents() == ([], None)


class TestLimits:
    def test_what_the_database_cannot_take(self, catalog: Catalog) -> None:
        with pytest.raises(InvalidInput, match="64 bits"):
            catalog.get_document("x", 10**30)
        with pytest.raises(InvalidInput, match="surrogate"):
            catalog.get_document("\ud800")
        assert catalog.get_chunks([(10**30, 0), (1, -1)]) == {}

    def test_a_write_inside_a_write_is_refused(self, catalog: Catalog) -> None:
        with catalog.writing(), pytest.raises(RuntimeError, match="wait for itself"):
            submit_one(catalog, "a")
        assert submit_one(catalog, "a").version == 1

    def test_a_writer_that_holds_on_too_long(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.index.dialect._PRAGMAS", ("PRAGMA busy_timeout = 10",))
        first, second = Catalog.open(url), Catalog.open(url)
        with first.writing(), pytest.raises(Overloaded, match="busy"):
            submit_one(second, "a")
        assert submit_one(second, "a").version == 1
        first.close()
        second.close()
