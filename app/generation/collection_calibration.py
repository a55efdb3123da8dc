"""A collection's own confidence: two numbers, fitted to people's ratings, over the shipped calibration's.

    confidence′ = σ(c + shift + slope · (logit(confidence) − c)),   c: mean logit of the rated answers

The order of a collection's answers stays as it is; what changes is what their confidence means.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.generation.abstention import sigmoid

MIN_RATED = 60
"""Rated answers below which nothing is fitted; `python -m benchmarks.collection_calibration` prints why."""
MIN_EACH = 15
"""Of them, at least so many right ones and so many wrong ones."""
BIAS = 2.0
"""How many times as likely to be rated wrong answers may be as right ones, or the other way round."""
MOST_SHIFT = 2.0
FOLDS = 5
_SHIFT_SD = 1.0
_SLOPE_SD = 0.5
_SLOPES = (0.25, 4.0)
_SMALLEST = 1e-4
_FLOOR_SHARE = 0.05
_STEPS = 50


@dataclass(frozen=True, slots=True)
class Rated:
    """A question with the shipped calibration's confidence in its answers; `right`: more people praise than blame them.

    `threshold` is the confidence that an answer to it needed to be given.
    A question that was asked often is one case: its answers succeed and fail together.
    """

    question: str
    confidence: float
    right: bool
    threshold: float = 0.0


@dataclass(frozen=True, slots=True)
class Correction:
    """What turns the shipped calibration's confidence into the collection's own.

    `floor` is the least confidence that enough rated answers had: what lies below it was never rated, and is never
    raised. `calibration` names the shipped calibration whose confidence it corrects, and no other's.
    """

    shift: float
    slope: float
    centre: float
    floor: float
    calibration: str

    def applied(self, confidence: float) -> float:
        """Return the collection's confidence in [0, 1]; it grows with `confidence`."""
        own = sigmoid(self.centre + self.shift + self.slope * (_logit(confidence) - self.centre))
        return min(own, confidence) if confidence < self.floor else own

    def figures(self) -> dict[str, Any]:
        """Return its numbers, as `correction_of` reads them."""
        return asdict(self)


def correction_of(figures: Mapping[str, Any]) -> Correction:
    """Return the correction of stored numbers."""
    return Correction(**figures)


class CollectionCalibrations:
    """Finds the correction of a question's collection.

    Args:
        serving: collection name → the numbers of its active correction, None where there is none.
        calibration: id of the shipped calibration in use; a correction of another one is left alone.
    """

    def __init__(self, serving: Callable[[str], Mapping[str, Any] | None], calibration: str) -> None:
        self._serving = serving
        self.calibration = calibration

    def of(self, collections: Sequence[str]) -> Correction | None:
        """Return the correction for a question to these collections; several share no calibration but the shipped."""
        numbers = self._serving(collections[0]) if len(collections) == 1 else None
        correction = None if numbers is None else correction_of(numbers)
        return correction if correction is not None and correction.calibration == self.calibration else None


def fit_correction(rated: Sequence[Rated], unrated: float, calibration: str) -> Correction:
    """Return the most probable shift and slope, drawn towards the shipped calibration where ratings are few.

    Priors: shift normal around 0 (deviation 1), slope around 1 (deviation .5). Whether people rate at all may depend
    on whether the answer was right; that moves the shift by the log of the ratio and leaves the slope alone (Prentice
    & Pyke 1979). So the shift is only known up to that ratio, which is taken to be within `BIAS`, and within what the
    unrated answers leave open; of the shifts that are left the one nearest to 0 is taken.

    Args:
        rated: at least one right and one wrong answer.
        unrated: how many answers nobody rated; 0 leaves nothing open.
        calibration: id of the shipped calibration that gave the confidences.

    Source: Platt 1999, section 2.1 (the sigmoid); Rosenbaum 2002, chapter 4, and Manski 1990 (what selection leaves
    open).
    """
    logits = [_logit(each.confidence) for each in rated]
    labels = [float(each.right) for each in rated]
    centre = sum(logits) / len(logits)
    shift, slope = 0.0, 1.0
    for _ in range(_STEPS):
        # gradient and Hessian of the penalised log loss
        g_shift, g_slope = shift / _SHIFT_SD**2, (slope - 1) / _SLOPE_SD**2
        h_shift, h_cross, h_slope = 1 / _SHIFT_SD**2, 0.0, 1 / _SLOPE_SD**2
        for logit, label in zip(logits, labels, strict=True):
            x = logit - centre
            p = sigmoid(centre + shift + slope * x)
            weight, error = p * (1 - p), p - label
            g_shift += error
            g_slope += error * x
            h_shift += weight
            h_cross += weight * x
            h_slope += weight * x * x
        determinant = h_shift * h_slope - h_cross**2
        step_shift = (h_slope * g_shift - h_cross * g_slope) / determinant
        step_slope = (h_shift * g_slope - h_cross * g_shift) / determinant
        shift = min(max(shift - step_shift, -2 * MOST_SHIFT), 2 * MOST_SHIFT)
        slope = min(max(slope - step_slope, _SLOPES[0]), _SLOPES[1])
        if abs(step_shift) + abs(step_slope) < 1e-9:
            break
    right = max(1.0, sum(labels))
    wrong = max(1.0, len(labels) - sum(labels))
    better = min(math.log(BIAS), math.log1p(unrated / right))  # the unrated may have been right all of them
    worse = min(math.log(BIAS), math.log1p(unrated / wrong))
    certain = max(0.0, shift - worse) if shift > 0 else min(0.0, shift + better)
    ordered = sorted(each.confidence for each in rated)
    return Correction(
        shift=min(max(certain, -MOST_SHIFT), MOST_SHIFT),
        slope=slope,
        centre=centre,
        floor=ordered[int(_FLOOR_SHARE * len(ordered))],
        calibration=calibration,
    )


def held_out(rated: Sequence[Rated], unrated: float, base: Correction | None) -> list[tuple[Rated, float, float]]:
    """Return each question with its confidence under `base` and under a correction fitted without its fold.

    Equal questions are in one fold, by a hash of their words.
    """
    found: list[tuple[Rated, float, float]] = []
    folds = [_fold(each.question) for each in rated]
    for fold in range(FOLDS):
        tried = [each for each, its in zip(rated, folds, strict=True) if its == fold]
        kept = [each for each, its in zip(rated, folds, strict=True) if its != fold]
        if not tried or not kept:
            continue
        own = fit_correction(kept, unrated * len(kept) / len(rated), "")
        for each in tried:
            serving = each.confidence if base is None else base.applied(each.confidence)
            found.append((each, serving, own.applied(each.confidence)))
    return found


def brier(rated: Iterable[Rated], correction: Correction | None) -> float:
    """Return the mean squared distance of confidence and outcome (Brier 1950); lower is better."""
    errors = [
        ((each.confidence if correction is None else correction.applied(each.confidence)) - each.right) ** 2
        for each in rated
    ]
    return sum(errors) / len(errors)


def log_loss(confidence: float, *, right: bool) -> float:
    """Return −ln of the probability that was given to what happened."""
    p = min(max(confidence, _SMALLEST), 1 - _SMALLEST)
    return -math.log(p if right else 1 - p)


def normalized(question: str) -> str:
    """Return the question as it is told from others: lower case, single spaces."""
    return " ".join(question.casefold().split())


def _fold(question: str) -> int:
    return hashlib.sha256(f"calibration:{normalized(question)}".encode()).digest()[0] % FOLDS


def _logit(p: float) -> float:
    p = min(max(p, _SMALLEST), 1 - _SMALLEST)
    return math.log(p) - math.log1p(-p)
