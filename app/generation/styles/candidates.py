"""The sentences of a prompt's passages, with what they say and what stands above them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass

from app.generation.citations import MAX_QUOTE_CHARS
from app.generation.styles.orders import is_order
from app.generation.styles.topic import held_of
from app.index.analysis import analyze, sentence_spans
from app.types import Passage, PassageSpan

MIN_TERMS = 3  # with fewer a sentence says nothing in a paragraph
_ENDED = re.compile(r"[.!?。！？；;…:：][\"'”’)\]」』）】》]*$")
_BULLET = re.compile(r"^\s*(?:[-*+•‣▪◦●○■□–—·]\s|\(?(?:\d{1,3}|[A-Za-z])[.)]\s|[一二三四五六七八九十]{1,3}、)")
_MARKED = re.compile(r"^\s*#{1,6}\s")
_LEANING = re.compile(
    r"[\"'“(]*(?:(?:it|its|they|them|their|this|that|these|those|he|his|him|she|her|hers|such|both|neither|either|the\s+former"
    r"|the\s+latter|here|there(?!\s+(?:is|are|was|were)\b))\b(?!\s+who)|(?:however|therefore|thus|hence|moreover|furthermore|instead|otherwise|also"
    r"|consequently|nevertheless|meanwhile|then|but|and|so|or|yet|in\s+(?:addition|contrast|particular|turn)|as\s+a\s+result"
    r"|for\s+(?:example|instance)|on\s+the\s+other\s+hand|similarly|likewise|another|others?)\b)"
    r"|[“「『（]*(?:它|其|他|她|该|該|此|这|這|那|因此|所以|但|但是|然而|不过|此外|另外|而且|同时|于是|并且|例如|比如|反之|否则)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One sentence; `above` are the terms of title, headings and the heading lines before it in its passage.

    `previous` is the place in the same list of the sentence directly before it in its passage, `leaning` whether it
    opens with a word that points back there ("It", "This", 该). One that `states` is whole, no question, and no order
    to a program; one that is `usable` also says enough to be quoted in a paragraph.
    """

    span: PassageSpan
    text: str
    terms: frozenset[str]
    above: frozenset[str]
    previous: int | None
    leaning: bool
    states: bool
    usable: bool


def candidates_of(passages: Sequence[Passage]) -> list[Candidate]:
    """Return every sentence of the passages, in their order; without headings; see `Candidate`."""
    found: list[Candidate] = []
    for number, passage in enumerate(passages):
        chunk = passage.hit.chunk
        above = frozenset(analyze(" ".join([chunk.title, *chunk.heading_path])))
        heading: frozenset[str] = frozenset()
        previous: int | None = None
        for start, end in sentence_spans(passage.text):
            text = passage.text[start:end]
            terms = frozenset(analyze(text))
            if is_heading(passage.text, start, end):
                heading, previous = terms, None
                continue
            states = (
                not text.rstrip().endswith(("?", "？", ":", "："))
                and not is_order(text)
                and _whole(passage.text, start, end)
            )
            usable = states and len(terms) >= MIN_TERMS and end - start <= MAX_QUOTE_CHARS
            span = PassageSpan(number, start, end)
            found.append(
                Candidate(
                    span, text, terms, above | heading, previous, _LEANING.match(text) is not None, states, usable
                )
            )
            previous = len(found) - 1 if states else None
    return found


def is_heading(text: str, start: int, end: int) -> bool:
    """Return whether `text[start:end]` is a line of its own above more text, with Markdown's mark or without a stop."""
    line = text[start:end]
    alone = (start == 0 or text[:start].rstrip(" \t").endswith("\n")) and text[end:].lstrip(" \t")[:1] in ("\n", "\r")
    if alone and _MARKED.match(line):
        return True
    return alone and not _ENDED.search(line) and not _BULLET.match(line) and len(line) <= 120 and ";" not in line


def _whole(text: str, start: int, end: int) -> bool:
    """Whether it is a whole sentence: one that a chunk's border cut begins in the middle or never ends."""
    first = text[start:end].lstrip("\"'“‘(（「『《")[:1]
    begins = start > 0 or not first.islower()
    return begins and (end < len(text.rstrip()) or _ENDED.search(text[start:end]) is not None or "\n" in text[:start])


class Weights:
    """How much each term of a topic counts: its inverse document frequency over the sentences, as BM25 has it."""

    def __init__(self, terms: Set[str], candidates: Sequence[Candidate]) -> None:
        frequency = Counter(term for each in candidates for term in held_of(terms, each.terms))
        count = len(candidates)
        self._idf = {term: math.log(1 + (count - frequency[term] + 0.5) / (frequency[term] + 0.5)) for term in terms}
        self._whole = sum(self._idf.values())

    def share(self, terms: Set[str]) -> float:
        """Return the weighted share in [0, 1] of the topic that `terms` hold; 1 for a topic without any term."""
        found = sum(weight for term, weight in self._idf.items() if held_of((term,), terms))
        return found / self._whole if self._whole else 1.0
