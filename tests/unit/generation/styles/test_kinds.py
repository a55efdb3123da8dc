"""What a question wants, and what it is about."""

from __future__ import annotations

import pytest

from app.generation.styles.kinds import asked_of
from app.generation.styles.topic import held, topic_of


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("Who owned the mill?", "fact"),
        ("How many cities are there?", "fact"),
        ("Which bus goes to Ghent?", "fact"),
        ("What were Quillon's net sales for the three months ended July 1, 2023?", "fact"),
        ("What were the total operating expenses?", "fact"),
        ("What were the receivables in 2022?", "fact"),
        ("What are the assets that the fund may not hold?", "list"),
        ("What were the costs that the council refused to bear?", "list"),
        ("What is the status of the order?", "fact"),
        ("", "fact"),
        ("Tell me about Acme", "open"),
        ("Could you please summarize the annual report?", "open"),
        ("What does the report say about revenue?", "open"),
        ("What is this document about?", "open"),
        ("Explain how the kiln works", "open"),
        ("How does the pump work?", "explain"),
        ("Why did sales fall?", "explain"),
        ("Which cities does Acme have employees in?", "list"),
        ("List all products", "list"),
        ("What are the opening hours?", "list"),
        ("Is the mill open?", "yes_no"),
        ("Is it red or blue?", "fact"),
        ("介绍一下长江", "open"),
        ("报告对收入怎么说？", "open"),
        ("公司有哪些产品？", "list"),
        ("为什么收入下降？", "explain"),
        ("工厂在周日开门吗？", "yes_no"),
        ("是否允许吸烟？", "yes_no"),
        ("谁是总经理？", "fact"),
        ("公司有多少员工？", "fact"),
    ],
)
def test_the_words_tell_what_is_wanted(question: str, wanted: str) -> None:
    assert asked_of(question).wanted == wanted


def test_the_topic_is_what_remains_without_the_asking() -> None:
    topic = topic_of("Could you tell me about Zebra Corp?")
    assert topic.terms == {"zebra", "corp"}
    assert topic.names == {"zebra", "corp"}
    assert topic_of("Summarize the document").terms == frozenset()
    assert topic_of("总结一下这份文档").terms == frozenset()
    assert topic_of("Describe the plant").names == frozenset()


def test_two_things_asked_for_together_are_two_parts_but_a_name_is_one() -> None:
    assert topic_of("Tell me about noise and washing").parts == ({"nois"}, {"wash"})
    assert len(topic_of("Tell me about the French and Indian War").parts) == 1


@pytest.mark.parametrize(
    ("term", "said", "expected"),
    [
        ("compani", "compani", True),
        ("construct", "construction", True),
        ("tax", "taxi", False),
        ("报告", "年度报告", True),
    ],
)
def test_another_form_of_a_word_counts(term: str, said: str, expected: bool) -> None:
    assert held(term, {said}) is expected
