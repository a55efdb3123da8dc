"""One collection as one request sees it: a fixed generation and the mask of what may be found in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.index.catalog import Catalog
from app.index.generations import IndexStore
from app.index.masks import SlotMask
from app.index.snapshot import Snapshot
from app.types import ScoredSlot

Key = tuple[int, int]
"""(version_id, ordinal): a chunk's name across collections."""

Place = tuple[int, int]
"""(index of the view, slot in its snapshot)."""

Ranking = list[tuple[Key, float]]
"""Keys with one retriever's score, best first; ties by key."""


@dataclass(frozen=True, slots=True)
class View:
    """`mask` already holds `as_of` and the metadata filter; None when everything current may be found."""

    collection: str
    snapshot: Snapshot
    mask: SlotMask | None


def open_views(
    catalog: Catalog,
    store: IndexStore,
    collections: Sequence[str],
    filters: Mapping[str, Mapping[str, Any]],
    as_of: datetime | None,
) -> list[View]:
    """One view a collection, in the order given, repeats left out.

    Raises:
        NotFound: there is no such collection. InvalidInput: a filter's field, operator or value is wrong.
    """
    views = []
    for name in dict.fromkeys(collections):
        record = catalog.get_collection(name)
        snapshot = store.collection(record.id).snapshot()
        versions = catalog.matching_versions(name, filters) if filters else None
        views.append(View(name, snapshot, snapshot.mask(as_of=as_of, versions=versions)))
    return views


def merge(
    views: Sequence[View],
    search: Callable[[View], list[list[ScoredSlot]]],
    *,
    queries: int,
    top_k: int,
    places: dict[Key, Place],
) -> list[Ranking]:
    """One ranking a query: every view's rows merged by score, cut to `top_k`; `places` learns where each key lies."""
    merged: list[Ranking] = [[] for _ in range(queries)]
    for number, view in enumerate(views):
        for ranking, rows in zip(merged, search(view), strict=True):
            keys = view.snapshot.locate([row.slot for row in rows])
            for key, row in zip(keys, rows, strict=True):
                ranking.append((key, row.score))
                places[key] = (number, row.slot)
    return [sorted(ranking, key=lambda item: (-item[1], item[0]))[:top_k] for ranking in merged]
