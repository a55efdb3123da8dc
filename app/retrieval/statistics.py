"""Corpus statistics of the snapshots that a request searched, for whoever weighs terms afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.index.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class SnapshotStatistics:
    """Inverse document frequencies and lengths; over several collections, means weighted by their chunks."""

    snapshots: Sequence[Snapshot]

    @property
    def num_docs(self) -> int:
        return sum(snapshot.num_docs for snapshot in self.snapshots)

    @property
    def avgdl(self) -> float:
        """Mean chunk length in index terms; 0 for an empty index."""
        total = sum(snapshot.num_docs for snapshot in self.snapshots)
        return sum(snapshot.avgdl * snapshot.num_docs for snapshot in self.snapshots) / total if total else 0.0

    def idf(self, terms: Sequence[str]) -> dict[str, float]:
        """BM25's idf of each term."""
        filled = [snapshot for snapshot in self.snapshots if snapshot.num_docs] or list(self.snapshots[:1])
        if len(filled) == 1:
            return dict(filled[0].idf(terms))
        total = sum(snapshot.num_docs for snapshot in filled)
        weighted = dict.fromkeys(terms, 0.0)
        for snapshot in filled:
            for term, value in snapshot.idf(terms).items():
                weighted[term] += value * snapshot.num_docs / total
        return weighted
