"""What retrieval says for the passage that an answer comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence

from app.types import Passage, ScoreName

_RANKERS: tuple[ScoreName, ...] = ("bm25", "cosine", "rerank")
_UNRANKED = 51  # one beyond the candidates that a retriever gives by default


def retrieval_agreement(passages: Sequence[Passage], answering: int) -> float | None:
    """Return minus the mean log₂ of the ranks of the passage `answering`: 0 where every ranker had it first.

    Ranks, for scores mean something else with every encoder, every reranker and every corpus. A retriever that ranked
    other passages but not this one counts as rank 51; one that ranked none was not asked. None without any rank.

    Args:
        passages: of the prompt, with their ranks.
        answering: index of the passage.
    """
    asked = [name for name in _RANKERS if any(name in passage.hit.ranks for passage in passages)]
    if not asked:
        return None
    ranks = passages[answering].hit.ranks
    return -sum(math.log2(min(ranks.get(name, _UNRANKED), _UNRANKED)) for name in asked) / len(asked)
