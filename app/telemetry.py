"""Logging, the per-request stage trace, and Prometheus metrics. Logging is set up here and nowhere else."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from app.errors import Cancelled
from app.types import StageTrace

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def configure_logging(level: str = "INFO", json: bool = False) -> None:
    """Structured logs on standard error; `json` for machines, otherwise one readable line an event."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Any = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        # asked for anew at every line: whoever replaced standard error when this was set up may have closed it since
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(logging.WARNING, logging.getLevelNamesMapping()[level]), stream=sys.stderr)


def get_logger(name: str) -> Any:
    """A structlog logger; document text and prompts are never logged at INFO or above."""
    return structlog.get_logger(name)


class Metrics:
    """Prometheus metrics of one process, in a registry of their own so that tests can hold several.

    Units stand in the names; `stage_seconds` is labelled by stage.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.stage_seconds = Histogram(
            "attest_stage_seconds",
            "Wall time of a pipeline stage",
            ["stage"],
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "attest_request_seconds",
            "Wall time of a request",
            ["method", "route", "status"],
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self.errors = Counter("attest_errors", "Errors by code", ["code"], registry=self.registry)
        self.answers = Counter("attest_answers", "Answers given", ["outcome"], registry=self.registry)
        self.queue_depth = Gauge("attest_queue_depth", "Jobs by status", ["status"], registry=self.registry)
        self.model_queue = Gauge(
            "attest_model_queue", "Requests waiting for or inside the models", registry=self.registry
        )
        self.generation = Gauge("attest_generation", "Index generation served", ["collection"], registry=self.registry)
        self.documents = Gauge("attest_documents", "Documents ready", ["collection"], registry=self.registry)

    def render(self) -> bytes:
        """The exposition text, UTF-8."""
        return generate_latest(self.registry)


class Stage:
    """What one stage says of itself while it runs."""

    def __init__(self, name: str, detail: dict[str, Any]) -> None:
        self.name = name
        self.detail = detail
        self.error: str | None = None

    def degrade(self, error: str) -> None:
        """Notes that the stage failed and the request went on without it; the message is shown to the caller."""
        self.error = error


class Trace:
    """The stages of one request, in order, with wall times in milliseconds. Safe to share between threads.

    `cancelled` is asked between stages; `cancel()` sets it from the outside (a client that hung up).
    """

    def __init__(
        self,
        request_id: str = "",
        cancelled: Callable[[], bool] | None = None,
        metrics: Metrics | None = None,
        on_stage: Callable[[str], None] | None = None,
    ) -> None:
        self.request_id = request_id
        self.warnings: list[str] = []
        self._asked = cancelled
        self._event = threading.Event()
        self._metrics = metrics
        self._on_stage = on_stage
        self._stages: list[StageTrace] = []
        self._lock = threading.Lock()
        self._started = time.perf_counter()

    def cancel(self) -> None:
        self._event.set()

    def cancelled(self) -> bool:
        return self._event.is_set() or (self._asked is not None and self._asked())

    def check(self) -> None:
        """Raises `Cancelled` when the caller has gone away."""
        if self.cancelled():
            raise Cancelled("the request was cancelled by its caller")

    def watch(self, on_stage: Callable[[str], None]) -> None:
        """`on_stage(name)` is called whenever a stage starts."""
        self._on_stage = on_stage

    @contextmanager
    def stage(self, name: str, **detail: Any) -> Iterator[Stage]:
        """Times the block; `detail` and what the block adds to `stage.detail` go into the trace, errors too."""
        self.check()
        stage = Stage(name, dict(detail))
        if self._on_stage is not None:
            self._on_stage(name)
        started = time.perf_counter()
        try:
            yield stage
        except Exception as error:
            stage.error = f"{type(error).__name__}: {error}"
            raise
        finally:
            elapsed_s = time.perf_counter() - started
            with self._lock:
                self._stages.append(StageTrace(name, round(elapsed_s * 1000, 3), stage.detail, stage.error))
            if self._metrics is not None:
                self._metrics.stage_seconds.labels(stage=name).observe(elapsed_s)

    def stages(self) -> tuple[StageTrace, ...]:
        with self._lock:
            return tuple(self._stages)

    def timings_ms(self) -> dict[str, float]:
        """Stage → milliseconds (repeated stages summed), and `total` since the trace began."""
        timings: dict[str, float] = {}
        for stage in self.stages():
            timings[stage.stage] = round(timings.get(stage.stage, 0.0) + stage.ms, 3)
        timings["total"] = round((time.perf_counter() - self._started) * 1000, 3)
        return timings
