from __future__ import annotations

import pytest

from app.generation.declarative import declarative
from app.generation.verb_forms import base_of, base_of_third_person, is_participle, past, third_person


@pytest.mark.parametrize(
    ("question", "answer", "source", "statement"),
    [
        ("Who founded Acme?", "Ada Byron", "Ada Byron founded Acme.", "Ada Byron founded Acme."),
        (
            "When was the bridge built?",
            "1889",
            "The bridge, built in 1889, was rebuilt later.",
            "The bridge was built in 1889.",
        ),
        (
            "What did the king find in the trunk?",
            "the child",
            "He opened the trunk and found the child.",
            "The king found the child in the trunk.",
        ),
        (
            "How many cylinders does the engine have?",
            "5",
            "The engine has 5 cylinders.",
            "The engine has 5 cylinders.",
        ),
        ("What is the capital of France?", "Paris", "Paris is the capital.", "The capital of France is Paris."),
        ("Where did the old couple live?", "Hadeland", "They lived in Hadeland.", "The old couple lived in Hadeland."),
        (
            "In what year did Edward return?",
            "1041",
            "He returned to England in 1041.",
            "Edward returned in 1041.",
        ),
        (
            "What was the museum originally called?",
            "Museum of Manufactures",
            "At first it was called the Museum of Manufactures.",
            "The museum was originally called the Museum of Manufactures.",
        ),
        ("How many soldiers were killed?", "31", "31 men died.", "31 soldiers were killed."),
        (
            "When does the office open?",
            "July 3",
            "It opens July 3.",
            "The office opens on July 3.",
        ),
        ("When did come fly with me come out?", "1958", "It came out in 1958.", "Come fly with me came out in 1958."),
        ("Who sings in the film?", "Bart", "It is Bart.", "Bart sings in the film."),
        ("Who has won the cup?", "Bart", "Bart won it.", "Bart has won the cup."),
        ("How many doors are there in the hall?", "4", "There are 4.", "There are 4 doors in the hall."),
    ],
)
def test_a_question_and_its_answer_become_a_statement(question: str, answer: str, source: str, statement: str) -> None:
    assert declarative(question, answer, source) == statement


@pytest.mark.parametrize(
    ("question", "answer", "source"),
    [
        ("Is the office open?", "yes", "The office is open."),
        ("What did Ada do?", "founded Acme", "Ada founded Acme."),
        ("Why did Ada leave?", "the noise", "The noise drove her away."),
        ("What kind of boat is it?", "a ferry", "It is a ferry."),
        ("Who built it, and when?", "Ada", "Ada built it in 1900."),
        ("Where was the flag?", "Boston", "Boston had it."),  # no preposition is known
        ("When did come fly with me come out?", "1958", "It is of 1958."),  # which verb is it?
        ("Who was he found guilty of robbing?", "a bank", "He robbed a bank."),
        ("", "Ada", "Ada"),
        ("Who founded Acme?", "", "Ada Byron founded Acme."),
        ("Who?", "Ada", "Ada"),
        ("公司叫什么？", "青禾", "公司叫青禾。"),
    ],
)
def test_what_is_unsure_is_left_alone(question: str, answer: str, source: str) -> None:
    assert declarative(question, answer, source) is None


def test_the_sources_article_comes_with_a_noun_but_not_with_a_part_of_a_longer_name() -> None:
    whole = declarative("Who approved the report?", "board", "It was the board that approved the report.")
    assert whole == "The board approved the report."
    part = declarative("What river is it?", "Jordan", "the Jordan valley")
    assert part is None or "the Jordan" not in part


def test_verb_forms() -> None:
    assert [past(verb) for verb in ("win", "carry", "play", "move", "plan")] == [
        "won",
        "carried",
        "played",
        "moved",
        "planned",
    ]
    assert [third_person(verb) for verb in ("have", "carry", "play", "watch")] == ["has", "carries", "plays", "watches"]
    assert [base_of(word) for word in ("won", "written", "house")] == ["win", "write", "house"]
    forms = ("carries", "watches", "sings", "has", "glass", "is")
    assert [base_of_third_person(word) for word in forms] == ["carry", "watch", "sing", "have", None, None]
    assert [word for word in ("built", "called", "king", "red", "during", "known") if is_participle(word)] == [
        "built",
        "called",
        "known",
    ]
