"""What the reranker reads out of texts: index terms with positions, numbers, names, dates. Chunks are read once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from app.index.analysis import analyze, analyze_spans
from app.types import StoredChunk

MAX_CHARS = 4_000
"""Characters of a chunk's text that are read: chunks are shorter unless someone sets them otherwise."""

_DATE = re.compile(
    r"\b(1[0-9]{3}|20[0-9]{2})s?\b|\b(january|february|march|april|may|june|july|august|september|october|november|"
    r"december)\b|\d\s*[年月日号]|\b(century|centuries|decade)\b|世纪|世紀|年代",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\d|\b(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred|thousand|million|billion|half|"
    r"percent)\b|[一二三四五六七八九十百千万亿两]",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<![.!?:]\s)(?<!^)\b[A-Z][a-z]+")
_ASKS_TIME = re.compile(
    r"\b(when|what (?:year|date|day|month|century|decade|time))\b|何时|什么时候|哪一?[年天]|几月|年份", re.I
)
_ASKS_NUMBER = re.compile(
    r"\bhow (?:many|much|long|old|far|big|large|tall|high|often|fast|deep)\b|\b(?:what|which) "
    r"(?:number|percentage|percent|amount|age|population)\b|多少|几[个名人次年种]",
    re.I,
)
_ASKS_PERSON = re.compile(r"\b(who|whom|whose)\b|谁|哪[一]?[位个]人?", re.I)
_UNSEGMENTED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class QueryTerms:
    """`terms` are distinct, in order; `pairs` are indices of neighbours; `names` and `numbers` some of the terms."""

    terms: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    names: frozenset[str]
    numbers: frozenset[str]
    asks_time: bool
    asks_number: bool
    asks_person: bool
    unsegmented: float


@dataclass(frozen=True, slots=True)
class ChunkTerms:
    """`positions[term]` rises, over headings and text together; the headings' terms come first."""

    positions: dict[str, list[int]]
    head: frozenset[str]
    length: int
    text: str
    unsegmented: float

    def has_date(self) -> bool:
        """A year, a month's name, a century, or a Chinese date."""
        return _DATE.search(self.text) is not None

    def has_number(self) -> bool:
        """Digits or a number word."""
        return _NUMBER.search(self.text) is not None

    def has_name(self) -> bool:
        """A capitalised word inside a sentence."""
        return _NAME.search(self.text) is not None


@lru_cache(maxsize=256)
def read_query(text: str) -> QueryTerms:
    """The terms of a question and what kind of answer it asks for."""
    spans = analyze_spans(text[:MAX_CHARS])
    sequence = [term for term, _, _ in spans]
    terms = tuple(dict.fromkeys(sequence))
    number_of = {term: index for index, term in enumerate(terms)}
    pairs = dict.fromkeys(
        (number_of[first], number_of[second]) for first, second in pairwise(sequence) if first != second
    )
    return QueryTerms(
        terms=terms,
        pairs=tuple(pairs),
        names=frozenset(term for term, start, _ in spans if start > 0 and text[start].isupper()),
        numbers=frozenset(term for term in terms if any(c.isdigit() for c in term)),
        asks_time=bool(_ASKS_TIME.search(text)),
        asks_number=bool(_ASKS_NUMBER.search(text)),
        asks_person=bool(_ASKS_PERSON.search(text)),
        unsegmented=unsegmented_share(text),
    )


def read_chunk(chunk: StoredChunk) -> ChunkTerms:
    """The terms of a chunk, from a cache when the same text was read lately."""
    return _read(chunk.title, tuple(chunk.heading_path), chunk.text[:MAX_CHARS])


@lru_cache(maxsize=16_384)
def _read(title: str, heading_path: Sequence[str], text: str) -> ChunkTerms:
    head = analyze(" › ".join(dict.fromkeys(part for part in (title, *heading_path) if part)))
    sequence = head + analyze(text)
    positions: dict[str, list[int]] = {}
    for position, term in enumerate(sequence):
        found = positions.get(term)
        if found is None:
            positions[term] = [position]
        else:
            found.append(position)
    return ChunkTerms(
        positions=positions,
        head=frozenset(head),
        length=len(sequence),
        text=text,
        unsegmented=unsegmented_share(text[:400]),
    )


def unsegmented_share(text: str) -> float:
    """Share of the letters that belong to scripts without spaces between words, in [0, 1]."""
    if text.isascii():
        return 0.0
    letters = len(_LETTER.findall(text))
    return len(_UNSEGMENTED.findall(text)) / letters if letters else 0.0
