"""The bundled generator with its styles, over a reader that a test scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.errors import Cancelled
from app.generation.citations import Composed, compose, one_line
from app.generation.styles.styled import THRESHOLD, StyledGenerator
from app.types import Evidence, Generated, GenerationOptions, Passage, PassageSpan, Prompt, Style
from tests.unit.generation.styles.rows import ACME, passage_of, prompt_of, texts_of

REPORT = passage_of(1, ACME, "Acme annual report 2023")
OLD = passage_of(1, "In 2021 Quillon Paper had 1,140 employees.", "Key figures 2021")
NEW = passage_of(2, "In 2023 Quillon Paper had 965 employees.", "Key figures [2] 2023")


class Scripted:
    """Answers with the first of `answers` that a passage holds; sure of it with `confidence`."""

    name = "attest-reader-scripted"

    def __init__(self, *answers: str, confidence: float = 0.9) -> None:
        self.answers = answers
        self.confidence = confidence
        self.prompts: list[Prompt] = []

    def generate(
        self, prompt: Prompt, options: GenerationOptions, cancelled: Callable[[], bool] = lambda: False
    ) -> Generated:
        self.prompts.append(prompt)
        evidence = Evidence(answer_logprob=-0.1, null_logprob=-3.0)
        for answer in self.answers:
            for place, passage in enumerate(prompt.passages):
                start = passage.text.find(answer)
                if start >= 0:
                    span = PassageSpan(place, start, start + len(answer))
                    return Generated(answer, (span,), True, evidence, 5, 2, self.name)
        return Generated("", (), False, evidence, 5, 0, self.name)

    def judge(self, made: Generated) -> tuple[float, float]:
        if made.evidence.style_probability is not None:
            return made.evidence.style_probability, THRESHOLD
        return (self.confidence if made.spans else 0.0), 0.4


def answered(
    reader: Scripted, question: str, *passages: Passage, style: Style | None = None, **options: Any
) -> tuple[Generated, Composed]:
    prompt = prompt_of(question, *passages)
    writer = options.pop("writer", None)
    made = StyledGenerator(reader, reader.judge, writer=writer).generate(
        prompt, GenerationOptions(style=style, **options)
    )
    composed = compose(made, prompt, texts_of(prompt))
    for citation in composed.citations:
        text = texts_of(prompt)[int(citation.document_id.removeprefix("doc"))]
        assert text[citation.char_start : citation.char_end] == citation.quote
        assert f"[{citation.index}]" in composed.text
        if made.claims is not None:
            assert composed.text[citation.answer_start : citation.answer_end] in one_line(citation.quote)
    return made, composed


def test_a_fact_is_the_readers_answer_as_it_was_and_read_once() -> None:
    reader = Scripted("120")
    made, composed = answered(reader, "How many people does Acme employ?", REPORT)
    assert composed.text == "120 [1]\n\n“The company employs 120 people in Lyon, Turin and Ghent.” [1]"
    assert (made.style, len(reader.prompts)) == ("short", 1)
    assert made.detail["asked"] == "fact"


def test_an_open_question_is_a_paragraph_of_quotes_and_the_reader_is_not_asked() -> None:
    reader = Scripted("120")
    made, composed = answered(reader, "What does the report say about revenue?", REPORT)
    assert composed.text == "Revenue in 2023 rose to 4.2 million euros, up from 3.9 million in 2022. [1]"
    assert (made.style, reader.prompts) == ("paragraph", [])
    assert reader.judge(made)[0] >= THRESHOLD
    absent, _ = answered(reader, "Tell me about Zebra Corp", REPORT)
    assert reader.judge(absent)[0] < THRESHOLD


def test_a_reason_that_the_reader_does_not_find_is_looked_for_in_sentences() -> None:
    why = passage_of(1, "Sales fell because of strikes in the port. The office is in Lyon.")
    sure, _ = answered(Scripted("strikes in the port"), "Why did sales fall?", why)
    assert (sure.text, sure.style) == ("strikes in the port", "short")
    unsure, _ = answered(Scripted("Lyon", confidence=0.1), "Why did sales fall?", why)
    assert (unsure.text, unsure.style) == ("Sales fell because of strikes in the port. [1]", "paragraph")
    absent, _ = answered(Scripted("Lyon", confidence=0.1), "Why did the director resign?", why)
    assert (absent.text, absent.style) == ("Lyon", "short")


def test_a_list_is_the_whole_enumeration_around_the_readers_item() -> None:
    made, composed = answered(Scripted("Lyon, Turin", "Turin"), "Which cities does Acme have employees in?", REPORT)
    assert made.style == "list"
    assert composed.text.startswith("Lyon, Turin and Ghent [1]\n\n“The company employs")
    points = passage_of(1, "What to bring to the camp:\n- a sleeping bag\n- rubber boots [2]\n", "Camp")
    made, composed = answered(Scripted(), "What should I bring to the camp?", points)
    assert composed.text == "- a sleeping bag [1]\n- rubber boots (2) [2]"
    assert [citation.quote for citation in composed.citations] == ["a sleeping bag", "rubber boots [2]"]


def test_a_verdict_stands_before_its_sentence_and_doubt_gives_the_sentence_alone() -> None:
    made, composed = answered(Scripted(), "Is smoking allowed in the plant?", REPORT)
    assert composed.text == "No [1]\n\n“Smoking is not allowed in the plant.” [1]"
    assert made.style == "short"
    sentence = "Employees may not work on Sundays unless the plant manager agrees."
    made, composed = answered(Scripted(sentence), "May employees work on Sundays?", REPORT)
    assert composed.text == f"{sentence} [1]"
    _, composed = answered(Scripted(), "厂区内可以吸烟吗？", passage_of(1, "厂区内禁止吸烟。"))
    assert composed.text.startswith("否 [1]")


def test_documents_that_answer_differently_are_both_named_the_newer_first() -> None:
    reader = Scripted("1,140", "965")
    made, composed = answered(reader, "How many employees does Quillon Paper have?", OLD, NEW)
    assert composed.text == "965 (Key figures (2) 2023, newer) [1]; 1,140 (Key figures 2021) [2]"
    assert [citation.document_id for citation in composed.citations] == ["doc2", "doc1"]
    assert made.detail["style_why"] == "2 documents answer differently"
    assert reader.judge(made) == (0.9, 0.4)


@pytest.mark.parametrize(
    ("confidence", "question"),
    [
        (0.1, "How many employees does Quillon Paper have?"),
        (0.9, "How many employees did Quillon Paper have in 2021?"),
    ],
)
def test_an_unsure_answer_or_a_question_for_one_year_names_no_rival(confidence: float, question: str) -> None:
    made, _ = answered(Scripted("1,140", "965", confidence=confidence), question, OLD, NEW)
    assert (made.text, made.claims) == ("1,140", None)


class Writer:
    def __init__(self, sentence: str | None) -> None:
        self.said = sentence

    def sentence(self, question: str, answer: str, source: str) -> str | None:
        assert answer in source
        return self.said


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Acme employs 120 people.", "Acme employs 120 people."),
        (None, "The company employs 120 people in Lyon, Turin and Ghent."),
        ("Acme employs 130 people.", "The company employs 120 people in Lyon, Turin and Ghent."),
        ("Acme, the best employer, employs 120 people.", "The company employs 120 people in Lyon, Turin and Ghent."),
        ("Acme employs 120 people since 1999.", "The company employs 120 people in Lyon, Turin and Ghent."),
    ],
)
def test_a_written_sentence_must_hold_the_answer_and_add_nothing(written: str | None, expected: str) -> None:
    question = "How many people does Acme employ?"
    made, composed = answered(Scripted("120"), question, REPORT, style="sentence", writer=Writer(written))
    assert made.style == "sentence"
    assert composed.text.startswith(f"{expected} [1]")
    assert composed.citations[0].quote == "The company employs 120 people in Lyon, Turin and Ghent."


def test_a_sentence_that_points_back_is_given_with_the_one_before_it() -> None:
    made, composed = answered(Scripted("1971"), "When was Acme founded?", REPORT, style="sentence")
    assert composed.text == "Acme makes paper, ink and glue. It was founded in 1971 in Lyon. [1]"
    assert made.style == "sentence"


def test_a_paragraph_that_is_asked_for_holds_the_readers_sentence() -> None:
    _, composed = answered(Scripted("1971"), "When was Acme founded?", REPORT, style="paragraph")
    assert "It was founded in 1971 in Lyon. [2]" in composed.text
    assert len(composed.citations) >= 2
    unsure = Scripted("1971", confidence=0.1)
    declined, _ = answered(unsure, "When was Zebra Corp sold?", REPORT, style="paragraph")
    assert unsure.judge(declined)[0] < THRESHOLD


def test_short_gives_the_readers_answer_to_every_question() -> None:
    for question in ("Tell me about Acme", "Is smoking allowed in the plant?", "Which cities are there?"):
        made, _ = answered(Scripted("Lyon"), question, REPORT, style="short")
        assert (made.text, made.style) == ("Lyon", "short")


def test_the_rag_modes_keep_their_answer_and_say_so() -> None:
    made, _ = answered(Scripted("Lyon"), "Tell me about Acme", REPORT, style="paragraph", mode="rag_token")
    assert made.text == "Lyon"
    assert made.warnings == ("style paragraph was not used: mode rag_token gives one short answer",)
    assert answered(Scripted("Lyon"), "Tell me about Acme", REPORT, mode="rag_token")[0].warnings == ()


def test_cancelling_and_empty_prompts() -> None:
    reader = Scripted("Lyon")
    styled = StyledGenerator(reader, reader.judge)
    with pytest.raises(Cancelled):
        styled.generate(prompt_of("Tell me about Acme", REPORT), GenerationOptions(), lambda: True)
    made = styled.generate(prompt_of("Tell me about Acme"), GenerationOptions())
    assert (made.text, made.spans) == ("", ())
    assert styled.name == reader.name
