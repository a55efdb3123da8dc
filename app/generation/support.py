"""How far a passage carries a claim, and which of its characters do.

For a claim with index terms C (numbers and dates apart), a question with terms Q, a passage with terms P (its title
and headings among them), and a window w of one to three of its sentences:

    support = recall(C \\ Q in w) · recall(C in P)

The first factor asks for what the claim adds to the question, in one place; the second asks that the passage is about
the same thing at all. Every number and date of the claim must be in the window, or in the question or title; window and
claim must not contradict each other by a negation. This measures shared words, not entailment.

Source: content-word recall as a baseline of attribution is described in Rashkin et al. 2023, section 6 (AIS).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

from app.generation.quantities import Quantities, quantities
from app.index.analysis import analyze, sentence_spans
from app.index.scripts import HAN
from app.types import Passage

SUPPORTED = 0.5
"""Support from which a claim counts as carried."""

WINDOW_SENTENCES = 3
_ELSEWHERE = 0.4  # below SUPPORTED: the credit of a term that stands in the passage, but outside the window
_STEM_CHARS = 5  # "construct" and "construction" share this much at least
_SAME_QUESTION = 0.015  # of two windows that carry a claim alike, the one nearer to the question is quoted
_EXTRA_SENTENCE = 0.02  # of two windows that carry a claim alike, the shorter is quoted
_HAN = re.compile(f"[{HAN}]")
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot|lacks?|lacked|fail(?:s|ed)? to|unable)\b"
    r"|n['’]t\b|[没沒勿]|不(?![仅僅但过過同断斷少久管论論])|[无無](?![锡錫论論限数數线線])|未(?![来來])|[并並绝絕而]非",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[,;:，；：、—]")


@dataclass(frozen=True, slots=True)
class Support:
    """`passage.text[char_start:char_end]` carries the claim by `score` in [0, 1]; `reason` says why not where not."""

    score: float
    char_start: int
    char_end: int
    reason: str = ""

    @property
    def holds(self) -> bool:
        return self.score >= SUPPORTED


class Source:
    """A passage made ready for many claims."""

    def __init__(self, passage: Passage) -> None:
        self.text = passage.text
        chunk = passage.hit.chunk
        self.heading = " ".join([chunk.title, *chunk.heading_path])

    @cached_property
    def sentences(self) -> list[Sentence]:
        return [Sentence(self.text, start, end) for start, end in sentence_spans(self.text)]

    @cached_property
    def terms(self) -> frozenset[str]:
        return frozenset(analyze(f"{self.heading}\n{self.text}"))

    @cached_property
    def heading_quantities(self) -> Quantities:
        return quantities(self.heading)


class Sentence:
    """`text[start:end]` with its terms, computed when a claim first asks for them."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.text = text[start:end]

    @cached_property
    def terms(self) -> frozenset[str]:
        return frozenset(analyze(self.text))


def support(claim: str, source: Source, question: str = "") -> Support:
    """The window of `source` that carries `claim` best; of equal ones the shortest, then the first.

    Args:
        claim: one sentence or a part of one, without markers.
        source: the passage that it is said to come from.
        question: as asked; what the claim repeats of it needs no proof of its own.
    """
    counted, asked = quantities(claim), quantities(question)
    terms = _content(counted.rest, source)
    counts = bool(counted.numbers or counted.dates)
    if not terms and not counts:
        return Support(0.0, 0, 0, "nothing in it can be looked up")
    asked_terms = _content(asked.rest, source)
    added = [term for term in terms if term not in asked_terms]
    if not added and not counts:
        added = terms
    topic = _recall(terms or asked_terms, source.terms, frozenset())
    best, best_rank = Support(0.0, 0, 0), -1.0
    reason, refused_rank = "the passage shares too few words with it", -1.0
    for window in _windows(source):
        score = _recall(added, window.terms, source.terms) * topic
        rank = score + _SAME_QUESTION * _recall(asked_terms, window.terms, frozenset()) - _EXTRA_SENTENCE * window.extra
        if rank <= best_rank or score <= 0:
            continue
        lost = counted.missing_from(window.quantities, asked, source.heading_quantities)
        if not lost and not (score >= SUPPORTED and _contradicts(claim, window, terms)):
            best, best_rank = Support(score, window.start, window.end), rank
        elif score >= SUPPORTED and rank > refused_rank:
            reason = f"{', '.join(lost)} is not there" if lost else "one of the two is negated"
            refused_rank = rank
    return best if best.holds else Support(best.score, best.char_start, best.char_end, reason)


@dataclass(frozen=True, slots=True)
class _Window:
    """One to `WINDOW_SENTENCES` sentences in a row."""

    sentences: tuple[Sentence, ...]
    text: str
    terms: Set[str]

    @property
    def start(self) -> int:
        return self.sentences[0].start

    @property
    def end(self) -> int:
        return self.sentences[-1].end

    @property
    def extra(self) -> int:
        return len(self.sentences) - 1

    @property
    def quantities(self) -> Quantities:
        return quantities(self.text)


def _windows(source: Source) -> Iterator[_Window]:
    sentences = source.sentences
    for first in range(len(sentences)):
        terms: Set[str] = frozenset()
        for last in range(first, min(first + WINDOW_SENTENCES, len(sentences))):
            terms = terms | sentences[last].terms
            text = source.text[sentences[first].start : sentences[last].end]
            yield _Window(tuple(sentences[first : last + 1]), text, terms)


def _content(claim: str, source: Source) -> list[str]:
    """The claim's distinct terms. Where it is in another script than the passage, only those that both could spell."""
    terms = list(dict.fromkeys(analyze(claim)))
    if bool(_HAN.search(claim)) == bool(_HAN.search(source.text)):
        return terms
    return [term for term in terms if not _HAN.search(term)] if _HAN.search(claim) else []


def _recall(terms: Sequence[str], held: Set[str], nearby: Set[str]) -> float:
    """Share of `terms` in `held`, 1 of none; a half for those only `nearby`."""
    found = sum(1.0 if _in(term, held) else _ELSEWHERE * _in(term, nearby) for term in terms)
    return found / len(terms) if terms else 1.0


def _in(term: str, held: Set[str]) -> bool:
    """Whether `held` has the term, another form of the word, or a longer Chinese word around it."""
    if term in held:
        return True
    if _HAN.search(term):
        return any(term in other for other in held) or (
            len(term) > 2 and all(any(part in other for other in held) for part in _bigrams(term))
        )
    if len(term) < _STEM_CHARS or not term.isalpha():
        return False
    return any(
        other.startswith(term[:_STEM_CHARS]) and _common_prefix(term, other) >= 0.7 * max(len(term), len(other))
        for other in held
    )


def _bigrams(term: str) -> list[str]:
    return [term[i : i + 2] for i in range(len(term) - 1)]


def _common_prefix(a: str, b: str) -> int:
    length = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        length += 1
    return length


def _contradicts(claim: str, window: _Window, terms: Sequence[str]) -> bool:
    """Whether exactly one of claim and window negates.

    A negated claim needs a negation in the window's sentence with most of its terms; any other claim must not have one
    in the clause with most of them.
    """

    def shared(text: str) -> int:
        return len(set(analyze(text)) & set(terms))

    nearest = max((sentence.text for sentence in window.sentences), key=shared)
    if _NEGATION.search(claim):
        return _NEGATION.search(nearest) is None
    return _NEGATION.search(max(_CLAUSE.split(nearest), key=shared)) is not None
