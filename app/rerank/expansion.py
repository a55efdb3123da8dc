"""Pseudo-relevance feedback inside the candidate list: passages that resemble the best ones rank with them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from app.rerank.terms import ChunkTerms

FEEDBACK_PASSAGES = 8
EXPANSION_TERMS = 30


def expansion_scores(chunks: Sequence[ChunkTerms], prior: np.ndarray) -> np.ndarray:
    """`[n]`: how much of the relevance model of the best passages each passage holds; never negative.

    `w(t) = log(n / df_list(t)) · Σ_{d in best} prior(d) · tf(t, d) / |d|`, then `Σ_t w(t) · tf / (tf + 1)` without the
    passage's own share, divided by a soft length.

    Args:
        chunks: the candidate list.
        prior: `[n]` first-stage score of each passage.

    Source: the relevance model RM1 of Lavrenko and Croft, SIGIR 2001; departures: the background is the candidate list
    itself (topic words that all candidates share say nothing), and a passage does not vote for itself.
    """
    n = len(chunks)
    scores = np.zeros(n)
    if n < 3:
        return scores
    best = np.argsort(-prior, kind="stable")[:FEEDBACK_PASSAGES].tolist()
    votes: dict[str, float] = {}
    shares: list[dict[str, float]] = []
    for index in best:
        chunk = chunks[index]
        scale = float(prior[index]) / max(chunk.length, 1)
        share = {term: scale * len(positions) for term, positions in chunk.positions.items()}
        shares.append(share)
        for term, value in share.items():
            votes[term] = votes.get(term, 0.0) + value
    weights: dict[str, float] = {}
    for term, value in votes.items():
        df = sum(term in chunk.positions for chunk in chunks)
        weights[term] = value * math.log((n + 1) / df)
    chosen = sorted(weights, key=lambda term: (-weights[term], term))[:EXPANSION_TERMS]
    own = dict(zip(best, shares, strict=True))
    for index, chunk in enumerate(chunks):
        mine = own.get(index)
        total = 0.0
        for term in chosen:
            positions = chunk.positions.get(term)
            if positions:
                weight = weights[term]
                if mine is not None and term in mine:
                    weight *= 1 - mine[term] / votes[term]
                total += weight * len(positions) / (len(positions) + 1)
        scores[index] = total
    return scores
