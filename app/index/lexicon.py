"""BM25 on disk: tantivy, incremental, one writer and many readers in any process.

`RankBm25Lexicon` (see `rank_lexicon.py`) has the same shape. Terms come from `app.index.analysis`; an engine splits
nothing and stores no text. Rows carry their slot and version, so that rows of an unfinished or later publication can be
told from those of a generation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol

import numpy as np
import tantivy

from app.errors import IntegrityError
from app.index.masks import SlotMask
from app.types import ScoredSlot

Engine = Literal["tantivy", "rank_bm25"]
Row = tuple[int, int, Sequence[str]]  # slot, version id, terms

WRITER_HEAP_BYTES = 15_000_000  # tantivy's least
BULK_HEAP_BYTES = 128_000_000
_FEW_VERSIONS = 512  # up to so many allowed versions go into the query itself
_TIES = 8  # rows fetched past the cut, to see whether it falls between equal scores
_MOST_TERMS = 1_024  # distinct terms of one query; the rest of a pasted book is left out


class LexiconReader(Protocol):
    """One moment of a lexicon; never changes, whatever is written or removed meanwhile."""

    @property
    def rows(self) -> int:
        """Rows that a search could return, those of unpublished versions included."""

    def search(self, terms: Sequence[str], top_k: int, mask: SlotMask | None) -> list[ScoredSlot]:
        """The `top_k` rows with any of `terms` and allowed by `mask` (True = may be returned), by BM25 score
        descending, then slot ascending."""

    def document_frequency(self, term: str) -> int: ...

    def count_version(self, version_id: int) -> int:
        """Rows of the version that a search could return."""


class LexiconWriter(Protocol):
    """Changes become visible to new readers at `commit`, all together; leaving the `with` block early drops them."""

    def add(self, rows: Iterable[Row]) -> None: ...

    def delete_version(self, version_id: int) -> None: ...

    def delete_from(self, slot: int) -> None:
        """Removes every row, added before this call, whose slot is at or past `slot`."""

    def commit(self) -> None: ...

    def __enter__(self) -> LexiconWriter: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Without an error, also waits for the merging of small pieces that a commit set off."""


class Lexicon(Protocol):
    """Production implementations: `TantivyLexicon`, `RankBm25Lexicon`."""

    erases_at_once: bool  # whether a committed deletion leaves no bytes of the deleted terms on disk

    def reader(self) -> LexiconReader: ...

    def writer(self, *, bulk: bool = False) -> LexiconWriter:
        """The only writer: call it under the collection's lock. `bulk` takes more memory for more rows."""


def inverse_document_frequency(document_frequency: int, rows: int) -> float:
    """ln(1 + (N − df + ½) / (df + ½)), never negative. Source: Robertson and Zaragoza, 2009, as Lucene writes it."""
    df = min(document_frequency, rows)
    return math.log(1 + (rows - df + 0.5) / (df + 0.5))


def ranked(slots: Iterable[int], scores: Iterable[float], top_k: int) -> list[ScoredSlot]:
    """The best `top_k` pairs by score descending, then slot ascending."""
    pairs = sorted(zip(scores, slots, strict=True), key=lambda pair: (-pair[0], pair[1]))
    return [ScoredSlot(slot, score) for score, slot in pairs[:top_k]]


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("slot", indexed=True, fast=True)
    builder.add_unsigned_field("version", indexed=True, fast=True)
    builder.add_text_field("body", tokenizer_name="terms", index_option="freq")
    return builder.build()


def _of_version(schema: tantivy.Schema, version_id: int) -> tantivy.Query:
    return tantivy.Query.term_query(schema, "version", version_id, "basic")


class TantivyLexicon:
    """BM25 with k1 = 1.2 and b = .75 (tantivy's own; document lengths past 40 terms are rounded to a byte)."""

    erases_at_once = False  # deleted rows leave a segment when it is merged; a compaction rebuilds the directory

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._index = tantivy.Index.open(str(path))
        except (ValueError, OSError) as error:
            raise self._unreadable(error) from error
        self._register()

    @classmethod
    def create(cls, path: Path) -> TantivyLexicon:
        path.mkdir(parents=True)
        tantivy.Index(_schema(), str(path))
        return cls(path)

    def _register(self) -> None:
        # the default policy reloads from a thread of its own, whose lock file can appear in a folder being removed
        self._index.config_reader(reload_policy="manual")
        whitespace = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
        self._index.register_tokenizer(
            "terms", whitespace
        )  # terms hold no white space: joined, they split as they were

    def reader(self) -> TantivyReader:
        try:
            self._index.reload()
        except (ValueError, OSError) as error:
            raise self._unreadable(error) from error
        return TantivyReader(self._index.searcher(), self._index.schema)

    def writer(self, *, bulk: bool = False) -> TantivyWriter:
        return TantivyWriter(self._index, BULK_HEAP_BYTES if bulk else WRITER_HEAP_BYTES)

    def _unreadable(self, error: Exception) -> Exception:
        if not self._path.exists():
            return FileNotFoundError(str(self._path))
        return IntegrityError(f"the BM25 index {self._path.name} cannot be read ({error}); run `attest reindex`")


class TantivyWriter:
    def __init__(self, index: tantivy.Index, heap_bytes: int) -> None:
        self._schema = index.schema
        self._writer = index.writer(heap_bytes, 1)

    def add(self, rows: Iterable[Row]) -> None:
        for slot, version, terms in rows:
            document = tantivy.Document()
            document.add_unsigned("slot", slot)
            document.add_unsigned("version", version)
            document.add_text("body", " ".join(terms))
            self._writer.add_document(document)

    def delete_version(self, version_id: int) -> None:
        # not `delete_documents_by_term`: it takes a Python number for a signed one, and finds nothing in this field
        self._writer.delete_documents_by_query(_of_version(self._schema, version_id))

    def delete_from(self, slot: int) -> None:
        later = tantivy.Query.range_query(self._schema, "slot", tantivy.FieldType.Unsigned, lower_bound=slot)
        self._writer.delete_documents_by_query(later)

    def commit(self) -> None:
        self._writer.commit()

    def __enter__(self) -> TantivyWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._writer.rollback()
        self._writer.wait_merging_threads()  # also gives up tantivy's own writer lock


class TantivyReader:
    def __init__(self, searcher: tantivy.Searcher, schema: tantivy.Schema) -> None:
        self._searcher = searcher
        self._schema = schema

    @property
    def rows(self) -> int:
        return int(self._searcher.num_docs)

    def document_frequency(self, term: str) -> int:
        return int(self._searcher.doc_freq("body", term))

    def count_version(self, version_id: int) -> int:
        found = self._searcher.search(_of_version(self._schema, version_id), limit=1, count=True)
        return int(found.count)  # type: ignore[attr-defined]  # left out of the stub

    def search(self, terms: Sequence[str], top_k: int, mask: SlotMask | None) -> list[ScoredSlot]:
        if not terms or top_k < 1 or not self.rows or (mask is not None and mask.count == 0):
            return []
        query = self._disjunction(terms)
        if mask is None:
            return self._until_enough(query, top_k, top_k + _TIES, None) or []
        if len(mask.versions) <= _FEW_VERSIONS:
            return self._within(query, top_k, mask)
        found = self._until_enough(query, top_k, int(1.5 * top_k / mask.share) + _TIES, mask, rounds=2)
        return self._within(query, top_k, mask) if found is None else found

    def _disjunction(self, terms: Sequence[str]) -> tantivy.Query:
        """Any of the terms, each weighing as often as the query holds it; built without a parser, so that no text can
        be taken for query syntax."""
        clauses = []
        for term, tf in list(Counter(terms).items())[:_MOST_TERMS]:
            clause = tantivy.Query.term_query(self._schema, "body", term, "freq")
            clauses.append((tantivy.Occur.Should, clause if tf == 1 else tantivy.Query.boost_query(clause, float(tf))))
        return tantivy.Query.boolean_query(clauses)

    def _within(self, query: tantivy.Query, top_k: int, mask: SlotMask) -> list[ScoredSlot]:
        """The search restricted to the mask's versions by the query itself; the scores stay those of `query`."""
        versions = tantivy.Query.term_set_query(self._schema, "version", mask.versions.tolist())
        allowed = tantivy.Query.const_score_query(versions, 0.0)
        both = tantivy.Query.boolean_query([(tantivy.Occur.Must, query), (tantivy.Occur.Must, allowed)])
        return self._until_enough(both, top_k, top_k + _TIES, mask) or []

    def _until_enough(
        self, query: tantivy.Query, top_k: int, limit: int, mask: SlotMask | None, *, rounds: int = 64
    ) -> list[ScoredSlot] | None:
        """Fetches `limit` rows, then twice as many …, until `top_k` allowed ones and all that tie with the last of them
        are there or nothing is left; None when `rounds` did not suffice."""
        total = self.rows
        for _ in range(rounds):
            limit = min(limit, total)
            hits = self._searcher.search(query, limit, count=False).hits
            slots = np.array(self._searcher.fast_field_values("slot", [address for _, address in hits]), np.int64)
            scores = np.array([score for score, _ in hits], np.float64)
            last = float(scores[-1]) if len(scores) else 0.0
            if mask is not None:
                inside = slots < len(mask.allowed)
                inside[inside] = mask.allowed[slots[inside]]
                slots, scores = slots[inside], scores[inside]
            exhausted = len(hits) < limit or limit == total
            if exhausted or (len(scores) >= top_k and scores[top_k - 1] > last):
                return ranked(slots.tolist(), scores.tolist(), top_k)
            limit *= 2
        return None
