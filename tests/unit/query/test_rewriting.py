from __future__ import annotations

from collections.abc import Callable

import pytest

from app.errors import Cancelled, Unavailable
from app.query import rewriting
from app.query.conversation import condense
from app.query.rewriting import Rewriting, standing_alone
from app.query.translation import Translator
from app.types import Message


class Writes:
    """A writer that gives the same texts for every task, and remembers what it was asked."""

    def __init__(self, *texts: str, failure: Exception | None = None) -> None:
        self.given = list(texts)
        self.failure = failure
        self.asked: list[tuple[str, str, str, str]] = []

    def write(
        self,
        task: str,
        question: str,
        *,
        heading: str = "",
        passage: str = "",
        most: int = 1,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[str]:
        self.asked.append((task, question, heading, passage))
        if cancelled():
            raise Cancelled("stopped")
        if self.failure is not None:
            raise self.failure
        return self.given if task == "decompose" else self.given[:most]


QUESTION = "Who is the mother of the director of Ran?"


def test_the_writer_is_asked_for_what_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "AUTO_CASES", frozenset({"hyde"}))
    for choice, task, asked in (
        ("auto", "hyde", True),
        ("auto", "decompose", False),
        ("rules", "hyde", False),
        ("writer", "decompose", True),
    ):
        writer = Writes("Ran is a film.")
        texts, error = Rewriting(writer, choice).texts(task, QUESTION)  # type: ignore[arg-type]
        assert (texts, error) == (["Ran is a film."] if asked else [], None)
        assert bool(writer.asked) is asked


def test_chinese_questions_are_left_to_the_rules() -> None:
    writer = Writes("x")
    assert Rewriting(writer, "writer").texts("hyde", "公司的注册资本是多少？") == ([], None)
    assert writer.asked == []


def test_without_a_writer_nothing_is_written() -> None:
    assert Rewriting(None, "writer").texts("hyde", QUESTION) == ([], None)


def test_a_failed_writer_leaves_the_rules_and_is_told() -> None:
    writer = Writes(failure=Unavailable("model.safetensors is missing"))
    done = Translator(rewriting=Rewriting(writer, "writer")).translate(QUESTION, ["decompose"])
    assert [query.text for query in done.queries] == [QUESTION, "Who is the director of Ran?"]
    assert (done.steps[0].how, done.steps[0].error) == ("rules", "model.safetensors is missing")


def test_a_cancelled_writer_stops_the_translation() -> None:
    with pytest.raises(Cancelled):
        Translator(rewriting=Rewriting(Writes("x"), "writer")).translate(
            QUESTION, ["hyde"], feedback=["Ran"], cancelled=lambda: True
        )


def test_what_the_writer_has_to_offer_comes_in_place_of_the_rules() -> None:
    writer = Writes("Who directed Ran?", "Who is the mother of #1?")
    done = Translator(rewriting=Rewriting(writer, "writer")).translate(QUESTION, ["decompose", "step_back"])
    assert [step.how for step in done.steps] == ["writer", "writer"]
    assert [(query.text, query.kind) for query in done.queries[1:]] == [
        ("Who directed Ran?", "decompose"),
        ("Who is the mother of directed Ran?", "decompose"),
    ]  # the step back wrote the same as the first step: once is enough
    assert [task for task, *_ in writer.asked] == ["decompose", "step_back"]


def test_where_it_has_nothing_the_rules_speak() -> None:
    done = Translator(rewriting=Rewriting(Writes(), "writer")).translate(QUESTION, ["decompose"])
    assert (done.steps[0].how, done.steps[0].queries) == ("rules", 1)


def test_a_follow_up_is_written_from_the_last_question_and_answer() -> None:
    writer = Writes("When was Akira Kurosawa born?")
    history = [
        Message("user", "What is Ran?"),
        Message("assistant", "A film."),
        Message("user", "Who directed Ran?"),
        Message("assistant", "Akira Kurosawa [1]."),
    ]
    done = condense("When was he born?", history, rewriting=Rewriting(writer, "writer"))
    assert (done.text, done.how, done.changed) == ("When was Akira Kurosawa born?", "writer", True)
    assert writer.asked == [("standalone", "When was he born?", "Who directed Ran?", "Akira Kurosawa.")]
    plain = condense("When was he born?", history)
    assert plain.how == "rules"
    alone = condense("When was Akira Kurosawa born?", history, rewriting=Rewriting(writer, "writer"))
    assert alone.how == "as it stands"
    assert len(writer.asked) == 1


def test_auto_leaves_pronouns_to_the_rules_and_asks_for_what_is_left_out() -> None:
    writer = Writes("Where is the office in Boston?")
    history = [Message("user", "Where is the office in Leeds?")]
    elliptic = condense("And Boston?", history, rewriting=Rewriting(writer))
    assert (elliptic.text, elliptic.how) == ("Where is the office in Boston?", "writer")
    pronoun = condense("How old is it?", history, rewriting=Rewriting(writer))
    assert (pronoun.text, pronoun.how) == ("How old is Leeds?", "rules")
    assert len(writer.asked) == 1


def test_steps_stand_alone_for_the_search() -> None:
    steps = ["Who is the director of Ran?", "Which city was #1 born in?", "How large is #2, home of #1?"]
    assert standing_alone(steps) == [
        "Who is the director of Ran?",
        "Which city was the director of Ran born in?",
        "How large is city was the director of Ran born in, home of the director of Ran?",
    ]
    assert standing_alone(["How old is #3?"]) == ["How old is ?"]  # a reference to nothing leaves nothing
