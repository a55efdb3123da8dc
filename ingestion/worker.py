"""The ingestion worker: claims jobs with a lease, does them, and looks after the index when there is nothing to do."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from app.errors import InvalidInput, Unavailable
from app.index.jobs import JobQueue
from app.index.lease import Lease, LeaseLost, Stopping
from app.index.records import JobRecord
from app.settings import WorkerSettings
from app.telemetry import get_logger

log = get_logger(__name__)

SEEN_EVERY_S = 5.0
"""How often an idle worker says that it lives."""
IDLE_S = 2.0
"""How long there must have been nothing to do before maintenance starts."""
MAX_BACKOFF_S = 300.0


class Unfit(Unavailable):
    """This worker must not write: the index was built by another encoder."""


Work = Callable[[JobRecord, Callable[[], None]], Mapping[str, Any] | None]
"""(job, check) → result. `check` raises at a boundary once the worker must let go; nothing is half published then."""


def new_worker_id() -> str:
    """`host-pid-random`: whether a worker of this machine still lives can be told from its id."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


class Worker:
    """One worker. Several may run on one home, in any number of processes.

    Args:
        fit: raises `Unavailable` when the index is not this worker's to write; asked at the start and before each job.
        work: what to do for each kind of job; only these kinds are claimed.
        recover: cleans up, once at the start, what a killed publisher left behind.
        maintain: one step of maintenance; true when it did something. Called only when there is no job.
        close: releases what the worker holds.
    """

    def __init__(
        self,
        *,
        jobs: JobQueue,
        fit: Callable[[], None],
        work: Mapping[str, Work],
        recover: Callable[[], object],
        maintain: Callable[[], bool],
        settings: WorkerSettings,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.id = new_worker_id()
        self.jobs = jobs
        self._fit = fit
        self._work = dict(work)
        self._recover = recover
        self._maintain = maintain
        self._settings = settings
        self._close = close
        self._recovered = False
        self._stop: threading.Event | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exc: object) -> None:
        self._close()

    def run_forever(self, stop: threading.Event) -> None:
        """Works until `stop` is set: the current step is finished, the job goes back to the queue at once.

        Raises:
            Unfit: the index was built by another encoder; nothing is claimed, or what was is given back.
        """
        self._check_fit()
        self._stop = stop
        log.info("worker_started", worker_id=self.id, kinds=sorted(self._work))
        seen_s = busy_s = time.monotonic() - SEEN_EVERY_S
        trouble = 0
        while not stop.is_set():
            try:
                if time.monotonic() - seen_s >= SEEN_EVERY_S:
                    self.jobs.worker_seen(self.id)
                    seen_s = time.monotonic()
                if self.run_once():
                    busy_s = time.monotonic()
                elif time.monotonic() - busy_s < IDLE_S or not self._maintain():
                    stop.wait(self._settings.poll_s)
                trouble = 0
            except Unfit:
                raise
            except Exception:
                pause_s = self._pause_s(trouble := trouble + 1)
                log.exception("worker_in_trouble", worker_id=self.id, again_in_s=pause_s)
                stop.wait(pause_s)
        log.info("worker_stopped", worker_id=self.id)

    def run_once(self) -> bool:
        """Claims and does one job, to its end or until the worker must let go of it; False when nothing is due."""
        if not self._recovered:
            self._recover()
            self._recovered = True
        job = self.jobs.claim(self.id, sorted(self._work), self._settings.lease_s)
        if job is None:
            return False
        try:
            self._check_fit()
        except Unfit:
            self.jobs.release(job.id, self.id)
            raise
        log.info("job_started", job_id=job.id, kind=job.kind, attempt=job.attempts)
        with Lease(self.jobs, job.id, self.id, self._settings.lease_s, self._stop) as lease:
            try:
                result = self._work[job.kind](job, lease.check)
                held = self.jobs.succeed(job.id, self.id, result)
            except LeaseLost as lost:
                log.warning("job_let_go", job_id=job.id, reason=str(lost))
            except Stopping:
                self.jobs.release(job.id, self.id)
                log.info("job_released", job_id=job.id)
            except InvalidInput as error:
                self.jobs.fail(job.id, self.id, error.message, None)
                log.warning("job_failed", job_id=job.id, code=error.code)
            except Exception as error:
                pause_s = self._pause_s(job.attempts)
                self.jobs.fail(job.id, self.id, f"{type(error).__name__}: {error}", pause_s)
                log.exception("job_failed", job_id=job.id, again_in_s=pause_s)
            else:
                log.info("job_ended" if held else "job_let_go", job_id=job.id)
        return True

    def unfinished(self, kind: str) -> JobRecord | None:
        """The oldest job of `kind` that waits or that a killed worker left behind."""
        found: list[JobRecord] = []
        for status in ("queued", "running"):
            page, _ = self.jobs.list(status=status, kind=kind)
            found += page
        return min(found, key=lambda job: job.created_at, default=None)

    def _check_fit(self) -> None:
        try:
            self._fit()
        except Unavailable as error:
            raise Unfit(error.message) from None

    def _pause_s(self, attempt: int) -> float:
        return min(MAX_BACKOFF_S, self._settings.backoff_s * 2.0 ** min(attempt - 1, 16))
