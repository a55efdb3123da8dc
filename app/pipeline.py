"""The whole data flow, from a question to a verified answer, readable on one screen."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from app.context.assembly import assemble
from app.errors import Conflict
from app.generation.citations import Composed, abstention_text, compose
from app.protocols import Encoder, Generator
from app.rerank.ranker import Ranker
from app.retrieval.hybrid import HybridRetriever, Retrieved
from app.telemetry import Trace
from app.types import (
    Answer,
    AskRequest,
    Generated,
    Hit,
    Message,
    Prompt,
    Query,
    RetrievalOptions,
)

OnEvent = Callable[[str, dict[str, Any]], None]

NEVER = 1e-6
"""Smallest threshold, that of `abstain: "never"`: only an answer that points at nothing falls below it."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    query: str
    collections: tuple[str, ...] = ("default",)
    filters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    as_of: datetime | None = None
    top_k: int = 10
    translate: str | tuple[str, ...] = ()
    retrieval: RetrievalOptions = field(default_factory=RetrievalOptions)
    rerank: bool = True


@dataclass(frozen=True, slots=True)
class SearchResult:
    hits: tuple[Hit, ...]
    generations: Mapping[str, int]


class TextSource(Protocol):
    def get_texts(self, version_ids: Sequence[int]) -> dict[int, str]: ...


class Pipeline:
    """Translate → retrieve → rerank → assemble → generate → cite or abstain; every stage timed in the trace.

    `calibrate` maps a generator's output to (confidence in [0, 1], the threshold below which to abstain).
    """

    def __init__(
        self,
        *,
        texts: TextSource,
        retriever: HybridRetriever,
        ranker: Ranker | None,
        encoder: Encoder,
        generator: Generator,
        calibrate: Callable[[Generated], tuple[float, float]],
        budget_tokens: int,
    ) -> None:
        self._texts = texts
        self._retriever = retriever
        self._ranker = ranker
        self._encoder = encoder
        self._generator = generator
        self._calibrate = calibrate
        self._budget_tokens = budget_tokens

    def answer(self, request: AskRequest, trace: Trace, on_event: OnEvent | None = None) -> Answer:
        """The answer with verified citations, or an honest refusal.

        Args:
            request: the question and every per-request switch.
            trace: collects stages and timings; its cancellation stops the work between two steps.
            on_event: receives `status`, `sources`, `token` and `citation` events, in that order.

        Raises:
            NotFound: an unknown collection. Unavailable: no retriever works. Cancelled: the caller went away.
            Conflict: a document that the answer cites was deleted meanwhile.
        """
        emit = on_event or _ignore
        trace.watch(lambda stage: emit("status", {"stage": stage}))
        queries = self._translate(request.question, request.translate, request.history, trace)
        retrieved = self._retrieve(queries, request, request.retrieval, trace)
        hits = self._rerank(request.question, retrieved, request.rerank, trace)
        prompt = self._assemble(request.question, hits, request.context_chunks, trace)
        emit("status", {"stage": "generate"})
        trace.watch(_quiet)  # the contract's order: every status before the sources
        emit("sources", {"passages": prompt.passages})
        generated = self._generate(prompt, request, trace)
        confidence, threshold = self._judge(generated, request.abstain)
        abstained = generated is None or confidence < threshold or not generated.spans
        composed = self._compose(request.question, None if abstained else generated, prompt, trace)
        if abstained and confidence >= threshold:  # free text without a source: nothing to point at
            confidence = threshold / 2
        _emit_text(composed, emit)
        return Answer(
            id=f"ans_{secrets.token_urlsafe(12)}",
            question=request.question,
            answer=composed.text,
            short_answer=composed.short_answer,
            abstained=abstained,
            confidence=confidence,
            threshold=threshold,
            citations=composed.citations,
            passages=prompt.passages,
            model=generated.model if generated else self._generator.name,
            collection_generation=retrieved.generations,
            prompt_tokens=generated.prompt_tokens if generated else 0,
            completion_tokens=generated.completion_tokens if generated else 0,
            timings_ms=trace.timings_ms(),
            trace=trace.stages(),
        )

    def search(self, request: SearchRequest, trace: Trace) -> SearchResult:
        """The best `top_k` chunks with every stage's scores and ranks."""
        options = replace(request.retrieval, top_k=max(request.retrieval.top_k, request.top_k))
        queries = self._translate(request.query, request.translate, (), trace)
        retrieved = self._retrieve(queries, request, options, trace)
        hits = self._rerank(request.query, retrieved, request.rerank, trace)
        return SearchResult(hits[: request.top_k], retrieved.generations)

    def _translate(
        self, question: str, kinds: str | tuple[str, ...], history: Sequence[Message], trace: Trace
    ) -> list[Query]:
        """The original question. Translations are not built yet: refused in so many words, never dropped silently."""
        with trace.stage("translate", requested=kinds) as stage:
            queries = [Query(question)]
            if kinds not in ("auto", ()):
                stage.degrade(
                    f"translations {list(kinds)} are not built into this version; the original question is asked"
                )
                trace.warnings.append(stage.error or "")
            if history:
                trace.warnings.append("history is not used for retrieval in this version; ask a standalone question")
            stage.detail["queries"] = [{"kind": query.kind, "text": query.text} for query in queries]
        return queries

    def _retrieve(
        self, queries: list[Query], request: AskRequest | SearchRequest, options: RetrievalOptions, trace: Trace
    ) -> Retrieved:
        with trace.stage("retrieve") as stage:
            retrieved = self._retriever.search(
                queries,
                collections=request.collections,
                filters=request.filters,
                as_of=request.as_of,
                options=options,
                trace=trace,
            )
            stage.detail.update(hits=len(retrieved.hits), generations=dict(retrieved.generations))
        return retrieved

    def _rerank(self, question: str, retrieved: Retrieved, wanted: bool, trace: Trace) -> tuple[Hit, ...]:
        if not wanted or self._ranker is None or not retrieved.hits:
            return retrieved.hits
        with trace.stage("rerank", candidates=len(retrieved.hits)) as stage:
            hits = self._ranker.rerank(question, retrieved.hits, retrieved.statistics)
            stage.detail["order"] = [hit.chunk.chunk_id for hit in hits[:10]]
        return hits

    def _assemble(self, question: str, hits: Sequence[Hit], max_chunks: int, trace: Trace) -> Prompt:
        with trace.stage("assemble") as stage:
            prompt = assemble(
                question,
                hits,
                max_chunks=max_chunks,
                budget_tokens=self._budget_tokens,
                count_tokens=self._encoder.count_tokens,
                template=self._generator.name,
            )
            stage.detail.update(prompt=prompt.text, tokens=prompt.tokens, dropped=list(prompt.dropped))
        return prompt

    def _generate(self, prompt: Prompt, request: AskRequest, trace: Trace) -> Generated | None:
        if not prompt.passages:
            return None
        with trace.stage("generate", model=self._generator.name) as stage:
            generated = self._generator.generate(prompt, request.generation, trace.cancelled)
            stage.detail.update(model=generated.model, text=generated.text, evidence=generated.evidence)
        return generated

    def _judge(self, generated: Generated | None, abstain: str | float) -> tuple[float, float]:
        """(confidence, threshold used)."""
        confidence, threshold = self._calibrate(generated) if generated else (0.0, 0.5)
        if abstain == "auto":
            return confidence, threshold
        return confidence, max(NEVER, 0.0 if isinstance(abstain, str) else float(abstain))

    def _compose(self, question: str, generated: Generated | None, prompt: Prompt, trace: Trace) -> Composed:
        with trace.stage("cite") as stage:
            if generated is None:
                return Composed(abstention_text(question), "", ())
            used = {prompt.passages[span.passage].hit.chunk.version_id for span in generated.spans}
            texts = self._texts.get_texts(sorted(used))
            if used - texts.keys():
                raise Conflict("a document of this answer was deleted while it was being written; ask again")
            composed = compose(generated, prompt, texts)
            stage.detail["verified"] = len(composed.citations)
        return composed


def _emit_text(composed: Composed, emit: OnEvent) -> None:
    """The finished answer as `token` events whose texts join to it exactly, then its citations."""
    for word in composed.text.splitlines(keepends=True):
        pieces = word.split(" ")
        for place, piece in enumerate(pieces):
            text = piece if place == len(pieces) - 1 else piece + " "
            if text:
                emit("token", {"text": text})
    for citation in composed.citations:
        emit("citation", {"citation": citation})


def _quiet(stage: str) -> None:
    """No further status events."""


def _ignore(event: str, data: dict[str, Any]) -> None:
    """Nobody listens."""
