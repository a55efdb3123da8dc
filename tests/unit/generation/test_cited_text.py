import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.generation.cited_text import CitedText
from app.generation.support import SUPPORTED
from tests.unit.generation.passages import passage, prompt

BRIDGE = "The Kestrel Bridge opened in 1932. It cost 4.2 million pounds, said Mr. Lee.\n\nNobody fell."
TUNNEL = "The Merlin Tunnel opened in 1950. The toll is 3 euros."
PROMPT = prompt(
    "When did the bridge and the tunnel open?", passage(1, BRIDGE, BRIDGE), passage(2, TUNNEL, TUNNEL, version_id=2)
)


def cited(raw: str, size: int = 3) -> CitedText:
    """`raw` fed in pieces; that the pieces join to the text is asserted on the way."""
    text = CitedText(PROMPT)
    shown = "".join(text.feed(raw[start : start + size]) for start in range(0, len(raw), size)) + text.finish()
    assert shown == text.text
    return text


def quotes(text: CitedText) -> list[tuple[str, str]]:
    """Each claim as it stands in the text, with its quote."""
    found = []
    for claim in text.claims:
        span = text.spans[claim.span]
        quote = PROMPT.passages[span.passage].text[span.char_start : span.char_end]
        found.append((text.text[claim.char_start : claim.char_end], quote))
    return found


def test_markers_are_renumbered_by_quote_and_point_at_the_sentence() -> None:
    text = cited("The tunnel opened in 1950 [2]. The bridge opened in 1932 [1].")
    assert text.text == "The tunnel opened in 1950 [1]. The bridge opened in 1932 [2]."
    assert quotes(text) == [
        ("The tunnel opened in 1950", "The Merlin Tunnel opened in 1950."),
        ("The bridge opened in 1932", "The Kestrel Bridge opened in 1932."),
    ]
    assert text.support == 1.0


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("The bridge opened in 1932. [1]", "The bridge opened in 1932. [1]"),
        ("The bridge opened in 1932[1]!", "The bridge opened in 1932[1]!"),
        ("The bridge opened in 1932 [ 1 ].", "The bridge opened in 1932 [1]."),
        ("The bridge opened in 1932 【1】.", "The bridge opened in 1932 [1]."),
        ("The bridge opened in 1932【1†source】.", "The bridge opened in 1932[1]."),
        ("The bridge opened in 1932 [passage 1].", "The bridge opened in 1932 [1]."),
        ("The bridge opened in 1932 [1][1].", "The bridge opened in 1932 [1]."),
        ("Both opened: the bridge in 1932 [1, 9].", "Both opened: the bridge in 1932 [1]."),
        ("  The bridge opened in 1932 [1].\n\n", "The bridge opened in 1932 [1]."),
    ],
)
def test_every_way_of_writing_a_marker_is_understood(raw: str, kept: str) -> None:
    assert cited(raw).text == kept


def test_a_marker_whose_passage_does_not_say_it_is_dropped_with_the_reason() -> None:
    text = cited("The bridge opened in 1933 [1]. The tunnel opened in 1950 [2].")
    assert text.text == "The bridge opened in 1933. The tunnel opened in 1950 [1]."
    (dropped,) = text.dropped
    assert (dropped["passage"], dropped["claim"]) == (1, "The bridge opened in 1933")
    assert "1933" in dropped["reason"]
    assert text.support == pytest.approx(0.75)  # one sentence of two is carried, and wholly


def test_a_marker_for_a_passage_that_is_not_there_is_dropped() -> None:
    text = cited("The bridge opened in 1932 [3]. It opened [0] in 1932 [12].")
    assert text.text == "The bridge opened in 1932. It opened in 1932."
    assert [each["reason"] for each in text.dropped] == ["there are 2 passages"] * 3
    assert text.support == 0.0


def test_two_claims_of_one_sentence_are_judged_apart() -> None:
    text = cited("The bridge opened in 1932 [1] and the tunnel opened in 1950 [2].")
    assert text.text == "The bridge opened in 1932 [1] and the tunnel opened in 1950 [2]."
    assert [claim for claim, _ in quotes(text)] == ["The bridge opened in 1932", "and the tunnel opened in 1950"]


def test_a_wrong_part_does_not_take_the_right_one_with_it() -> None:
    text = cited("The bridge opened in 1940 [1] and cost 4.2 million pounds [1].")
    assert text.text == "The bridge opened in 1940 and cost 4.2 million pounds [1]."


def test_one_quote_has_one_number_however_often_it_is_used() -> None:
    text = cited("The bridge opened in 1932 [1]. In 1932 it opened [1]. The toll is 3 euros [2].")
    assert text.text == "The bridge opened in 1932 [1]. In 1932 it opened [1]. The toll is 3 euros [2]."
    assert len(text.spans) == 2


def test_brackets_that_are_no_markers_stay() -> None:
    raw = "Use [x] or a[i] and [see below] or [ and ] [1a]"
    assert cited(raw).text == raw


def test_a_dropped_marker_can_not_join_its_neighbours_to_a_new_one() -> None:
    assert cited("It opened in 1932 [1[9]].").text == "It opened in 1932 [1)."
    assert cited("[[1]1]").text == "[1)"
    assert cited("[ 2[9] ]").text == "[ 2 )"


def test_an_unfinished_marker_at_the_end_stays_text() -> None:
    assert cited("The bridge opened in 1932 [1").text == "The bridge opened in 1932 [1"


def test_a_refusal_is_no_claim_though_it_shares_words() -> None:
    text = cited("The passages do not say when the Kestrel Bridge opened in 1932 [1].")
    assert text.text == "The passages do not say when the Kestrel Bridge opened in 1932."
    assert (text.verified, text.refused) == (False, True)


def test_a_refusal_in_front_of_a_proven_claim_is_an_answer() -> None:
    text = cited("The passages do not mention the architect. The bridge opened in 1932 [1].")
    assert (text.verified, text.refused) == (True, False)


def test_begun_waits_for_the_first_sentence() -> None:
    text = CitedText(PROMPT)
    text.feed("The documents don't")
    assert not text.begun
    text.feed(" say. Or")
    assert not text.begun
    other = CitedText(PROMPT)
    other.feed("It opened. T")
    assert other.begun


def test_what_is_shown_is_never_taken_back_and_needs_no_second_look() -> None:
    text = CitedText(PROMPT)
    assert text.feed("The bridge opened in 1932 ") == "The bridge opened in 1932"
    assert text.feed("[") == ""
    assert text.feed("1") == ""
    assert text.feed("]. More") == " [1]. More"


PIECES = st.sampled_from(
    ["[1]", "[2]", "[1, 2]", "[9]", "【1】", "[", "]", "[1", " ", "\n", ". ", "The bridge opened in 1932", "1950", "a",
     "The tunnel opened in 1950", "，", "。", "[1-2]", "[1 and 2]", "[passages 1]", "†", "[" + "1," * 40 + "1]"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join), st.integers(1, 7))
def test_the_text_does_not_depend_on_how_it_was_cut(raw: str, size: int) -> None:
    text, whole = cited(raw, size), cited(raw, max(1, len(raw)))
    assert (text.text, text.claims, text.spans) == (whole.text, whole.claims, whole.spans)
    for claim in text.claims:
        assert 0 <= claim.char_start < claim.char_end <= len(text.text)
        assert claim.support >= SUPPORTED
        assert f"[{claim.span + 1}]" in text.text[claim.char_end :]
    for number in re.findall(r"\[(\d{1,3})\]", text.text):
        assert 1 <= int(number) <= len(text.spans)
    assert text.support == 0.0 if not text.claims else SUPPORTED <= text.support <= 1.0
