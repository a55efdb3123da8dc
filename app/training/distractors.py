"""Passages that look as if they answered a question, and do not: hard negatives by term overlap."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from app.training.everyday import COLLECTIONS, document_of
from app.training.reading_sets import SQUAD_FAMILY, ReadingQuestion

_CANDIDATES = 60
_COMMON_SHARE = 0.2


def find_distractors(
    questions: Sequence[ReadingQuestion], token_ids: Callable[[str], Sequence[int]], keep: int = 8
) -> dict[str, list[str]]:
    """Return question id → up to `keep` passages of its collection with the highest idf-weighted term overlap.

    The question's own passage and passages that hold one of its answers are left out. Terms in more than a fifth of the
    collection's passages do not count. SQuAD's sets are one collection; each everyday document is one, whose other
    passages are all candidates.

    Args:
        questions: of any number of collections; only their own passages are candidates.
        token_ids: the tokens of a text.
        keep: most passages per question.
    """
    chosen: dict[str, list[str]] = {}
    collections: dict[str, list[ReadingQuestion]] = defaultdict(list)
    for q in questions:
        collections[_pool(q)].append(q)
    for members in collections.values():
        contexts = sorted({q.context for q in members})
        postings: dict[int, list[int]] = defaultdict(list)
        for index, context in enumerate(contexts):
            for token in set(token_ids(context)):
                postings[token].append(index)
        for q in members:
            scores: dict[int, float] = defaultdict(float)
            for token in set(token_ids(q.question)) | set(token_ids(q.title)):
                listed = postings.get(token, [])
                if 0 < len(listed) <= _COMMON_SHARE * len(contexts) + 1:
                    weight = math.log(1 + len(contexts) / len(listed))
                    for index in listed:
                        scores[index] += weight
            if q.collection in COLLECTIONS:
                scores |= {index: scores[index] for index in range(len(contexts))}
            ranked = sorted(scores, key=lambda index: (-scores[index], index))[:_CANDIDATES]
            lowered = [answer.lower() for answer in q.answers]
            free = [contexts[i] for i in ranked if contexts[i] != q.context]
            chosen[q.id] = [c for c in free if not any(a in c.lower() for a in lowered)][:keep]
    return chosen


def _pool(q: ReadingQuestion) -> str:
    if q.collection in COLLECTIONS:
        return f"everyday: {document_of(q)}"
    return "squad" if q.collection in SQUAD_FAMILY else q.collection
