"""Pairs from the examples that were written for this project: `app/training/behaviours`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from app.training.behaviours.loading import Behaviour, Kind, Part, load_behaviours
from app.training.writer.pairs import WritingPair

OWN = "own"
_KINDS: tuple[Kind, ...] = ("sentence", "standalone", "step_back", "paraphrase")


def own_pairs() -> Iterator[WritingPair]:
    """Yield the English examples as pairs, one for each accepted wording, in their own parts: train and held out."""
    for part in get_args(Part):
        for row in load_behaviours(part, _KINDS):
            if row.lang == "en":
                yield from _pairs(row)


def _pairs(row: Behaviour) -> Iterator[WritingPair]:
    if row.kind == "sentence":
        if row.sentence is not None and row.answers:
            source = " ".join(dict.fromkeys(span.text for span in row.support)) or row.passages[0].text
            answer = ", ".join(span.text for span in row.answers)
            yield WritingPair("sentence", OWN, row.part, row.question, row.sentence, answer, source)
        return
    heading, passage = history_parts(row.history)
    for target in row.rewrites:
        yield WritingPair(row.kind, OWN, row.part, row.question, target, heading, passage)


def history_parts(history: tuple[str, ...]) -> tuple[str, str]:
    """Return the last question of a conversation that alternates user and assistant, and the answer to it."""
    asked, told = history[0::2], history[1::2]
    return (asked[-1] if asked else "", told[-1] if len(told) == len(asked) and told else "")
