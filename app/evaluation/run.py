"""The job that asks every golden question under every setting, and goes on where an interrupted one stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.errors import AttestError, Cancelled, InvalidInput, NotFound, Unavailable
from app.evaluation.golden import GoldenQuestion
from app.evaluation.report import build_report
from app.evaluation.scoring import failure, observe
from app.index.evaluations import EvaluationRecord, EvaluationStore
from app.index.lease import Lease
from app.index.records import JobRecord
from app.types import Answer

Ask = Callable[[Mapping[str, Any], str, str, Callable[[], bool]], tuple[Answer, float]]
"""(setting, question, collection, cancelled) → the answer and its milliseconds, waiting for its turn not included."""


class EvaluationRun:
    """Does "evaluate" jobs."""

    def __init__(self, store: EvaluationStore, ask: Ask) -> None:
        self._store = store
        self._ask = ask

    def run(self, job: JobRecord, lease: Lease) -> Mapping[str, Any]:
        """The job's result, the report being stored with the evaluation.

        Every question is asked under all settings before the next one, and the settings take turns in going first, so
        that what a machine does meanwhile, and what one setting warms up for the next, falls on all of them alike.

        Raises:
            NotFound: the evaluation or its collection was deleted.
            Unavailable: every question failed.
            LetGo: the work must end here; what has been observed is kept.
        """
        evaluation = self._store.get(job.id)
        golden = [GoldenQuestion.of(row) for row in evaluation.golden]
        settings = evaluation.settings
        observed = {
            place: row for place, row in self._store.observed(job.id).items() if "error" not in row
        }  # what failed is asked again
        for number, question in enumerate(golden):
            for turn in range(len(settings)):
                place = (number, (number + turn) % len(settings))
                if place in observed:
                    continue
                lease.check()
                observed[place] = self._one(evaluation, question, settings[place[1]], lease)
                if not self._store.observe(job, *place, observed[place], done=len(observed)):
                    lease.lose()
        lease.check()
        rows = [[observed[number, place] for number in range(len(golden))] for place in range(len(settings))]
        failed = [row["error"] for one in rows for row in one if "error" in row]
        if len(failed) == len(golden) * len(settings):
            raise Unavailable(f"every question failed; the first: {failed[0]}")
        self._store.finish(job.id, build_report(golden, settings, rows))
        return {"questions": len(golden), "settings": len(settings), "failed": len(failed)}

    def _one(
        self, evaluation: EvaluationRecord, question: GoldenQuestion, setting: Mapping[str, Any], lease: Lease
    ) -> dict[str, Any]:
        try:
            answer, latency_ms = self._ask(setting, question.question, evaluation.collection, lease.ended)
        except Cancelled:
            lease.check()  # says why; if nothing stopped the work, the question itself was cancelled
            raise
        except (NotFound, InvalidInput):
            raise
        except AttestError as error:
            return failure(error.message)
        return observe(question, answer, latency_ms)
