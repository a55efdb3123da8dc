from __future__ import annotations

import math

import numpy as np
import pytest

from app.rerank.features import FEATURES, build
from app.rerank.passages import WINDOW
from app.types import Hit
from tests.unit.rerank.conftest import Statistics, hit


def rows(query: str, *hits: Hit, statistics: Statistics | None = None) -> list[dict[str, float]]:
    matrix = build(query, hits, statistics or Statistics())
    assert matrix.dtype == np.float32
    assert matrix.shape == (len(hits), len(FEATURES))
    return [dict(zip(FEATURES, row.tolist(), strict=True)) for row in matrix]


def test_names_are_distinct_and_an_empty_list_has_no_rows() -> None:
    assert len(set(FEATURES)) == len(FEATURES)
    assert build("anything", [], Statistics()).shape == (0, len(FEATURES))


def test_bm25_is_the_formula() -> None:
    statistics = Statistics(avgdl=4.0, weights={"lamp": 2.0})
    (row,) = rows("lamp oil", hit("lamp lamp oil wick jar tin"), statistics=statistics)
    norm = 1.2 * (0.25 + 0.75 * 6 / 4)
    bm25 = 2.0 * 2 * 2.2 / (2 + norm) + 1.0 * 2.2 / (1 + norm)
    assert row["bm25"] == pytest.approx(bm25, rel=1e-6)
    assert row["bm25_share"] == pytest.approx(bm25 / (3.0 * 2.2), rel=1e-6)


def test_coverage_weighs_terms_by_idf() -> None:
    statistics = Statistics(weights={"heron": 3.0, "amber": 1.0})
    common, rare = rows("amber heron", hit("amber glass"), hit("a heron"), statistics=statistics)
    assert (common["coverage"], rare["coverage"]) == pytest.approx((0.25, 0.75))
    assert (common["term_overlap"], rare["term_overlap"]) == (0.5, 0.5)
    assert (common["rarest_matched"], rare["rarest_matched"]) == (0.0, 1.0)
    assert (common["heaviest_missing"], rare["heaviest_missing"]) == pytest.approx((1.0, 1 / 3))
    assert (common["coverage_to_top"], rare["coverage_to_top"]) == pytest.approx((1 / 3, 1.0))


def test_closeness_separates_a_phrase_from_scattered_words() -> None:
    filler = " ".join(f"filler{n}" for n in range(WINDOW + 5))
    near, far = rows("copper kettle", hit(f"{filler} copper kettle"), hit(f"copper {filler} kettle"))
    assert (near["window_coverage"], far["window_coverage"]) == (1.0, 0.5)
    assert (near["pair_coverage"], far["pair_coverage"]) == (1.0, 0.0)
    assert (near["phrase"], far["phrase"]) == (1.0, 0.5)
    assert near["span"] == 0.0  # log2(2 words / 2 terms)
    assert far["span"] > 3
    assert near["coverage"] == far["coverage"]
    assert near["first_match"] > far["first_match"] == 0.0


def test_the_shortest_stretch_is_found_not_the_first() -> None:
    (row,) = rows("amber heron lynx", hit("amber oak heron oak oak lynx amber oak heron lynx"))
    assert row["span"] == pytest.approx(math.log2(4 / 3))  # "lynx amber oak heron" is longer than "amber heron lynx"+1


def test_titles_and_headings_count_apart() -> None:
    titled, headed, bare = rows(
        "otter colour",
        hit("It is brown.", title="Otter"),
        hit("It is brown.", headings=("Otter", "Coat")),
        hit("otter"),
    )
    assert (titled["head_coverage"], headed["head_coverage"], bare["head_coverage"]) == (0.5, 0.5, 0.0)
    assert (titled["head_precision"], headed["head_precision"], bare["head_precision"]) == (1.0, 0.5, 0.0)
    assert titled["coverage"] == 0.5  # BM25 sees the title, so coverage does


def test_numbers_and_names_match_only_where_the_question_has_them() -> None:
    with_number, without = rows("Which canal opened in 1887 near Bamberg?", hit("Bamberg 1887"), hit("a canal"))
    assert (with_number["number_match"], without["number_match"]) == (1.0, 0.0)
    assert (with_number["name_match"], without["name_match"]) == (1.0, 0.0)
    (plain,) = rows("which canal froze", hit("a canal in 1887"))
    assert math.isnan(plain["number_match"])
    assert math.isnan(plain["name_match"])


@pytest.mark.parametrize(
    ("question", "feature", "answer", "other"),
    [
        ("When did the canal open?", "date_for_when", "It opened in May 1887.", "It opened to cheers."),
        ("运河什么时候开通？", "date_for_when", "运河于1887年开通。", "运河很长。"),
        ("How many locks are there?", "number_for_how_many", "There are twelve locks.", "Locks lift barges."),
        ("一共有多少船闸？", "number_for_how_many", "共有十二座船闸。", "船闸很大。"),
        ("Who dug the canal?", "name_for_who", "It was dug by Ada Morn.", "it was dug by hand."),
    ],
)
def test_what_could_answer_the_question(question: str, feature: str, answer: str, other: str) -> None:
    good, bad = rows(question, hit(answer), hit(other))
    assert (good[feature], bad[feature]) == (1.0, 0.0)
    (unasked,) = rows("Why is the water green?", hit(answer))
    assert math.isnan(unasked[feature])


def test_ranks_and_rrf_come_from_the_list_itself() -> None:
    first, second, third = rows(
        "amber heron", hit("amber heron", cosine=0.1), hit("amber", cosine=0.9), hit("oak", cosine=0.5)
    )
    assert [row["bm25_rank"] for row in (first, second, third)] == pytest.approx([1.0, math.log2(3), 2.0])
    assert [row["cosine_rank"] for row in (first, second, third)] == pytest.approx([2.0, 1.0, math.log2(3)])
    assert first["rrf"] == pytest.approx(1 / 61 + 1 / 63, rel=1e-6)
    assert second["rrf_to_top"] == 1.0
    assert first["cosine_to_top"] == pytest.approx(-0.8)


def test_an_engines_own_bm25_changes_nothing() -> None:
    plain = hit("amber heron")
    scored = Hit(plain.chunk, {"cosine": 0.5, "bm25": 123.0, "rrf": 9.0}, {"bm25": 7, "rrf": 1})
    np.testing.assert_array_equal(build("heron", [plain], Statistics()), build("heron", [scored], Statistics()))


def test_missing_cosines_are_nan_not_zero() -> None:
    for row in rows("heron", hit("heron", cosine=None), hit("oak", cosine=None)):
        assert all(math.isnan(row[name]) for name in ("cosine", "cosine_z", "cosine_rank", "cosine_to_top"))
        assert row["rrf"] > 0


def test_expansion_favours_what_resembles_the_best_passages() -> None:
    best = [hit(f"heron nests reeds marsh {n}", cosine=0.9 - n / 100, number=n) for n in range(4)]
    kin, stranger = hit("reeds and marsh birds", cosine=0.3), hit("gravel and cement works", cosine=0.3)
    found = rows("heron", *best, kin, stranger)
    assert found[4]["expansion_to_top"] > found[5]["expansion_to_top"]


@pytest.mark.parametrize("query", ["", "the of and", "？！", "🦦", "a" * 5_000])
def test_odd_questions_give_finite_or_nan_rows(query: str) -> None:
    matrix = build(query, [hit(""), hit("otter 🦦"), hit("水獭")], Statistics(avgdl=0.0))
    assert not np.isinf(matrix).any()


def test_order_of_the_hits_only_orders_the_rows() -> None:
    hits = [hit(f"heron {'oak ' * n}", cosine=n**2 / 30, number=0) for n in (4, 1, 3, 0, 2)]
    forward, backward = build("heron oak", hits, Statistics()), build("heron oak", hits[::-1], Statistics())
    np.testing.assert_allclose(forward, backward[::-1], rtol=1e-6, equal_nan=True)
