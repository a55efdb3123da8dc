"""The "train_calibration" job: rated answers → a correction → cross-validated log loss → promoted, or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidInput
from app.generation.collection_calibration import (
    MIN_EACH,
    MIN_RATED,
    Correction,
    Rated,
    brier,
    correction_of,
    cross_validated,
    fit_correction,
    normalized,
)
from app.index.calibrations import CalibrationStore, GivenAnswer, new_calibration_id
from app.index.jobs import JobQueue
from app.index.lease import Lease
from app.index.records import JobRecord
from app.protocols import Compare

CONFIDENCE = 0.9
SEED = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to promote, why, and the held-out figures."""

    promote: bool
    reason: str
    figures: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CalibrationTraining:
    """What the job stands on; `calibration` is the id of the shipped calibration in use."""

    store: CalibrationStore
    jobs: JobQueue
    compare: Compare
    calibration: str

    def run(self, job: JobRecord, lease: Lease) -> Mapping[str, Any]:
        """`{calibration, promoted, reason}`.

        Raises:
            InvalidInput: too little feedback; says how much there is and how much is needed.
            LetGo: the work must end here; nothing of it is kept.
        """
        collection = str(job.collection)
        base_id = self.store.active(collection)
        numbers = self.store.correction(collection) if base_id is not None else None
        base = None if numbers is None else correction_of(numbers)
        if base is not None and base.calibration != self.calibration:
            base = None  # another shipped calibration serves meanwhile: the old correction is not applied
        self.jobs.progress(job.id, stage="reading")
        rated, unrated, outdated = self._feedback(collection, lease)
        check_enough(rated, outdated)
        self.jobs.progress(job.id, stage="training")
        correction = fit_correction(rated, unrated, self.calibration)
        lease.check()
        verdict = judged(rated, unrated, base, self.compare)
        right = sum(each.right for each in rated)
        figures = {
            "correction": correction.figures(),
            "held_out": verdict.figures,
            "training": {
                "rated": len(rated),
                "right": right,
                "wrong": len(rated) - right,
                "unrated": unrated,
                "outdated": outdated,
                "brier": {"shipped": brier(rated, None), "trained": brier(rated, correction)},
            },
        }
        record = self.store.add(
            collection,
            new_calibration_id(),
            job_id=job.id,
            promote=verdict.promote,
            reason=verdict.reason,
            figures=figures,
            base=base_id,
        )
        return {"calibration": record.id, "promoted": record.status == "active", "reason": record.reason}

    def _feedback(self, collection: str, lease: Lease) -> tuple[list[Rated], int, int]:
        """(rated questions, how many nobody rated, rated answers of another shipped calibration)."""
        outdated = 0
        asked: dict[str, list[GivenAnswer]] = {}
        for answer in self.store.given(collection, lease.check):
            if answer.calibration == self.calibration:
                asked.setdefault(normalized(answer.question), []).append(answer)
            else:
                outdated += answer.votes != 0
        rated: list[Rated] = []
        for question, given in asked.items():
            votes = sum(answer.votes for answer in given)
            counted = [answer.confidence for answer in given if answer.votes]
            if votes:
                rated.append(Rated(question, sum(counted) / len(counted), votes > 0))
        return rated, len(asked) - len(rated), outdated


def check_enough(rated: Sequence[Rated], outdated: int = 0) -> None:
    """Raises InvalidInput that says how many ratings there are and how many are needed."""
    right = sum(each.right for each in rated)
    wrong = len(rated) - right
    if len(rated) < MIN_RATED or min(right, wrong) < MIN_EACH:
        older = f" ({outdated} more were given under an earlier calibration)" if outdated else ""
        raise InvalidInput(
            f"the answers to {right} questions to this collection alone are rated as helpful and to {wrong} as "
            f"not{older}; a calibration needs {MIN_RATED} rated questions, at least {MIN_EACH} of each kind: collect "
            "more with POST /v1/feedback"
        )


def judged(rated: Sequence[Rated], unrated: int, base: Correction | None, compare: Compare) -> Verdict:
    """Whether cross-validated log loss falls below that of what serves, beyond what chance explains."""
    before, after = cross_validated(rated, unrated, base)
    difference = compare(before, after, confidence=CONFIDENCE, seed=SEED)
    mean_before, mean_after = sum(before) / len(before), sum(after) / len(after)
    promote = difference.mean < 0 and difference.high < 0
    interval = f"{difference.mean:+.3f}, {CONFIDENCE:.0%} interval {difference.low:+.3f} to {difference.high:+.3f}"
    told = f"held-out log loss {mean_before:.3f} before, {mean_after:.3f} after ({interval}, {len(before)} questions)"
    if promote:
        reason = f"promoted: {told}"
    elif difference.mean < 0:
        reason = f"not promoted: {told}; the fall may be chance"
    else:
        reason = f"not promoted: {told}; it does not fall"
    figures = {
        "questions": len(before),
        "log_loss": {"base": mean_before, "trained": mean_after},
        "difference": {
            "mean": difference.mean,
            "low": difference.low,
            "high": difference.high,
            "confidence": CONFIDENCE,
        },
        "method": "paired bootstrap over questions, each judged by a correction that was fitted without it",
    }
    return Verdict(promote, reason, figures)
