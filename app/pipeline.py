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
from app.generation.release import ReleaseGate
from app.protocols import Encoder, Generator, StreamingGenerator, TextModel
from app.query.conversation import condense
from app.query.expansion import TermStatistics
from app.query.translation import Translated, Translator
from app.rerank.ranker import Ranker
from app.retrieval.hybrid import FEEDBACK_CHUNKS, HybridRetriever, Retrieved
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

AUTO_KINDS: tuple[str, ...] = ()
"""What `translate: "auto"` uses: no kind was worth its cost on judged collections (benchmarks/query_translation.py)."""

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
    """Condense → retrieve, translating after a first look → rerank → assemble → generate → cite or abstain, all traced.

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
        translator: Translator | None = None,
        rewriter: TextModel | None = None,
    ) -> None:
        self._texts = texts
        self._retriever = retriever
        self._ranker = ranker
        self._encoder = encoder
        self._generator = generator
        self._calibrate = calibrate
        self._budget_tokens = budget_tokens
        self._translator = translator or Translator()
        self._rewriter = rewriter

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
        question = self._condense(request.question, request.history, trace)
        retrieved = self._retrieve(question, request, request.retrieval, trace)
        hits = self._rerank(question, retrieved, request.rerank, trace)
        prompt = self._assemble(question, request, hits, trace)
        emit("status", {"stage": "generate"})
        trace.watch(_quiet)  # the contract's order: every status before the sources
        emit("sources", {"passages": prompt.passages})
        gate = ReleaseGate(
            lambda so_far: self._stands(so_far, request.abstain), lambda text: emit("token", {"text": text})
        )
        generated = self._generate(prompt, request, trace, gate if on_event else None)
        confidence, threshold = self._judge(generated, request.abstain)
        abstained = generated is None or not self._stands(generated, request.abstain)
        composed = self._compose(request.question, None if abstained else generated, prompt, trace)
        if abstained and confidence >= threshold:  # free text without a source: nothing to point at
            confidence = threshold / 2
        _emit_text(composed, gate.opened, emit)
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
            confidence_kind="support" if generated is not None and generated.claims is not None else "calibrated",
            document_posterior=() if generated is None or abstained else generated.evidence.document_posterior,
        )

    def search(self, request: SearchRequest, trace: Trace) -> SearchResult:
        """The best `top_k` chunks with every stage's scores and ranks."""
        options = replace(request.retrieval, top_k=max(request.retrieval.top_k, request.top_k))
        retrieved = self._retrieve(request.query, request, options, trace)
        hits = self._rerank(request.query, retrieved, request.rerank, trace)
        return SearchResult(hits[: request.top_k], retrieved.generations)

    def translate(self, question: str, kinds: Sequence[str], collections: tuple[str, ...], trace: Trace) -> Translated:
        """The original question with its translations, after a first look at the collections; nothing else is asked.

        Raises:
            NotFound: an unknown collection. Unavailable: no retriever works. Cancelled: the caller went away.
        """
        first = self._retrieve(question, SearchRequest(question, collections), RetrievalOptions(), trace)
        feedback = [hit.chunk.text for hit in first.hits[:FEEDBACK_CHUNKS]]
        return self._translator.translate(
            question, kinds, feedback=feedback, statistics=first.statistics, cancelled=trace.cancelled
        )

    def _condense(self, question: str, history: Sequence[Message], trace: Trace) -> str:
        """The question standing on its own; what is searched and answered, while the answer names the original."""
        if not history:
            return question
        with trace.stage("condense") as stage:
            condensed = condense(question, history, self._rewriter)
            stage.detail.update(question=condensed.text, changed=condensed.changed, how=condensed.how)
            if condensed.error:
                stage.degrade(condensed.error)
        return condensed.text

    def _translate(
        self, question: str, kinds: Sequence[str], feedback: Sequence[str], terms: TermStatistics, trace: Trace
    ) -> Sequence[Query]:
        """What the kinds add to the original question."""
        with trace.stage("translate", requested=list(kinds)) as stage:
            done = self._translator.translate(
                question, kinds, feedback=feedback, statistics=terms, cancelled=trace.cancelled
            )
            stage.detail["queries"] = [{"kind": query.kind, "text": query.text} for query in done.queries]
            stage.detail["steps"] = list(done.steps)
            failed = [f"{step.kind}: {step.error}" for step in done.steps if step.error]
            if failed:
                stage.degrade("; ".join(failed))
                trace.warnings += [f"translation {text}" for text in failed]
        return done.queries[1:]

    def _retrieve(
        self, question: str, request: AskRequest | SearchRequest, options: RetrievalOptions, trace: Trace
    ) -> Retrieved:
        kinds = AUTO_KINDS if isinstance(request.translate, str) else request.translate
        with trace.stage("retrieve", query=question) as stage:
            retrieved = self._retriever.search(
                [Query(question)],
                collections=request.collections,
                filters=request.filters,
                as_of=request.as_of,
                options=options,
                trace=trace,
                expand=(lambda feedback, terms: self._translate(question, kinds, feedback, terms, trace))
                if kinds
                else None,
            )
            stage.detail.update(hits=len(retrieved.hits), generations=dict(retrieved.generations))
        return retrieved

    def _rerank(self, question: str, retrieved: Retrieved, wanted: bool, trace: Trace) -> tuple[Hit, ...]:
        if not wanted or self._ranker is None or not retrieved.hits:
            return retrieved.hits
        with trace.stage("rerank", candidates=len(retrieved.hits)) as stage:
            hits = self._ranker.rerank(question, retrieved.hits, retrieved.statistics)
            stage.detail["candidates"] = [_candidate(rank, hit) for rank, hit in enumerate(hits, start=1)]
        return hits

    def _assemble(self, question: str, request: AskRequest, hits: Sequence[Hit], trace: Trace) -> Prompt:
        with trace.stage("assemble") as stage:
            prompt = assemble(
                question,
                hits,
                max_chunks=request.context_chunks,
                budget_tokens=self._budget_tokens,
                count_tokens=self._encoder.count_tokens,
                template=self._generator.name,
                refusal=abstention_text(request.question),
                history=request.history,
            )
            stage.detail.update(prompt=prompt.text, tokens=prompt.tokens, dropped=list(prompt.dropped))
        return prompt

    def _generate(
        self, prompt: Prompt, request: AskRequest, trace: Trace, gate: ReleaseGate | None
    ) -> Generated | None:
        """The answer, shown through the gate while it is written where the generator can do that."""
        if not prompt.passages:
            return None
        generator, options = self._generator, request.generation
        with trace.stage("generate", model=generator.name) as stage:
            if gate is not None and isinstance(generator, StreamingGenerator):
                generated = generator.stream(prompt, options, trace.cancelled, gate)
            else:
                generated = generator.generate(prompt, options, trace.cancelled)
            stage.detail.update(generated.detail)
            stage.detail.update(model=generated.model, text=generated.text, evidence=generated.evidence)
            trace.warnings += generated.warnings
            if generated.warnings and generated.model != generator.name:
                stage.degrade("; ".join(generated.warnings))
        return generated

    def _judge(self, generated: Generated | None, abstain: str | float) -> tuple[float, float]:
        """(confidence, threshold used)."""
        confidence, threshold = self._calibrate(generated) if generated else (0.0, 0.5)
        if abstain != "auto":
            threshold = max(NEVER, 0.0 if isinstance(abstain, str) else float(abstain))
        if generated and generated.claims is not None and generated.answered and threshold <= NEVER:
            confidence = max(confidence, threshold)  # free text is given even without a source when asked for so
        return confidence, threshold

    def _stands(self, generated: Generated, abstain: str | float) -> bool:
        """Whether the answer is given: sure enough, and pointing at a source or free text that need not."""
        confidence, threshold = self._judge(generated, abstain)
        return confidence >= threshold and (bool(generated.spans) or generated.claims is not None)

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


def _emit_text(composed: Composed, streamed: bool, emit: OnEvent) -> None:
    """The finished answer as `token` events that join to it exactly, unless it went out already; then its citations."""
    for word in () if streamed else composed.text.splitlines(keepends=True):
        pieces = word.split(" ")
        for place, piece in enumerate(pieces):
            text = piece if place == len(pieces) - 1 else piece + " "
            if text:
                emit("token", {"text": text})
    for citation in composed.citations:
        emit("citation", {"citation": citation})


def _candidate(rank: int, hit: Hit) -> dict[str, Any]:
    """A reranked chunk as the trace shows it: what every stage thought of it."""
    chunk = hit.chunk
    return {
        "rank": rank,
        "chunk_id": chunk.chunk_id,
        "document_id": chunk.document_id,
        "version": chunk.version,
        "title": chunk.title,
        "page": chunk.page,
        "text": chunk.text,
        "scores": hit.scores,
        "ranks": hit.ranks,
    }


def _quiet(stage: str) -> None:
    """No further status events."""


def _ignore(event: str, data: dict[str, Any]) -> None:
    """Nobody listens."""
