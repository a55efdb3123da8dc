"""Several views of one question without a language model: pseudo-relevance feedback, acronyms spelled out.

The question's own content words make no view of their own: BM25 can't tell them from the question.

Source: relevance models, Lavrenko & Croft 2001 (feedback terms weighed by the passages that hold them); multi-query
retrieval: RAG-Fusion, Rackauckas 2024.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from app.index.analysis import analyze, analyze_spans
from app.query.surface import content_words

_ADDED_TERMS = 6
_MIN_PASSAGES = 2  # a term of one passage alone may be its own subject, not the question's
_ACRONYM = re.compile(r"\b([A-Z][A-Za-z]+(?:[ -](?:(?:of|the|and|for|de)[ -])*[A-Z]?[a-z]+){1,6})\s*\(([A-Z]{2,8})s?\)")


class TermStatistics(Protocol):
    """What a term weighs in the collections searched."""

    def idf(self, terms: Sequence[str]) -> dict[str, float]:
        """BM25's inverse document frequency of each term."""


def feedback_view(question: str, feedback: Sequence[str], statistics: TermStatistics | None) -> str | None:
    """The content words with the terms that the best passages of a first look share; None where they share nothing.

    A term's weight is `Σ_passages tf / length · idf / rank`; it must stand in at least two passages.
    """
    asked = set(analyze(question))
    weights: Counter[str] = Counter()
    shown: dict[str, str] = {}
    holding: Counter[str] = Counter()
    for rank, passage in enumerate(feedback, start=1):
        spans = analyze_spans(passage)
        counts = Counter(term for term, _, _ in spans)
        for term, start, end in spans:
            shown.setdefault(term, passage[start:end])
        for term, tf in counts.items():
            if term in asked or len(term) < 2 or term.isdigit():
                continue
            weights[term] += tf / len(spans) / math.log2(1 + rank)  # type: ignore[assignment]
            holding[term] += 1
    candidates = [term for term in weights if holding[term] >= _MIN_PASSAGES]
    if not candidates:
        return None
    idf: Mapping[str, float] = statistics.idf(candidates) if statistics is not None else {}
    best = sorted(candidates, key=lambda term: (-weights[term] * idf.get(term, 1.0), term))[:_ADDED_TERMS]
    words = [span.text for span in content_words(question)] or [question]
    return " ".join([*words, *(shown[term] for term in best)])


def acronym_view(question: str, feedback: Sequence[str]) -> str | None:
    """The question with an acronym spelled out, or a long form shortened, as the passages themselves explain it."""
    known: dict[str, str] = {}
    for passage in feedback:
        for long, short in _ACRONYM.findall(passage):
            words = re.split(r"(?<=[ -])", long)
            for start in range(len(words)):
                if "".join(word[0] for word in words[start:] if word[:1].isupper()).upper() == short:
                    known.setdefault(short, "".join(words[start:]))
                    break
    for short, long in known.items():
        if re.search(rf"\b{short}\b", question):
            return re.sub(rf"\b{short}\b", long, question, count=1)
        if long.casefold() in question.casefold():
            return re.sub(re.escape(long), short, question, count=1, flags=re.IGNORECASE)
    return None


def multi_query(question: str, feedback: Sequence[str], statistics: TermStatistics | None) -> list[str]:
    """Up to two other views of the question, best first; none where nothing can be added."""
    views = (feedback_view(question, feedback, statistics), acronym_view(question, feedback))
    return [view for view in views if view is not None]
