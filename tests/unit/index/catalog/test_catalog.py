from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import Cancelled, Conflict, InvalidInput, NotFound, Overloaded, Unavailable
from app.index.catalog import Catalog
from app.index.records import SubmittedDocument
from app.types import Chunk, LoadedDocument, PageSpan
from tests.unit.index.catalog.house import Clock, add, digest, new, publish, start_python, store


def submit_one(catalog: Catalog, text: str, document_id: str | None = None, **given: object) -> SubmittedDocument:
    return catalog.submit("default", [new(text, document_id, **given)])[1][0]


class TestOpening:
    def test_default_exists_and_stays_one(self, url: str, catalog: Catalog) -> None:
        again = Catalog.open(url)
        assert [record.name for record in again.list_collections()] == ["default"]
        assert again.get_collection("default").id == catalog.get_collection("default").id
        again.close()

    @pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "postgresql://localhost/attest"])
    def test_only_files(self, url: str) -> None:
        with pytest.raises(InvalidInput, match="not a SQLite file"):
            Catalog.open(url)

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "attest.db").write_bytes(b"no database at all, and long enough to have a header" * 50)
        with pytest.raises(Unavailable, match="ATTEST_HOME"):
            Catalog.open(f"sqlite:///{tmp_path / 'attest.db'}")

    def test_every_connection_is_durable_and_scrubs(self, catalog: Catalog) -> None:
        with catalog.reading() as connection:
            found = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
            }
        assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}


class TestCollections:
    def test_create_and_read(self, catalog: Catalog, clock: Clock) -> None:
        made = catalog.create_collection("laws", "Acts", {"language": "en"})
        assert catalog.get_collection("laws") == made
        assert (made.description, made.settings, made.created_at) == ("Acts", {"language": "en"}, clock())
        assert [record.name for record in catalog.list_collections()] == ["default", "laws"]

    def test_refusals(self, catalog: Catalog) -> None:
        with pytest.raises(Conflict, match="default"):
            catalog.create_collection("default")
        for name in ("", "a:b", "a/b", "-a", "é", "a" * 65):
            with pytest.raises(InvalidInput, match="collection name"):
                catalog.create_collection(name)
        with pytest.raises(InvalidInput, match="settings"):
            catalog.create_collection("x", settings={"limit": float("nan")})
        with pytest.raises(NotFound, match="laws"):
            catalog.get_collection("laws")
        with pytest.raises(InvalidInput, match="always exists"):
            catalog.delete_collection("default")

    def test_deletion_takes_all_rows_and_no_id_comes_back(self, catalog: Catalog) -> None:
        old = catalog.create_collection("laws")
        document_id = add(catalog, "One. Two.", collection="laws")
        version_id = catalog.get_document(document_id).version_id
        catalog.save_answer("a1", "q", {"citations": [{"document_id": document_id}]})
        _, [queued] = catalog.submit("laws", [new("waiting")])
        assert sorted(catalog.collection_blobs("laws")) == sorted([digest("One. Two."), digest("waiting")])
        assert catalog.delete_collection("laws") == old
        with pytest.raises(NotFound):
            catalog.get_document(document_id)
        with pytest.raises(NotFound):
            catalog.get_answer("a1")
        assert catalog.get_chunks([(version_id, 0)]) == {}
        with pytest.raises(NotFound, match="collection was deleted"):
            catalog.set_version_status(queued.version_id, "loading")
        assert catalog.why_unwanted(queued.version_id) == "its collection was deleted"
        assert catalog.create_collection("laws").id > old.id
        assert catalog.submit("laws", [new("waiting")])[1][0].version_id > queued.version_id

    def test_counts_are_of_what_serves(self, catalog: Catalog) -> None:
        add(catalog, "One. Two.", "a")
        submit_one(catalog, "waiting", "b")
        submit_one(catalog, "One. Two. Three.", "a")  # the update does not serve yet
        gone = add(catalog, "Gone.", "c")
        catalog.remove_document_rows(gone)
        assert catalog.collection_counts("default") == {
            "documents": 2,
            "chunks": 2,
            "bytes": 9,
            "chars": 9,
            "by_status": {"ready": 1, "queued": 1},
        }


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


class TestVersions:
    def test_the_old_version_serves_until_the_new_one_is_published(self, catalog: Catalog, clock: Clock) -> None:
        add(catalog, "Old.", "x", title="Old")
        first = catalog.get_document("x")
        update = submit_one(catalog, "New.", "x")
        store(catalog, update.version_id, "New.", "New")
        assert catalog.replaced_by([update.version_id]) == {update.version_id: (first.version_id,)}
        while_indexing = catalog.get_document("x")
        assert (while_indexing.version, while_indexing.status, while_indexing.title) == (1, "ready", "Old")
        assert catalog.get_document("x", 2).status == "embedding"
        assert catalog.get_text("x") == "Old."
        moved = clock.advance(60)
        publish(catalog, update.version_id, generation=7)
        now = catalog.get_document("x")
        assert (now.version, now.status, now.title, now.created_at) == (2, "ready", "New", first.created_at)
        new_one, old_one = catalog.get_versions("x")
        assert (old_one.valid_from, old_one.valid_to) == (first.created_at, moved)
        assert (new_one.valid_from, new_one.valid_to, new_one.generation) == (moved, None, 7)
        assert catalog.get_text("x", 1) == "Old."
        assert catalog.serving_versions(1) == [update.version_id]
        assert catalog.version_ids(1, ["ready"]) == [first.version_id, update.version_id]

    def test_a_failed_update_leaves_the_old_version(self, catalog: Catalog) -> None:
        add(catalog, "Old.", "x")
        update = submit_one(catalog, "Bad.", "x")
        catalog.set_version_status(update.version_id, "loading")
        catalog.set_version_status(update.version_id, "failed", "encrypted: remove the password", "encrypted")
        record = catalog.get_document("x")
        assert (record.version, record.status) == (1, "ready")
        assert (record.error, record.error_code) == ("encrypted: remove the password", "encrypted")
        assert catalog.get_versions("x")[0].error == "encrypted: remove the password"
        assert catalog.get_document("x", 1).error is None
        assert submit_one(catalog, "Old.").duplicate  # its bytes are the current ones again
        assert submit_one(catalog, "Bad.").duplicate is False
        retried = submit_one(catalog, "Bad.", "x")
        assert retried.version == 3
        assert catalog.get_document("x").error is None

    def test_progress_shows_while_nothing_serves(self, catalog: Catalog) -> None:
        version_id = submit_one(catalog, "One.", "x").version_id
        seen = []
        for status in ("loading", "chunking"):
            catalog.set_version_status(version_id, status)
            seen.append(catalog.get_document("x").status)
        store(catalog, version_id, "One.")
        seen.append(catalog.get_document("x").status)
        catalog.set_version_status(version_id, "indexing")
        seen.append(catalog.get_document("x").status)
        publish(catalog, version_id)
        seen.append(catalog.get_document("x").status)
        assert seen == ["loading", "chunking", "embedding", "indexing", "ready"]

    def test_failed_bytes_may_come_again(self, catalog: Catalog) -> None:
        first = submit_one(catalog, "a")
        catalog.set_version_status(first.version_id, "failed", "corrupt", "corrupt")
        assert catalog.get_document(first.id).status == "failed"
        assert submit_one(catalog, "a").duplicate is False

    def test_what_ended_stays_ended(self, catalog: Catalog) -> None:
        version_id = submit_one(catalog, "One.", "x").version_id
        catalog.set_version_status(version_id, "failed", "corrupt", "corrupt")
        with pytest.raises(Cancelled, match="failed"):
            catalog.set_version_status(version_id, "loading")
        with pytest.raises(Cancelled):
            store(catalog, version_id, "One.")
        with pytest.raises(Cancelled):
            catalog.work_item(version_id)
        catalog.set_version_status(version_id, "failed", "another reason")
        assert catalog.get_versions("x")[0].error == "corrupt"
        assert catalog.why_unwanted(version_id) == "it failed: corrupt"

    def test_ready_is_for_publication_only(self, catalog: Catalog) -> None:
        version_id = submit_one(catalog, "One.").version_id
        for status in ("ready", "deleted", "nonsense"):
            with pytest.raises(InvalidInput, match="cannot be set here"):
                catalog.set_version_status(version_id, status)  # type: ignore[arg-type]

    def test_publication_may_be_repeated(self, catalog: Catalog, clock: Clock) -> None:
        add(catalog, "Old.", "x")
        update = submit_one(catalog, "New.", "x").version_id
        store(catalog, update, "New.")
        publish(catalog, update)
        before = catalog.get_versions("x")
        clock.advance(60)
        publish(catalog, update, generation=9)
        assert catalog.get_versions("x") == before

    def test_a_late_old_version_does_not_take_over(self, catalog: Catalog) -> None:
        second, third = submit_one(catalog, "2.", "x"), submit_one(catalog, "3.", "x")
        for version, text in ((second, "2."), (third, "3.")):
            store(catalog, version.version_id, text)
        assert catalog.is_wanted(second.version_id)
        publish(catalog, third.version_id)
        assert catalog.why_unwanted(second.version_id) == "version 2 serves already"
        publish(catalog, second.version_id)
        assert catalog.get_document("x").version == 2
        late = catalog.get_versions("x")[1]
        assert late.valid_from == late.valid_to

    def test_two_versions_published_at_once(self, catalog: Catalog) -> None:
        first, second = submit_one(catalog, "1.", "x").version_id, submit_one(catalog, "2.", "x").version_id
        for version_id, text in ((first, "1."), (second, "2.")):
            store(catalog, version_id, text)
        assert catalog.replaced_by([second, first]) == {first: (), second: (first,)}
        publish(catalog, first, second)
        assert catalog.get_document("x").version_id == second
        assert catalog.serving_versions(1) == [second]

    def test_a_published_version_is_ready_though_its_job_was_cancelled(self, catalog: Catalog) -> None:
        version_id = submit_one(catalog, "One.", "x").version_id
        store(catalog, version_id, "One.")
        catalog.set_version_status(version_id, "failed", "the job was cancelled", "cancelled")
        publish(catalog, version_id)  # the manifest named it already: the index is the truth
        record = catalog.get_document("x")
        assert (record.status, record.error) == ("ready", None)
        assert submit_one(catalog, "One.").duplicate


class TestText:
    def test_chunks_with_what_a_hit_needs(self, catalog: Catalog) -> None:
        add(catalog, "First. 第二句.", "x", title="T", source_url="https://example.org/x", metadata={"tags": ["a"]})
        version_id = catalog.get_document("x").version_id
        found = catalog.get_chunks([(version_id, 1), (version_id, 0), (version_id, 7), (999, 0)])
        assert sorted(found) == [(version_id, 0), (version_id, 1)]
        chunk = found[version_id, 1]
        assert (chunk.chunk_id, chunk.document_id, chunk.version) == (f"{version_id}-1", "x", 1)
        assert (chunk.collection, chunk.title, chunk.source_url) == ("default", "T", "https://example.org/x")
        assert (chunk.text, chunk.page, chunk.heading_path, chunk.metadata) == (" 第二句", 1, ("H",), {"tags": ["a"]})
        assert catalog.get_text("x")[chunk.char_start : chunk.char_end] == chunk.text
        assert catalog.get_document_chunks("x") == [found[version_id, 0], found[version_id, 1]]
        assert catalog.embedding_texts([version_id])[version_id, 0] == "T › H\nFirst"
        assert catalog.get_pages(version_id) == [PageSpan(1, 0, 11)]
        assert catalog.get_chunks([]) == {}

    def test_storing_again_replaces(self, catalog: Catalog) -> None:
        version_id = submit_one(catalog, "x").version_id
        store(catalog, version_id, "One. Two. Three.", kind="old")
        store(catalog, version_id, "One.", kind="new")
        assert len(catalog.get_chunks([(version_id, i) for i in range(3)])) == 1
        assert catalog.get_texts([version_id, 999]) == {version_id: "One."}
        assert catalog.matching_versions("default", {"kind": "old"}) == set()

    def test_the_callers_metadata_wins(self, catalog: Catalog, clock: Clock) -> None:
        version_id = submit_one(catalog, "x", "x", metadata={"author": "caller"}).version_id
        store(catalog, version_id, "One.", author="loader", language="en", empty=None, made=clock().date())
        assert catalog.get_document("x").metadata == {"author": "caller", "language": "en", "made": "2026-01-01"}

    def test_a_chunk_must_be_its_text(self, catalog: Catalog) -> None:
        version_id = submit_one(catalog, "x").version_id
        loaded = LoadedDocument("One.", "text/plain")
        for chunks, message in (
            ([Chunk(0, "One", 1, 4)], "chunk 0 is not the text"),
            ([Chunk(0, "", 2, 2)], "chunk 0 is not the text"),
            ([Chunk(1, "One", 0, 3)], "without gaps"),
        ):
            with pytest.raises(InvalidInput, match=message):
                catalog.store_text(version_id, loaded, "T", chunks)
        with pytest.raises(InvalidInput, match="character 1"):
            catalog.store_text(version_id, LoadedDocument("a\udc80", "text/plain"), "T", [])
        assert catalog.get_texts([version_id]) == {}

    def test_no_text_yet(self, catalog: Catalog) -> None:
        submit_one(catalog, "x", "x")
        with pytest.raises(NotFound, match="queued"):
            catalog.get_text("x")
        with pytest.raises(NotFound, match="version 2"):
            catalog.get_text("x", 2)
        with pytest.raises(NotFound, match="'y'"):
            catalog.get_document("y")

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), data=st.data())
    def test_any_text_comes_back_as_it_was(self, catalog: Catalog, text: str, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(text) - 1))
        end = data.draw(st.integers(start + 1, len(text)))
        version_id = submit_one(catalog, "any", "any", metadata={"t": text}).version_id
        catalog.store_text(
            version_id, LoadedDocument(text, "text/plain"), text, [Chunk(0, text[start:end], start, end)]
        )
        assert catalog.get_texts([version_id])[version_id] == text
        assert catalog.get_chunks([(version_id, 0)])[version_id, 0].text == text[start:end]


class TestListing:
    def test_pages_are_stable_under_inserts(self, catalog: Catalog) -> None:
        ids = [submit_one(catalog, str(i), f"d{i}").id for i in range(5)]
        page, cursor = catalog.list_documents(limit=2)
        assert [d.id for d in page] == ["d4", "d3"]
        submit_one(catalog, "later", "later")
        rest: list[str] = []
        while cursor is not None:
            page, cursor = catalog.list_documents(limit=2, cursor=cursor)
            rest.extend(d.id for d in page)
        assert rest == ids[2::-1]

    def test_by_collection_and_status(self, catalog: Catalog) -> None:
        catalog.create_collection("laws")
        add(catalog, "One.", "ready")
        submit_one(catalog, "a", "queued")
        add(catalog, "Gone.", "gone")
        catalog.remove_document_rows("gone")
        catalog.submit("laws", [new("b", "law")])

        def ids(**filters: str) -> list[str]:
            return [document.id for document in catalog.list_documents(**filters)[0]]  # type: ignore[arg-type]

        assert ids() == ["law", "queued", "ready"]
        assert ids(collection="laws") == ["law"]
        assert ids(status="queued") == ["law", "queued"]
        assert ids(collection="default", status="ready") == ["ready"]
        assert ids(status="deleted") == ["gone"]

    def test_bad_arguments(self, catalog: Catalog) -> None:
        for cursor in ("x", "czE", "!!", "c-1", "", "\x00", "é"):
            if cursor == "czE":
                assert catalog.list_documents(cursor=cursor) == ([], None)
                continue
            with pytest.raises(InvalidInput, match="cursor"):
                catalog.list_documents(cursor=cursor)
        for limit in (0, -1, 1_001):
            with pytest.raises(InvalidInput, match="limit"):
                catalog.list_documents(limit=limit)
        with pytest.raises(InvalidInput, match="status"):
            catalog.list_documents(status="lost")  # type: ignore[arg-type]
        with pytest.raises(NotFound):
            catalog.list_documents("laws")


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


class TestCrashes:
    def test_acknowledged_is_kept_and_unfinished_is_not(self, url: str, catalog: Catalog) -> None:
        script = """
import os, signal, sys
from sqlalchemy import insert
from app.index.catalog import Catalog, utc_now
from app.index.tables import collections
from tests.unit.index.catalog.house import new
catalog = Catalog.open(sys.argv[1])
catalog.submit("default", [new("acknowledged", "kept")])
with catalog.writing() as connection:
    connection.execute(insert(collections).values(name="half", description="", settings={}, created_at=utc_now()))
    os.kill(os.getpid(), signal.SIGKILL)
"""
        process = start_python(script, url)
        process.communicate(timeout=60)
        assert process.returncode == -9
        assert catalog.get_document("kept").status == "queued"
        assert [record.name for record in catalog.list_collections()] == ["default"]
        add(catalog, "Work goes on.", "next")  # no lock is left behind

    def test_two_processes_and_their_threads_write_at_once(self, url: str, catalog: Catalog) -> None:
        script = """
import sys
from concurrent.futures import ThreadPoolExecutor
from app.index.catalog import Catalog
from tests.unit.index.catalog.house import add
catalog = Catalog.open(sys.argv[1])
def work(thread):
    for i in range(6):
        add(catalog, f"Text {thread} {i}.", f"{sys.argv[2]}-{thread}-{i}")
        catalog.list_documents()
        add(catalog, f"Shared {i}.")
with ThreadPoolExecutor(3) as pool:
    list(pool.map(work, range(3)))
catalog.close()
"""
        processes = [start_python(script, url, name) for name in ("left", "right")]
        for process in processes:
            _, errors = process.communicate(timeout=100)
            assert process.returncode == 0, errors
        documents, _ = catalog.list_documents(limit=1_000)
        assert all(document.status == "ready" for document in documents)
        # both processes submit the same 18 texts under their own ids, and 6 shared ones: each is stored once
        assert len(documents) == 18 + 6
        assert len({document.sha256 for document in documents}) == 18 + 6


def test_times_are_aware_and_utc(catalog: Catalog, clock: Clock) -> None:
    add(catalog, "One.", "x")
    record = catalog.get_document("x")
    assert record.created_at.utcoffset() == timedelta(0)
    assert record.updated_at == clock()
    with pytest.raises(Exception, match="no zone"):
        catalog.finish_publication(1, [submit_one(catalog, "Two.").version_id], clock().replace(tzinfo=None), 1)
