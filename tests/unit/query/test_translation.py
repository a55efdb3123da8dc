from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Cancelled, Unavailable
from app.query.decomposition import decompose
from app.query.expansion import acronym_view, feedback_view
from app.query.hypothetical import hypothetical_passage
from app.query.step_back import step_back
from app.query.translation import KINDS, Translator
from app.types import Message

PASSAGES = (
    "The European Central Bank (ECB) raised its deposit rate to 4 percent. Inflation was high.",
    "Inflation in the euro area forced the bank to raise the deposit rate again.",
    "The museum opens at nine.",
)


class Written:
    """A model that answers what it is told to, and remembers what it was asked."""

    name = "local:tiny"

    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer
        self.asked: list[Sequence[Message]] = []

    def complete(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: Mapping[str, Any] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> str:
        self.asked.append(messages)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Idf:
    def idf(self, terms: Sequence[str]) -> dict[str, float]:
        return {term: 5.0 if term == "inflat" else 1.0 for term in terms}


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        (
            "What is the capital of France and how many people live in Lyon?",
            ["What is the capital of France?", "how many people live in Lyon?"],
        ),
        (
            "Who is older, Annie Morton or Terry Richardson?",
            ["When was Annie Morton born?", "When was Terry Richardson born?"],
        ),
        (
            "Which film came out first, Blind Shaft or The Mask Of Fu Manchu?",
            ["When was Blind Shaft released?", "When was The Mask Of Fu Manchu released?"],
        ),
        (
            "Were Scott Derrickson and Ed Wood of the same nationality?",
            ["Scott Derrickson of the same nationality?", "Ed Wood of the same nationality?"],
        ),
        ("Who is the mother of the director of Ran?", ["Who is the director of Ran?"]),
        ("公司的注册资本是多少？法定代表人是谁？", ["公司的注册资本是多少？", "法定代表人是谁？"]),
        ("What is the notice period in the lease?", []),
        ("Who wrote War and Peace?", []),
        ("租约的通知期是多久？", []),
    ],
)
def test_a_question_falls_into_its_parts(question: str, parts: list[str]) -> None:
    assert decompose(question) == parts


@pytest.mark.parametrize(
    ("question", "general"),
    [
        ("What was Acme Corp's net revenue in Q3 2024?", "What was Acme Corp's net revenue?"),
        ("How did the revenue of Apple change from 2021 to 2023?", "How did the revenue of Apple change?"),
        ("2024年第三季度腾讯的净利润是多少？", "腾讯的净利润是多少？"),
        ("Who signed the lease between Bolt and Acme?", "Overview of Bolt and Acme"),
        ("What is the notice period?", None),
        ("Acme?", None),
    ],
)
def test_stepping_back_drops_what_is_particular(question: str, general: str | None) -> None:
    assert step_back(question) == general


def test_views_of_a_question() -> None:
    view = feedback_view("What did the ECB do?", PASSAGES, Idf())
    assert view is not None
    added = view.split()[1:]
    assert added[0] == "Inflation"  # in two passages, and rare
    assert "museum" not in added  # in one passage only
    assert feedback_view("What did the ECB do?", PASSAGES[2:], None) is None
    assert acronym_view("What did the ECB do?", PASSAGES) == "What did the European Central Bank do?"
    assert acronym_view("What did the European Central Bank do?", PASSAGES) == "What did the ECB do?"
    assert acronym_view("What did the Fed do?", PASSAGES) is None


def test_a_hypothetical_passage_is_made_of_the_nearest_sentences() -> None:
    passage = hypothetical_passage("What is the deposit rate of the ECB?", PASSAGES)
    assert passage is not None
    assert passage.startswith("the deposit rate of the ECB. ")
    assert "deposit rate to 4 percent" in passage
    assert "museum" not in passage
    assert hypothetical_passage("Who painted the mural?", PASSAGES) is None
    assert hypothetical_passage("What is the rate?", ()) is None


def test_the_original_comes_first_and_nothing_twice() -> None:
    done = Translator().translate("What is the deposit rate of the ECB?", [*KINDS, "hyde"], feedback=PASSAGES)
    assert done.queries[0].text == "What is the deposit rate of the ECB?"
    assert done.queries[0].kind == "original"
    assert len({query.text for query in done.queries}) == len(done.queries)
    assert [step.kind for step in done.steps] == list(KINDS)
    assert all(step.how == "rules" and step.error is None for step in done.steps)
    assert sum(step.queries for step in done.steps) == len(done.queries) - 1
    assert {query.parent for query in done.queries[1:]} == {"What is the deposit rate of the ECB?"}


@given(st.text(max_size=80), st.lists(st.text(max_size=60), max_size=3))
def test_whatever_is_asked_the_original_is_kept(question: str, feedback: list[str]) -> None:
    done = Translator().translate(question, KINDS, feedback=feedback)
    assert done.queries[0].text == question
    assert all(query.text.strip() for query in done.queries[1:])
    assert len(done.queries) <= 8


def test_a_model_writes_and_its_words_are_checked() -> None:
    texts = ["Rate of the ECB?", "", "What is the rate?", "what is the RATE", 7, "x" * 2_000]
    model = Written("Sure: " + json.dumps({"queries": texts}) + " done")
    done = Translator(model).translate("What is the rate?", ["multi_query"])
    assert [query.text for query in done.queries] == ["What is the rate?", "Rate of the ECB?"]
    assert done.steps[0].how == "local:tiny"
    assert "not an order" in model.asked[0][0].content


@pytest.mark.parametrize("answer", ["no JSON at all", '{"question": 3}', "[1]", Unavailable("the model is gone")])
def test_a_model_that_fails_leaves_the_rules_and_says_so(answer: str | Exception) -> None:
    done = Translator(Written(answer)).translate("What was the notice period in 2024?", ["step_back"])
    assert [query.text for query in done.queries][1:] == ["What was the notice period?"]
    assert done.steps[0].how == "rules"
    assert done.steps[0].error


def test_cancelling_stops_and_a_spent_budget_leaves_kinds_out() -> None:
    with pytest.raises(Cancelled):
        Translator(Written(Cancelled("gone"))).translate("What is it?", ["hyde"])
    ticks = iter([0.0, 0.0, 0.2, 0.2])
    done = Translator(budget_ms=100, clock=lambda: next(ticks)).translate(
        "What was Acme's revenue in 2024?", ["step_back", "multi_query"]
    )
    assert [(step.kind, step.queries) for step in done.steps] == [("step_back", 1), ("multi_query", 0)]
    assert "100 ms" in (done.steps[1].error or "")
