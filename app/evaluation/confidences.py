"""What confidences are worth, as numbers to store and to draw: a reliability diagram, a risk–coverage curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from app.evaluation.metrics import RiskCoverage, auroc, expected_calibration_error, risk_coverage

BINS = 10
CURVE_POINTS = 101
DRAWN_POINTS = 41
"""Of a curve that is stored with each version, so that a list of many stays small."""
_Z = 1.959964  # of a 95 % interval


def confidence_figures(confidences: Sequence[float], right: Sequence[bool]) -> dict[str, Any]:
    """`{questions, wrong, calibration_error, auroc, reliability, risk_coverage}` of answers whose outcome is known.

    The bins of `reliability` are those of the calibration error, empty ones left out. `auroc` is None without both
    right and wrong answers.

    Args:
        confidences: in [0, 1], one an answer, at least one.
        right: whether the answer was right.
    """
    area = auroc(confidences, right)
    return {
        "questions": len(right),
        "wrong": 1 - sum(right) / len(right),
        "calibration_error": expected_calibration_error(confidences, right, BINS),
        "auroc": None if math.isnan(area) else area,
        "reliability": reliability(confidences, right),
        "risk_coverage": curve_points(risk_coverage(confidences, right), DRAWN_POINTS),
    }


def reliability(confidences: Sequence[float], right: Sequence[bool], bins: int = BINS) -> list[dict[str, Any]]:
    """Equal-width bins of [0, 1] with their mean confidence beside the share that was right.

    `right_low` and `right_high` are Wilson's 95 % interval of that share: with few answers in a bin it is wide.

    Source: DeGroot & Fienberg 1983; Wilson 1927 (the interval).
    """
    found: dict[int, list[tuple[float, bool]]] = {}
    for confidence, its in zip(confidences, right, strict=True):
        found.setdefault(min(int(confidence * bins), bins - 1), []).append((confidence, its))
    drawn = []
    for place, cases in sorted(found.items()):
        count, good = len(cases), sum(its for _, its in cases)
        low, high = wilson(good, count)
        drawn.append(
            {
                "low": place / bins,
                "high": (place + 1) / bins,
                "count": count,
                "confidence": sum(confidence for confidence, _ in cases) / count,
                "right": good / count,
                "right_low": low,
                "right_high": high,
            }
        )
    return drawn


def wilson(good: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `good` in `count` cases, within [0, 1]. Source: Wilson 1927."""
    share, spread = good / count, _Z**2 / count
    centre = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def curve_points(curve: RiskCoverage, most: int = CURVE_POINTS) -> list[dict[str, float]]:
    """At most `most` points of the curve, evenly spread over it, its ends among them."""
    kept = np.unique(np.linspace(0, len(curve.coverage) - 1, most).round().astype(int))
    return [{"coverage": float(curve.coverage[place]), "risk": float(curve.risk[place])} for place in kept]
