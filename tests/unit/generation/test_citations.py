import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import IntegrityError
from app.generation.citations import MAX_QUOTE_CHARS, abstention_text, compose
from app.types import Evidence, Generated, PassageSpan
from tests.unit.generation.passages import passage, prompt

DOCUMENT = "Intro 😀 line.\n\nThe bridge opened in 1932. It cost 4.2 million pounds, said Mr. Lee. Nobody fell."


def generated(text: str, *spans: PassageSpan) -> Generated:
    return Generated(text, spans, True, Evidence(passage_mass=(0.75, 0.25)), 10, 2, "fake")


def test_the_quote_is_the_sentence_around_the_span_and_equals_the_document() -> None:
    chunk = passage(1, DOCUMENT, "The bridge opened in 1932. It cost 4.2 million pounds, said Mr. Lee.", page=3)
    start = chunk.text.index("4.2 million pounds")
    span = PassageSpan(0, start, start + len("4.2 million pounds"))

    composed = compose(generated("4.2 million pounds", span), prompt("What did it cost?", chunk), {1: DOCUMENT})

    (citation,) = composed.citations
    assert citation.quote == "It cost 4.2 million pounds, said Mr. Lee."
    assert DOCUMENT[citation.char_start : citation.char_end] == citation.quote
    assert composed.text == "4.2 million pounds [1]\n\n“It cost 4.2 million pounds, said Mr. Lee.” [1]"
    assert composed.text[citation.answer_start : citation.answer_end] == "4.2 million pounds" == composed.short_answer
    assert (citation.index, citation.page, citation.score, citation.document_id) == (1, 3, 0.75, "doc1")


def test_of_a_table_the_row_is_quoted_that_the_answer_stands_in() -> None:
    table = "City: Berlin; Employees: 40\nCity: Lyon; Employees: 12\nCity: Turin; Employees: 25"
    start = table.index("12")
    composed = compose(
        generated("12", PassageSpan(0, start, start + 2)), prompt("How many?", passage(1, table, table)), {1: table}
    )
    assert [citation.quote for citation in composed.citations] == ["City: Lyon; Employees: 12"]


def test_a_whole_sentence_as_answer_is_not_said_twice() -> None:
    chunk = passage(1, DOCUMENT, "The bridge opened in 1932.")
    composed = compose(generated(chunk.text, PassageSpan(0, 0, len(chunk.text))), prompt("?", chunk), {1: DOCUMENT})
    assert composed.text == "The bridge opened in 1932. [1]"


def test_two_spans_of_one_sentence_share_a_citation_and_two_passages_get_two() -> None:
    other_document = "The tunnel opened in 1950."
    first = passage(1, DOCUMENT, "The bridge opened in 1932.")
    second = passage(2, other_document, other_document, version_id=2)
    spans = (PassageSpan(0, 4, 10), PassageSpan(0, 21, 25), PassageSpan(1, 21, 25))

    composed = compose(
        generated("bridge 1932 1950", *spans), prompt("?", first, second), {1: DOCUMENT, 2: other_document}
    )

    assert [(c.index, c.document_id, c.quote) for c in composed.citations] == [
        (1, "doc1", "The bridge opened in 1932."),
        (2, "doc2", "The tunnel opened in 1950."),
    ]
    assert composed.text.startswith("bridge 1932 1950 [1][2]\n\n")


def test_a_quote_that_is_not_the_stored_text_never_leaves() -> None:
    chunk = passage(1, DOCUMENT, "The bridge opened in 1932.")
    with pytest.raises(IntegrityError, match="attest doctor"):
        compose(generated("1932", PassageSpan(0, 21, 25)), prompt("?", chunk), {1: DOCUMENT.replace("1932", "1933")})


def test_a_marker_in_the_source_cannot_pose_as_a_citation() -> None:
    text = "Water boils at 100 degrees [7] at sea level."
    chunk = passage(1, text, text)
    span = PassageSpan(0, text.index("100"), text.index(" at sea"))
    composed = compose(generated("100 degrees [7]", span), prompt("?", chunk), {1: text})
    assert "[7]" not in composed.text
    assert composed.citations[0].quote == text


def test_a_sentence_without_end_is_quoted_around_the_span() -> None:
    text = "word " * 400 + "needle " + "word " * 400
    chunk = passage(1, text, text)
    start = text.index("needle")
    (citation,) = compose(
        generated("needle", PassageSpan(0, start, start + 6)), prompt("?", chunk), {1: text}
    ).citations
    assert len(citation.quote) <= MAX_QUOTE_CHARS
    assert "needle" in citation.quote
    assert text[citation.char_start : citation.char_end] == citation.quote
    assert citation.quote.startswith("word")


@given(st.text(min_size=1, max_size=200), st.data())
def test_any_text_and_span_gives_verified_citations(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    chunk = passage(1, text, text)
    composed = compose(generated(text[start:end], PassageSpan(0, start, end)), prompt("?", chunk), {1: text})
    for citation in composed.citations:
        assert text[citation.char_start : citation.char_end] == citation.quote
        assert citation.char_start <= start
        assert citation.char_end >= end or len(citation.quote) > 0
        assert composed.text[citation.answer_start : citation.answer_end] == composed.short_answer


@pytest.mark.parametrize(("question", "start"), [("Who?", "The documents don't say"), ("谁？", "所提供的文档")])
def test_the_refusal_speaks_the_language_of_the_question(question: str, start: str) -> None:
    assert abstention_text(question).startswith(start)
