"""What the background thread does for each kind of job, wired from the services."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.api.background import Background, OnModel, Work
from app.api.evaluation_bodies import SettingBody
from app.evaluation.confidences import confidence_figures
from app.evaluation.metrics import paired_bootstrap
from app.evaluation.run import EvaluationRun
from app.generation.calibration_job import CalibrationTraining
from app.index.calibrations import KIND as CALIBRATE
from app.index.calibrations import CalibrationStore
from app.index.catalog import Catalog
from app.index.evaluations import KIND as EVALUATE
from app.index.evaluations import EvaluationStore
from app.index.jobs import JobQueue
from app.index.lease import Lease
from app.index.records import JobRecord
from app.index.rerankers import KIND as TRAIN
from app.index.rerankers import RerankerStore
from app.rerank.features import CorpusStatistics
from app.rerank.promotion import Training
from app.telemetry import Trace
from app.types import Answer, Hit, Query, RetrievalOptions

if TYPE_CHECKING:
    from app.bootstrap import Services


def build_background(services: Services, on_model: OnModel[Any]) -> Background:
    """A background thread, not started, that does every kind of job that needs the models."""
    work: dict[str, Work] = {
        EVALUATE: _evaluate(services, on_model),
        TRAIN: _train(services, on_model).run,
        CALIBRATE: calibrating(services.catalog, services.jobs, services.pipeline.stages.own.calibration),
    }
    return Background(services.jobs, work, services.settings.worker)


def calibrating(catalog: Catalog, jobs: JobQueue, serving: str) -> Work:
    """The fit of a collection's calibration, which needs no model; `serving` is the id of the shipped one in use."""
    return CalibrationTraining(
        store=CalibrationStore(catalog),
        jobs=jobs,
        compare=paired_bootstrap,
        draw=confidence_figures,
        calibration=serving,
    ).run


def _train(services: Services, on_model: OnModel[Any]) -> Training:
    settings = services.settings
    options = RetrievalOptions(top_k=settings.retrieval.top_k, rrf_k=settings.retrieval.rrf_k)

    def search(question: str, collection: str) -> tuple[Sequence[Hit], CorpusStatistics]:
        found = services.retriever.search(
            [Query(question)], collections=[collection], filters={}, as_of=None, options=options, trace=Trace()
        )
        return found.hits, found.statistics

    return Training(
        home=settings.home,
        store=RerankerStore(services.catalog),
        evaluations=EvaluationStore(services.catalog),
        jobs=services.jobs,
        ranker=services.ranker,
        search=search,
        on_model=on_model,
        compare=paired_bootstrap,
    )


def _evaluate(services: Services, on_model: OnModel[Any]) -> Work:
    def run(job: JobRecord, lease: Lease) -> Mapping[str, Any]:
        def ask(
            setting: Mapping[str, Any], question: str, collection: str, cancelled: Callable[[], bool]
        ) -> tuple[Answer, float]:
            request = SettingBody.model_validate(dict(setting)).asking(question, collection, services.settings)

            def answered() -> tuple[Answer, float]:
                trace = Trace(cancelled=cancelled)  # begins here: waiting for other people's questions is not its time
                answer = services.pipeline.answer(request, trace)
                return answer, trace.timings_ms()["total"]

            found: tuple[Answer, float] = on_model(answered, lease)
            return found

        return EvaluationRun(EvaluationStore(services.catalog), ask).run(job, lease)

    return run
