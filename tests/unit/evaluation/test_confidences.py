"""Figures to draw: bins and intervals by hand, a curve that keeps its ends, agreement with the calibration error."""

from __future__ import annotations

import random

import pytest

from app.evaluation.confidences import confidence_figures, curve_points, reliability, wilson
from app.evaluation.metrics import expected_calibration_error, risk_coverage


def test_bins_by_hand() -> None:
    assert reliability([0.05, 0.91, 0.99, 1.0], [False, True, True, False]) == [
        {
            "low": 0.0,
            "high": 0.1,
            "count": 1,
            "confidence": 0.05,
            "right": 0.0,
            "right_low": 0.0,
            "right_high": pytest.approx(0.7935, abs=1e-4),  # z² / (1 + z²)
        },
        {
            "low": 0.9,
            "high": 1.0,
            "count": 3,
            "confidence": pytest.approx(2.9 / 3),
            "right": pytest.approx(2 / 3),
            "right_low": pytest.approx(0.2077, abs=1e-4),
            "right_high": pytest.approx(0.9385, abs=1e-4),
        },
    ]


def test_wilsons_interval_is_the_published_one() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(20, 20)[1] == 1.0


def test_the_gaps_of_the_bins_are_the_calibration_error() -> None:
    chosen = random.Random(0)
    confidences = [chosen.random() for _ in range(500)] + [0.1, 0.3, 0.7, 1.0]  # on edges of bins, too
    right = [chosen.random() < p**2 for p in confidences]
    found = confidence_figures(confidences, right)
    gaps = sum(each["count"] * abs(each["right"] - each["confidence"]) for each in found["reliability"])
    assert gaps / len(right) == pytest.approx(expected_calibration_error(confidences, right))
    assert found["calibration_error"] == pytest.approx(gaps / len(right))
    assert (found["questions"], found["wrong"]) == (504, pytest.approx(1 - sum(right) / 504))
    assert found["risk_coverage"][-1] == {"coverage": 1.0, "risk": pytest.approx(found["wrong"])}


def test_answers_of_one_kind_have_no_auroc() -> None:
    assert confidence_figures([0.4, 0.6], [True, True])["auroc"] is None
    assert confidence_figures([0.4, 0.6], [False, True])["auroc"] == 1.0


def test_a_long_curve_is_thinned_between_its_ends() -> None:
    curve = risk_coverage([place / 1000 for place in range(1000)], [place > 300 for place in range(1000)])
    points = curve_points(curve, most=11)
    assert len(points) == 11
    assert (points[0]["coverage"], points[-1]["coverage"]) == (0.001, 1.0)
    assert [point["coverage"] for point in points] == sorted(point["coverage"] for point in points)
    assert len(curve_points(risk_coverage([0.5, 0.5], [True, False]))) == 1
