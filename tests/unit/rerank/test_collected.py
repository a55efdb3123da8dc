"""How many questions a training still needs, counted by hand."""

from __future__ import annotations

import pytest

from app.errors import InvalidInput
from app.rerank.collected import Collected, lacking
from app.rerank.judgements import JudgedQuestion


@pytest.mark.parametrize(
    ("to_train", "to_measure", "needed"),
    [
        (0, 0, (30, 16, 8)),
        (20, 9, (1, 0, 0)),  # each part is full, together they are one short of thirty
        (22, 8, (0, 0, 0)),
        (16, 14, (0, 0, 0)),
        (60, 5, (3, 0, 3)),
        (10, 40, (6, 6, 0)),
        (12, 6, (12, 4, 2)),  # of the twelve that lack in all, six are bound to a part
        (15, 7, (8, 1, 1)),
    ],
)
def test_what_is_lacking(to_train: int, to_measure: int, needed: tuple[int, int, int]) -> None:
    assert lacking(to_train, to_measure) == needed


def test_too_few_are_told_with_what_there_is_and_what_is_needed() -> None:
    questions = [JudgedQuestion(f"Question number {number}?", frozenset({"1-0"})) for number in range(40)]
    aside = sum(each.held_out for each in questions)
    assert aside >= 8, "these words put enough aside"
    Collected(questions, ratings=50, golden=0, unhelpful=3, gone=1).check_enough()
    learnt = [each for each in questions if not each.held_out]
    with pytest.raises(
        InvalidInput, match=rf"52 ratings and golden .* for {len(learnt)} .*, 0 to measure with\); needed"
    ):
        Collected(learnt, ratings=50, golden=2, unhelpful=3, gone=1).check_enough()
