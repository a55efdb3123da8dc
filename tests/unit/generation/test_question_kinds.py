"""What questions ask for, and whether an answer is of that kind."""

from __future__ import annotations

import pytest

from app.generation.question_kinds import kind_fit, kind_of


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How many ferries sail to Anholt?", "number"),
        ("what percentage of the votes was invalid?", "number"),
        ("In which year did the mill burn down?", "date"),
        ("When was it rebuilt?", "date"),
        ("Who owned the mill?", "person"),
        ("Is the mill still working?", "yes_no"),
        ("Didn't the miller have a son?", "yes_no"),
        ("Does the lease allow pets?", "yes_no"),
        ("Was it a windmill or a water mill?", None),
        ("Can you tell me who owned it?", "person"),
        ("Why did it burn down?", None),
        ("Island ferries: timetable", None),
        ("", None),
        ("谁拥有这座磨坊？", None),
    ],
)
def test_kinds(question: str, kind: str | None) -> None:
    assert kind_of(question) == kind


@pytest.mark.parametrize(
    ("question", "answer", "fit"),
    [
        ("How many ferries?", "eleven", 1.0),
        ("How many ferries?", "1,204", 1.0),
        ("How many ferries?", "the harbour master", -1.0),
        ("When did it open?", "in the spring after the flood", 1.0),
        ("When did it open?", "Hollow Street", -1.0),
        ("Who opened it?", "Maria Lindqvist", 1.0),
        ("Who opened it?", "his youngest daughter", 1.0),
        ("Who opened it?", "1931", -1.0),
        ("Why did it open?", "anything", 0.0),
        ("Did it open?", "It opened in May.", 0.0),
    ],
)
def test_answers_fit_their_kind(question: str, answer: str, fit: float) -> None:
    assert kind_fit(question, answer) == fit
