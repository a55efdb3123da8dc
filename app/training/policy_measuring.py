"""What every choice of translations does to a question: recall@10 and nDCG@10 of each, and what the policy sees."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np

from app.evaluation.metrics import ndcg_at_k, recall_at_k
from app.index.generations import IndexStore, PreparedVersion
from app.index.snapshot import Snapshot
from app.protocols import Encoder, Float32
from app.query.policy.features import FirstLook, build
from app.query.steps import StepAnswer, merged_hits, step_through
from app.query.translation import KINDS, Translator
from app.rerank.collections import Collection, Document
from app.retrieval.fusion import reciprocal_rank_fusion
from app.telemetry import Trace
from app.types import Hit, ScoredSlot, StoredChunk

DEPTH, CUT, FEEDBACK = 50, 10, 5
NONE = ""
CHOICES: tuple[str, ...] = tuple(
    "+".join(kinds) for size in range(len(KINDS) + 1) for kinds in combinations(KINDS, size)
)
"""Every set of kinds, as `"hyde+step_back"`; the empty one first."""

Read = Callable[[str, tuple[Hit, ...]], StepAnswer]
"""(a step's question, its hits) → what a reader finds in them."""
Score = tuple[float, float]
"""(recall@10, nDCG@10)."""


def quiet(message: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One question. `scores` by choice; `stepped` the same with the answered steps merged in, None without a plan.

    `ms` by kind: (writing, looking again); `look_ms` is what the first look took, `steps_ms` what the steps took.
    """

    question_id: str
    features: tuple[float, ...]
    scores: Mapping[str, Score]
    stepped: Mapping[str, Score] | None
    texts: Mapping[str, int]
    ms: Mapping[str, tuple[float, float]]
    look_ms: float
    steps_ms: float

    def told(self) -> dict[str, Any]:
        """As JSON; NaN becomes null."""
        return {
            "id": self.question_id,
            "features": [None if np.isnan(value) else value for value in self.features],
            "scores": self.scores,
            "stepped": self.stepped,
            "texts": self.texts,
            "ms": self.ms,
            "look_ms": self.look_ms,
            "steps_ms": self.steps_ms,
        }

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """From `told`."""
        return cls(
            row["id"],
            tuple(np.nan if value is None else float(value) for value in row["features"]),
            {name: (float(score[0]), float(score[1])) for name, score in row["scores"].items()},
            row["stepped"] and {name: (float(score[0]), float(score[1])) for name, score in row["stepped"].items()},
            row["texts"],
            {name: (float(pair[0]), float(pair[1])) for name, pair in row["ms"].items()},
            float(row["look_ms"]),
            float(row["steps_ms"]),
        )

    def utility(self, choice: str, *, stepped: bool = False) -> float:
        """The mean of recall@10 and nDCG@10."""
        scores = self.stepped if stepped and self.stepped is not None else self.scores
        return sum(scores[choice]) / 2


def measure(
    collection: Collection,
    encoder: Encoder,
    translator: Translator,
    *,
    read: Read | None = None,
    cache_dir: Path | None = None,
    progress: Callable[[str], None] = quiet,
) -> list[Measured]:
    """Every question of a collection: a first look, then each kind alone and all sets of them, fused as in service.

    Args:
        collection: with its judgements.
        encoder: of documents and questions.
        translator: writes the translations.
        read: answers the steps of a question that has a plan; None leaves the steps out.
        cache_dir: keeps the documents' embeddings between runs.
        progress: told now and then.
    """
    texts = [document.embedding_text for document in collection.documents]
    vectors = passage_vectors(encoder, texts, cache_dir)
    with TemporaryDirectory(prefix="attest-policy-") as folder:
        store = IndexStore(
            Path(folder), encoder_name=encoder.name, embed_dim=encoder.embed_dim, exact_below=len(texts) + 1
        )
        index = store.collection(1)
        index.publish([PreparedVersion(1, collection.name, texts, vectors)], valid_from=datetime.now(UTC))
        bench = _Bench(collection, index.snapshot(), encoder, translator, read)
        found = []
        for number, query in enumerate(collection.queries):
            if number % 40 == 0:
                progress(f"{collection.name}: question {number} of {len(collection.queries)}")
            found.append(bench.measure(*query))
        return found


def passage_vectors(encoder: Encoder, texts: Sequence[str], cache_dir: Path | None) -> Float32:
    """[n, d] embeddings, from the cache where they lie there."""
    key = hashlib.sha256("\0".join([encoder.name, *texts]).encode()).hexdigest()[:24]
    path = cache_dir / f"passages-{key}.npy" if cache_dir is not None else None
    if path is not None and path.is_file():
        cached: Float32 = np.load(path)
        return cached
    vectors = encoder.encode_passages(texts)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, vectors)
        partial.replace(path)
    return vectors


@dataclass(frozen=True, slots=True)
class _Looked:
    dense: list[list[ScoredSlot]]
    lexical: list[list[ScoredSlot]]

    def lists(self) -> list[list[int]]:
        return [[row.slot for row in ranking] for ranking in (*self.dense, *self.lexical)]


@dataclass(frozen=True, slots=True)
class _Bench:
    collection: Collection
    snapshot: Snapshot
    encoder: Encoder
    translator: Translator
    read: Read | None

    def measure(self, question_id: str, question: str) -> Measured:
        started = time.perf_counter()
        first = self._look([question])
        best = self._documents(_fused(first.lists())[:FEEDBACK])
        look_ms = _since(started)
        feedback = [document.text for document in best]
        looked = FirstLook(
            [(row.slot, row.score) for row in first.dense[0]],
            [(row.slot, row.score) for row in first.lexical[0]],
            feedback,
        )
        features = build(question, looked, self.snapshot)
        lists: dict[str, list[list[int]]] = {}
        ms: dict[str, tuple[float, float]] = {}
        texts: dict[str, int] = {}
        for kind in KINDS:
            started = time.perf_counter()
            done = self.translator.translate(question, (kind,), feedback=feedback, statistics=self.snapshot)
            written_ms, started = _since(started), time.perf_counter()
            added = [query.text for query in done.queries[1:]]
            lists[kind] = self._look(added).lists() if added else []
            ms[kind] = (written_ms, _since(started) if added else 0.0)
            texts[kind] = len(added)
        started = time.perf_counter()
        merge = self._steps(question)
        steps_ms = _since(started) if merge is not None else 0.0
        scores: dict[str, Score] = {}
        stepped: dict[str, Score] = {}
        for choice in CHOICES:
            chosen = choice.split("+") if choice else []
            fused = _fused([*first.lists(), *(ranking for kind in chosen for ranking in lists[kind])])[:DEPTH]
            documents = self._documents(fused)
            scores[choice] = self._score(question_id, [document.id for document in documents])
            if merge is not None:
                stepped[choice] = self._score(question_id, merge(documents))
        return Measured(
            question_id, tuple(features.tolist()), scores, stepped or None, texts, ms, look_ms, steps_ms
        )  # fmt: skip

    def _steps(self, question: str) -> Callable[[Sequence[Document]], list[str]] | None:
        """Answers the question's steps; how they change a ranking. None without a plan by rules."""
        read = self.read
        if read is None:
            return None

        def answer(part: str, reads: bool) -> StepAnswer:
            hits = self._hits(self._documents(_fused(self._look([part]).lists())[:DEPTH]))
            return read(part, hits) if reads else StepAnswer("", 0.0, hits)

        stepped = step_through(question, "auto", answer, Trace())
        if stepped is None:
            return None
        done = stepped
        return lambda documents: [hit.chunk.chunk_id for hit in merged_hits(self._hits(documents), done)]

    def _look(self, questions: Sequence[str]) -> _Looked:
        dense = self.snapshot.search_dense(self.encoder.encode_queries(list(questions)), DEPTH)
        return _Looked(dense, self.snapshot.search_lexical(list(questions), DEPTH))

    def _documents(self, slots: Sequence[int]) -> list[Document]:
        return [self.collection.documents[ordinal] for _, ordinal in self.snapshot.locate(slots)]

    def _hits(self, documents: Sequence[Document]) -> tuple[Hit, ...]:
        return tuple(
            Hit(StoredChunk.of_text(document.text, document.id, collection=self.collection.name, title=document.title))
            for document in documents
        )

    def _score(self, question_id: str, ranking: Sequence[str]) -> Score:
        grades = self.collection.qrels[question_id]
        return recall_at_k(ranking, grades, CUT), ndcg_at_k(ranking, grades, CUT)


def _fused(lists: Sequence[Sequence[int]]) -> list[int]:
    return [slot for slot, _ in reciprocal_rank_fusion(lists)]


def _since(started: float) -> float:
    return 1_000 * (time.perf_counter() - started)
