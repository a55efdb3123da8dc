"""What people's ratings and golden questions say about passages: one judged question each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.index.rerankers import RatedAnswer

HELD_OUT_SHARE = 0.3
_NAMED = 2
"""A rating of one chunk weighs as much as two of a whole answer, which speak of all that it cites."""


@dataclass(frozen=True, slots=True)
class JudgedQuestion:
    """A question with the passages that answer it: chunks, or, when a golden row says so, whole documents."""

    question: str
    chunk_ids: frozenset[str]
    document_ids: frozenset[str] = frozenset()

    @property
    def held_out(self) -> bool:
        """Whether the question is for measuring only. It depends on its words alone: once held out, always held out."""
        digest = hashlib.sha256(f"held out:{normalized(self.question)}".encode()).digest()
        return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


def normalized(question: str) -> str:
    """The question as it is told from others: lower case, single spaces."""
    return " ".join(question.casefold().split())


def from_ratings(ratings: Iterable[RatedAnswer]) -> list[JudgedQuestion]:
    """The questions with a chunk that more ratings praise than blame, in the order in which they were first rated.

    A rating that names a chunk is about that chunk; one that names none is about every chunk that its answer cites.
    """
    votes: dict[str, dict[str, int]] = {}
    wording: dict[str, str] = {}
    for rated in ratings:
        key = normalized(rated.question)
        wording.setdefault(key, rated.question)
        ballot = votes.setdefault(key, {})
        for chunk_id in (rated.chunk_id,) if rated.chunk_id else rated.cited:
            weight = _NAMED if rated.chunk_id else 1
            ballot[chunk_id] = ballot.get(chunk_id, 0) + weight * rated.rating
    judged = (
        JudgedQuestion(wording[key], frozenset(chunk_id for chunk_id, total in ballot.items() if total > 0))
        for key, ballot in votes.items()
    )
    return [question for question in judged if question.chunk_ids]


def from_golden(rows: Sequence[Mapping[str, Any]]) -> list[JudgedQuestion]:
    """The golden questions that name what is relevant."""
    return [
        JudgedQuestion(
            str(row["question"]),
            frozenset(row.get("relevant_chunk_ids") or ()),
            frozenset(row.get("relevant_document_ids") or ()),
        )
        for row in rows
        if row.get("relevant_chunk_ids") or row.get("relevant_document_ids")
    ]


def merged(golden: Sequence[JudgedQuestion], rated: Sequence[JudgedQuestion]) -> list[JudgedQuestion]:
    """Both, each question once: what a golden set says of it stands, whatever was clicked."""
    by_words = {normalized(question.question): question for question in rated}
    by_words |= {normalized(question.question): question for question in golden}
    return list(by_words.values())
