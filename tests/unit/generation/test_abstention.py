"""Confidence by hand, coverage by hand, and the bundled calibration."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import Unavailable
from app.generation.abstention import (
    FEATURES,
    Calibration,
    abstention_threshold,
    bundled_calibration,
    calibrated_confidence,
    calibration_from,
    evidence_features,
    load_calibration,
    question_coverage,
    sigmoid,
    word_stem,
)
from app.types import Evidence

BY_HAND = Calibration(
    features=FEATURES,
    bias=0.5,
    weights=(1.0, -1.0, 2.0, 0.0, 1.0, 0.5, 2.0, 1.0, 0.5),
    means=(-1.0, 0.0, 0.5, 0.0, 0.5, 0.0, -1.0, 0.5, 1.0),
    scales=(2.0, 1.0, 0.5, 1.0, 0.25, 2.0, 4.0, 0.5, 2.0),
    coverage_bias=-1.0,
    coverage_weight=3.0,
    threshold=0.4,
)


def test_features_by_hand() -> None:
    evidence = Evidence(
        answer_logprob=-0.5,
        null_logprob=math.log(0.2),
        passage_mass=(0.1, 0.7),
        runner_up="other",
        runner_up_logprob=-2.5,
        question_coverage=0.75,
        span_over_null=-1.5,
        retrieval_agreement=-2.0,
        kind_fit=1.0,
        verification=3.5,
    )
    numbers = evidence_features(evidence)
    assert tuple(numbers) == FEATURES
    assert list(numbers.values()) == pytest.approx([-0.5, math.log(0.2 / 0.8), 0.7, 2.0, 0.75, -1.5, -2.0, 1.0, 3.5])


def test_features_stay_finite_at_the_ends() -> None:
    sure = Evidence(answer_logprob=0.0, null_logprob=-50.0, passage_mass=(1.0,))
    empty = Evidence(answer_logprob=-math.inf, null_logprob=0.0)
    for evidence in (sure, empty):
        numbers = evidence_features(evidence)
        assert [name for name, x in numbers.items() if not math.isfinite(x)] == [
            "retrieval_agreement",
            "kind_fit",
            "verification",
        ]
        assert 0.0 <= calibrated_confidence(evidence, BY_HAND) <= 1.0


def test_confidence_by_hand() -> None:
    evidence = Evidence(
        answer_logprob=-3.0, null_logprob=math.log(0.5), passage_mass=(0.75,), question_coverage=1.0, span_over_null=4.0
    )
    # 0.5 + 1·(−3 + 1)/2 − 1·0 + 2·(0.75 − 0.5)/0.5 + 0 + 1·(1 − 0.5)/0.25 + 0.5·4/2 = 0.5 − 1 + 1 + 2 + 1 = 3.5
    assert calibrated_confidence(evidence, BY_HAND) == pytest.approx(1 / (1 + math.exp(-3.5)))


def test_what_is_unknown_counts_as_average() -> None:
    evidence = Evidence(answer_logprob=-1.0, null_logprob=math.log(0.5), passage_mass=(0.5,), question_coverage=0.5)
    average = replace(evidence, retrieval_agreement=-1.0, kind_fit=0.5, verification=1.0)
    assert calibrated_confidence(evidence, BY_HAND) == pytest.approx(calibrated_confidence(average, BY_HAND))
    # 2 · (0 + 1)/4 and 1 · (1 − 0.5)/0.5 more
    better = replace(evidence, retrieval_agreement=0.0, kind_fit=1.0)
    before = calibrated_confidence(evidence, BY_HAND)
    assert calibrated_confidence(better, BY_HAND) == pytest.approx(sigmoid(math.log(before / (1 - before)) + 1.5))


def test_a_named_cell_is_believed_as_often_as_it_is_right() -> None:
    doubtful = Evidence(answer_logprob=-15.0, null_logprob=math.log(0.9), question_coverage=0.5)
    assert calibrated_confidence(doubtful, BY_HAND) < 0.01
    assert calibrated_confidence(replace(doubtful, named_cell=True), BY_HAND) == pytest.approx(0.4)
    sure = Evidence(answer_logprob=0.0, null_logprob=-20.0, passage_mass=(1.0,), question_coverage=1.0, named_cell=True)
    assert calibrated_confidence(sure, BY_HAND) > 0.95


def test_a_calibration_may_use_some_of_the_features() -> None:
    stored = {
        "features": ["kind_fit"], "bias": 0.0, "weights": [2.0], "means": [0.0], "scales": [1.0],
        "coverage_bias": 0.0, "coverage_weight": 1.0, "threshold": 0.5,
    }  # fmt: skip
    evidence = Evidence(answer_logprob=-1.0, null_logprob=-1.0, kind_fit=-1.0)
    assert calibrated_confidence(evidence, calibration_from(stored)) == pytest.approx(sigmoid(-2.0))


def test_without_probabilities_the_coverage_decides() -> None:
    assert calibrated_confidence(Evidence(question_coverage=0.5), BY_HAND) == pytest.approx(sigmoid(0.5))
    assert calibrated_confidence(Evidence(), BY_HAND) == pytest.approx(sigmoid(-1.0))


def test_sigmoid_does_not_overflow() -> None:
    assert (sigmoid(-1000), sigmoid(0), sigmoid(1000)) == (0.0, 0.5, 1.0)


def test_coverage_weighs_rare_terms_more() -> None:
    # ids 1997 and 2995 weigh ln 2 and ln 1000; the specials below count nothing
    stems = [str(i) for i in range(3000)]
    expected = math.log(2) / math.log(2000)
    assert question_coverage([101, 1997, 2995, 102], {1997}, stems) == pytest.approx(expected)
    assert question_coverage([1997, 2995], {1997, 2995}, stems) == pytest.approx(1.0)
    assert question_coverage([101, 102], {101}, stems) == 0.0


def test_inflected_words_count_as_the_same_term() -> None:
    assert word_stem("returned") == word_stem("return") == "retur"
    assert word_stem("items") == word_stem("item") == "item"
    assert word_stem("gas") == "gas"
    stems = [word_stem(token) for token in ["x"] * 2000 + ["items", "item"]]
    assert question_coverage([2001], {2000}, stems) == 1.0


def test_the_bundled_calibration_rises_with_the_evidence() -> None:
    strong = Evidence(-0.1, math.log(0.02), None, (0.95, 0.02), "x", -5.0, 1.0, span_over_null=10.0, verification=3.0)
    weak = Evidence(-4.0, math.log(0.8), None, (0.1, 0.05), "x", -4.2, 0.3, span_over_null=-5.0, verification=-3.0)
    threshold = abstention_threshold()
    assert 0.0 < threshold < 1.0
    assert calibrated_confidence(strong) > threshold > calibrated_confidence(weak)
    assert bundled_calibration().features == FEATURES
    signs = [-1 if name == "null_logit" else 1 for name in FEATURES]
    assert all(sign * weight >= 0 for sign, weight in zip(signs, bundled_calibration().weights, strict=True))


def test_other_features_or_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="calibration"):
        load_calibration(tmp_path / "calibration.json")
    with pytest.raises(ValueError, match="fit it again"):
        calibration_from({"features": ["kind_fit", "other"]})
    with pytest.raises(ValueError, match="fit it again"):
        calibration_from({"features": []})
