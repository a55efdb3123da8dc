"""From observations to figures, with nulls that say why, and a table for the terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.evaluation.golden import GoldenQuestion
from app.evaluation.report import build_report, compare, measure
from app.evaluation.scoring import METRICS, failure
from app.evaluation.table import report_table

GOLDEN = [
    GoldenQuestion("one", answers=("a",), relevant_document_ids=("d1",)),
    GoldenQuestion("two", answers=("b",), relevant_document_ids=("d2",)),
    GoldenQuestion("three", answers=("c",)),
    GoldenQuestion("none", answerable=False),
]


def seen(
    confidence: float, right: bool | None, *, abstained: bool = False, ms: float = 10.0, **scores: float
) -> dict[str, Any]:
    named = {name.replace("_at_", "@"): value for name, value in scores.items()}
    assert set(named) <= set(METRICS)
    return {
        "scores": dict.fromkeys(METRICS) | named,
        "right": right,
        "abstained": abstained,
        "confidence": confidence,
        "latency_ms": ms,
    }


FIRST = [
    seen(0.9, True, ms=10, ndcg_at_10=1.0, f1=1.0),
    seen(0.8, False, ms=20, ndcg_at_10=0.5, f1=0.0),
    seen(0.6, True, ms=30, f1=1.0),
    seen(0.1, False, abstained=True, ms=40, f1=1.0),
]
SECOND = [
    seen(0.9, True, ms=12, ndcg_at_10=1.0, f1=1.0),
    seen(0.8, True, ms=22, ndcg_at_10=1.0, f1=1.0),
    failure("the model was away"),
    seen(0.1, False, abstained=True, ms=42, f1=1.0),
]


def test_means_are_over_the_questions_that_have_a_score() -> None:
    figures = measure(GOLDEN, FIRST)
    assert figures["ndcg@10"] == 0.75
    assert figures["f1"] == 0.75
    assert figures["counts"]["ndcg@10"] == 2
    assert figures["latency_ms"] == {"p50": 25.0, "p95": pytest.approx(38.5)}
    interval = figures["intervals"]["f1"]
    assert (interval["mean"], interval["n"]) == (0.75, 4)
    assert 0 <= interval["low"] <= 0.75 <= interval["high"] <= 1


def test_abstention_by_hand() -> None:
    """Right at .9 and .6, wrong at .8 and .1: of four pairs of a right and a wrong one, three are in order."""
    found = measure(GOLDEN, FIRST)["abstention"]
    assert found["auroc"] == 0.75
    assert found["risk_coverage"] == [
        {"coverage": 0.25, "risk": 0.0},
        {"coverage": 0.5, "risk": 0.5},
        {"coverage": 0.75, "risk": pytest.approx(1 / 3)},
        {"coverage": 1.0, "risk": 0.5},
    ]
    assert found["aurc"] == pytest.approx((0 + 0.5 + 1 / 3 + 0.5) / 4)
    assert (found["refused"], found["refused_answerable"], found["refused_unanswerable"]) == (0.25, 0.0, 1.0)
    assert found["n"] == 4


def test_without_gold_answers_confidence_is_judged_by_whether_there_is_an_answer() -> None:
    golden = [GoldenQuestion("a", relevant_document_ids=("d",)), GoldenQuestion("b", answerable=False)]
    figures = measure(golden, [seen(0.9, None), seen(0.2, False)])
    assert figures["abstention"]["auroc"] == 1
    assert figures["abstention"]["label"] == "the question has an answer"


def test_what_is_null_says_why() -> None:
    nothing = measure([GoldenQuestion("q")], [seen(0.5, None)])
    assert all(nothing[name] is None for name in METRICS)
    assert set(METRICS) < set(nothing["not_computed"])
    assert "no question has answers" in nothing["not_computed"]["f1"]
    assert "no question says where its answer stands" in nothing["not_computed"]["citation_precision"]
    assert nothing["abstention"]["risk_coverage"] is None
    one_kind = measure([GOLDEN[0]], [seen(0.5, True, f1=1.0)])
    assert one_kind["abstention"]["auroc"] is None
    assert "all 1 labelled cases are right" in one_kind["not_computed"]["abstention.auroc"]
    assert one_kind["abstention"]["risk_coverage"] == [{"coverage": 1.0, "risk": 0.0}]
    failed = measure([GOLDEN[0]], [failure("away")])
    assert failed["latency_ms"] == {"p50": None, "p95": None}
    assert failed["counts"]["failed"] == 1
    assert failed["errors"] == ["away"]


def test_differences_are_paired_over_the_questions_that_both_answered() -> None:
    found = compare(FIRST, SECOND)
    assert found["ndcg@10"]["mean"] == 0.25
    assert found["ndcg@10"]["n"] == 2
    assert found["f1"] == {
        "mean": pytest.approx(1 / 3), "low": 0.0, "high": 1.0, "n": 3, "significant": False,
    }  # fmt: skip
    assert found["latency_ms"]["mean"] == pytest.approx(2.0)
    assert found["latency_ms"]["significant"] is True  # 2 ms slower on every one
    assert "recall@10" not in found
    assert compare(FIRST, SECOND) == found, "the resampling is seeded"


def test_a_report_is_json_and_a_table() -> None:
    settings = [{"name": "plain"}, {"name": "new\x1b[31m", "rerank": False}]
    report = build_report(GOLDEN, settings, [FIRST, SECOND])
    json.dumps(report, allow_nan=False)
    first, second = report["settings"]
    assert first["difference"] is None
    assert second["request"] == {"rerank": False}
    text = report_table(report)
    assert "\x1b" not in text
    lines = text.splitlines()
    assert next(line for line in lines if line.startswith("ndcg@10")).split() == ["ndcg@10", "0.750", "1.000"]
    assert any(line.startswith("latency_ms") and line.endswith("*") for line in lines)
    assert "1 questions failed" in text
    assert "recall@10: none of the questions" in text


def test_long_curves_are_thinned_but_keep_their_ends() -> None:
    golden = [GoldenQuestion(str(number), answers=("a",)) for number in range(500)]
    rows = [seen(1 - number / 500, number % 3 == 0, f1=1.0) for number in range(500)]
    curve = measure(golden, rows)["abstention"]["risk_coverage"]
    assert len(curve) == 101
    assert curve[0]["coverage"] == pytest.approx(1 / 500)
    assert curve[-1]["coverage"] == 1
