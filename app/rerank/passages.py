"""Features of one passage against one question: what matches, where, how densely, whether it could be the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from app.rerank.terms import ChunkTerms, QueryTerms

K1, B = 1.2, 0.75
WINDOW = 20
"""Index terms (stop words left out) of the window in which matches count as close: about two sentences."""

NAN = math.nan

PASSAGE_FEATURES = (
    "bm25",
    "bm25_share",
    "coverage",
    "term_overlap",
    "rarest_matched",
    "heaviest_missing",
    "window_coverage",
    "window_share",
    "span",
    "pair_coverage",
    "phrase",
    "density",
    "first_match",
    "mean_tf",
    "head_coverage",
    "head_precision",
    "number_match",
    "name_match",
    "date_for_when",
    "number_for_how_many",
    "name_for_who",
    "length",
    "length_to_mean",
    "ordinal",
    "script_mismatch",
)


@dataclass(frozen=True, slots=True)
class QueryWeights:
    """A question with the idf of its terms; `total` is their sum."""

    query: QueryTerms
    idf: tuple[float, ...]
    total: float
    avgdl: float

    @classmethod
    def of(cls, query: QueryTerms, idf: Mapping[str, float], avgdl: float) -> QueryWeights:
        weights = tuple(max(idf.get(term, 0.0), 1e-6) for term in query.terms)
        return cls(query, weights, sum(weights), max(avgdl, 1.0))


def passage_row(weights: QueryWeights, chunk: ChunkTerms, ordinal: int) -> tuple[float, ...]:
    """One value for each of `PASSAGE_FEATURES`; NaN where the question gives a feature nothing to match."""
    query, idf = weights.query, weights.idf
    found = [chunk.positions.get(term) for term in query.terms]
    matched = [index for index, positions in enumerate(found) if positions]
    norm = K1 * (1 - B + B * chunk.length / weights.avgdl)
    bm25 = mass = head = count = 0.0
    places: list[tuple[int, int]] = []
    for index in matched:
        positions = found[index] or []
        tf = len(positions)
        bm25 += idf[index] * tf * (K1 + 1) / (tf + norm)
        mass += idf[index]
        count += tf
        if query.terms[index] in chunk.head:
            head += idf[index]
        places.extend((position, index) for position in positions)
    places.sort()
    total = weights.total or 1.0
    missing = [idf[index] for index, positions in enumerate(found) if not positions]
    heaviest = max(idf, default=1.0)
    window, span = _window(places, idf, len(matched))
    return (
        bm25,
        bm25 / (total * (K1 + 1)),
        mass / total,
        len(matched) / len(query.terms) if query.terms else 0.0,
        float(bool(idf) and bool(found[idf.index(heaviest)])),
        max(missing, default=0.0) / heaviest,
        window / total,
        window / mass if mass else 0.0,
        span,
        *_order(weights, chunk, matched),
        count / chunk.length if chunk.length else 0.0,
        places[0][0] / chunk.length if places else 1.0,
        math.log1p(count / len(matched)) if matched else 0.0,
        head / total,
        len(chunk.head.intersection(query.terms)) / len(chunk.head) if chunk.head else 0.0,
        _share(query.numbers, chunk),
        _share(query.names, chunk),
        float(chunk.has_date()) if query.asks_time else NAN,
        float(chunk.has_number()) if query.asks_number else NAN,
        float(chunk.has_name()) if query.asks_person else NAN,
        math.log1p(chunk.length),
        math.log1p(chunk.length / weights.avgdl),
        math.log1p(ordinal),
        abs(query.unsegmented - chunk.unsegmented),
    )


def _window(places: list[tuple[int, int]], idf: tuple[float, ...], distinct: int) -> tuple[float, float]:
    """(greatest idf mass of distinct terms within `WINDOW` positions, log2 of the shortest stretch with them all)."""
    best = mass = 0.0
    shortest = NAN
    near: dict[int, int] = {}
    inside: dict[int, int] = {}
    left = first = 0
    for position, index in places:
        if not near.get(index):
            mass += idf[index]
        near[index] = near.get(index, 0) + 1
        while position - places[left][0] >= WINDOW:
            gone = places[left][1]
            near[gone] -= 1
            if not near[gone]:
                mass -= idf[gone]
            left += 1
        best = max(best, mass)
        inside[index] = inside.get(index, 0) + 1
        if len(inside) == distinct:
            while inside[places[first][1]] > 1:
                inside[places[first][1]] -= 1
                first += 1
            stretch = position - places[first][0] + 1
            shortest = stretch if math.isnan(shortest) else min(shortest, stretch)
    return best, math.log2(shortest / distinct) if distinct > 1 else NAN


def _order(weights: QueryWeights, chunk: ChunkTerms, matched: list[int]) -> tuple[float, float]:
    """(idf-weighted share of neighbouring pairs that stand together, longest run of the question as a share of it)."""
    query, idf = weights.query, weights.idf
    if not query.pairs:
        return NAN, float(bool(matched))
    mass = total = 0.0
    longest = run = 1 if matched else 0
    previous = -1
    for first, second in query.pairs:
        weight = idf[first] + idf[second]
        total += weight
        left, right = chunk.positions.get(query.terms[first]), chunk.positions.get(query.terms[second])
        together = bool(left and right) and not {position + 1 for position in left or ()}.isdisjoint(right or ())
        if together:
            mass += weight
            run = run + 1 if previous == first else 2
            longest = max(longest, run)
        previous = second if together else -1
    return mass / total, longest / len(query.terms)


def _share(wanted: frozenset[str], chunk: ChunkTerms) -> float:
    return sum(term in chunk.positions for term in wanted) / len(wanted) if wanted else NAN
