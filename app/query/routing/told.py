"""The answer of a route that needs no passages: a greeting, a plain no, or what a statement returned."""

from __future__ import annotations

import secrets

from app.query.routing.desk import Directed
from app.query.routing.targets import MIN_CONFIDENCE
from app.telemetry import Trace
from app.types import Answer

FIXED = "fixed-reply"
"""The `model` of an answer that no model wrote."""

_LEAST = 1e-6  # a threshold that a named route, of probability 1, always passes


def told_answer(directed: Directed, threshold: float, trace: Trace) -> Answer:
    """The whole answer. A refusing route abstains; a greeting does not, though it cites nothing.

    Args:
        directed: with a reply or a result.
        threshold: probability from which on a route is taken.
        trace: of the request so far.
    """
    taken, result = directed.taken, directed.result
    assert taken is not None
    refused = result is None and taken.target == "refuse"
    if taken.kind == "named":
        threshold = _LEAST
    return Answer(
        id=f"ans_{secrets.token_urlsafe(12)}",
        question=directed.request.question,
        answer=directed.reply or "" if result is None else result.text,
        short_answer="" if result is None else result.short_answer,
        abstained=refused,
        confidence=0.0 if refused else taken.score if result is None else result.confidence,
        threshold=threshold if result is None else MIN_CONFIDENCE,
        citations=() if result is None else result.citations,
        passages=(),
        model=FIXED if result is None else result.how,
        collection_generation={},
        prompt_tokens=0,
        completion_tokens=0,
        timings_ms=trace.timings_ms(),
        trace=trace.stages(),
        confidence_kind="routing",
        route=taken,
        result=result,
    )
