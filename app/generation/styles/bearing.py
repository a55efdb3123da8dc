"""The one sentence that bears on a yes-or-no question, where the reader is not sure of any and none gives a verdict.

Whether it decides the question is told by two numbers: the sentence's cosine with the question and the share of the
question's terms in it and above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.generation.abstention import sigmoid
from app.generation.styles.candidates import Candidate, Weights, candidates_of
from app.generation.styles.paragraph import cosines_of
from app.generation.styles.topic import topic_of
from app.protocols import Encoder
from app.types import PassageSpan, Prompt

_BIAS, _OF_COSINE, _OF_SHARE = -4.69, 5.22, 5.11
"""Fitted on our own yes-or-no examples (part `train`): each of 82 questions among its own passages and four others, and
among five others alone; right where the chosen sentence is the one that decides (AUROC .97 on these same rows)."""
_SHARE_IN_CHOICE = 0.3  # of the question's terms, beside the cosine, in choosing the sentence


@dataclass(frozen=True, slots=True)
class Bearing:
    """`span` with the sentence before it where it points back; `probability` that it decides the question."""

    span: PassageSpan
    probability: float
    coverage: float


def bearing(prompt: Prompt, encoder: Encoder | None) -> Bearing | None:
    """Return the sentence that bears most on the prompt's question; None where no sentence can be weighed.

    Args:
        prompt: question and passages.
        encoder: whose cosines the weights were fitted on; another one, or a question that it can't read, weighs none.
    """
    terms = topic_of(prompt.question).terms
    said = candidates_of(prompt.passages)
    weights = Weights(terms, said)
    usable = [place for place, each in enumerate(said) if each.usable]
    if not terms or not usable:
        return None
    cosines, _ = cosines_of(prompt.question, said, weights, encoder)
    if cosines is None:
        return None
    shares = [weights.share(each.terms | each.above) for each in said]
    best = max(usable, key=lambda place: (cosines[place] + _SHARE_IN_CHOICE * shares[place], -place))
    probability = sigmoid(_BIAS + _OF_COSINE * cosines[best] + _OF_SHARE * shares[best])
    return Bearing(_with_what_it_points_at(said, best), probability, shares[best])


def _with_what_it_points_at(said: Sequence[Candidate], place: int) -> PassageSpan:
    span, before = said[place].span, said[place].previous
    if not said[place].leaning or before is None:
        return span
    return PassageSpan(span.passage, said[before].span.char_start, span.char_end)
