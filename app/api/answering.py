"""One question on a model thread, for every surface that asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from app.api.answers import AnswerBody, answer_body
from app.errors import Conflict
from app.telemetry import Trace
from app.types import AskRequest

if TYPE_CHECKING:
    from app.bootstrap import Services

OnEvent = Callable[[str, dict[str, Any]], None]


def run_answer(
    services: Services, wanted: AskRequest, trace: Trace, on_event: OnEvent | None, *, with_trace: bool
) -> AnswerBody:
    """Answers, counts, and keeps the answer so that feedback can name it; `on_event` receives the pipeline's events.

    Raises:
        NotFound, Unavailable, Cancelled, Conflict: as `Pipeline.answer`.
    """
    answer = services.pipeline.answer(wanted, trace, on_event)
    services.metrics.answers.labels(outcome="abstained" if answer.abstained else "answered").inc()
    body = answer_body(answer, trace, with_trace=with_trace)
    # what a rating is a rating of: the shipped calibration's word, and which calibration that was
    judged = {"global_confidence": answer.global_confidence, "calibration": services.pipeline.stages.own.calibration}
    try:
        kept = services.catalog.save_answer(answer.id, answer.question, _stored(body) | judged)
    except Exception:  # noqa: BLE001 - a full disk must not take the answer away; it says what is missing
        structlog.get_logger("api").exception("answer_not_saved", answer_id=answer.id)
        warning = "this answer could not be stored: feedback on it will not find it"
        return body.model_copy(update={"warnings": [*body.warnings, warning]})
    if not kept:
        raise Conflict("a document that this answer quotes was deleted while it was being written: ask again")
    return body


def _stored(body: AnswerBody) -> dict[str, Any]:
    """What is kept of an answer. Cells and values that no citation names would outlive their document: not they."""
    kept = body.model_dump(mode="json", exclude={"trace", "result", "auto_filter"})
    return kept if body.result is None else kept | {"answer": "", "short_answer": ""}
