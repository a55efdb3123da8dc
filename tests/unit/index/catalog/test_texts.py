"""Texts, chunks and the lists of documents."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import InvalidInput, NotFound
from app.index.catalog import Catalog
from app.types import Chunk, LoadedDocument, PageSpan
from tests.unit.index.catalog.house import Clock, add, new, store, submit_one


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
