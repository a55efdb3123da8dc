"""A worker process for crash tests: the real wiring with a fake encoder, which kills itself at a named point."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.index.generations import IndexStore
from app.index.jobs import JobQueue
from app.settings import Settings
from app.telemetry import configure_logging
from ingestion import bootstrap, pipeline
from ingestion.pipeline import IngestionPipeline
from ingestion.worker import Worker
from tests.fakes import FakeEncoder

PUBLISH_STEPS = (
    "publish_locked",
    "publish_cleaned",
    "publish_segment_written",
    "publish_retirements_written",
    "publish_lexicon_added",
    "publish_lexicon_committed",
    "publish_manifest_written",
    "publish_current_replaced",
    "publish_catalog_finished",
    "publish_finished",
)
POINTS = ("claimed", "loaded", "stored", "embedded", *PUBLISH_STEPS, "before_job_end", "after_job_end")


def settings_of(home: Path, lease_s: float) -> Settings:
    """Small batches, so that one job is published in several generations."""
    return Settings.model_validate(
        {
            "home": home,
            "chunking": {"max_tokens": 16, "overlap_tokens": 0},
            "worker": {"lease_s": lease_s, "poll_s": 0.01, "backoff_s": 0.01, "batch_chunks": 4},
        }
    )


def store_of(settings: Settings, fault: Callable[[str], None] = lambda _step: None) -> IndexStore:
    encoder = FakeEncoder()
    return IndexStore(settings.home / "index", encoder_name=encoder.name, embed_dim=encoder.embed_dim, fault=fault)


def build(settings: Settings, reach: Callable[[str], None]) -> Worker:
    """The production wiring; `reach(point)` is called at every point in `POINTS`."""

    class Encoder(FakeEncoder):
        def encode_passages(self, texts: Any) -> Any:
            vectors = super().encode_passages(texts)
            reach("embedded")
            return vectors

    configure_logging("ERROR")
    pipeline.WINDOW_DOCUMENTS = 2
    _after(bootstrap, "load", lambda: reach("loaded"))
    _after(IngestionPipeline, "_store", lambda: reach("stored"))
    _after(JobQueue, "claim", lambda: reach("claimed"))
    succeed = JobQueue.succeed

    def reported(self: JobQueue, *args: Any) -> bool:
        reach("before_job_end")
        held = succeed(self, *args)
        reach("after_job_end")
        return held

    JobQueue.succeed = reported  # type: ignore[method-assign]
    return bootstrap.build_worker(settings, encoder=Encoder(), index=store_of(settings, reach))


def _after(owner: Any, name: str, then: Callable[[], None]) -> None:
    inner = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = inner(*args, **kwargs)
        if result is not None:
            then()
        return result

    setattr(owner, name, wrapped)


def work(home: Path, point: str | None, occurrence: int, lease_s: float) -> None:
    """Works until no job waits or runs; kills this process the `occurrence`-th time that `point` is reached."""
    left = occurrence

    def reach(name: str) -> None:
        nonlocal left
        if name == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    with build(settings_of(home, lease_s), reach) as worker:
        while worker.unfinished("ingest") is not None:
            if not worker.run_once():
                threading.Event().wait(0.01)


def work_until_told(home: Path, lease_s: float, started: Path) -> None:
    """A worker whose embedding takes for ever, in the way `python -m ingestion` runs it; touches `started` there."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def reach(name: str) -> None:
        if name == "embedded":
            started.touch()
            stop.wait()

    with build(settings_of(home, lease_s), reach) as worker:
        worker.run_forever(stop)
    sys.exit(0)
