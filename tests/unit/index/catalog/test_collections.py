"""Opening a catalog, and the collections in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import Conflict, InvalidInput, NotFound, Unavailable
from app.index.catalog import Catalog
from tests.unit.index.catalog.house import Clock, add, digest, new, submit_one


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
