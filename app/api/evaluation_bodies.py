"""Wire models of evaluations: golden questions and settings as they come in, reports as they go out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StrictBool, model_validator

from app.api.ask import AskBody
from app.api.errors import FieldProblem, InvalidFields
from app.api.jobs import JobBody, job_body
from app.api.options import check_question
from app.api.wire import CollectionName, Text, Utc, WireRequest, WireResponse
from app.evaluation.golden import setting_names
from app.index.evaluations import EvaluationRecord
from app.settings import Settings
from app.types import AskRequest, JobStatus

MAX_QUESTIONS = 5_000
MAX_SETTINGS = 16
_OF_THE_EVALUATION = frozenset({"question", "collections", "history", "stream", "trace"})
_Ids = Annotated[list[Annotated[Text, Field(min_length=1, max_length=200)]], Field(max_length=1_000)]


class GoldenBody(WireRequest):
    """One question and what is known of its answer; rankings are judged by documents or by chunks, not by both."""

    id: Text | None = Field(None, max_length=200, description="your own name of the row; not used")
    question: Text = Field(examples=["What was the net revenue in 2024?"])
    answers: list[Annotated[Text, Field(max_length=8_000)]] | None = Field(None, max_length=100)
    relevant_document_ids: _Ids | None = None
    relevant_chunk_ids: _Ids | None = None
    answerable: StrictBool | None = Field(None, description="false: the documents do not answer it, a refusal is right")

    @model_validator(mode="after")
    def _agrees(self) -> GoldenBody:
        if self.relevant_document_ids and self.relevant_chunk_ids:
            raise ValueError("has both relevant_document_ids and relevant_chunk_ids: one of them judges the rankings")
        if any(not answer.strip() for answer in self.answers or ()):
            raise ValueError("answers holds a blank text: leave it out")
        known = self.answers or self.relevant_document_ids or self.relevant_chunk_ids
        if self.answerable is False and known:
            raise ValueError("answerable is false, yet answers or relevant ids are given: remove one or the other")
        return self


def _without_the_evaluations_own(schema: dict[str, Any]) -> None:
    for name in _OF_THE_EVALUATION:
        schema.get("properties", {}).pop(name, None)


class SettingBody(AskBody):
    """Part of an ask body (retrieval, rerank, translate, context_chunks, generation, abstain …); `{}` is fine."""

    model_config = ConfigDict(json_schema_extra=_without_the_evaluations_own)

    name: Text | None = Field(None, min_length=1, max_length=100, description="how reports call it")
    question: Text = ""

    @model_validator(mode="after")
    def _only_switches(self) -> SettingBody:
        given = sorted(_OF_THE_EVALUATION & self.model_fields_set)
        if given:
            raise ValueError(f"{', '.join(given)} can not be part of a setting: an evaluation brings its own")
        return self

    def stored(self) -> dict[str, Any]:
        """What was given, as JSON."""
        return self.model_dump(mode="json", exclude_unset=True)

    def asking(self, question: str, collection: str, settings: Settings) -> AskRequest:
        """The question under this setting. Raises InvalidFields for a value over one of the server's limits."""
        return self.model_copy(update={"question": question}).to_request((collection,), settings)


class EvaluateBody(WireRequest):
    collection: CollectionName = "default"
    golden: list[GoldenBody] = Field(min_length=1, max_length=MAX_QUESTIONS)
    settings: list[SettingBody] | None = Field(
        None,
        min_length=1,
        max_length=MAX_SETTINGS,
        description="the first is what the others are compared with; none: one setting, the defaults",
        examples=[[{"name": "reranked"}, {"name": "fused only", "rerank": False}]],
    )

    def checked(self, settings: Settings) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """(golden rows, settings) as they are stored.

        Raises:
            InvalidFields: a question is blank or too long, or a setting over a limit; each names its row.
        """
        problems: list[FieldProblem] = []
        for number, row in enumerate(self.golden):
            try:
                check_question(("body", "golden", str(number), "question"), row.question, settings.limits)
            except InvalidFields as error:
                problems += error.errors
        for number, setting in enumerate(self.settings or ()):
            try:
                setting.asking("a question", self.collection, settings)
            except InvalidFields as error:
                for problem in error.errors:
                    loc = ["body", "settings", number, *problem.loc[1:]]
                    problems.append(problem.model_copy(update={"loc": loc}))
        if problems:
            raise InvalidFields(problems)
        golden = [row.model_dump(mode="json", exclude_none=True) for row in self.golden]
        return golden, [setting.stored() for setting in self.settings or [SettingBody()]]


class StartedJobBody(WireResponse):
    id: str
    status: JobStatus


class StartedBody(JobBody):
    """The job, whole and, as everywhere, by its id and status; the evaluation has the same id."""

    job: StartedJobBody


def started_body(body: JobBody) -> StartedBody:
    """A job that was just queued, as `202` answers carry it."""
    return StartedBody(**dict(body), job=StartedJobBody(id=body.id, status=body.status))


class EvaluationBody(WireResponse):
    """An evaluation. `settings` hold the figures once the job has succeeded, before that names and requests only.

    A setting's figures: `recall@1`, `recall@5`, `recall@10`, `recall@20`, `mrr@10`, `ndcg@10`, `exact_match`, `f1`,
    `citation_precision`, `abstention`, `latency_ms`, each null where it can't be told; `not_computed` has the reason;
    `intervals` of the means; `difference` from the first setting, paired over the questions, with its interval.
    """

    id: str
    collection: str
    status: JobStatus
    questions: int
    settings: list[dict[str, Any]]
    compared_with: str | None
    method: dict[str, Any] | None
    error: str | None
    job: JobBody
    created_at: Utc
    observed: list[dict[str, Any]] | None = Field(
        None, description="with details=true: every question with what each setting made of it"
    )


class EvaluationListBody(WireResponse):
    data: list[EvaluationBody]
    next_cursor: str | None


def evaluation_body(
    record: EvaluationRecord, observed: Mapping[tuple[int, int], Mapping[str, Any]] | None = None
) -> EvaluationBody:
    """An evaluation as it goes over the wire; with `observed`, question by question."""
    report = record.report or {}
    names = setting_names(record.settings)
    pending = [
        {"name": name, "request": {key: value for key, value in setting.items() if key != "name"}}
        for name, setting in zip(names, record.settings, strict=True)
    ]
    details = None
    if observed is not None:
        details = [
            {**row, "settings": [observed.get((number, place)) for place in range(len(names))]}
            for number, row in enumerate(record.golden)
        ]
    return EvaluationBody(
        id=record.id,
        collection=record.collection,
        status=record.job.status,
        questions=record.questions,
        settings=report.get("settings", pending),
        compared_with=names[0] if names else None,
        method=report.get("method"),
        error=record.job.error,
        job=job_body(record.job, []),
        created_at=record.created_at,
        observed=details,
    )
