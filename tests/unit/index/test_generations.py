"""Publishing, reading, masking, deleting, compacting, rebuilding and verifying one collection's index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.errors import InvalidInput
from app.index import publication, snapshot
from app.index.generations import CollectionIndex, PreparedVersion
from app.index.lexicon import Engine
from app.index.publication import absorbed
from tests.unit.index.corpus import (
    EMBED_DIM,
    START,
    chunks_of,
    day,
    dense,
    lexical,
    own_word,
    prepared,
    publish,
    store,
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


# --- reading what was published -----------------------------------------------------------------------------------


def test_an_empty_collection_is_generation_0_and_touches_no_disk(tmp_path: Path) -> None:
    index = store(tmp_path / "index").collection(1)
    empty = index.snapshot()
    assert (empty.generation, empty.slot_end, empty.live_chunks, empty.num_docs, empty.avgdl) == (0, 0, 0, 0, 0.0)
    assert empty.search_lexical(["a", "b"], 5) == [[], []]
    assert empty.search_dense(vector_of(0, 0)[None], 5) == [[]]
    assert empty.mask() is None
    assert index.verify() == []
    assert not (tmp_path / "index").exists()


def test_a_published_version_is_found_by_both_searches(index: CollectionIndex) -> None:
    assert publish(index, prepared(1), prepared(2)) == 1
    assert publish(index, prepared(3)) == 2
    assert index.generation == index.snapshot().generation == 2
    assert lexical(index) == dense(index) == chunks_of(1, 2, 3)
    assert lexical(index, own_word(2)) == chunks_of(2)
    now = index.snapshot()
    best = now.search_dense(vector_of(2, 1)[None], 1)[0][0]
    assert now.locate([best.slot]) == [(2, 1)]
    assert best.score == pytest.approx(1.0)
    assert (now.live_chunks, now.num_docs, now.slot_end, now.avgdl) == (9, 9, 9, 3.0)
    assert now.idf([own_word(2), "common"])[own_word(2)] > now.idf(["common"])["common"]
    assert index.verify() == []


def test_another_process_would_see_the_same(index: CollectionIndex, tmp_path: Path, engine: Engine) -> None:
    other = store(tmp_path, lexicon_engine=engine).collection(1)
    assert other.snapshot().generation == 0
    publish(index, prepared(1))
    assert lexical(other) == dense(other) == chunks_of(1)


def test_a_snapshot_never_changes(index: CollectionIndex) -> None:
    publish(index, prepared(1), prepared(2))
    old = index.snapshot()
    publish(index, prepared(3, replaces=(1,)))
    index.compact(texts)
    publish(index, prepared(4))
    assert {v for v, _ in old.locate([h.slot for h in old.search_lexical(["common"], 99)[0]])} == {1, 2}
    assert {v for v, _ in old.locate([h.slot for h in old.search_dense(vector_of(0, 0)[None], 99)[0]])} == {1, 2}


def test_slots_keys_and_vectors_go_back_and_forth(index: CollectionIndex) -> None:
    publish(index, prepared(7, 2), prepared(8, 0), prepared(9, 4))
    publish(index, prepared(10, 1))
    now = index.snapshot()
    keys = [(9, 3), (7, 0), (10, 0), (9, 0)]
    slots = [5, 0, 6, 2]
    assert now.locate(slots) == keys
    np.testing.assert_array_equal(now.vectors(slots), [vector_of(*key) for key in keys])
    with pytest.raises(InvalidInput, match="slot 7"):
        now.locate([0, 7])
    with pytest.raises(InvalidInput, match="slot 99"):
        now.vectors([99])


def test_opening_the_next_generation_keeps_what_is_open(index: CollectionIndex) -> None:
    publish(index, *(prepared(v) for v in range(100)))
    before = index.snapshot()
    publish(index, prepared(500))
    after = index.snapshot()
    assert after.segments[0] is before.segments[0]
    assert len(after.segments) == 2
    assert index.snapshot() is after


def test_a_search_ranks_by_cosine_with_ties_by_slot(index: CollectionIndex) -> None:
    twin = np.tile(vector_of(1, 0), (4, 1))
    index.publish([PreparedVersion(1, "d", ["a b"] * 4, twin)], valid_from=START)
    publish(index, prepared(2))
    ranking = index.snapshot().search_dense(vector_of(1, 0)[None], 6)[0]
    assert [hit.slot for hit in ranking][:4] == [0, 1, 2, 3]
    assert [hit.score for hit in ranking] == sorted((hit.score for hit in ranking), reverse=True)


# --- versions, masks -------------------------------------------------------------------------------------------------


def test_a_new_version_retires_the_old_which_as_of_still_finds(index: CollectionIndex) -> None:
    publish(index, prepared(1), prepared(2), on=0)
    publish(index, prepared(3, replaces=(1,)), on=5)
    assert lexical(index) == dense(index) == chunks_of(2, 3)
    now = index.snapshot()
    assert now.live_chunks == 6
    for when, expected in [(day(-1), []), (day(0), [1, 2]), (day(4), [1, 2]), (day(5), [2, 3]), (day(9), [2, 3])]:
        mask = now.mask(as_of=when)
        assert mask is not None
        assert mask.versions.tolist() == expected
        for hits in (now.search_lexical(["common"], 99, mask)[0], now.search_dense(vector_of(0, 0)[None], 99, mask)[0]):
            assert {v for v, _ in now.locate([h.slot for h in hits])} == set(expected)
    naive = now.mask(as_of=day(4).replace(tzinfo=None))
    assert naive is not None
    assert naive.versions.tolist() == [1, 2]


def test_a_filter_reaches_both_searches_before_the_cut(index: CollectionIndex) -> None:
    publish(index, *(prepared(v) for v in range(50)))
    now = index.snapshot()
    mask = now.mask(versions={3, 49, 1_000})
    assert mask is not None
    assert (mask.count, mask.share) == (6, 6 / 150)
    for hits in (now.search_lexical(["common"], 6, mask)[0], now.search_dense(vector_of(0, 0)[None], 6, mask)[0]):
        assert set(now.locate([h.slot for h in hits])) == chunks_of(3, 49)
    nothing = now.mask(versions=set())
    assert now.search_lexical(["common"], 6, nothing) == [[]]
    assert now.search_dense(vector_of(0, 0)[None], 6, nothing) == [[]]


def test_a_mask_belongs_to_its_snapshot(index: CollectionIndex) -> None:
    publish(index, prepared(1))
    mask = index.snapshot().mask(versions={1})
    publish(index, prepared(2))
    with pytest.raises(InvalidInput, match="mask"):
        index.snapshot().search_dense(vector_of(0, 0)[None], 5, mask)
    with pytest.raises(InvalidInput, match="top_k"):
        index.snapshot().search_lexical(["a"], 0)


def test_without_retirements_no_mask_is_needed(index: CollectionIndex) -> None:
    publish(index, prepared(1))
    assert index.snapshot().mask() is None
    publish(index, prepared(2, replaces=(1,)))
    mask = index.snapshot().mask()
    assert mask is not None
    assert mask.allowed.tolist() == [False] * 3 + [True] * 3


def test_one_batch_may_hold_two_versions_of_a_document(index: CollectionIndex) -> None:
    publish(index, prepared(1), prepared(2, replaces=(1,)))
    assert lexical(index) == dense(index) == chunks_of(2)
    assert index.verify() == []


# --- publishing -------------------------------------------------------------------------------------------------------


def test_publishing_again_adds_nothing_and_still_tells_the_catalog(index: CollectionIndex) -> None:
    publish(index, prepared(1))
    told: list[tuple[int, list[int]]] = []
    generation = index.publish([prepared(1)], valid_from=day(3), on_published=lambda g, ids: told.append((g, ids)))
    assert (generation, told) == (1, [(1, [1])])
    index.publish([prepared(1), prepared(2)], valid_from=day(3), on_published=lambda g, ids: told.append((g, ids)))
    assert told[1:] == [(2, [1, 2])]
    assert index.snapshot().num_docs == 6


def test_versions_no_longer_wanted_are_left_out(index: CollectionIndex) -> None:
    index.publish([prepared(1), prepared(2)], valid_from=START, still_wanted=lambda v: v != 1)
    assert lexical(index) == dense(index) == chunks_of(2)
    assert index.publish([prepared(3)], valid_from=START, still_wanted=lambda _: False) == 1


def test_what_a_version_replaces_is_asked_under_the_lock(index: CollectionIndex) -> None:
    publish(index, prepared(1))
    asked: list[tuple[int, list[int]]] = []

    def replaced_by(current: snapshot.Snapshot, ids: list[int]) -> dict[int, tuple[int, ...]]:
        asked.append((current.generation, ids))
        return {2: (1,)}

    index.publish([prepared(2)], valid_from=day(1), replaced_by=replaced_by)
    assert asked == [(1, [2])]
    assert lexical(index) == chunks_of(2)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (PreparedVersion(1, "d", ["a"], np.ones((1, 3), np.float32)), "shape"),
        (PreparedVersion(1, "d", ["a", "b"], np.eye(1, EMBED_DIM, dtype=np.float32)), "shape"),
        (PreparedVersion(1, "d", ["a"], np.full((1, EMBED_DIM), np.nan, np.float32)), "unit length"),
        (PreparedVersion(1, "d", ["a"], np.zeros((1, EMBED_DIM), np.float32)), "unit length"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(tmp_path: Path, version: PreparedVersion, message: str) -> None:
    index = store(tmp_path).collection(1)
    with pytest.raises(InvalidInput, match=message):
        publish(index, version)
    assert index.generation == 0
    with pytest.raises(InvalidInput, match="twice"):
        publish(index, prepared(1), prepared(1))


def test_small_segments_are_merged_a_few_times_only(tmp_path: Path) -> None:
    index = store(tmp_path, lexicon_engine="rank_bm25").collection(1)
    most = 0
    for version in range(40):
        publish(index, prepared(version, 1, replaces=(version - 1,) if version % 2 else ()))
        manifest = index.snapshot().manifest
        most = max(most, len(manifest.segments), len(manifest.retired))
    assert most <= 16
    assert lexical(index) == dense(index) == {(v, 0) for v in range(1, 40, 2)}
    assert index.verify() == []


def test_absorbed_counts_by_hand() -> None:
    assert absorbed([1] * 6, 1) == 0
    assert absorbed([1] * 7, 1) == 7
    assert absorbed([500, *[1] * 7], 1) == 7
    assert absorbed([8] * 7 + [1] * 7, 1) == 14
    assert absorbed([4_000] * 7, 4_000) == 0  # more than a publisher merges


def test_old_generations_and_their_files_go(index: CollectionIndex) -> None:
    for version in range(12):
        publish(index, prepared(version, 1))
    root = index.layout.root
    assert len(list(root.glob("generation-*.json"))) <= 4
    assert len(list((root / "segments").iterdir())) < 12
    assert len(list(root.glob("lexicon-*"))) == 1


def test_the_manifest_does_not_grow_with_the_documents(index: CollectionIndex) -> None:
    publish(index, *(prepared(v, 1) for v in range(10)))
    small = len(index.snapshot().manifest.to_json())
    publish(index, *(prepared(v, 1) for v in range(10, 400)))
    assert len(index.snapshot().manifest.to_json()) < small + 600


# --- the store -----------------------------------------------------------------------------------------------------


def test_collections_do_not_see_each_other_and_drop_removes_one(tmp_path: Path) -> None:
    both = store(tmp_path)
    publish(both.collection(1), prepared(1))
    publish(both.collection(2), prepared(2))
    old = both.collection(1).snapshot()
    both.drop(1)
    both.drop(77)
    assert not (tmp_path / "1").exists()
    assert lexical(both.collection(1)) == dense(both.collection(1)) == set()
    assert lexical(both.collection(2)) == dense(both.collection(2)) == chunks_of(2)
    assert len(old.search_lexical(["common"], 9)[0]) == len(old.search_dense(vector_of(0, 0)[None], 9)[0]) == 3


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="lexicon_engine"):
        store(tmp_path, lexicon_engine="lucene")
    assert publication.FAN >= 2
