"""One generation, opened: what a request searches from its beginning to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from app.errors import InvalidInput, Unavailable
from app.index.analysis import ANALYSER_VERSION, analyze
from app.index.lexicon import Lexicon, LexiconReader, inverse_document_frequency, ranked
from app.index.manifest import Manifest
from app.index.masks import Bools, Int64, SlotMask
from app.index.segments import FOREVER, Float32, Retirements, Segment, VersionRow, microseconds, read_retirements
from app.index.vectors import SegmentSearch
from app.types import ScoredSlot


class Alive(NamedTuple):
    """Per version of a segment, with all retirements applied."""

    valid_to: Int64
    kept: Bools  # not deleted


@dataclass(frozen=True, slots=True)
class OpenSegment:
    segment: Segment
    search: SegmentSearch


class Snapshot:
    """An immutable view of one generation; every method may be called from any thread."""

    def __init__(
        self,
        manifest: Manifest,
        segments: tuple[OpenSegment, ...],
        retirement_files: dict[str, Retirements],
        lexicon: Lexicon | None,
    ) -> None:
        self.manifest = manifest
        self.generation = manifest.generation
        self.encoder_name = manifest.encoder_name
        self.slot_end = manifest.slot_end
        self.segments = segments
        self.retirement_files = retirement_files
        self.lexicon = lexicon
        self._reader: LexiconReader | None = lexicon.reader() if lexicon is not None else None
        # rows of a publication in progress, or of deleted versions, are in the lexicon but not in this generation
        self._foreign_rows = self._reader is not None and (
            manifest.lexicon is None or self._reader.rows != manifest.lexicon.rows
        )

    @classmethod
    def open(cls, root: Path, manifest: Manifest, lexicon: Lexicon | None, previous: Snapshot | None) -> Snapshot:
        """Opens what `previous` does not already hold.

        Raises:
            FileNotFoundError: a later generation's publisher has removed a file; open that one.
        """
        held = {s.segment.name: s for s in previous.segments} if previous else {}
        read = previous.retirement_files if previous else {}
        segments = tuple(
            held.get(ref.name) or cls._open_segment(root, manifest, i) for i, ref in enumerate(manifest.segments)
        )
        files = {ref.name: read.get(ref.name) or read_retirements(root / "retired", ref) for ref in manifest.retired}
        return cls(manifest, segments, files, lexicon)

    @staticmethod
    def _open_segment(root: Path, manifest: Manifest, i: int) -> OpenSegment:
        ref = manifest.segments[i]
        segment = Segment(root / "segments" / ref.name, ref, manifest.embed_dim)
        return OpenSegment(segment, SegmentSearch(segment))

    # --- what is in it ---------------------------------------------------------------------------------------------

    @cached_property
    def retirements(self) -> Retirements:
        """Everything retired or deleted since the segments were written."""
        known = Retirements({}, frozenset())
        for entries in self.retirement_files.values():
            known = known.merged(entries)
        return known

    @cached_property
    def alive(self) -> list[Alive]:
        """For each segment, which of its versions are not deleted and when each stops being valid."""
        known = self.retirements
        result = []
        for opened in self.segments:
            segment = opened.segment
            valid_to, deleted = segment.valid_to.copy(), segment.deleted.copy()
            for version, moment in known.retired.items():
                if (i := segment.position_of.get(version)) is not None:
                    valid_to[i] = min(valid_to[i], moment)
            for version in known.deleted:
                if (i := segment.position_of.get(version)) is not None:
                    deleted[i] = True
            result.append(Alive(valid_to, ~deleted))
        return result

    @cached_property
    def live_chunks(self) -> int:
        """Chunks of current versions."""
        return sum(
            int(opened.segment.counts[alive.kept & (alive.valid_to == FOREVER)].sum())
            for opened, alive in zip(self.segments, self.alive, strict=True)
        )

    @property
    def num_docs(self) -> int:
        """Chunks in the BM25 index, retired versions' included: the N of its statistics."""
        return self.manifest.lexicon.rows if self.manifest.lexicon else 0

    @property
    def avgdl(self) -> float:
        """Mean BM25 terms of those chunks; 0.0 when there are none."""
        lexicon = self.manifest.lexicon
        return lexicon.terms / lexicon.rows if lexicon and lexicon.rows else 0.0

    def idf(self, terms: Sequence[str]) -> dict[str, float]:
        """Inverse document frequency of each analysed term, natural logarithm, at least 0."""
        reader = self._reader
        rows = self.num_docs
        return {t: inverse_document_frequency(reader.document_frequency(t) if reader else 0, rows) for t in terms}

    def find_version(self, version_id: int) -> VersionRow | None:
        """The version as this generation holds it, deleted ones included while their rows remain; else None."""
        for opened in self.segments:
            if (i := opened.segment.position_of.get(version_id)) is not None:
                return opened.segment.row(i, self.retirements)
        return None

    # --- masks -----------------------------------------------------------------------------------------------------

    def mask(self, *, as_of: datetime | None = None, versions: set[int] | None = None) -> SlotMask | None:
        """The slots of versions current now (or valid at `as_of`) and among `versions`; None = all, nothing to filter.

        A version is valid from its publication up to, not including, that of its successor; a time without a zone is
        taken as UTC.
        """
        if as_of is None and versions is None:
            return self._current
        moment = None if as_of is None else microseconds(as_of)
        wanted = None if versions is None else np.fromiter(versions, np.int64, len(versions))
        return self._mask(moment, wanted)

    @cached_property
    def _current(self) -> SlotMask | None:
        if all(bool(np.all(a.kept)) and bool(np.all(a.valid_to == FOREVER)) for a in self.alive):
            return None
        return self._mask(None, None)

    @cached_property
    def _everything(self) -> SlotMask:
        return self._mask(None, None)

    def _mask(self, moment: int | None, wanted: Int64 | None) -> SlotMask:
        allowed = np.zeros(self.slot_end, np.bool_)
        versions = []
        for opened, alive in zip(self.segments, self.alive, strict=True):
            segment = opened.segment
            if moment is None:
                chosen = alive.kept & (alive.valid_to == FOREVER)
            else:
                chosen = alive.kept & (segment.valid_from <= moment) & (moment < alive.valid_to)
            if wanted is not None:
                chosen &= np.isin(segment.ids, wanted)
            allowed[segment.row_slots[np.repeat(chosen, segment.counts)]] = True
            versions.append(segment.ids[chosen])
        ids = np.sort(np.concatenate(versions)) if versions else np.empty(0, np.int64)
        return SlotMask(allowed, ids, int(np.count_nonzero(allowed)))

    def _checked(self, mask: SlotMask | None) -> SlotMask | None:
        if mask is not None and len(mask.allowed) != self.slot_end:
            raise InvalidInput(
                f"mask has {len(mask.allowed)} slots, generation {self.generation} has {self.slot_end}: "
                "a mask belongs to the snapshot that made it"
            )
        return self._current if mask is None else mask

    # --- search ----------------------------------------------------------------------------------------------------

    def warm(self) -> None:
        """Reads the vectors into memory now rather than at the first dense search."""
        for opened in self.segments:
            opened.search.load()

    def search_dense(self, vectors: Float32, top_k: int, mask: SlotMask | None = None) -> list[list[ScoredSlot]]:
        """For each query the `top_k` allowed slots by cosine descending, then slot ascending.

        Args:
            vectors: [q, embed_dim] float32, unit length.
            top_k: at least 1.
            mask: from this snapshot's `mask`; None = all current.
        """
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.manifest.embed_dim:
            raise InvalidInput(
                f"vectors has shape {queries.shape}; generation {self.generation} was built by {self.encoder_name} and "
                f"takes [q, {self.manifest.embed_dim}]: encode the query with that encoder"
            )
        _check_top_k(top_k)
        mask = self._checked(mask)
        scores: list[Float32] = []
        slots: list[Int64] = []
        for opened, alive in zip(self.segments, self.alive, strict=True):
            segment = opened.segment
            if mask is not None:
                allowed = segment.rows_of(mask.allowed)
            elif segment.deleted.any():  # zeroed rows that no slot of the mask names
                allowed = np.repeat(alive.kept, segment.counts)
            else:
                allowed = None
            found, rows = opened.search.search(queries, top_k, allowed)
            scores.append(found)
            slots.append(np.where(rows >= 0, segment.row_slots[rows], -1) if segment.rows else rows)
        return [_merge([s[q] for s in scores], [s[q] for s in slots], top_k) for q in range(len(queries))]

    def search_lexical(self, texts: Sequence[str], top_k: int, mask: SlotMask | None = None) -> list[list[ScoredSlot]]:
        """For each text the `top_k` allowed slots that share a term with it, by BM25 score descending, then slot.

        Args:
            texts: queries as people write them.
            top_k: at least 1.
            mask: from this snapshot's `mask`; None = all current.
        """
        _check_top_k(top_k)
        mask = self._checked(mask)
        if self._reader is None:
            return [[] for _ in texts]
        check_analyser(self.manifest)
        if mask is None and self._foreign_rows:
            mask = self._everything
        return [self._reader.search(analyze(text), top_k, mask) for text in texts]

    # --- slots and chunks ------------------------------------------------------------------------------------------

    def locate(self, slots: Sequence[int]) -> list[tuple[int, int]]:
        """`(version id, ordinal)` of each slot. Raises InvalidInput for a slot that this generation does not hold."""
        asked = np.asarray(slots, np.int64)
        result: list[tuple[int, int]] = [(-1, -1)] * len(asked)
        left = len(asked)
        for opened in self.segments:
            segment = opened.segment
            at = segment.version_at(asked)
            for i in np.flatnonzero(at >= 0):
                v = at[i]
                result[i] = (int(segment.ids[v]), int(asked[i] - segment.slot_starts[v]))
                left -= 1
        if left:
            missing = next(int(s) for s, r in zip(asked, result, strict=True) if r[0] < 0)
            raise InvalidInput(
                f"slot {missing} is not in generation {self.generation}: ask the snapshot that returned it"
            )
        return result

    def vectors(self, slots: Sequence[int]) -> Float32:
        """The embeddings of the slots, [n, embed_dim] float32, in the order given."""
        asked = np.asarray(slots, np.int64)
        result = np.zeros((len(asked), self.manifest.embed_dim), np.float32)
        found = np.zeros(len(asked), np.bool_)
        for opened in self.segments:
            segment = opened.segment
            at = segment.version_at(asked)
            here = at >= 0
            rows = segment.row_starts[at[here]] + asked[here] - segment.slot_starts[at[here]]
            result[here] = segment.vectors[rows]
            found |= here
        if not found.all():
            missing = int(asked[~found][0])
            raise InvalidInput(
                f"slot {missing} is not in generation {self.generation}: ask the snapshot that returned it"
            )
        return result


def check_analyser(manifest: Manifest) -> None:
    """Raises Unavailable when the terms in the BM25 index were made by another version of the analyser."""
    if manifest.analyser != ANALYSER_VERSION:
        raise Unavailable(
            f"the BM25 index of generation {manifest.generation} holds terms of analyser {manifest.analyser}, queries "
            f"are analysed by {ANALYSER_VERSION}; run `attest reindex`"
        )


def _check_top_k(top_k: int) -> None:
    if top_k < 1:
        raise InvalidInput(f"top_k is {top_k}; it must be at least 1")


def _merge(scores: list[Float32], slots: list[Int64], top_k: int) -> list[ScoredSlot]:
    """One query's rows from every segment → the best `top_k`."""
    if not scores:
        return []
    all_scores, all_slots = np.concatenate(scores), np.concatenate(slots)
    kept = all_slots >= 0
    return ranked(all_slots[kept].tolist(), all_scores[kept].tolist(), top_k)
