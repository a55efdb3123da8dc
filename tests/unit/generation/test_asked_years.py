"""An answer from other years than the one asked about is told apart, and trusted less."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.generation.abstention import calibrated_confidence
from app.generation.asked_years import speaks_of_other_years
from app.training.reader_calibration import prompt_of
from app.types import Evidence, PassageSpan

REPORT = "The mill sold 4,200 tonnes in 2023. Its owner is Ada Weir. In 2021 the roof was mended."


@pytest.mark.parametrize(
    ("question", "answer", "other"),
    [
        ("How much did the mill sell in 2019?", "4,200 tonnes", True),
        ("How much did the mill sell in 2023?", "4,200 tonnes", False),
        ("How much did the mill sell in 2021?", "4,200 tonnes", False),  # the passage speaks of it, too
        ("How much did the mill sell?", "4,200 tonnes", False),
        ("Who owned the mill in 2019?", "Ada Weir", False),  # no year stands there
        ("2019年卖了多少？", "4,200 tonnes", True),
        ("How much is 2,019 tonnes?", "4,200 tonnes", False),
    ],
)
def test_years_of_question_and_sentence(question: str, answer: str, other: bool) -> None:
    (passage,) = prompt_of(question, [REPORT]).passages
    start = REPORT.index(answer)
    assert speaks_of_other_years(question, passage, PassageSpan(0, start, start + len(answer))) is other


def test_the_title_may_name_the_year() -> None:
    (passage,) = prompt_of("?", [REPORT]).passages
    titled = replace(passage, hit=replace(passage.hit, chunk=replace(passage.hit.chunk, title="Report of 2019")))
    assert not speaks_of_other_years("How much did the mill sell in 2019?", titled, PassageSpan(0, 14, 26))


def test_confidence_falls_with_it() -> None:
    evidence = Evidence(answer_logprob=-0.2, null_logprob=-4.0, question_coverage=0.9, span_over_null=6.0)
    plain, other = calibrated_confidence(evidence), calibrated_confidence(replace(evidence, other_years=True))
    assert 0 < other < plain - 0.05
