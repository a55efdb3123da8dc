"""The thread beside the requests: leases, retries, final failures, and jobs of a process that was killed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.api.background import Background, directly, through
from app.api.executor import ModelExecutor
from app.errors import InvalidInput, Overloaded, Unavailable
from app.index.catalog import Catalog
from app.index.evaluations import EvaluationStore
from app.index.jobs import JobQueue
from app.index.lease import Lease, LeaseLost, Stopping
from app.settings import WorkerSettings
from tests.unit.api.harness import assert_problem, running


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(tmp_path: Path, clock: Clock) -> Iterator[Catalog]:
    opened = Catalog.open(f"sqlite:///{tmp_path / 'attest.db'}", clock)
    yield opened
    opened.close()


@pytest.fixture
def jobs(catalog: Catalog) -> JobQueue:
    return JobQueue(catalog)


def background(jobs: JobQueue, work: object) -> Background:
    return Background(jobs, {"chore": work}, WorkerSettings())  # type: ignore[dict-item]


def test_a_job_is_done_once_and_its_result_kept(jobs: JobQueue) -> None:
    job = jobs.enqueue("chore", {"a": 1})
    here = background(jobs, lambda job, lease: {"got": job.payload["a"]})
    assert here.run_once() is True
    assert here.run_once() is False
    done = jobs.get(job.id)
    assert (done.status, done.result) == ("succeeded", {"got": 1})
    assert jobs.live_workers() == [], "it ingests nothing, so nobody may count on it as a worker"


def test_other_kinds_are_left_to_the_workers(jobs: JobQueue) -> None:
    jobs.enqueue("ingest", {})
    assert background(jobs, lambda job, lease: None).run_once() is False


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (InvalidInput("too few questions"), "failed", "too few questions"),
        (Unavailable("the model is away"), "queued", "the model is away"),
        (ValueError("secret /path"), "queued", "ValueError: see the server's log"),
    ],
)
def test_what_can_not_change_fails_for_good_and_the_rest_is_tried_again(
    jobs: JobQueue, error: Exception, status: str, told: str
) -> None:
    def work(job: object, lease: object) -> None:
        raise error

    job = jobs.enqueue("chore", {})
    background(jobs, work).run_once()
    found = jobs.get(job.id)
    assert found.status == status
    assert str(found.error).startswith(told)
    assert "secret" not in str(found.error)


def test_the_job_of_a_killed_process_is_taken_up_when_its_lease_has_run_out(
    catalog: Catalog, jobs: JobQueue, clock: Clock
) -> None:
    store = EvaluationStore(catalog)
    record = store.start("default", [{"question": "q"}, {"question": "r"}], [{}])
    dead = jobs.claim("dead", ["evaluate"], 30.0)
    assert dead is not None
    assert store.observe(dead, 0, 0, {"scores": {}}, done=1)
    assert jobs.claim("other", ["evaluate"], 30.0) is None
    clock.now += timedelta(seconds=31)
    heir = jobs.claim("other", ["evaluate"], 30.0)
    assert heir is not None
    assert heir.id == record.id
    assert store.observed(record.id) == {(0, 0): {"scores": {}}}, "what the dead one observed is kept"
    assert not store.observe(dead, 1, 0, {"scores": {}}, done=2), "the dead one's late word is not"
    assert jobs.get(record.id).done == 1


def test_a_long_evaluation_is_not_given_up_while_it_gets_on(catalog: Catalog, jobs: JobQueue, clock: Clock) -> None:
    """Its process dies after every single question, more often than `max_attempts` allows without progress."""
    store = EvaluationStore(catalog)
    record = store.start("default", [{"question": str(number)} for number in range(9)], [{}])
    for number in range(9):
        job = jobs.claim(f"worker {number}", ["evaluate"], 30.0)
        assert job is not None, number
        assert store.observe(job, number, 0, {"scores": {}}, done=number + 1)
        clock.now += timedelta(seconds=31)
    assert jobs.claim("the last", ["evaluate"], 30.0) is not None
    assert len(store.observed(record.id)) == 9


def test_stopping_puts_the_job_back(jobs: JobQueue) -> None:
    began = threading.Event()

    def work(job: object, lease: Lease) -> None:
        began.set()
        while True:
            lease.check()
            threading.Event().wait(0.01)

    job = jobs.enqueue("chore", {})
    here = background(jobs, work)
    here.start()
    assert began.wait(60)
    assert here.alive
    here.stop()
    assert not here.alive
    assert jobs.get(job.id).status == "queued"


def test_a_lost_lease_ends_the_work(jobs: JobQueue) -> None:
    job = jobs.enqueue("chore", {})
    claimed = jobs.claim("w", ["chore"])
    assert claimed is not None
    lease = Lease(jobs, job.id, "w", 30.0)
    lease.check()
    assert not lease.ended()
    with pytest.raises(LeaseLost):
        lease.lose()
    assert lease.ended()
    with pytest.raises(LeaseLost):
        directly(lambda: 1, lease)


def test_calls_wait_while_the_executor_is_full(jobs: JobQueue) -> None:
    lease = Lease(jobs, "job_x", "w", 30.0)
    executor = ModelExecutor(1, 0)
    refused: list[int] = []
    submit = executor.submit

    def busy_twice(call: object, caller: str = "") -> object:
        if len(refused) < 2:
            refused.append(1)
            raise Overloaded("full")
        return submit(call, caller)  # type: ignore[arg-type]

    executor.submit = busy_twice  # type: ignore[method-assign, assignment]
    assert through(executor)(lambda: 42, lease) == 42
    assert len(refused) == 2
    executor.close()


def test_a_call_that_waits_is_given_up_when_the_server_stops(jobs: JobQueue) -> None:
    stop = threading.Event()
    lease = Lease(jobs, "job_x", "w", 30.0, stop)
    executor = ModelExecutor(1, 0)
    executor.close()
    stop.set()
    with pytest.raises(Stopping):
        through(executor)(lambda: 42, lease)


async def test_a_background_thread_that_died_fails_readiness(tmp_path: Path) -> None:
    async with running(tmp_path / "home") as api:
        assert (await api.client.get("/health/ready")).status_code == 200
        state = api.client._transport.app.state.attest  # type: ignore[attr-defined]
        for _ in range(600):
            if state._background is not None:
                break
            await asyncio.sleep(0.05)
        state._background.stop()
        assert "background jobs ended" in assert_problem(await api.client.get("/health/ready"), 503)["detail"]
