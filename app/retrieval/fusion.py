"""Rank fusion: several rankings of the same things → one. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

from app.errors import InvalidInput

K = TypeVar("K", bound=Hashable)


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[K]], k: int = 60, weights: Sequence[float] | None = None
) -> list[tuple[K, float]]:
    """Every key of any ranking with its fused score, best first; ties go to the smaller key.

    `rrf_score(d) = Σ_r w_r / (k + rank_r(d))`, ranks from 1, over the rankings that hold `d`.

    Args:
        rankings: each best first, without repeats; an empty one contributes nothing.
        k: damps the lead of the first ranks; 60 in the paper.
        weights: one non-negative weight a ranking; all 1 when None.

    Raises:
        InvalidInput: `k` is negative, a ranking repeats a key, or the weights do not fit.

    Source: Cormack, Clarke, Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual rank learning
    methods", SIGIR 2009; over several queries: Rackauckas, "RAG-Fusion", 2024.
    """
    if k < 0:
        raise InvalidInput(f"rrf_k is {k}: it must be 0 or more (60 is customary)")
    if weights is not None and (len(weights) != len(rankings) or any(weight < 0 for weight in weights)):
        raise InvalidInput(f"weights {list(weights)} must be {len(rankings)} non-negative numbers, one a ranking")
    shares: dict[K, list[float]] = {}
    for number, ranking in enumerate(rankings):
        if len(set(ranking)) != len(ranking):
            raise InvalidInput(f"ranking {number} repeats a key: each key may stand in a ranking once")
        weight = 1.0 if weights is None else weights[number]
        for rank, key in enumerate(ranking, start=1):
            shares.setdefault(key, []).append(weight / (k + rank))
    # fsum is exact, so the same ranks in another order of rankings are a tie, not a rounding apart.
    return sorted(((key, math.fsum(parts)) for key, parts in shares.items()), key=_best_first)


def _best_first(item: tuple[Any, float]) -> tuple[float, Any]:
    return -item[1], item[0]
