"""BM25 through rank-bm25, for small collections: each query scores every row."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import rank_bm25

from app.errors import IntegrityError
from app.index.durable import fsync_directory, replace_file, write_fsynced
from app.index.lexicon import Row, ranked
from app.index.masks import SlotMask
from app.types import ScoredSlot

Variant = Literal["okapi", "l", "plus"]
_VARIANTS = {"okapi": rank_bm25.BM25Okapi, "l": rank_bm25.BM25L, "plus": rank_bm25.BM25Plus}
_INDEX = "batches.json"


class RankBm25Lexicon:
    """Terms as JSONL, one file per batch of rows: `[slot, version, [terms]]`; `batches.json` names them.

    Opening costs in proportion to the collection, and so does each query: meant for some thousands of chunks.
    """

    erases_at_once = True

    def __init__(self, path: Path, variant: Variant = "okapi") -> None:
        if not (path / _INDEX).exists():
            raise FileNotFoundError(str(path / _INDEX))
        self._path = path
        self._variant = variant

    @classmethod
    def create(cls, path: Path, variant: Variant = "okapi") -> RankBm25Lexicon:
        path.mkdir(parents=True)
        replace_file(path / _INDEX, b"[]")
        return cls(path, variant)

    def reader(self) -> RankBm25Reader:
        for _ in range(100):
            names = _batches(self._path)
            try:
                rows = [row for name in names for row in _read_batch(self._path / name)]
            except FileNotFoundError:
                continue  # a writer replaced batches between the two reads
            return RankBm25Reader(rows, self._variant)
        raise IntegrityError(f"{self._path.name}/{_INDEX} names a batch that does not exist; run `attest reindex`")

    def writer(self, *, bulk: bool = False) -> RankBm25Writer:  # noqa: ARG002 - one way of writing here
        return RankBm25Writer(self._path)


def _batches(path: Path) -> list[str]:
    return [str(name) for name in json.loads((path / _INDEX).read_bytes())]


def _read_batch(path: Path) -> list[Row]:
    with path.open("rb") as file:
        return [(slot, version, terms) for slot, version, terms in map(json.loads, file)]


class RankBm25Writer:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._names = _batches(path)
        self._added: list[Row] = []
        self._drop_versions: set[int] = set()
        self._drop_from: int | None = None

    def add(self, rows: Iterable[Row]) -> None:
        self._added.extend(rows)

    def delete_version(self, version_id: int) -> None:
        self._drop_versions.add(version_id)
        self._added = [row for row in self._added if row[1] != version_id]

    def delete_from(self, slot: int) -> None:
        self._drop_from = slot if self._drop_from is None else min(slot, self._drop_from)
        self._added = [row for row in self._added if row[0] < slot]

    def _dropped(self, row: Row) -> bool:
        return row[1] in self._drop_versions or (self._drop_from is not None and row[0] >= self._drop_from)

    def commit(self) -> None:
        names = self._names
        if self._drop_versions or self._drop_from is not None:
            names = []
            for name in self._names:
                rows = _read_batch(self._path / name)
                kept = [row for row in rows if not self._dropped(row)]
                names.extend([name] if len(kept) == len(rows) else self._write(kept))
        if self._added:
            names = [*names, *self._write(self._added)]
        fsync_directory(self._path)
        replace_file(self._path / _INDEX, json.dumps(names).encode())
        for file in self._path.glob("*.jsonl"):
            if file.name not in names:
                file.unlink()
        self._names, self._added, self._drop_versions, self._drop_from = names, [], set(), None

    def _write(self, rows: Sequence[Row]) -> list[str]:
        if not rows:
            return []
        name = f"{secrets.token_hex(8)}.jsonl"
        lines = (json.dumps([slot, version, list(terms)], ensure_ascii=False) for slot, version, terms in rows)
        write_fsynced(self._path / name, "".join(f"{line}\n" for line in lines).encode())
        return [name]

    def __enter__(self) -> RankBm25Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._added = []


class RankBm25Reader:
    def __init__(self, rows: Sequence[Row], variant: Variant) -> None:
        self._terms = [terms for _, _, terms in rows]
        self._slots: npt.NDArray[np.int64] = np.array([slot for slot, _, _ in rows], np.int64)
        self._versions = Counter(version for _, version, _ in rows)
        self._variant = variant

    @cached_property
    def _model(self) -> Any:
        return _VARIANTS[self._variant](self._terms)

    @cached_property
    def _document_frequencies(self) -> Counter[str]:
        return Counter(term for terms in self._terms for term in set(terms))

    @property
    def rows(self) -> int:
        return len(self._terms)

    def document_frequency(self, term: str) -> int:
        return self._document_frequencies[term]

    def count_version(self, version_id: int) -> int:
        return self._versions[version_id]

    def search(self, terms: Sequence[str], top_k: int, mask: SlotMask | None) -> list[ScoredSlot]:
        known = [term for term in terms if self._document_frequencies[term]]
        if not known or top_k < 1:
            return []
        wanted = set(known)
        # rank-bm25 scores every row, and Okapi's may be negative: what matters is whether a row has a term
        kept = np.array([not wanted.isdisjoint(frequencies) for frequencies in self._model.doc_freqs], np.bool_)
        if mask is not None:
            inside = self._slots < len(mask.allowed)
            inside[inside] = mask.allowed[self._slots[inside]]
            kept &= inside
        scores = self._model.get_scores(known)
        return ranked(self._slots[kept].tolist(), scores[kept].tolist(), top_k)
