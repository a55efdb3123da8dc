"""One suite over both BM25 engines."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from app.index.lexicon import Lexicon, TantivyLexicon
from app.index.masks import SlotMask
from app.index.rank_lexicon import RankBm25Lexicon, Variant

ROWS = [
    (0, 1, ["risk", "factor", "market"]),
    (1, 1, ["market", "market", "rate"]),
    (2, 2, ["risk", "rate"]),
    (3, 3, ["cash", "flow", "statement"]),
    (4, 3, ["cash", "dividend"]),
    (5, 4, ["lease", "liability"]),
    (6, 5, ["goodwill", "rfc-9457", "北京大学"]),
]
Factory = Callable[[Path], Lexicon]


def rank(variant: Variant) -> Factory:
    return lambda path: RankBm25Lexicon.create(path, variant)


@pytest.fixture(
    params=[TantivyLexicon.create, rank("okapi"), rank("l"), rank("plus")], ids=["tantivy", "okapi", "l", "plus"]
)
def create(request: pytest.FixtureRequest) -> Factory:
    factory: Factory = request.param
    return factory


@pytest.fixture
def lexicon(create: Factory, tmp_path: Path) -> Lexicon:
    made = create(tmp_path / "lexicon")
    with made.writer() as writer:
        writer.add(ROWS)
        writer.commit()
    return made


def reopened(lexicon: Lexicon, path: Path) -> Lexicon:
    return TantivyLexicon(path) if isinstance(lexicon, TantivyLexicon) else RankBm25Lexicon(path)


def allow(slots: set[int], versions: set[int], slot_end: int = 7) -> SlotMask:
    allowed = np.zeros(slot_end, np.bool_)
    allowed[sorted(slots)] = True
    return SlotMask(allowed, np.array(sorted(versions), np.int64), len(slots))


def slots(lexicon: Lexicon, terms: list[str], top_k: int = 10, mask: SlotMask | None = None) -> list[int]:
    return [hit.slot for hit in lexicon.reader().search(terms, top_k, mask)]


def test_any_term_is_enough_and_more_terms_rank_higher(lexicon: Lexicon) -> None:
    assert slots(lexicon, ["cash", "dividend"]) == [4, 3]
    assert set(slots(lexicon, ["risk", "rate"])) == {0, 1, 2}
    assert slots(lexicon, ["risk", "rate"])[0] == 2


def test_codes_and_chinese_are_terms_like_others(lexicon: Lexicon) -> None:
    assert slots(lexicon, ["rfc-9457"]) == [6]
    assert slots(lexicon, ["北京大学"]) == [6]


def test_unknown_terms_and_empty_queries_find_nothing(lexicon: Lexicon) -> None:
    assert slots(lexicon, ["absent"]) == []
    assert slots(lexicon, []) == []
    assert slots(lexicon, ["cash"], top_k=0) == []


@pytest.mark.parametrize(
    "terms", [["AND", "OR", "NOT"], ["body:risk"], ["*"], ['"', "(", "[a", "TO", "z]"], ["+", "-risk"]]
)
def test_query_syntax_is_only_text(lexicon: Lexicon, terms: list[str]) -> None:
    assert slots(lexicon, terms) == []


def test_scores_descend_and_ties_go_by_slot(create: Factory, tmp_path: Path) -> None:
    made = create(tmp_path / "ties")
    with made.writer() as writer:
        writer.add((slot, slot, ["same", "words"]) for slot in (9, 3, 7, 1, 5))
        writer.add((slot, slot, ["other", "thing"]) for slot in range(20, 30))
        writer.commit()
    hits = made.reader().search(["same"], 3, None)
    assert [hit.slot for hit in hits] == [1, 3, 5]
    assert len({hit.score for hit in hits}) == 1


def test_a_mask_applies_before_the_cut(lexicon: Lexicon) -> None:
    everything = slots(lexicon, ["cash", "risk", "market"])
    assert len(everything) == 5
    last = everything[-1]
    assert slots(lexicon, ["cash", "risk", "market"], 1, allow({last}, {1, 2, 3})) == [last]
    assert slots(lexicon, ["cash"], 5, allow(set(), set())) == []


def test_a_mask_keeps_the_scores(lexicon: Lexicon) -> None:
    whole = {h.slot: h.score for h in lexicon.reader().search(["risk", "rate"], 10, None)}
    masked = lexicon.reader().search(["risk", "rate"], 10, allow({1, 2}, {1, 2}))
    assert {h.slot: h.score for h in masked} == pytest.approx({slot: whole[slot] for slot in (1, 2)})


def test_a_mask_of_very_many_versions_is_exact(create: Factory, tmp_path: Path) -> None:
    """Past the number of versions that fit into the query, rows are fetched until enough allowed ones are there."""
    made = create(tmp_path / "many")
    rng = np.random.default_rng(0)
    rows = [(i, i, ["term"] * int(rng.integers(1, 5)) + ["pad"] * int(rng.integers(0, 9))) for i in range(1_500)]
    with made.writer() as writer:
        writer.add([*rows, (1_500, 1_500, ["other"])])
        writer.commit()
    whole = made.reader().search(["term"], 1_500, None)
    for chosen in (set(range(0, 1_500, 2)), {h.slot for h in whole[-600:]}):
        mask = allow(chosen, chosen, 1_501)
        assert len(mask.versions) > 512
        expected = [h.slot for h in whole if h.slot in chosen][:20]
        assert slots(made, ["term"], 20, mask) == expected


def test_rows_past_the_masks_end_are_forbidden(lexicon: Lexicon) -> None:
    """A later publication's rows, which an earlier generation must not show."""
    mask = allow({0, 1, 2}, {1, 2}, slot_end=3)
    assert slots(lexicon, ["cash", "risk"], 10, mask) == slots(lexicon, ["risk"], 10, mask)
    assert set(slots(lexicon, ["cash", "risk"], 10, mask)) == {0, 2}


def test_nothing_is_visible_before_commit_or_after_an_error(lexicon: Lexicon) -> None:
    with lexicon.writer() as writer:
        writer.add([(7, 9, ["fresh"])])
        assert slots(lexicon, ["fresh"]) == []
    assert slots(lexicon, ["fresh"]) == []
    with suppress(RuntimeError), lexicon.writer() as writer:
        writer.add([(7, 9, ["fresh"])])
        raise RuntimeError("stop")
    assert slots(lexicon, ["fresh"]) == []
    with lexicon.writer() as writer:  # and the lock is free
        writer.add([(7, 9, ["fresh"])])
        writer.commit()
    assert slots(lexicon, ["fresh"]) == [7]


def test_deletions_and_additions_in_one_commit(lexicon: Lexicon) -> None:
    with lexicon.writer() as writer:
        writer.delete_from(5)
        writer.delete_version(3)
        writer.add([(5, 8, ["lease", "renewed"])])
        writer.commit()
    reader = lexicon.reader()
    assert reader.rows == 4
    assert [reader.count_version(v) for v in (1, 2, 3, 4, 5, 8)] == [2, 1, 0, 0, 0, 1]
    assert slots(lexicon, ["cash"]) == []
    assert slots(lexicon, ["lease"]) == [5]


def test_a_reader_never_changes(lexicon: Lexicon) -> None:
    before = lexicon.reader()
    with lexicon.writer() as writer:
        writer.delete_version(1)
        writer.add([(7, 9, ["risk"])])
        writer.commit()
    assert {h.slot for h in before.search(["risk"], 10, None)} == {0, 2}
    assert before.rows == 7
    assert {h.slot for h in lexicon.reader().search(["risk"], 10, None)} == {2, 7}


def test_another_opening_sees_what_was_committed(lexicon: Lexicon, tmp_path: Path) -> None:
    other = reopened(lexicon, tmp_path / "lexicon")
    assert other.reader().rows == 7
    with lexicon.writer() as writer:
        writer.add([(7, 9, ["fresh"])])
        writer.commit()
    assert slots(other, ["fresh"]) == [7]


def test_document_frequencies(lexicon: Lexicon) -> None:
    reader = lexicon.reader()
    assert [reader.document_frequency(t) for t in ("cash", "market", "absent")] == [2, 2, 0]


def test_many_small_commits_leave_everything_findable(create: Factory, tmp_path: Path) -> None:
    """Small pieces are merged on the way; none may be lost and the writer must not stay locked."""
    made = create(tmp_path / "many")
    for i in range(30):
        with made.writer() as writer:
            writer.add([(i, i, ["common", f"own{i}"])])
            writer.commit()
    assert slots(made, ["common"], 100) == list(range(30))  # all score the same
    assert all(slots(made, [f"own{i}"]) == [i] for i in range(30))


def test_an_empty_lexicon(create: Factory, tmp_path: Path) -> None:
    made = create(tmp_path / "empty")
    assert made.reader().rows == 0
    assert slots(made, ["risk"]) == []
    with made.writer() as writer:
        writer.add([(0, 1, [])])  # a chunk of stop words only
        writer.commit()
    assert made.reader().rows == 1
    assert slots(made, ["risk"]) == []


def test_a_missing_directory_is_a_missing_file(lexicon: Lexicon, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        reopened(lexicon, tmp_path / "nowhere")
