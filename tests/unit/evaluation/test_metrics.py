"""Every expectation is worked out by hand in the body."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.evaluation.metrics import (
    answer_tokens,
    auroc,
    exact_match,
    expected_calibration_error,
    f1,
    mrr_at_k,
    ndcg_at_k,
    normalize_answer,
    paired_bootstrap,
    recall_at_k,
    risk_coverage,
)

GRADES = {"a": 3.0, "b": 1.0, "c": 0.0, "d": 2.0}


def test_recall_counts_relevant_keys_within_the_cut() -> None:
    assert recall_at_k(["a", "c", "b", "d"], GRADES, 2) == pytest.approx(1 / 3)
    assert recall_at_k(["a", "c", "b", "d"], GRADES, 10) == 1.0
    assert recall_at_k(["a"], {"a": 0.0}, 5) == 0.0


def test_mrr_is_the_reciprocal_of_the_first_relevant_rank() -> None:
    assert mrr_at_k(["c", "x", "b"], GRADES) == pytest.approx(1 / 3)
    assert mrr_at_k(["c", "x", "b"], GRADES, k=2) == 0.0


def test_ndcg_with_linear_and_exponential_gains() -> None:
    ranking = ["c", "d", "a"]
    linear = (2 / math.log2(3) + 3 / 2) / (3 + 2 / math.log2(3) + 1 / 2)
    exponential = (3 / math.log2(3) + 7 / 2) / (7 + 3 / math.log2(3) + 1 / 2)
    assert ndcg_at_k(ranking, GRADES) == pytest.approx(linear, abs=1e-12)
    assert ndcg_at_k(ranking, GRADES, gain="exponential") == pytest.approx(exponential, abs=1e-12)
    assert ndcg_at_k(ranking, {"z": 0.0}) == 0.0
    assert ndcg_at_k(["c", "a"], GRADES, k=1) == 0.0


@pytest.mark.parametrize("measure", [recall_at_k, mrr_at_k, ndcg_at_k])
def test_rankings_that_repeat_a_key_and_cuts_below_one_are_refused(measure: object) -> None:
    with pytest.raises(InvalidInput, match="repeats"):
        measure(["a", "a"], GRADES, 10)  # type: ignore[operator]
    with pytest.raises(InvalidInput, match="k is 0"):
        measure(["a"], GRADES, 0)  # type: ignore[operator]


@given(st.permutations(["a", "b", "c", "d", "e", "f"]), st.integers(1, 7))
def test_no_ranking_beats_the_ideal_one(ranking: list[str], k: int) -> None:
    ideal = sorted(ranking, key=lambda key: -GRADES.get(key, 0))
    assert 0 <= ndcg_at_k(ranking, GRADES, k) <= ndcg_at_k(ideal, GRADES, k) + 1e-12
    assert ndcg_at_k(ideal, GRADES, k) == pytest.approx(1.0)


def test_answers_are_normalised_as_squad_does() -> None:
    assert normalize_answer("The  Eiffel-Tower, a.k.a. “La dame”!") == "eiffeltower aka la dame"
    assert exact_match("an Apple.", ["the apple"]) == 1.0
    assert exact_match("apple pie", ["apple"]) == 0.0
    assert exact_match("", []) == 1.0
    assert exact_match("something", []) == 0.0


def test_f1_takes_the_best_answer() -> None:
    # prediction {cat, sat}, answer {cat, sat, down}: precision 1, recall 2/3
    assert f1("the cat sat", ["dog", "cat sat down"]) == pytest.approx(0.8)
    assert f1("cat cat", ["cat"]) == pytest.approx(2 / 3)
    assert f1("", ["cat"]) == 0.0
    assert f1("", []) == 1.0


def test_chinese_is_compared_by_character() -> None:
    assert answer_tokens("光荣和ω-force。") == ["光", "荣", "和", "ωforce"]
    assert f1("村雨城", ["任天堂游戏谜之村雨城"]) == pytest.approx(2 * 3 / 13)
    assert exact_match("《战国 无双》", ["战国无双"]) == 1.0


def test_auroc_is_the_share_of_rightly_ordered_pairs_ties_half() -> None:
    # correct {.9, .5}, wrong {.5, .1}: 3 pairs right, 1 tied
    assert auroc([0.9, 0.5, 0.5, 0.1], [True, True, False, False]) == pytest.approx(3.5 / 4)
    assert math.isnan(auroc([0.9, 0.5], [True, True]))


def test_calibration_error_weighs_bins_by_their_cases() -> None:
    # bin [.8, .9): .8, .8, one right of two: gap .3; bin [1, 1]: right, gap 0
    assert expected_calibration_error([0.8, 0.8, 1.0], [True, False, True]) == pytest.approx(0.2)
    assert expected_calibration_error([0.0, 1.0], [False, True]) == 0.0
    with pytest.raises(InvalidInput, match=r"\[0, 1\]"):
        expected_calibration_error([1.5], [True])


def test_risk_rises_with_coverage_when_confidence_is_informative() -> None:
    curve = risk_coverage([0.9, 0.8, 0.8, 0.1], [True, True, False, False])
    assert curve.coverage.tolist() == [0.25, 0.75, 1.0]  # equal confidences cannot be told apart by a threshold
    assert curve.risk.tolist() == pytest.approx([0.0, 1 / 3, 0.5])
    assert curve.area == pytest.approx(0.25 * 0 + 0.5 / 3 + 0.25 * 0.5)


def test_points_of_the_risk_coverage_curve() -> None:
    # cuts after 1, 2, 3, 4, 5 cases: risks 0, 1/2, 1/3, 1/4, 2/5
    curve = risk_coverage([0.9, 0.8, 0.7, 0.6, 0.5], [True, False, True, True, False])
    assert curve.risk.tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 4, 2 / 5])
    assert curve.coverage_at(0.25) == 0.8  # the risk may rise in between: the largest coverage that holds it
    assert curve.coverage_at(0.2) == 0.2
    assert curve.coverage_at(1.0) == 1.0
    assert curve.area == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 4 + 2 / 5) / 5)
    hopeless = risk_coverage([0.9, 0.1], [False, True])
    assert hopeless.coverage_at(0.1) == 0.0
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(InvalidInput, match="risk is"):
            curve.coverage_at(wrong)


@pytest.mark.parametrize("measure", [auroc, expected_calibration_error, risk_coverage])
@pytest.mark.parametrize(("confidences", "correct"), [([], []), ([0.5], [True, False]), ([math.nan], [True])])
def test_confidences_must_be_finite_and_paired(measure: object, confidences: list[float], correct: list[bool]) -> None:
    with pytest.raises(InvalidInput, match="equally long"):
        measure(confidences, correct)  # type: ignore[operator]


def test_bootstrap_of_a_constant_difference_has_no_width() -> None:
    difference = paired_bootstrap([0.0, 0.5, 0.25], [0.5, 1.0, 0.75], resamples=50)
    assert (difference.mean, difference.low, difference.high) == (0.5, 0.5, 0.5)
    assert difference.significant


def test_bootstrap_interval_matches_the_normal_one_for_many_cases() -> None:
    generator = np.random.default_rng(3)
    a = generator.normal(0.0, 1.0, 2_000)
    b = a + generator.normal(0.05, 0.5, 2_000)
    difference = paired_bootstrap(a.tolist(), b.tolist(), resamples=2_000, seed=1)
    error = (b - a).std() / math.sqrt(2_000)
    assert difference.low == pytest.approx(difference.mean - 1.96 * error, abs=0.15 * error)
    assert difference.high == pytest.approx(difference.mean + 1.96 * error, abs=0.15 * error)
    assert difference == paired_bootstrap(a.tolist(), b.tolist(), resamples=2_000, seed=1)


def test_bootstrap_straddling_zero_is_not_significant() -> None:
    assert not paired_bootstrap([0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0], resamples=500).significant


@pytest.mark.parametrize(("a", "b", "confidence"), [([], [], 0.95), ([1.0], [1.0, 2.0], 0.95), ([1.0], [1.0], 1.0)])
def test_bootstrap_refuses_what_it_cannot_pair(a: list[float], b: list[float], confidence: float) -> None:
    with pytest.raises(InvalidInput, match="must"):
        paired_bootstrap(a, b, confidence=confidence)
