from __future__ import annotations

import pytest

from app.generation.writer_checks import (
    follow_up_is_faithful,
    question_is_faithful,
    sentence_is_faithful,
    steps_are_faithful,
    strange_names,
    strange_numbers,
    strange_words,
    wording_is_faithful,
)

SOURCE = "The bridge at Salford was opened in 1889 and cost 4.5 million pounds."


def test_numbers_and_names_of_no_source_are_found() -> None:
    assert strange_numbers("It cost 4.5 million in 1890.", [SOURCE]) == {"1890"}
    assert strange_numbers("Who led #1 in 1889?", [SOURCE]) == set()  # a reference is no number
    assert strange_names("The bridge at Leeds was Salford's.", [SOURCE]) == {"Leeds"}
    assert strange_names("Salford has a bridge. Opened long ago.", [SOURCE]) == set()


def test_another_form_of_a_verb_is_no_strange_word() -> None:
    assert strange_words("Ada won the prize.", ["Who did win the prize?", "Ada"]) == set()
    assert strange_words("Ada stole the prize.", ["Who did win the prize?", "Ada"]) == {"stole"}


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("The bridge at Salford was opened in 1889.", True),
        ("The bridge was opened in 1889.", True),
        ("The bridge was opened in 1890.", False),  # not the answer
        ("Salford cost 4.5 million in 1889.", False),  # answers something else
        ("The bridge was not opened in 1889.", False),  # turned round
        ("The tower was opened in 1889.", False),  # another thing
        ("The bridge at Leeds was opened in 1889.", False),  # another name
        ("When was the bridge opened in 1889?", False),
        ("1889.", False),
        ("The bridge was opened in 1889 and the", False),
    ],
)
def test_a_statement_says_the_answer_and_nothing_of_its_own(text: str, right: bool) -> None:
    assert sentence_is_faithful(text, "When was the bridge opened?", "1889", SOURCE) is right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("The duke saw an old hut.", True),
        ("The duke see an old hut.", False),
        ("The duke did see an old hut.", False),
        ("The duke saw saw an old hut.", False),
    ],
)
def test_a_statement_does_not_keep_the_questions_verb(text: str, right: bool) -> None:
    question, source = "What did the duke see?", "The duke saw an old hut."
    assert sentence_is_faithful(text, question, "an old hut", source) is right


def test_a_negated_question_keeps_its_negation() -> None:
    question, source = "Who was not afraid?", "Only Ada was not afraid."
    assert sentence_is_faithful("Ada was not afraid.", question, "Ada", source)
    assert not sentence_is_faithful("Ada was afraid of it.", question, "Ada", source)


def test_a_standalone_question_has_the_conversations_words_alone() -> None:
    sources = ("How old is it?", "Where is the bridge at Salford?", "In the north.")
    assert question_is_faithful("How old is the bridge at Salford?", sources)
    assert not question_is_faithful("How old is the castle at Salford?", sources)
    assert not question_is_faithful("How old is the bridge in 1900?", sources)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("How long is the bridge at Salford?", True),
        ("How long is the bridge?", True),
        ("Where is the bridge at Salford?", False),  # the question before
        ("How old is the bridge at Salford?", False),  # asks for something else
        ("How long is it?", False),  # nothing was won
        ("How long is the bridge at Leeds?", False),
    ],
)
def test_a_follow_up_still_asks_what_it_asked(text: str, right: bool) -> None:
    assert follow_up_is_faithful(text, "How long is it?", "Where is the bridge at Salford?", "In the north.") is right


def test_another_wording_keeps_names_and_numbers() -> None:
    question = "What did Salford pay in 1889?"
    assert wording_is_faithful("How much money was paid by Salford in 1889?", question)
    assert not wording_is_faithful("How much money was paid in 1889?", question)
    assert not wording_is_faithful("How much money was paid by Salford?", question)
    assert not wording_is_faithful("What did Salford pay in 1889", question)  # the same words
    assert not wording_is_faithful("Salford in 1889?", question)  # fewer words


def test_steps_refer_backwards_and_differ_from_the_question() -> None:
    question = "Where was the director of Ran born?"
    assert steps_are_faithful(["Who is the director of Ran?", "Where was #1 born?"], question)
    assert not steps_are_faithful(["Who was the director?", "Who was #1?"], question)  # forgets what is asked
    assert not steps_are_faithful(["Who is the director of #1?", "Where was #1 born?"], question)
    assert not steps_are_faithful(["Where was the director of Ran born?", "Who is #1?"], question)
    assert not steps_are_faithful(["Who is the director of Ran?"], question)
    assert not steps_are_faithful(["Who is the actor of Ran?", "Where was #1 born?"], question)
    assert not steps_are_faithful(["Who is Ran?", "Who is Ran?"], question)
    assert not steps_are_faithful(["The director of Ran", "Where was #1 born?"], question)  # no question
