"""The "train_calibration" job: rated answers → a correction → cross-validated log loss → promoted, or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.generation.collection_calibration import (
    Rated,
    brier,
    correction_of,
    fit_correction,
    held_out,
    log_loss,
)
from app.generation.rated_questions import rated_questions
from app.index.calibrations import CalibrationStore, new_calibration_id
from app.index.jobs import JobQueue
from app.index.lease import Lease
from app.index.records import JobRecord
from app.index.verdicts import Verdict, judge
from app.protocols import Compare

Draw = Callable[[Sequence[float], Sequence[bool]], Mapping[str, Any]]
"""(confidences, which answers were right) → their figures: `app.evaluation.confidences.confidence_figures`."""


@dataclass(frozen=True, slots=True)
class CalibrationTraining:
    """What the job stands on; `calibration` is the id of the shipped calibration in use."""

    store: CalibrationStore
    jobs: JobQueue
    compare: Compare
    draw: Draw
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
        found = rated_questions(self.store.given(collection, lease.check), self.calibration)
        found.check_enough()
        self.jobs.progress(job.id, stage="training")
        correction = fit_correction(found.rated, found.unrated, self.calibration)
        lease.check()
        held = held_out(found.rated, found.unrated, base)
        verdict = judged(held, self.compare)
        questions = [each for each, _, _ in held]
        figures = {
            "correction": correction.figures(),
            "held_out": {
                **verdict.figures,
                "before": drawn(questions, [serving for _, serving, _ in held], self.draw),
                "after": drawn(questions, [own for _, _, own in held], self.draw),
            },
            "training": {
                "rated": len(found.rated),
                "right": found.right,
                "wrong": found.wrong,
                "unrated": found.unrated,
                "outdated": found.outdated,
                "brier": {"shipped": brier(found.rated, None), "trained": brier(found.rated, correction)},
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


def judged(held: Sequence[tuple[Rated, float, float]], compare: Compare) -> Verdict:
    """Whether the log loss of `held_out`'s questions falls below that of what serves, beyond what chance explains."""
    return judge(
        [log_loss(serving, right=each.right) for each, serving, _ in held],
        [log_loss(own, right=each.right) for each, _, own in held],
        compare,
        metric="log loss",
        wanted="fall",
        method="paired bootstrap over questions, each judged by a correction that was fitted without it",
    )


def drawn(rated: Sequence[Rated], confidences: Sequence[float], draw: Draw) -> dict[str, Any]:
    """The figures of these confidences, with `given`: how much is still given at each answer's threshold, how wrong.

    Every rated answer was given, so what a higher confidence would give beside them is not in the ratings.
    """
    given = [each for each, own in zip(rated, confidences, strict=True) if own >= each.threshold]
    wrong = sum(not each.right for each in given)
    return {
        **draw(confidences, [each.right for each in rated]),
        "given": {"coverage": len(given) / len(rated), "risk": wrong / len(given) if given else None},
    }
