"""Wire models that asking and searching share: filters, retrieval options, and what a trace looks like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StrictBool, model_validator

from app.api.errors import invalid_field
from app.api.wire import CollectionName, Moment, WireRequest, WireResponse, json_ready
from app.errors import InvalidInput
from app.index.filters import parse as parse_filters
from app.index.metadata_values import check_json
from app.settings import LimitSettings, Settings
from app.types import RetrievalOptions, StageTrace

if TYPE_CHECKING:
    from app.bootstrap import Services

TranslationKind = Literal["multi_query", "hyde", "decompose", "step_back"]
Translate = Literal["auto"] | Annotated[list[TranslationKind], Field(max_length=4)]


class RetrievalBody(WireRequest):
    dense: StrictBool = True
    lexical: StrictBool = True
    late_interaction: StrictBool = False
    top_k: int | None = Field(None, ge=1, description="candidates of each retriever; default 50")
    rrf_k: int | None = Field(None, ge=1, le=100_000, description="the k of reciprocal rank fusion; default 60")

    @model_validator(mode="after")
    def _one_retriever(self) -> RetrievalBody:
        if not (self.dense or self.lexical or self.late_interaction):
            raise ValueError("at least one of dense, lexical and late_interaction must be true")
        return self

    def to_options(self, settings: Settings) -> RetrievalOptions:
        """The options of the pipeline; raises `InvalidFields` for a `top_k` over the limit."""
        top_k = self.top_k or settings.retrieval.top_k
        check_top_k(("body", "retrieval", "top_k"), top_k, settings.limits)
        return RetrievalOptions(
            dense=self.dense,
            lexical=self.lexical,
            late_interaction=self.late_interaction,
            top_k=top_k,
            rrf_k=self.rrf_k or settings.retrieval.rrf_k,
        )


class WhereBody(WireRequest):
    """What part of what is stored is searched."""

    collections: list[CollectionName] | None = Field(None, min_length=1, max_length=100, examples=[["default"]])
    filters: dict[str, Any] | None = Field(
        None,
        description="{field: {operator: value}} with eq ne gt gte lt lte in nin contains exists; all must hold",
        examples=[{"year": {"gte": 2024}, "tags": {"contains": "legal"}}],
    )
    as_of: Moment | None = Field(None, description="search what was current at this time")

    def where(self) -> Mapping[str, Mapping[str, Any]]:
        """The filters, checked as the index will read them. Raises `InvalidFields`."""
        filters = self.filters or {}
        try:
            check_json("filters", filters)
            parse_filters(filters)
        except InvalidInput as error:
            raise invalid_field(("body", "filters"), error.message, "filters") from None
        return filters


class StageBody(WireResponse):
    stage: str
    ms: float
    detail: dict[str, Any]
    error: str | None

    @classmethod
    def of(cls, stage: StageTrace) -> StageBody:
        return cls(stage=stage.stage, ms=stage.ms, detail=json_ready(stage.detail), error=stage.error)


class TraceBody(WireResponse):
    request_id: str
    stages: list[StageBody]


def check_top_k(loc: tuple[str, ...], top_k: int, limits: LimitSettings) -> None:
    """Raises `InvalidFields` when `top_k` is over the server's limit."""
    if top_k > limits.top_k:
        raise invalid_field(
            loc, f"must be at most {limits.top_k} (ATTEST_LIMITS__TOP_K), is {top_k}", "less_than_equal"
        )


def check_question(loc: tuple[str, ...], text: str, limits: LimitSettings) -> None:
    """Raises `InvalidFields` for a blank or over-long question."""
    if not text.strip():
        raise invalid_field(loc, "must hold something other than white space", "blank")
    if len(text) > limits.question_chars:
        raise invalid_field(
            loc,
            f"must be at most {limits.question_chars} characters (ATTEST_LIMITS__QUESTION_CHARS), has {len(text)}",
            "too_long",
        )


def check_model(services: Services, model: str | None) -> None:
    """Raises `InvalidFields` for a generator that is not one of those here; the message names them."""
    try:
        services.pipeline.generator_of(model)
    except InvalidInput as error:
        raise invalid_field(("body", "generation", "model"), error.message, "model") from None
