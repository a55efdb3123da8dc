"""Answers with a confidence and a rating each, straight into a catalog: what a collection's calibration learns from."""

from __future__ import annotations

from typing import Any

from app.index.catalog import Catalog


def rate(
    catalog: Catalog,
    count: int,
    *,
    right_of_ten: int,
    confidence: float = 0.7,
    calibration: str = "harness",
    **more: Any,
) -> None:
    """As many answers, `question 0` first, each with a rating of its own; `more` changes their bodies."""
    for number in range(count):
        answer_id = f"ans_{calibration}_{confidence}_{number:04}"
        body = {
            "collection_generation": {"default": 1},
            "abstained": False,
            "confidence_kind": "calibrated",
            "threshold": 0.5,
            "confidence": 0.1,  # what was told; what counts is what the shipped calibration said
            "global_confidence": confidence,
            "calibration": calibration,
            **more,
        }
        assert catalog.save_answer(answer_id, f"question {number}", body)
        catalog.add_feedback(answer_id, 1 if number % 10 < right_of_ten else -1)
