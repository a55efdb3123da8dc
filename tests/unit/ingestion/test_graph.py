"""The knowledge graph: what is read from a text, and how it follows the index's generations and deletions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.index.catalog import Catalog
from app.index.graph_facts import VersionFacts
from app.index.jobs import JobQueue
from app.index.publishing import delete_collection, delete_document
from ingestion import graph as graph_module
from ingestion.graph import read_facts
from ingestion.maintenance import Maintenance
from tests.unit.ingestion.graph_house import TEXT, House

pytest.importorskip("ladybug", reason="the graph engine is an optional package")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.catalog.close()


def test_everything_that_a_document_says_is_in_the_graph_with_its_place(house: House) -> None:
    document = house.add(TEXT, year=2024, tags=["city", "law"], open=True)
    assert house.builder.due(house.record)
    assert house.builder.build(house.record)
    assert not house.builder.due(house.record)

    edges = house.ask(
        "MATCH (a:Entity)-[r:RELATION]->(b:Entity) RETURN a.name, r.name, b.name, r.char_start, r.char_end "
        "ORDER BY a.name, b.name"
    )
    assert [edge[:3] for edge in edges] == [
        ("Acme Corporation", "founded by", "Ada Byron"),
        ("Acme Corporation", "founded by", "Karl Weiss"),
        ("Paris", "capital of", "France"),
    ]
    assert TEXT[edges[2][3] : edges[2][4]] == "Paris is the capital of France."
    mentions = house.ask(
        "MATCH (:Document)-[m:MENTIONS]->(e:Entity) RETURN e.name, m.char_start, m.char_end, m.version"
    )
    assert len(mentions) == 7
    assert all(TEXT[start:end] == name and version == 1 for name, start, end, version in mentions)
    assert house.ask("MATCH (:Document)-[:HAS_METADATA]->(m:Metadata) RETURN m.key, m.value ORDER BY m.id") == [
        ("open", "true"), ("tags", "city"), ("tags", "law"), ("year", "2024"),
    ]  # fmt: skip
    assert house.ask("MATCH (d:Document)-[:HAS_TABLE]->(t:`Table`) RETURN d.id, t.title, t.columns, t.rows") == [
        (document, "Facts", "City; People", 2)
    ]
    assert house.ask("MATCH (d:Document)-[:HAS_SECTION]->(s:Section) RETURN s.title, s.level") == [("Facts", 2)]
    together = house.ask(
        "MATCH (a:Entity {id: $p1})-[c:CO_OCCURS]-(b:Entity) RETURN b.name, c.count ORDER BY b.name",
        p1="acme corporation",
    )
    assert together == [("Ada Byron", 1), ("Karl Weiss", 1), ("Paris", 1)]


def test_a_deleted_document_leaves_nothing_in_the_graph_and_the_count_is_measured(house: House) -> None:
    gone = house.add(TEXT)
    kept = house.add("Berlin is the capital of Germany.")
    assert house.builder.build(house.record)
    before = sorted(path.name for path in house.files.folder.rglob("*") if path.is_file())
    assert len(before) == 4  # the lock, two versions' facts, the graph

    residual = delete_document(house.catalog, house.index, house.blobs, gone)
    assert residual == {"vectors": 0, "postings": 0, "chunks": 0, "derived": 0}
    left = [path.read_bytes() for path in house.files.folder.rglob("*") if path.is_file()]
    assert not any(b"Acme" in content or b"acme" in content for content in left)

    assert house.builder.due(house.record)  # the graph of the generation without it
    assert house.builder.build(house.record)
    assert house.ask("MATCH (d:Document) RETURN d.id") == [(kept,)]
    assert house.ask("MATCH (e:Entity) RETURN e.name ORDER BY e.name") == [("Berlin",), ("Germany",)]


def test_what_could_not_be_removed_is_counted(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = house.add(TEXT)
    assert house.builder.build(house.record)
    monkeypatch.setattr("app.index.graph_files._remove", lambda _path: None)
    assert delete_document(house.catalog, house.index, house.blobs, gone)["derived"] == 1


def test_a_new_version_takes_the_place_of_the_old_one(house: House) -> None:
    document = house.add("Rome is the capital of Spain.")
    assert house.builder.build(house.record)
    house.add("Rome is the capital of Italy.", document)
    assert house.builder.due(house.record)
    assert house.builder.build(house.record)
    assert house.ask("MATCH (a)-[r:RELATION]->(b) RETURN a.id, b.id, r.version") == [("rome", "italy", 2)]
    assert len(list(house.files.folder.glob("*.lbug"))) == 1
    assert len(list(house.files.folder.glob("facts/*"))) == 1


def test_a_build_during_which_the_collection_changes_is_thrown_away(house: House) -> None:
    first = house.add(TEXT)
    house.add("Berlin is the capital of Germany.")
    calls = iter([lambda: None, lambda: delete_document(house.catalog, house.index, house.blobs, first)])
    assert not house.builder.build(house.record, lambda: next(calls, lambda: None)())  # type: ignore[no-untyped-call]
    assert not list(house.files.folder.glob("*.lbug"))
    assert not list(house.files.folder.glob("staging-*"))
    assert house.builder.build(house.record)
    assert house.ask("MATCH (d:Document) RETURN count(*)") == [(1,)]


def test_each_version_is_read_once_and_damage_is_read_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.add(TEXT)
    assert house.builder.build(house.record)
    house.add("Berlin is the capital of Germany.")
    read: list[int] = []

    def counted(catalog: Catalog, version_id: int) -> VersionFacts:
        read.append(version_id)
        return read_facts(catalog, version_id)

    monkeypatch.setattr(graph_module, "read_facts", counted)
    assert house.builder.build(house.record)
    assert read == [2]
    (house.files.folder / "facts" / "1.json").write_bytes(b'{"version_id": 1')
    house.add("Vienna is the capital of Austria.")
    assert house.builder.build(house.record)
    assert read == [2, 1, 3]
    assert len(house.ask("MATCH ()-[r:RELATION]->() WHERE r.name = 'capital of' RETURN r.name")) == 3


def test_collections_without_the_setting_cost_nothing_and_lose_their_graph(house: House) -> None:
    house.catalog.update_collection("default", {"graph.enabled": False})
    house.add(TEXT)
    assert not house.builder.due(house.record)
    assert not house.files.folder.exists()
    house.catalog.update_collection("default", {"graph.enabled": True})
    assert house.builder.build(house.record)
    house.catalog.update_collection("default", {"graph.enabled": False})
    assert house.builder.due(house.record)
    assert house.builder.build(house.record)
    assert not house.files.folder.exists()
    assert not house.builder.due(house.record)


def test_without_the_engine_nothing_is_built_and_ingestion_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_module, "is_installed", lambda: False)
    house.add(TEXT)
    assert not house.builder.due(house.record)
    assert not house.files.folder.exists()


def test_the_worker_builds_it_when_it_has_nothing_else_to_do(house: House) -> None:
    maintenance = Maintenance(
        catalog=house.catalog, jobs=JobQueue(house.catalog), blobs=house.blobs, index=house.index, compact_segments=16
    )
    house.add(TEXT)
    for _ in range(10):
        maintenance._look_at_s = 0.0
        if not maintenance.start_if_due():
            break
        maintenance.wait(100)
    assert house.ask("MATCH (d:Document) RETURN count(*)") == [(1,)]


def test_hostile_text_reaches_the_graph_as_text_only(house: House) -> None:
    name = "Eve\"', (x) DELETE"
    house.add(
        f"Paris is the capital of France. Mallory's Group; MATCH (n) DETACH DELETE n; {name}", note='a"b,\n"c"; \\'
    )
    assert house.builder.build(house.record)
    assert house.ask("MATCH (m:Metadata) RETURN m.value") == [('a"b,\n"c"; \\',)]
    assert house.ask("MATCH (d:Document) RETURN count(*)") == [(1,)]


def test_a_deleted_collection_takes_its_graph_along(house: House) -> None:
    house.catalog.create_collection("other", settings={"graph.enabled": True})
    record = house.catalog.get_collection("other")
    folder = house.index.collection(record.id).layout.root / "graph"
    folder.mkdir(parents=True)
    delete_collection(house.catalog, house.index, house.blobs, "other")
    assert not folder.exists()
    house.builder.build(record)  # one that comes late makes nothing anew
    assert not folder.exists()
