"""The whole data flow, from a question to a verified answer, readable on one screen: `Pipeline.answer`.

What each stage does stands in `app.stages`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from app.errors import InvalidInput
from app.generation.citations import Composed
from app.generation.release import ReleaseGate
from app.protocols import Generator
from app.query.routing.desk import Desk
from app.query.routing.told import told_answer
from app.query.step_combining import compared
from app.query.steps import StepAnswer, merged_hits, step_answer, step_through
from app.query.translation import Translated
from app.routing_types import Route, RouteTaken
from app.stages import Stages
from app.telemetry import Trace
from app.types import Answer, AskRequest, Generated, Hit, Prompt, RetrievalOptions

OnEvent = Callable[[str, dict[str, Any]], None]


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
    route: str = "auto"
    routes: tuple[Route, ...] = ()  # of the kind "collections"; as in AskRequest


@dataclass(frozen=True, slots=True)
class SearchResult:
    hits: tuple[Hit, ...]
    generations: Mapping[str, int]
    route: RouteTaken | None = None


class Pipeline:
    """Condense → route → step through → retrieve → rerank → assemble → generate → cite or abstain; all of it is traced.

    Args:
        stages: what the steps of the way do.
        generator: of the requests that name none.
        models: further generators, by the name that a request may give.
        desk: routes questions; by default there is one way only.
        step_threads: parts of a question that are answered at once.
    """

    def __init__(
        self,
        stages: Stages,
        *,
        generator: Generator,
        models: Mapping[str, Generator] | None = None,
        desk: Desk | None = None,
        step_threads: int = 1,
    ) -> None:
        self.stages = stages
        self._generator = generator
        self._models = {generator.name: generator, **(models or {})}
        self._desk = desk or Desk()
        self._step_threads = step_threads

    def answer(self, request: AskRequest, trace: Trace, on_event: OnEvent | None = None) -> Answer:
        """The answer with verified citations, or an honest refusal.

        Args:
            request: the question and every per-request switch.
            trace: collects stages and timings; its cancellation stops the work between two steps.
            on_event: receives `status`, `sources`, `token` and `citation` events, in that order.

        Raises:
            NotFound: an unknown collection. Unavailable: no retriever works. Cancelled: the caller went away.
            Conflict: a document that the answer cites was deleted meanwhile. InvalidInput: as `generator_of`.
        """
        do, generator = self.stages, self.generator_of(request.generation.model)
        events = _Events(on_event, trace)
        question = do.condense(request.question, request.history, trace)
        directed = self._desk.direct(question, request, trace)
        if directed.reply is not None or directed.result is not None:  # a greeting, a refusal, a table's own answer
            return events.told(told_answer(directed, self._desk.threshold, trace))
        request = directed.request
        own = do.own.of(request.collections)
        stepped = step_through(
            question,
            request.translate,
            lambda part, read: self._answer_part(part, directed.request, generator, trace, read=read),
            trace,
            model=do.rewriter,
            threads=self._step_threads,
        )
        retrieved, auto_filter = do.retrieve_filtered(question, request, trace)
        hits = do.rerank(question, retrieved, request.rerank, trace)
        if stepped is not None:
            hits = merged_hits(hits, stepped)
            question = stepped.question_to_read(question, instructed=do.rewriter is not None)
        prompt = do.assemble(question, request, hits, generator, trace)
        gate = events.reading(prompt, lambda so_far: do.stands(so_far, request.abstain, own))
        generated = compared(stepped, prompt) if stepped is not None and do.rewriter is None else None
        generated = generated or do.generate(prompt, request, generator, trace, gate)
        verdict = do.verdict(generated, request.abstain, own, trace)
        abstained = verdict.abstained
        composed = do.compose(request.question, None if abstained else generated, prompt, trace)
        events.written(composed, streamed=gate is not None and gate.opened)
        return Answer(
            id=f"ans_{secrets.token_urlsafe(12)}",
            question=request.question,
            answer=composed.text,
            short_answer=composed.short_answer,
            abstained=abstained,
            confidence=verdict.confidence,
            global_confidence=verdict.global_confidence,
            confidence_calibration=verdict.confidence_calibration,
            threshold=verdict.threshold,
            citations=composed.citations,
            passages=prompt.passages,
            model=generated.model if generated else generator.name,
            collection_generation=retrieved.generations,
            prompt_tokens=generated.prompt_tokens if generated else 0,
            completion_tokens=generated.completion_tokens if generated else 0,
            timings_ms=trace.timings_ms(),
            trace=trace.stages(),
            confidence_kind="calibrated" if generated is None or generated.evidence.support is None else "support",
            style="auto" if generated is None or abstained else generated.style,
            document_posterior=() if generated is None or abstained else generated.evidence.document_posterior,
            candidates=tuple(hits),
            route=directed.taken,
            auto_filter=auto_filter,
        )

    def search(self, request: SearchRequest, trace: Trace) -> SearchResult:
        """The best `top_k` chunks with every stage's scores and ranks."""
        asked = AskRequest(request.query, request.collections, route=request.route, routes=request.routes)
        directed = self._desk.direct(request.query, asked, trace)
        request = replace(request, collections=directed.request.collections)
        options = replace(request.retrieval, top_k=max(request.retrieval.top_k, request.top_k))
        retrieved = self.stages.retrieve(request.query, request, options, trace)
        hits = self.stages.rerank(request.query, retrieved, request.rerank, trace)
        return SearchResult(hits[: request.top_k], retrieved.generations, directed.taken)

    def translate(self, question: str, kinds: Sequence[str], collections: tuple[str, ...], trace: Trace) -> Translated:
        """The original question with its translations; raises as `Stages.translations`."""
        return self.stages.translations(question, kinds, SearchRequest(question, collections), trace)

    def generator_of(self, model: str | None) -> Generator:
        """The generator that a request names; None is the configured one.

        Raises:
            InvalidInput: no generator here is called so; the message names those that are.
        """
        if model is None:
            return self._generator
        if model not in self._models:
            raise InvalidInput(
                f"generation.model {model[:80]!r} is not one of the models here: {', '.join(sorted(self._models))} "
                "(ATTEST_GENERATION__MODEL and ATTEST_GENERATION__MODELS)"
            )
        return self._models[model]

    def _answer_part(
        self, question: str, asked: AskRequest, generator: Generator, trace: Trace, *, read: bool
    ) -> StepAnswer:
        """One part of a question, retrieved and, with `read`, read and judged by itself; in a trace of its own."""
        do, own = self.stages, Trace(trace.request_id, trace.cancelled)
        facts = replace(asked.generation, style="short")  # a part is one step to the answer, not the answer
        request = replace(asked, translate=(), history=(), guidance="", generation=facts)
        retrieved = do.retrieve(question, request, request.retrieval, own)
        hits = do.rerank(question, retrieved, request.rerank, own)
        if not read:
            return StepAnswer("", 0.0, hits)
        prompt = do.assemble(question, request, hits, generator, own)
        generated = do.generate(prompt, request, generator, own, None)
        calibration = do.own.of(request.collections)
        confidence, _ = do.judge(generated, request.abstain, calibration)
        _, threshold = do.judge(generated, "auto", calibration)
        return step_answer(hits, prompt, generated, confidence, threshold)


class _Events:
    """What a listener hears, in the contract's order: every `status`, then `sources`, `token`s, `citation`s."""

    def __init__(self, on_event: OnEvent | None, trace: Trace) -> None:
        self._listened = on_event is not None
        self._emit = on_event or _ignore
        self._trace = trace
        trace.watch(lambda stage: self._emit("status", {"stage": stage}))

    def told(self, answer: Answer) -> Answer:
        """An answer that needed no passages, which is returned."""
        self._sources(())
        self.written(Composed(answer.answer, answer.short_answer, answer.citations), streamed=False)
        return answer

    def reading(self, prompt: Prompt, stands: Callable[[Generated], bool]) -> ReleaseGate | None:
        """The passages, and the gate that lets words through once they stand; None where nobody listens."""
        self._emit("status", {"stage": "generate"})
        self._sources(prompt.passages)
        return ReleaseGate(stands, lambda text: self._emit("token", {"text": text})) if self._listened else None

    def written(self, composed: Composed, *, streamed: bool) -> None:
        """The answer as `token` events that join to it exactly, unless it went out already; then its citations."""
        for line in () if streamed else composed.text.splitlines(keepends=True):
            *words, last = line.split(" ")
            for text in (*(f"{word} " for word in words), last):
                if text:
                    self._emit("token", {"text": text})
        for citation in composed.citations:
            self._emit("citation", {"citation": citation})

    def _sources(self, passages: Sequence[Any]) -> None:
        self._trace.watch(_quiet)  # what follows is no longer announced
        self._emit("sources", {"passages": passages})


def _quiet(stage: str) -> None:
    """No further status events."""


def _ignore(event: str, data: dict[str, Any]) -> None:
    """Nobody listens."""
