"""From observations to a report: means with intervals, abstention, latency, and paired differences of settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app.evaluation.confidences import curve_points
from app.evaluation.golden import GoldenQuestion, setting_names
from app.evaluation.metrics import auroc, expected_calibration_error, paired_bootstrap, risk_coverage
from app.evaluation.scoring import METRICS, RETRIEVAL

CONFIDENCE = 0.95
RESAMPLES = 5_000
SEED = 0
LATENCY = "latency_ms"

Observed = Mapping[str, Any]


def build_report(
    golden: Sequence[GoldenQuestion], settings: Sequence[Mapping[str, Any]], observed: Sequence[Sequence[Observed]]
) -> dict[str, Any]:
    """The report of a complete run, ready for JSON; the first setting is the one that the others are compared with.

    Args:
        golden: the questions.
        settings: as they were asked for; `name` where one was given.
        observed: `[setting][question]`, see `scoring.observe`.
    """
    names = setting_names(settings)
    entries = []
    for place, (setting, rows) in enumerate(zip(settings, observed, strict=True)):
        entry: dict[str, Any] = {
            "name": names[place],
            "request": {key: value for key, value in setting.items() if key != "name"},
        }
        entry |= measure(golden, rows)
        entry["difference"] = compare(observed[0], rows) if place else None
        entries.append(entry)
    return {
        "settings": entries,
        "compared_with": names[0],
        "method": {
            "difference": "mean over the questions that both settings have a score for, this setting minus the first",
            "interval": f"{CONFIDENCE:.0%} percentile bootstrap over questions",
            "confidence": CONFIDENCE,
            "resamples": RESAMPLES,
            "seed": SEED,
        },
    }


def measure(golden: Sequence[GoldenQuestion], rows: Sequence[Observed]) -> dict[str, Any]:
    """The figures of one setting; what can't be told is None and `not_computed` says why."""
    asked = [row for row in rows if "error" not in row]
    reasons: dict[str, str] = {}
    figures: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for name in METRICS:
        values = _scores(rows, name)
        counts[name] = len(values)
        figures[name] = math.fsum(values) / len(values) if values else None
        if values:
            intervals[name] = _interval([0.0] * len(values), values)
        else:
            reasons[name] = _why_not(name, golden)
    figures["abstention"] = _abstention(golden, rows, reasons)
    latencies = [float(row["latency_ms"]) for row in asked]
    figures[LATENCY] = {"p50": _quantile(latencies, 0.5), "p95": _quantile(latencies, 0.95)}
    if not latencies:
        reasons[LATENCY] = "no question was answered"
    errors = [str(row["error"]) for row in rows if "error" in row]
    return {
        **figures,
        "intervals": intervals,
        "counts": {"questions": len(rows), "failed": len(errors), **counts},
        "not_computed": reasons,
        "errors": list(dict.fromkeys(errors))[:5],
    }


def compare(first: Sequence[Observed], second: Sequence[Observed]) -> dict[str, Any]:
    """`{metric: {mean, low, high, n, significant}}` of the second minus the first over the same questions."""
    found: dict[str, Any] = {}
    for name in (*METRICS, LATENCY):
        pairs = [
            (a, b)
            for left, right in zip(first, second, strict=True)
            if (a := _value(left, name)) is not None and (b := _value(right, name)) is not None
        ]
        if pairs:
            found[name] = _interval([a for a, _ in pairs], [b for _, b in pairs])
    return found


def _abstention(golden: Sequence[GoldenQuestion], rows: Sequence[Observed], reasons: dict[str, str]) -> dict[str, Any]:
    """Does the confidence tell right answers from wrong ones? The curve is over every question whose label is known.

    With no gold answers in the whole set the label is whether the documents answer the question at all.
    """
    by_answers = any(question.answers for question in golden)
    pairs = [
        (float(row["confidence"]), bool(label))
        for question, row in zip(golden, rows, strict=True)
        if "error" not in row and (label := row["right"] if by_answers else question.has_answer) is not None
    ]
    found: dict[str, Any] = {
        "label": "the answer is right (token F1 of one half or more)" if by_answers else "the question has an answer",
        "n": len(pairs),
        "auroc": None,
        "risk_coverage": None,
        "aurc": None,
        "calibration_error": None,
        **_refusals(golden, rows),
    }
    if not pairs:
        reasons["abstention"] = "no question says its answers, its relevant documents or that it has none"
        return found
    confidences, labels = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    area = auroc(confidences, labels)
    found["auroc"] = None if math.isnan(area) else area
    if math.isnan(area):
        kind = "right" if labels[0] else "wrong"
        reasons["abstention.auroc"] = (
            f"all {len(labels)} labelled cases are {kind}: right and wrong ones are needed to tell them apart"
            if by_answers
            else "the questions are all answerable or all unanswerable: both kinds are needed to tell them apart"
        )
    curve = risk_coverage(confidences, labels)
    found["risk_coverage"] = curve_points(curve)
    found["aurc"] = curve.area
    found["calibration_error"] = expected_calibration_error(confidences, labels)
    return found


def _refusals(golden: Sequence[GoldenQuestion], rows: Sequence[Observed]) -> dict[str, Any]:
    """Share of refusals among all questions, and among those that have, and have not, an answer."""

    def share(wanted: bool | None) -> float | None:
        refused = [
            bool(row["abstained"])
            for question, row in zip(golden, rows, strict=True)
            if "error" not in row and (wanted is None or question.has_answer is wanted)
        ]
        return sum(refused) / len(refused) if refused else None

    return {"refused": share(None), "refused_answerable": share(True), "refused_unanswerable": share(False)}


def _why_not(name: str, golden: Sequence[GoldenQuestion]) -> str:
    if name in RETRIEVAL:
        if not any(question.relevant_document_ids or question.relevant_chunk_ids for question in golden):
            return "no question names relevant_document_ids or relevant_chunk_ids"
    elif name == "citation_precision":
        if all(question.has_answer is None for question in golden):
            return "no question says where its answer stands or what it is"
        return "no answer to a question whose answer is known has a citation"
    elif not any(question.answers or question.answerable is False for question in golden):
        return "no question has answers or is marked as unanswerable"
    return "none of the questions that it could be told from was answered"


def _value(row: Observed, name: str) -> float | None:
    if "error" in row:
        return None
    value = row["latency_ms"] if name == LATENCY else row["scores"].get(name)
    return None if value is None else float(value)


def _scores(rows: Sequence[Observed], name: str) -> list[float]:
    return [value for row in rows if (value := _value(row, name)) is not None]


def _interval(a: Sequence[float], b: Sequence[float]) -> dict[str, Any]:
    found = paired_bootstrap(a, b, confidence=CONFIDENCE, resamples=RESAMPLES, seed=SEED)
    return {
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "n": len(a),
        "significant": found.significant,
    }


def _quantile(values: Sequence[float], share: float) -> float | None:
    return float(np.quantile(np.asarray(values), share)) if values else None
