"""Wire models of an answer: the object itself, its citations and the passages that were read."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.api.options import StageBody, TraceBody
from app.api.wire import WireResponse, json_ready
from app.routing_types import RouteTaken, StructuredResult
from app.telemetry import Trace
from app.types import Answer, Citation, Passage, Style


class CitationBody(WireResponse):
    """`quote` equals the document's text at `[char_start, char_end)`, in code points, character for character."""

    index: int = Field(description="the n of [n] in the answer")
    document_id: str
    version: int
    title: str
    source_url: str | None
    page: int | None = Field(description="1-based; null for formats without pages")
    char_start: int
    char_end: int
    quote: str
    answer_start: int
    answer_end: int
    score: float
    chunk_id: str


class PassageBody(WireResponse):
    """One numbered passage that the generator read."""

    number: int
    chunk_id: str
    document_id: str
    version: int
    collection: str
    title: str
    source_url: str | None
    page: int | None
    char_start: int
    char_end: int
    text: str
    scores: dict[str, float]

    @classmethod
    def of(cls, passage: Passage) -> PassageBody:
        chunk = passage.hit.chunk
        return cls(
            number=passage.number,
            chunk_id=chunk.chunk_id,
            document_id=chunk.document_id,
            version=chunk.version,
            collection=chunk.collection,
            title=chunk.title,
            source_url=chunk.source_url,
            page=chunk.page,
            char_start=passage.char_start,
            char_end=passage.char_end,
            text=passage.text,
            scores=json_ready(passage.hit.scores),
        )


class DocumentPosteriorBody(WireResponse):
    """How likely one passage is to be what the answer comes from, by the generator's own account."""

    document_id: str
    chunk_id: str
    probability: float


class RouteTakenBody(WireResponse):
    """How the question was routed; `route` is null where no route was sure enough, so that all were asked."""

    route: str | None
    kind: Literal["named", "logical", "semantic"]
    score: float = Field(description="the calibrated probability of the likeliest route; 1 for a named one")
    alternatives: list[dict[str, Any]] = Field(description="{route, score} of the others, likeliest first")
    how: str = Field(description="request, embeddings, classifier, or the model that chose")
    target: str | None = Field(description="the kind of the route")
    explanation: str = Field(description="why a SQL source or the graph was not used after all; empty otherwise")

    @classmethod
    def of(cls, taken: RouteTaken) -> RouteTakenBody:
        return cls(
            route=taken.route,
            kind=taken.kind,
            score=taken.score,
            alternatives=[{"route": name, "score": score} for name, score in taken.alternatives],
            how=taken.how,
            target=taken.target,
            explanation=taken.explanation,
        )


class ResultBody(WireResponse):
    """What a SQL source or the graph returned, and by which statement."""

    statement: str
    parameters: dict[str, Any]
    columns: list[str]
    rows: list[list[Any]]
    truncated: bool = Field(description="the row limit was reached: there may be more")
    explanation: str
    how: str = Field(description="rules, or the model that wrote the statement")

    @classmethod
    def of(cls, result: StructuredResult) -> ResultBody:
        return cls(
            statement=result.statement,
            parameters=json_ready(result.parameters),
            columns=list(result.columns),
            rows=json_ready(result.rows),
            truncated=result.truncated,
            explanation=result.explanation,
            how=result.how,
        )


class AutoFilterBody(WireResponse):
    """A condition that was read from the question; `used` is false where it left nothing and was dropped."""

    filter: dict[str, Any]
    explanation: str
    confidence: float
    used: bool


class UsageBody(WireResponse):
    prompt_tokens: int
    completion_tokens: int


class AnswerBody(WireResponse):
    id: str = Field(examples=["ans_6n0Yw8v2XJc1q9sD"])
    question: str
    answer: str = Field(examples=["Net revenue in 2024 was $3.5 million. [1]"])
    short_answer: str = Field(examples=["$3.5 million"])
    abstained: bool
    confidence: float = Field(description="how sure the answer is, in [0, 1]; confidence_kind says what it measures")
    confidence_kind: Literal["calibrated", "support", "routing"] = Field(
        description="calibrated: the probability that the answer is right; support: how far a language model's claims "
        "are carried by the passages that it cites; routing: no passage was read; how sure the route or statement is"
    )
    confidence_calibration: Literal["global", "collection"] = Field(
        description="whose calibration spoke: the shipped one, or that of the collection (GET /v1/calibrations)"
    )
    threshold: float = Field(description="below this confidence the answer is a refusal")
    style: Style = Field(description="form that the answer has; auto where nothing chose one, as in a refusal")
    citations: list[CitationBody]
    model: str
    collection_generation: dict[str, int]
    usage: UsageBody
    timings_ms: dict[str, float] = Field(examples=[{"retrieve": 8.1, "generate": 120.4, "total": 141.0}])
    warnings: list[str] = Field(description="what was asked for and could not be done")
    document_posterior: list[DocumentPosteriorBody] = Field(
        default_factory=list,
        description="p(passage | question, answer) of each passage that was read, in the modes rag_sequence and "
        "rag_token; sums to 1",
    )
    route: RouteTakenBody | None = Field(None, description="where routes took part")
    result: ResultBody | None = Field(None, description="where a SQL source or the graph answered")
    auto_filter: AutoFilterBody | None = Field(None, description="where the question stated a condition")
    trace: TraceBody | None = None


def citation_body(citation: Citation) -> CitationBody:
    """A verified citation as it goes over the wire."""
    return CitationBody(**{name: getattr(citation, name) for name in CitationBody.model_fields})


def answer_body(answer: Answer, trace: Trace, *, with_trace: bool) -> AnswerBody:
    """The answer as it goes over the wire; the trace only when it was asked for."""
    optional: dict[str, Any] = {}
    if answer.document_posterior:
        optional["document_posterior"] = [
            DocumentPosteriorBody(
                document_id=passage.hit.chunk.document_id, chunk_id=passage.hit.chunk.chunk_id, probability=probability
            )
            for passage, probability in zip(answer.passages, answer.document_posterior, strict=True)
        ]
    if answer.route is not None:
        optional["route"] = RouteTakenBody.of(answer.route)
    if answer.result is not None:
        optional["result"] = ResultBody.of(answer.result)
    if answer.auto_filter is not None:
        told = answer.auto_filter
        optional["auto_filter"] = AutoFilterBody(
            filter=json_ready(told.filter), explanation=told.explanation, confidence=told.confidence, used=told.used
        )
    if with_trace:
        stages = [StageBody.of(stage) for stage in answer.trace]
        optional["trace"] = TraceBody(request_id=trace.request_id, stages=stages)
    return AnswerBody(
        id=answer.id,
        question=answer.question,
        answer=answer.answer,
        short_answer=answer.short_answer,
        abstained=answer.abstained,
        confidence=answer.confidence,
        confidence_kind=answer.confidence_kind,
        confidence_calibration=answer.confidence_calibration,
        threshold=answer.threshold,
        style=answer.style,
        citations=[citation_body(citation) for citation in answer.citations],
        model=answer.model,
        collection_generation=dict(answer.collection_generation),
        usage=UsageBody(prompt_tokens=answer.prompt_tokens, completion_tokens=answer.completion_tokens),
        timings_ms=dict(answer.timings_ms),
        warnings=list(trace.warnings),
        **optional,
    )
