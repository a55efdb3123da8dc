"""A part of a passage instead of all of it: the verifier is shown two sentences, so mining need not read a page."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from app.index.analysis import sentence_spans
from app.training.reading_sets import ReadingQuestion

_AROUND_CHARS = 60
_MOST_PLACES = 20


def shortened(questions: Sequence[ReadingQuestion], most_chars: int, seed: int = 0) -> list[ReadingQuestion]:
    """Return the questions over a part of their passages, the accepted answers that stand in it kept.

    Args:
        questions: those without answers, and those whose answers are parts of a list, stay as they are.
        most_chars: of a part, unless the sentence of the answer alone is longer.
        seed: of the draw of neighbours.
    """
    made = []
    for q in questions:
        if not q.answers or q.parts or len(q.context) <= most_chars:
            made.append(q)
            continue
        text = window(q.context, q.question, q.answers, most_chars, random.Random(f"{seed}-{q.id}"))
        made.append(replace(q, context=text, answers=tuple(answer for answer in q.answers if answer in text)))
    return made


def window(text: str, question: str, answers: Sequence[str], most_chars: int, rng: random.Random) -> str:
    """Return whole neighbouring sentences around an answer, at most `most_chars` or that answer's alone.

    Of several places of the answers it is the one whose surroundings share most pairs of characters with the question:
    the others need not answer it.
    """
    start, end = _likeliest(text, question, answers)
    sentences = sentence_spans(text)
    holding = [place for place, (low, high) in enumerate(sentences) if low < end and high > start]
    first, last = holding[0], holding[-1]
    while True:
        wider = [
            (low, high)
            for low, high in ((first - 1, last), (first, last + 1))
            if low >= 0 and high < len(sentences) and sentences[high][1] - sentences[low][0] <= most_chars
        ]
        if not wider:
            return text[sentences[first][0] : sentences[last][1]]
        first, last = rng.choice(wider)


def _likeliest(text: str, question: str, answers: Sequence[str]) -> tuple[int, int]:
    asked = set(pairwise(question.lower()))
    places = [(match.start(), match.end()) for answer in answers for match in re.finditer(re.escape(answer), text)][
        :_MOST_PLACES
    ]

    def shared(place: tuple[int, int]) -> int:
        near = text[max(0, place[0] - _AROUND_CHARS) : place[1] + _AROUND_CHARS].lower()
        return len(asked & set(pairwise(near)))

    return max(places, key=shared)
