"""A job's lease, kept alive from a thread of its own while the work is done, and asked at every boundary."""

from __future__ import annotations

import threading
import time

from app.index.jobs import JobQueue
from app.telemetry import get_logger

log = get_logger(__name__)


class LetGo(Exception):
    """The worker must stop at this boundary."""


class LeaseLost(LetGo):
    """Another worker has the job, or it was cancelled: nothing of it may be written any more."""


class Stopping(LetGo):
    """The worker was asked to stop: the job goes back to the queue at once."""


class Lease:
    """Renews the lease of `job_id` while the block runs; `check` raises once work must end.

    A renewal that can not be written (a locked or full disk) is tried again until the lease has run out by our own
    clock; from then on it counts as lost, whatever the database would say.
    """

    def __init__(
        self,
        jobs: JobQueue,
        job_id: str,
        worker_id: str,
        lease_s: float,
        stop: threading.Event | None = None,
        *,
        renew_s: float | None = None,
        is_worker: bool = True,
    ) -> None:
        """Renews nothing yet.

        Args:
            jobs: the queue.
            job_id: of the job that was claimed.
            worker_id: who claimed it.
            lease_s: for how long at a time.
            stop: set when the worker shall let go of everything.
            renew_s: how often, which is also how soon a cancellation is noticed; a third of `lease_s` when None.
            is_worker: whether each renewal also says that an ingestion worker lives.
        """
        self._jobs = jobs
        self._job_id = job_id
        self._worker_id = worker_id
        self._lease_s = lease_s
        self._renew_s = renew_s or lease_s / 3
        self._is_worker = is_worker
        self._stop = stop
        self._lost = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease-{job_id}", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()

    def check(self) -> None:
        """Raises `LeaseLost` or `Stopping` when the work must end here."""
        if self._lost.is_set():
            raise LeaseLost(f"the lease on {self._job_id} is lost or the job was cancelled")
        if self._stop is not None and self._stop.is_set():
            raise Stopping("the worker was asked to stop")

    def ended(self) -> bool:
        """Whether `check` would raise."""
        return self._lost.is_set() or (self._stop is not None and self._stop.is_set())

    def lose(self) -> None:
        """Notes that the catalog refused a write: the job is somebody else's, or was cancelled. Raises `LeaseLost`."""
        self._lost.set()
        self.check()

    def _renew(self) -> None:
        valid_until_s = time.monotonic() + self._lease_s
        while not self._ended.wait(self._renew_s):
            asked_s = time.monotonic()
            try:
                held = self._jobs.heartbeat(self._job_id, self._worker_id, self._lease_s)
                if self._is_worker:
                    self._jobs.worker_seen(self._worker_id)
            except Exception:
                log.warning("lease_not_renewed", job_id=self._job_id, exc_info=True)
                held = time.monotonic() < valid_until_s
            else:
                valid_until_s = asked_s + self._lease_s
            if not held:
                self._lost.set()
                return
