"""The versions of a document: which one serves, and which one served when."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.errors import Cancelled, InvalidInput
from app.index.catalog import Catalog
from tests.unit.index.catalog.house import Clock, add, publish, store, submit_one


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


def test_times_are_aware_and_utc(catalog: Catalog, clock: Clock) -> None:
    add(catalog, "One.", "x")
    record = catalog.get_document("x")
    assert record.created_at.utcoffset() == timedelta(0)
    assert record.updated_at == clock()
    with pytest.raises(Exception, match="no zone"):
        catalog.finish_publication(1, [submit_one(catalog, "Two.").version_id], clock().replace(tzinfo=None), 1)
