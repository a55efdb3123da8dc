"""`attest reindex` and `attest compact`: work on the whole index, with a bar, in this process or a running worker's."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from app.cli.serve import HomeOption
from app.errors import AttestError

if TYPE_CHECKING:
    from app.index.jobs import JobQueue
    from app.index.records import JobRecord
    from ingestion.worker import Worker

POLL_S = 0.25


def reindex(home: HomeOption = None) -> None:
    """Embed everything again with the configured encoder; the old index serves until the new one is complete.

    A server that runs with another encoder has to be started again afterwards.
    """
    from app.cli.home import prepare
    from ingestion.bootstrap import build_worker

    with build_worker(prepare(home), kinds=("reindex",)) as worker:
        _run(worker, "reindex")


def compact(home: HomeOption = None) -> None:
    """Merge the index's segments, drop what was deleted, build graphs; searches go on meanwhile."""
    from app.cli.home import prepare
    from ingestion.bootstrap import build_worker

    with build_worker(prepare(home), kinds=("compact",)) as worker:
        _run(worker, "compact")


def _run(worker: Worker, kind: str) -> None:
    """Does one job of `kind` here, an interrupted one first; raises its error as an `AttestError`."""
    job = worker.unfinished(kind) or worker.jobs.enqueue(kind, {})
    stop = threading.Event()
    thread = threading.Thread(target=worker.run_forever, args=(stop,), name=kind)
    thread.start()
    try:
        ended = _watch(worker.jobs, job.id, kind, thread)
    finally:
        stop.set()
        thread.join()
    if ended.status != "succeeded":
        raise AttestError(f"{kind} {ended.status}: {ended.error or 'see `attest status`'}")
    print(f"{kind} done: {', '.join(f'{name} {value}' for name, value in (ended.result or {}).items())}")


def _watch(jobs: JobQueue, job_id: str, kind: str, thread: threading.Thread) -> JobRecord:
    from tqdm import tqdm

    with tqdm(desc=kind, unit="", disable=None) as bar:
        while True:
            job = jobs.get(job_id)
            bar.total = job.total
            bar.n = job.done
            bar.unit = job.unit
            bar.refresh()
            if job.status in ("succeeded", "failed", "cancelled") or not thread.is_alive():
                return job
            time.sleep(POLL_S)
