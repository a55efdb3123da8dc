"""The stages of a question's way, each traced; `app.pipeline` says in which order they are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Protocol

from app.context.assembly import assemble
from app.errors import Conflict
from app.generation.citations import Composed, abstention_text, compose
from app.generation.collection_calibration import CollectionCalibrations, Correction
from app.generation.release import ReleaseGate
from app.protocols import Encoder, Generator, StreamingGenerator, TextModel
from app.query.auto_filter import FilterReader
from app.query.conversation import condense
from app.query.expansion import TermStatistics
from app.query.policy.auto import AutoTranslation
from app.query.policy.features import FirstLook
from app.query.rewriting import Rewriting
from app.query.translation import Translated, Translator
from app.rerank.ranker import Ranker
from app.retrieval.hybrid import FEEDBACK_CHUNKS, Expand, HybridRetriever, Look, Retrieved
from app.routing_types import AutoFilter
from app.telemetry import Trace
from app.types import AskRequest, Generated, Hit, Message, Prompt, Query, RetrievalOptions, Style

NEVER = 1e-6
"""Smallest threshold, that of `abstain: "never"`: only an answer that points at nothing falls below it."""


class TextSource(Protocol):
    def get_texts(self, version_ids: Sequence[int]) -> dict[int, str]: ...


class Scope(Protocol):
    """Where a request looks; `AskRequest` and `SearchRequest` both say it."""

    @property
    def collections(self) -> tuple[str, ...]: ...

    @property
    def filters(self) -> Mapping[str, Mapping[str, Any]]: ...

    @property
    def as_of(self) -> datetime | None: ...

    @property
    def translate(self) -> str | tuple[str, ...]: ...


class Verdict(NamedTuple):
    """What is told of an answer; `global_confidence` is that of the shipped calibration, whoever asked."""

    confidence: float
    threshold: float
    abstained: bool
    global_confidence: float
    confidence_calibration: Literal["global", "collection"]


class Stages:
    """What is done with a question, one method a stage.

    Args:
        texts: of documents, for the proof of citations.
        retriever: dense and lexical search, fused.
        ranker: None where reranking is off.
        encoder: counts the tokens of passages.
        calibrate: a generator's output → (confidence in [0, 1], the threshold below which to abstain).
        budget_tokens: of the passages in a prompt.
        translator: of questions; None for the rules.
        rewriter: the language model that makes follow-ups standalone; None for the rules.
        rewriting: the bundled writer, for follow-ups without that model; None: the rules alone.
        filter_reader: reads metadata conditions from questions; None: never.
        auto: chooses the translations of `translate: "auto"`; None: none are.
        style: of the answers to requests that name none.
        own: the calibrations of single collections; None: every collection has the shipped one.
    """

    def __init__(
        self,
        *,
        texts: TextSource,
        retriever: HybridRetriever,
        ranker: Ranker | None,
        encoder: Encoder,
        calibrate: Callable[[Generated], tuple[float, float]],
        budget_tokens: int,
        translator: Translator | None = None,
        rewriter: TextModel | None = None,
        rewriting: Rewriting | None = None,
        filter_reader: FilterReader | None = None,
        auto: AutoTranslation | None = None,
        style: Style = "auto",
        own: CollectionCalibrations | None = None,
    ) -> None:
        self.own = own or CollectionCalibrations(lambda _: None, "")
        self.rewriter = rewriter
        self._rewriting = rewriting
        self.ranker = ranker
        self._texts = texts
        self._retriever = retriever
        self._encoder = encoder
        self._calibrate = calibrate
        self._budget_tokens = budget_tokens
        self._translator = translator or Translator()
        self._filter_reader = filter_reader
        self._auto = auto
        self._style = style

    def condense(self, question: str, history: Sequence[Message], trace: Trace) -> str:
        """The question standing on its own; what is searched and answered, while the answer names the original."""
        if not history:
            return question
        with trace.stage("condense") as stage:
            condensed = condense(question, history, self.rewriter, self._rewriting)
            stage.detail.update(question=condensed.text, changed=condensed.changed, how=condensed.how)
            if condensed.error:
                stage.degrade(condensed.error)
        return condensed.text

    def retrieve_filtered(
        self, question: str, request: AskRequest, trace: Trace
    ) -> tuple[Retrieved, AutoFilter | None]:
        """What is found under the conditions that the question states; without them, where they leave nothing."""
        reader = self._filter_reader
        wanted = reader is not None and (reader.enabled if request.auto_filters is None else request.auto_filters)
        if reader is None or not wanted or request.filters:
            return self.retrieve(question, request, request.retrieval, trace), None
        with trace.stage("filter") as stage:
            built = reader.read(question, request.collections, today=datetime.now(UTC).date())
            stage.detail.update(filter=dict(built.filter) if built else {}, told=built.explanation if built else "")
        if built is None:
            return self.retrieve(question, request, request.retrieval, trace), None
        found = self.retrieve(question, replace(request, filters=built.filter), request.retrieval, trace)
        used = bool(found.hits)
        if not used:
            found = self.retrieve(question, request, request.retrieval, trace)
        return found, AutoFilter(built.filter, built.explanation, built.confidence, used)

    def retrieve(self, question: str, request: Scope, options: RetrievalOptions, trace: Trace) -> Retrieved:
        with trace.stage("retrieve", query=question) as stage:
            retrieved = self._retriever.search(
                [Query(question)],
                collections=request.collections,
                filters=request.filters,
                as_of=request.as_of,
                options=options,
                trace=trace,
                expand=self._expansion(question, request.translate, trace),
            )
            stage.detail.update(hits=len(retrieved.hits), generations=dict(retrieved.generations))
        return retrieved

    def translations(self, question: str, kinds: Sequence[str], scope: Scope, trace: Trace) -> Translated:
        """The question with what the kinds add to it after a first look at the collections; nothing else is asked.

        Raises:
            NotFound: an unknown collection. Unavailable: no retriever works. Cancelled: the caller went away.
        """
        first = self.retrieve(question, scope, RetrievalOptions(), trace)
        feedback = [hit.chunk.text for hit in first.hits[:FEEDBACK_CHUNKS]]
        return self._translator.translate(
            question, kinds, feedback=feedback, statistics=first.statistics, cancelled=trace.cancelled
        )

    def rerank(self, question: str, retrieved: Retrieved, wanted: bool, trace: Trace) -> tuple[Hit, ...]:
        if not wanted or self.ranker is None or not retrieved.hits:
            return retrieved.hits
        with trace.stage("rerank", candidates=len(retrieved.hits)) as stage:
            hits = self.ranker.rerank(question, retrieved.hits, retrieved.statistics)
            stage.detail["candidates"] = [_candidate(rank, hit) for rank, hit in enumerate(hits, start=1)]
        return hits

    def assemble(
        self, question: str, request: AskRequest, hits: Sequence[Hit], generator: Generator, trace: Trace
    ) -> Prompt:
        with trace.stage("assemble") as stage:
            prompt = assemble(
                question,
                hits,
                max_chunks=request.context_chunks,
                budget_tokens=self._budget_tokens,
                count_tokens=self._encoder.count_tokens,
                template=generator.name,
                refusal=abstention_text(request.question),
                guidance=request.guidance,
                history=request.history,
                style=request.generation.style or self._style,
            )
            stage.detail.update(prompt=prompt.text, tokens=prompt.tokens, dropped=list(prompt.dropped))
        return prompt

    def generate(
        self, prompt: Prompt, request: AskRequest, generator: Generator, trace: Trace, gate: ReleaseGate | None
    ) -> Generated | None:
        """The answer, shown through the gate while it is written where the generator can do that."""
        if not prompt.passages:
            return None
        options = replace(request.generation, style=request.generation.style or self._style)
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

    def verdict(
        self, generated: Generated | None, abstain: str | float, own: Correction | None, trace: Trace
    ) -> Verdict:
        """How sure the answer is and whether it is given; the trace says whose calibration spoke."""
        with trace.stage("judge") as stage:
            confidence, threshold = self.judge(generated, abstain, own)
            abstained = generated is None or not self.stands(generated, abstain, own)
            # Free text may be sure of itself and yet point at no source: then it is less than sure enough.
            told = threshold / 2 if abstained and confidence >= threshold else confidence
            corrected = own is not None and generated is not None and generated.evidence.support is None
            calibration: Literal["global", "collection"] = "collection" if corrected else "global"
            verdict = Verdict(told, threshold, abstained, self.judge(generated, abstain)[0], calibration)
            stage.detail.update(verdict._asdict())
        return verdict

    def judge(
        self, generated: Generated | None, abstain: str | float, own: Correction | None = None
    ) -> tuple[float, float]:
        """(confidence, threshold used); `own` is the correction of the collection that was asked."""
        confidence, threshold = self._calibrate(generated) if generated else (0.0, 0.5)
        if own is not None and generated and generated.evidence.support is None:
            confidence = own.applied(confidence)
        if abstain != "auto":
            threshold = max(NEVER, 0.0 if isinstance(abstain, str) else float(abstain))
        if generated and generated.claims is not None and generated.answered and threshold <= NEVER:
            confidence = max(confidence, threshold)  # free text is given even without a source when asked for so
        return confidence, threshold

    def stands(self, generated: Generated, abstain: str | float, own: Correction | None = None) -> bool:
        """Whether the answer is given: sure enough, and pointing at a source or free text that need not."""
        confidence, threshold = self.judge(generated, abstain, own)
        return confidence >= threshold and (bool(generated.spans) or generated.claims is not None)

    def compose(self, question: str, generated: Generated | None, prompt: Prompt, trace: Trace) -> Composed:
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

    def _expansion(self, question: str, wanted: str | Sequence[str], trace: Trace) -> Expand | None:
        """What is asked after a first look; None where a first look is all."""
        auto = self._auto
        if not wanted or (isinstance(wanted, str) and auto is None):
            return None

        def expand(look: Look) -> Sequence[Query]:
            kinds = wanted
            if isinstance(kinds, str) and auto is not None:
                first = FirstLook(look.dense, look.lexical, look.texts)
                kinds = auto.kinds(question, first, look.statistics, look_ms=look.ms, trace=trace)
            return self._translate(question, kinds, look.texts, look.statistics, trace) if kinds else ()

        return expand

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
