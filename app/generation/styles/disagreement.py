"""Documents that answer the same question differently: "4.2 million" in one report, "3.9 million" in another.

Most sentences that share a question's words speak of something else, so a rival is named only if everything speaks for
it: it stands in another document, its sentence holds the terms of the question that the answer's sentence holds and is
otherwise worded alike, its value is of the same kind, unequal, and nowhere in the answer's passage; and the reader,
shown that passage alone, gives it with confidence. The reader is asked only once all the rest holds, so that a question
whose documents agree costs nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.generation.citations import quote_span
from app.generation.quantities import Quantities, quantities
from app.generation.question_kinds import kind_of
from app.generation.styles.candidates import Candidate, candidates_of
from app.generation.styles.topic import held_of, topic_of
from app.index.analysis import analyze
from app.types import Passage, PassageSpan, StoredChunk

MIN_COVERAGE = 0.6  # of the question's terms, by each of the two sentences with its title and headings
MIN_LIKENESS = 0.5  # of the two sentences' terms, numbers apart
_YEAR = re.compile(r"(?<!\d)(?:1[89]|20)\d\d(?!\d)")
_DATE_KEYS = (
    "date",
    "published",
    "published_at",
    "publication_date",
    "effective",
    "effective_date",
    "valid_from",
    "year",
    "日期",
    "年份",
)
_NAMED = re.compile(r"[A-Z\u3400-\u9fff]")
_SHORT_WORDS = 6


@dataclass(frozen=True, slots=True)
class Said:
    """A value and where it is said; `dated` sorts by time, empty where nothing tells."""

    span: PassageSpan
    text: str
    title: str
    dated: str


def rivals(question: str, passages: Sequence[Passage], answer: PassageSpan) -> list[PassageSpan]:
    """Return the sentences of other documents that may answer `question` differently, at most one of each document.

    Args:
        question: as asked.
        passages: of the prompt.
        answer: the span that answers, a value of a few words.
    """
    text = passages[answer.passage].text[answer.char_start : answer.char_end]
    terms = topic_of(question).terms
    if not terms or kind_of(question) == "yes_no" or not _is_value(text):
        return []
    home = passages[answer.passage].hit.chunk
    if all(passage.hit.chunk.document_id == home.document_id for passage in passages):
        return []
    said = candidates_of(passages)
    own = next(
        (
            c
            for c in said
            if c.span.passage == answer.passage and c.span.char_start <= answer.char_start < c.span.char_end
        ),
        None,
    )
    if own is None:
        return []
    covered = held_of(terms, own.terms | own.above)
    if len(covered) < MIN_COVERAGE * len(terms) or not held_of(terms, own.terms):
        return []
    found: dict[str, PassageSpan] = {}
    for each in said:
        chunk = passages[each.span.passage].hit.chunk
        if not each.states or chunk.document_id == home.document_id or chunk.document_id in found:
            continue
        if covered <= held_of(terms, each.terms | each.above) and _alike(own, each) and not _says(each.text, text):
            found[chunk.document_id] = each.span
    return list(found.values())


def differs(question: str, passages: Sequence[Passage], answer: PassageSpan, rival: PassageSpan) -> bool:
    """Return whether two copied values are of one kind and not the same, and neither passage says both."""
    one, other = _text(passages, answer), _text(passages, rival)
    if not _is_value(other) or _norm(one) in _norm(other) or _norm(other) in _norm(one):
        return False
    numbers, rivals_numbers = quantities(one), quantities(other)
    counted = [bool(q.numbers or q.dates or q.words) for q in (numbers, rivals_numbers)]
    if counted[0] != counted[1]:
        return False
    if counted[0]:
        same = _covered(numbers, rivals_numbers) or _covered(rivals_numbers, numbers)
        units = [_unit(each) for each in (numbers, rivals_numbers)]
        comparable = units[0] <= units[1] or units[1] <= units[0]
        if same or not comparable or bool(numbers.dates) != bool(rivals_numbers.dates):
            return False
    elif kind_of(question) in ("number", "date"):
        return False
    home, away = passages[answer.passage], passages[rival.passage]
    return not _says(home.text, other) and not _says(away.text, one)


def said_in(passages: Sequence[Passage], span: PassageSpan) -> Said:
    """Return a value with the title that tells its document from others, and the date that its document bears."""
    passage = passages[span.passage]
    chunk = passage.hit.chunk
    quote = quote_span(passage, span)
    sentence = passage.text[quote.char_start : quote.char_end]
    title = " › ".join(dict.fromkeys(part for part in (chunk.title, *chunk.heading_path[-1:]) if part))
    return Said(span, _text(passages, span), title, dated(chunk, sentence, chunk.metadata))


def dated(chunk: StoredChunk, sentence: str, metadata: Mapping[str, object]) -> str:
    """Return the time of a document, "2023" or "2023-05-01": of its metadata, else title, headings or the sentence."""
    for key in _DATE_KEYS:
        if (value := metadata.get(key)) is not None and _YEAR.match(str(value)):
            return str(value)
    for text in (chunk.title, *reversed(chunk.heading_path), sentence):
        if years := _YEAR.findall(text):
            return str(max(years))
    return ""


def _is_value(text: str) -> bool:
    """Whether it is a number, a date or a name, of a few words: phrases differ in wording without contradicting."""
    counted = quantities(text)
    if counted.numbers or counted.dates or counted.words:
        return len(text.split()) <= _SHORT_WORDS
    words = text.split()
    return len(words) <= 4 and len(text) <= 40 and all(_NAMED.match(word) for word in words if len(word) > 3)


def _unit(counted: Quantities) -> frozenset[str]:
    """The words beside the numbers."""
    return frozenset(term for term in analyze(counted.rest) if not quantities(term).words)


def _covered(one: Quantities, other: Quantities) -> bool:
    """Whether the other says all numbers and dates of the one, those written as words included."""
    return not one.missing_from(other) and one.words <= other.words | {number.value for number in other.numbers}


def _alike(own: Candidate, other: Candidate) -> bool:
    """Whether the sentences are worded alike, numbers apart."""
    one, two = ({t for t in each.terms if not t[:1].isdigit()} for each in (own, other))
    return len(held_of(one, two)) >= MIN_LIKENESS * max(1, min(len(one), len(two))) and min(len(one), len(two)) >= 2


def _says(text: str, value: str) -> bool:
    """Whether the text holds the value, written in whatever way."""
    wanted = quantities(value)
    if wanted.numbers or wanted.dates or wanted.words:
        return not wanted.missing_from(quantities(text)) and (bool(wanted.numbers or wanted.dates) or value in text)
    return _norm(value) in _norm(text) or set(analyze(value)) <= set(analyze(text))


def _norm(text: str) -> str:
    return " ".join(text.casefold().split())


def _text(passages: Sequence[Passage], span: PassageSpan) -> str:
    return passages[span.passage].text[span.char_start : span.char_end]
