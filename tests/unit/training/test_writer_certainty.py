from __future__ import annotations

import pytest

from app.training.writer.certainty import (
    NEVER,
    Offer,
    accepted,
    by_rules,
    least_for_gain,
    least_for_precision,
    quality,
)
from app.training.writer.pairs import WritingPair


def test_the_writer_is_asked_down_to_where_it_still_gains() -> None:
    offers = [
        Offer(-0.1, 1.0, 0.5),
        Offer(-0.2, 0.9, 0.5),
        Offer(-0.3, 0.2, 0.5),
        Offer(-0.4, 0.6, 0.5),
        Offer(None, 0, 1),
    ]
    assert least_for_gain(offers) == -0.2  # -0.4 would bring .1 and cost the .3 of -0.3
    assert least_for_gain([Offer(-0.1, 0.4, 0.5), Offer(-0.2, 0.4, 0.5)]) == NEVER
    assert least_for_gain([Offer(None, 0.0, 0.5)]) == NEVER


def test_statements_are_offered_while_most_are_right() -> None:
    offers = [Offer(-0.4, 0, 0), Offer(-0.1, 1, 0), Offer(-0.2, 1, 0), Offer(-0.3, 0, 0), Offer(None, 0, 0)]
    assert least_for_precision(offers, 1.0) == -0.2
    assert least_for_precision(offers, 0.6) == -0.3
    assert least_for_precision([Offer(-0.1, 0, 0)], 0.5) == NEVER


@pytest.mark.parametrize(
    ("pair", "text", "worth"),
    [
        (WritingPair("decompose", "x", "dev", "Who is Ada?", ""), None, 1.0),
        (WritingPair("decompose", "x", "dev", "Who is Ada?", ""), "Who is it?", 0.0),
        (WritingPair("decompose", "x", "dev", "Whose mother is it?", "Who is it? | whose mother is #1?"), None, 0.0),
        (WritingPair("standalone", "x", "dev", "Who is he?", "Who is Bo?"), "Who is Bo?", 1.0),
        (WritingPair("standalone", "x", "dev", "Who is he?", "Who is Bo?"), None, 2 / 3),
    ],
)
def test_what_a_text_is_worth(pair: WritingPair, text: str | None, worth: float) -> None:
    assert quality(pair, text) == pytest.approx(worth)


def test_the_rules_stand_beside_the_writer() -> None:
    follow = WritingPair("standalone", "x", "dev", "When was he born?", "", "Who is Akira Kurosawa?", "A director.")
    assert by_rules(follow) == "When was Akira Kurosawa born?"
    steps = WritingPair(
        "decompose", "x", "dev", "Who is the mother of the director of Ran?", "Who made Ran? | who bore #1?"
    )
    assert by_rules(steps) == "Who is the director of Ran?"
    assert accepted(steps) == "Who made Ran? who bore made Ran?"
    statement = WritingPair("sentence", "x", "dev", "Who wrote it?", "", "Ada", "Ada wrote it.")
    assert by_rules(statement) == "Ada wrote it."
    assert by_rules(WritingPair("hyde", "x", "dev", "Who wrote it?", "Ada.")) is None
