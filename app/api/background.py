"""Jobs that need the models, done beside the requests in the API's own process: evaluations, rerankers.

A thread claims them with a lease like a worker's. Their model calls go through the requests' executor one at a time and
in a line of their own, so that a question that a person asks waits for one call at the most.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from app.api.executor import ModelExecutor
from app.errors import AttestError, Cancelled, Conflict, IntegrityError, InvalidInput, NotFound, Overloaded
from app.index.identifiers import new_id
from app.index.jobs import JobQueue
from app.index.lease import Lease, LeaseLost, Stopping
from app.index.records import JobRecord
from app.settings import WorkerSettings
from app.telemetry import get_logger

log = get_logger(__name__)
T = TypeVar("T")

POLL_S = 2.0
"""How often an idle thread looks for jobs of other processes; its own wake it at once."""
RENEW_S = 1.0
"""How often a lease is renewed, which is also how soon a cancelled job lets go of the model."""
MAX_BACKOFF_S = 300.0
_BUSY_PAUSE_S = 0.25
_CALLER = "background"  # a line of its own in the executor: people's questions take turns with it
_FINAL = (InvalidInput, NotFound, Conflict, IntegrityError)  # trying again would change nothing

Work = Callable[[JobRecord, Lease], Mapping[str, Any] | None]
OnModel = Callable[[Callable[[], T], Lease], T]


class Background:
    """One thread that does jobs of the kinds in `work` until `stop`; `run_once` does one in the calling thread."""

    def __init__(self, jobs: JobQueue, work: Mapping[str, Work], settings: WorkerSettings) -> None:
        self.id = new_id("api")
        self._jobs = jobs
        self._work = dict(work)
        self._settings = settings
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="attest-background", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There may be a new job."""
        self._wake.set()

    def stop(self) -> None:
        """The job at work is put back at its next boundary; returns once that is done."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def run_once(self) -> bool:
        """Claims and does one job, to its end or until it must let go of it; False when nothing is due."""
        job = self._jobs.claim(self.id, sorted(self._work), self._settings.lease_s)
        if job is None:
            return False
        log.info("job_started", job_id=job.id, kind=job.kind, attempt=job.attempts)
        renew_s = min(RENEW_S, self._settings.lease_s / 3)
        with Lease(
            self._jobs, job.id, self.id, self._settings.lease_s, self._stop, renew_s=renew_s, is_worker=False
        ) as lease:
            try:
                result = self._work[job.kind](job, lease)
                held = self._jobs.succeed(job.id, self.id, result)
                log.info("job_ended" if held else "job_let_go", job_id=job.id)
            except LeaseLost as lost:
                log.warning("job_let_go", job_id=job.id, reason=str(lost))
            except (Stopping, Cancelled):
                self._jobs.release(job.id, self.id)
                log.info("job_released", job_id=job.id)
            except _FINAL as error:
                self._jobs.fail(job.id, self.id, error.message, None)
                log.warning("job_failed", job_id=job.id, code=error.code)
            except AttestError as error:
                self._jobs.fail(job.id, self.id, error.message, self._pause_s(job.attempts))
                log.warning("job_failed", job_id=job.id, code=error.code, attempt=job.attempts)
            except Exception as error:
                # what went wrong inside is for the log; the job's own line says only what kind of thing it was
                told = f"{type(error).__name__}: see the server's log for job {job.id}"
                self._jobs.fail(job.id, self.id, told, self._pause_s(job.attempts))
                log.exception("job_failed", job_id=job.id, attempt=job.attempts)
        return True

    def _run(self) -> None:
        trouble = 0
        while not self._stop.is_set():
            self._wake.clear()
            try:
                if not self.run_once():
                    self._wake.wait(POLL_S)
                trouble = 0
            except Exception:
                trouble += 1
                log.exception("background_in_trouble", again_in_s=self._pause_s(trouble))
                self._stop.wait(self._pause_s(trouble))

    def _pause_s(self, attempt: int) -> float:
        return min(MAX_BACKOFF_S, self._settings.backoff_s * 2.0 ** min(attempt - 1, 16))


def through(models: ModelExecutor) -> OnModel[Any]:
    """Calls go through the executor that serves the requests, and wait while it is full."""

    def call(work: Callable[[], Any], lease: Lease) -> Any:
        while True:
            lease.check()
            try:
                return models.submit(work, _CALLER).result()
            except Overloaded:
                time.sleep(_BUSY_PAUSE_S)
            except CancelledError:  # the executor is being closed
                lease.check()
                raise Cancelled("the server is shutting down") from None

    return call


def directly(work: Callable[[], Any], lease: Lease) -> Any:
    """Calls are made at once: for a command that has the models to itself."""
    lease.check()
    return work()
