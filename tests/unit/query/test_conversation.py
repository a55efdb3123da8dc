from __future__ import annotations

import json

import pytest

from app.errors import Unavailable
from app.query.conversation import HISTORY_CHARS, condense
from app.types import Message
from tests.unit.query.test_translation import Written


def said(*turns: str) -> list[Message]:
    return [Message("assistant" if place % 2 else "user", text) for place, text in enumerate(turns)]


ENGLISH = said("What was the net revenue of Acme Corp in 2024?", "It was 3.5 million. [1]")
CHINESE = said("腾讯在2024年的净利润是多少？", "1,941亿元。[1]")


@pytest.mark.parametrize(
    ("question", "history", "standalone"),
    [
        ("What about 2023?", ENGLISH, "What was the net revenue of Acme Corp in 2023?"),
        ("How about Globex?", ENGLISH, "What was the net revenue of Globex in 2024?"),
        ("Who founded it?", ENGLISH, "Who founded Acme Corp?"),
        ("What is its address?", ENGLISH, "What is Acme Corp's address?"),
        ("Why?", ENGLISH, "Why (Acme Corp)?"),
        ("那2023年呢？", CHINESE, "腾讯在2023年的净利润是多少？"),
        ("它的总部在哪里？", CHINESE, "腾讯的总部在哪里？"),
        ("阿里巴巴呢？", CHINESE, "阿里巴巴在2024年的净利润是多少？"),
        # a longer way back: the question between has no topic of its own
        ("Who founded it?", [*ENGLISH, *said("Why?", "Because.")], "Who founded Acme Corp?"),
    ],
)
def test_a_follow_up_becomes_standalone(question: str, history: list[Message], standalone: str) -> None:
    done = condense(question, history)
    assert (done.text, done.changed, done.how) == (standalone, True, "rules")


@pytest.mark.parametrize(
    "question",
    [
        "What is the notice period in the lease of Bolt Ltd?",
        "When did Bolt Ltd sell its factory?",
        "租约的通知期是多久？",
    ],
)
def test_a_standalone_question_is_left_alone(question: str) -> None:
    assert condense(question, ENGLISH).text == question
    assert not condense(question, ENGLISH).changed


def test_without_a_history_nothing_can_be_added() -> None:
    assert condense("Who founded it?", []).text == "Who founded it?"
    assert condense("Who founded it?", said("Hi")).text == "Who founded it?"


def test_a_model_rewrites_and_a_bad_rewriting_is_not_taken() -> None:
    good = condense("Who founded it?", ENGLISH, Written(json.dumps({"question": "Who founded Acme Corp?"})))
    assert (good.text, good.how, good.used_messages) == ("Who founded Acme Corp?", "local:tiny", 2)
    for answer in ('{"question": ""}', "chatter", json.dumps({"question": "x" * 2_000}), Unavailable("gone")):
        done = condense("Who founded it?", ENGLISH, Written(answer))
        assert (done.text, done.how) == ("Who founded Acme Corp?", "rules")
        assert done.error


def test_a_long_history_is_cut_from_its_beginning() -> None:
    model = Written(json.dumps({"question": "Who founded Acme Corp?"}))
    old = [Message("user", f"question {number} " + "x" * 500) for number in range(40)]
    done = condense("Who founded it?", [*old, *ENGLISH], model)
    assert done.used_messages < 12
    told = model.asked[0][1].content
    assert len(told) < HISTORY_CHARS + 1_500
    assert "net revenue of Acme Corp" in told
    assert "question 0 " not in told
