"""What happens to a collection's index later: deleting, compacting, rebuilding, and damage on the disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from app.errors import Conflict, IntegrityError, InvalidInput, Unavailable
from app.index import compaction, snapshot
from app.index.generations import CollectionIndex, PreparedVersion
from app.index.lexicon import Engine
from app.index.residuals import measure
from tests.unit.index.corpus import (
    START,
    chunks_of,
    day,
    dense,
    lexical,
    own_word,
    prepared,
    publish,
    store,
    text_of,
    texts,
    vector_of,
)


@pytest.fixture(params=["tantivy", "rank_bm25"])
def engine(request: pytest.FixtureRequest) -> Engine:
    name: Engine = request.param
    return name


@pytest.fixture
def index(tmp_path: Path, engine: Engine) -> CollectionIndex:
    return store(tmp_path, lexicon_engine=engine).collection(1)


def everything_on_disk(root: Path) -> bytes:
    return b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())


def on_lexicons_disk(index: CollectionIndex, word: str) -> bool:
    """Whether any BM25 directory still holds the word; tantivy counts a deleted row until its segment is gone."""
    names = [path.name for path in index.layout.root.glob("lexicon-*")]
    assert names == [index.snapshot().manifest.lexicon.name]  # type: ignore[union-attr]
    return index.snapshot().lexicon.reader().document_frequency(word) > 0  # type: ignore[union-attr]


# --- deletion ------------------------------------------------------------------------------------------------------


def test_a_deleted_version_is_gone_from_search_and_disk(index: CollectionIndex) -> None:
    publish(index, prepared(1), prepared(2))
    publish(index, prepared(3, replaces=(2,)), on=4)
    residual = index.delete([2, 1], texts)
    assert (residual.vectors, residual.postings, residual.bytes_due) == (0, 0, False)
    assert lexical(index) == dense(index) == chunks_of(3)
    old = index.snapshot().mask(as_of=day(1))
    assert old is not None
    assert old.count == 0
    disk = everything_on_disk(index.layout.root)
    for version in (1, 2):
        assert vector_of(version, 0).tobytes() not in disk
        assert not on_lexicons_disk(index, own_word(version))
    assert vector_of(3, 0).tobytes() in disk
    assert on_lexicons_disk(index, own_word(3))
    assert index.verify() == []


def test_deleting_twice_or_the_unknown_is_harmless(index: CollectionIndex) -> None:
    assert index.delete([5]).postings == 0
    publish(index, prepared(1), prepared(2))
    index.delete([1])
    generation = index.generation
    assert index.delete([1, 77]).vectors == 0
    assert index.generation == generation
    assert lexical(index) == chunks_of(2)


def test_without_texts_the_bytes_of_a_large_index_wait_for_compaction_and_the_residual_says_so(tmp_path: Path) -> None:
    index = store(tmp_path).collection(1)
    publish(index, prepared(1), prepared(2))
    residual = index.delete([1])
    assert (residual.vectors, residual.postings, residual.bytes_due) == (0, 0, True)
    assert index.needs_compaction()
    assert vector_of(1, 0).tobytes() not in everything_on_disk(index.layout.root)
    assert on_lexicons_disk(index, own_word(1))
    index.compact(texts)
    assert not on_lexicons_disk(index, own_word(1))
    assert not index.needs_compaction()
    assert index.verify() == []


def test_the_last_versions_deletion_empties_everything(index: CollectionIndex) -> None:
    publish(index, prepared(1))
    residual = index.delete([1])
    assert (residual.vectors, residual.postings, residual.bytes_due) == (0, 0, False)
    assert not on_lexicons_disk(index, own_word(1))
    assert lexical(index) == dense(index) == set()
    publish(index, prepared(2))
    assert lexical(index) == dense(index) == chunks_of(2)
    assert index.verify() == []


def test_a_measured_residual_is_not_zero_when_something_is_left(index: CollectionIndex) -> None:
    publish(index, prepared(1))
    residual = measure(index.layout, index.snapshot(), frozenset([1]))
    assert (residual.vectors, residual.postings) == (6, 3)  # three rows on disk and three reachable


def test_a_segment_that_another_process_removes_meanwhile_holds_nothing(
    index: CollectionIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(index, prepared(1))
    going = index.layout.segments / "00000099-going"
    going.mkdir()
    (going / "vectors.f32").write_bytes(b"half removed")
    monkeypatch.setattr("app.index.residuals.time.sleep", lambda seconds: shutil.rmtree(going))
    assert measure(index.layout, index.snapshot(), frozenset([1])).vectors == 6
    assert not going.exists()


def test_a_segment_that_stays_broken_is_not_taken_for_empty(
    index: CollectionIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(index, prepared(1))
    (index.layout.segments / "00000099-broken").mkdir()
    looks: list[float] = []
    monkeypatch.setattr("app.index.residuals.time.sleep", looks.append)
    with pytest.raises(IntegrityError, match=r"00000099-broken lacks files; run `attest reindex`"):
        measure(index.layout, index.snapshot(), frozenset([1]))
    assert len(looks) > 10


def test_a_snapshot_taken_before_a_deletion_still_answers(index: CollectionIndex) -> None:
    publish(index, prepared(1), prepared(2))
    old = index.snapshot()
    index.delete([1], texts)
    assert len(old.search_lexical(["common"], 99)[0]) == 6
    assert len(old.search_dense(vector_of(0, 0)[None], 99)[0]) == 6


# --- compaction ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exact_below", [1_000, 20])
def test_compaction_keeps_what_is_found(tmp_path: Path, engine: Engine, exact_below: int) -> None:
    index = store(tmp_path, lexicon_engine=engine, exact_below=exact_below).collection(1)
    for version in range(12):
        publish(index, prepared(version, replaces=(version - 1,) if version == 5 else ()), on=version)
    index.delete([7])
    index.compact(texts)
    now = index.snapshot()
    assert len(now.segments) == 1
    assert now.manifest.retired == ()
    assert ("graph.hnsw" in now.manifest.segments[0].files) == (exact_below == 20)
    current = [v for v in range(12) if v not in (4, 7)]
    assert lexical(index) == dense(index) == chunks_of(*current)
    assert [now.mask(as_of=day(4)).versions.tolist(), now.num_docs] == [[0, 1, 2, 3, 4], 33]  # type: ignore[union-attr]
    assert index.compact(texts) == now.generation  # nothing left to do
    publish(index, prepared(50))
    index.delete([3])
    assert lexical(index) == dense(index) == chunks_of(*(v for v in current if v != 3), 50)
    index.compact(texts)
    assert lexical(index) == dense(index) == chunks_of(*(v for v in current if v != 3), 50)
    assert index.verify() == []


def test_publishing_deleting_and_replacing_go_on_during_a_compaction(tmp_path: Path, engine: Engine) -> None:
    other = store(tmp_path, lexicon_engine=engine).collection(1)

    def meanwhile(step: str) -> None:
        if step == "compact_segment_built":
            publish(other, prepared(20), prepared(21, replaces=(3,)), on=9)
            publish(other, prepared(22), on=10)
            other.delete([2, 20])
            assert lexical(other) == dense(other) == chunks_of(0, 21, 22)

    index = store(tmp_path, lexicon_engine=engine, fault=meanwhile).collection(1)
    for version in range(4):
        publish(other, prepared(version))
    other.delete([1])
    index.compact(texts)
    assert lexical(index) == dense(index) == chunks_of(0, 21, 22)
    assert vector_of(2, 0).tobytes() not in everything_on_disk(index.layout.root)
    mask = index.snapshot().mask(as_of=day(1))
    assert mask is not None
    assert mask.versions.tolist() == [0, 3]
    assert index.verify() == []


def test_one_compaction_at_a_time(tmp_path: Path) -> None:
    other = store(tmp_path).collection(1)

    def meanwhile(step: str) -> None:
        if step == "compact_segment_built":
            with pytest.raises(Conflict):
                other.compact()

    index = store(tmp_path, fault=meanwhile).collection(1)
    publish(index, prepared(1))
    publish(index, prepared(2))
    assert index.compact() == 3


def test_a_compaction_that_lacks_a_text_changes_nothing(tmp_path: Path) -> None:
    index = store(tmp_path).collection(1)
    publish(index, prepared(1), prepared(2))
    index.delete([1])
    generation = index.generation
    with pytest.raises(Conflict, match="2-0"):
        index.compact(lambda _ids: {})
    assert index.generation == generation
    assert lexical(index) == dense(index) == chunks_of(2)
    assert index.verify() == []


# --- another encoder, analyser, engine ---------------------------------------------------------------------------


def test_another_encoder_is_refused_until_the_index_is_rebuilt_and_the_old_one_serves(tmp_path: Path) -> None:
    old = store(tmp_path).collection(1)
    publish(old, prepared(1), prepared(2))
    publish(old, prepared(3, replaces=(2,)), on=5)
    changed = store(tmp_path, encoder_name="other", embed_dim=8)
    with pytest.raises(Unavailable, match="attest reindex"):
        changed.collection(1).publish(
            [PreparedVersion(9, "d", ["a"], np.eye(1, 8, dtype=np.float32))], valid_from=START
        )

    def again(version: int) -> PreparedVersion:
        return PreparedVersion(version, "", [text_of(version, i) for i in range(3)], np.eye(3, 8, dtype=np.float32))

    with changed.stage_rebuild(1) as rebuild:
        assert rebuild.missing() == [1, 2, 3]
        rebuild.add([again(1), again(2)])
        with pytest.raises(Conflict, match="first is 3"):
            rebuild.publish()
        publish(old, prepared(4), on=6)  # the old encoder's index serves and takes documents
        assert lexical(old) == chunks_of(1, 3, 4)
        rebuild.add([again(3)])
        old.delete([1])
        assert rebuild.missing() == [4]
        rebuild.add([again(4)])
        rebuild.publish()
    new = changed.collection(1)
    assert new.snapshot().encoder_name == "other"
    assert new.snapshot().vectors([0]).shape == (1, 8)
    assert lexical(new) == chunks_of(3, 4)
    mask = new.snapshot().mask(as_of=day(1))
    assert mask is not None
    assert mask.versions.tolist() == [2]
    assert new.verify() == []
    with pytest.raises(InvalidInput, match="other"):
        old.snapshot().search_dense(vector_of(0, 0)[None], 3)


def test_a_rebuild_that_is_left_changes_nothing(tmp_path: Path) -> None:
    index = store(tmp_path).collection(1)
    publish(index, prepared(1))
    with store(tmp_path, encoder_name="other").stage_rebuild(1) as rebuild:
        rebuild.add([prepared(1)])
    assert index.snapshot().encoder_name == "fake"
    assert not (index.layout.root / "staging").exists()
    assert lexical(index) == dense(index) == chunks_of(1)


def test_another_analyser_asks_for_a_reindex_and_compaction_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = store(tmp_path).collection(1)
    publish(index, prepared(1))
    monkeypatch.setattr(snapshot, "ANALYSER_VERSION", "next")
    with pytest.raises(Unavailable, match="attest reindex"):
        index.snapshot().search_lexical(["common"], 3)
    with pytest.raises(Unavailable, match="attest reindex"):
        publish(index, prepared(2))
    monkeypatch.setattr(compaction, "ANALYSER_VERSION", "next")
    index.compact(texts)
    assert lexical(index) == chunks_of(1)


def test_a_compaction_moves_to_the_configured_engine(tmp_path: Path) -> None:
    publish(store(tmp_path).collection(1), prepared(1), prepared(2))
    index = store(tmp_path, lexicon_engine="rank_bm25").collection(1)
    assert lexical(index) == chunks_of(1, 2)
    index.compact(texts)
    assert index.snapshot().manifest.lexicon.engine == "rank_bm25"  # type: ignore[union-attr]
    assert lexical(index) == dense(index) == chunks_of(1, 2)
    assert index.verify() == []


# --- damage --------------------------------------------------------------------------------------------------------


def test_verify_names_every_kind_of_damage(tmp_path: Path) -> None:
    index = store(tmp_path, exact_below=5).collection(1)
    publish(index, prepared(1), prepared(2))
    publish(index, prepared(3, replaces=(1,)))
    index.compact(texts)
    publish(index, prepared(4, replaces=(2,)))
    root = index.layout.root
    segment = root / "segments" / index.snapshot().manifest.segments[0].name
    assert index.verify() == []
    for path, message in [
        (segment / "vectors.f32", "do not match their checksum"),
        (segment / "versions.json", "versions.json does not match"),
        (segment / "graph.hnsw", "graph.hnsw does not match"),
        (root / "retired" / f"{index.snapshot().manifest.retired[0].name}.json", "does not match"),
    ]:
        good = path.read_bytes()
        flipped = bytearray(good)
        flipped[len(good) // 2] ^= 1
        path.write_bytes(flipped)
        assert any(message in problem for problem in index.verify()), path
        path.write_bytes(good[:-1])
        assert any("bytes" in problem for problem in index.verify()), path
        path.unlink()
        assert any("missing" in problem for problem in index.verify()), path
        path.write_bytes(good)
        assert index.verify() == []
    with index.snapshot().lexicon.writer() as writer:  # type: ignore[union-attr]
        writer.delete_version(3)
        writer.commit()
    assert any("version 3 has 0 rows" in problem for problem in index.verify())


@pytest.mark.parametrize("content", ["", "generation-00000009.json\n", "../../etc/passwd\n", "nonsense"])
def test_a_damaged_current_is_an_integrity_error(tmp_path: Path, content: str) -> None:
    index = store(tmp_path).collection(1)
    publish(index, prepared(1))
    (index.layout.root / "CURRENT").write_text(content)
    with pytest.raises(IntegrityError):
        store(tmp_path).collection(1).snapshot()


def test_a_damaged_manifest_is_an_integrity_error(tmp_path: Path) -> None:
    index = store(tmp_path).collection(1)
    publish(index, prepared(1))
    path = index.layout.root / "generation-00000001.json"
    body = json.loads(path.read_text())
    path.write_text(json.dumps(body | {"slot_end": 1}))
    with pytest.raises(IntegrityError, match="checksum"):
        store(tmp_path).collection(1).snapshot()
    path.write_text(path.read_text()[:100])
    with pytest.raises(IntegrityError, match="damaged"):
        store(tmp_path).collection(1).snapshot()


def test_a_missing_segment_is_an_integrity_error_not_an_empty_answer(tmp_path: Path) -> None:
    index = store(tmp_path).collection(1)
    publish(index, prepared(1))
    name = index.snapshot().manifest.segments[0].name
    (index.layout.segments / name / "vectors.f32").unlink()
    with pytest.raises(IntegrityError, match="restore"):
        store(tmp_path).collection(1).snapshot()
