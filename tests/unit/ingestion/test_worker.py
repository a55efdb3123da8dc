"""The worker: claims, ends, retries, lets go, stops, and refuses what is not its own to write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.errors import InvalidInput, Unavailable
from app.index.catalog import Catalog
from app.index.jobs import JobQueue
from app.index.lease import Lease, LeaseLost, Stopping
from app.index.records import JobRecord, NewDocument
from app.settings import WorkerSettings
from ingestion.worker import MAX_BACKOFF_S, Unfit, Work, Worker, new_worker_id


class Clock:
    """A catalog's clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Shop:
    """A queue and workers on it."""

    def __init__(self, root: Path) -> None:
        self.clock = Clock()
        self.catalog = Catalog.open(f"sqlite:///{root / 'attest.db'}", self.clock)
        self.jobs = JobQueue(self.catalog, max_attempts=3)
        self.recovered = 0

    def worker(
        self,
        work: Work,
        *,
        fit: Callable[[], None] = lambda: None,
        maintain: Callable[[], bool] = lambda: False,
        lease_s: float = 30.0,
    ) -> Worker:
        def recover() -> None:
            self.recovered += 1

        settings = WorkerSettings(lease_s=lease_s, poll_s=0.005, backoff_s=2.0, max_attempts=3, batch_chunks=8)
        return Worker(
            jobs=self.jobs, fit=fit, work={"test": work}, recover=recover, maintain=maintain, settings=settings
        )


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.catalog.close()


def succeed(job: JobRecord, check: Callable[[], None]) -> Mapping[str, Any]:
    check()
    return {"answer": 42}


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(6000):
        if true():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not come true")


def test_nothing_due_is_false_and_recovery_comes_first(shop: Shop) -> None:
    worker = shop.worker(succeed)
    assert worker.run_once() is False
    assert worker.run_once() is False
    assert shop.recovered == 1


def test_a_job_is_done_once_with_its_result(shop: Shop) -> None:
    job = shop.jobs.enqueue("test", {})
    worker = shop.worker(succeed)
    assert worker.run_once() is True
    ended = shop.jobs.get(job.id)
    assert (ended.status, ended.result, ended.attempts) == ("succeeded", {"answer": 42}, 1)
    assert worker.run_once() is False


def test_jobs_of_other_kinds_are_left_alone(shop: Shop) -> None:
    shop.jobs.enqueue("another", {})
    assert shop.worker(succeed).run_once() is False


def test_unexpected_errors_are_tried_again_later_and_then_given_up_with_their_reason(shop: Shop) -> None:
    def fail(job: JobRecord, check: Callable[[], None]) -> None:
        raise OSError(28, "No space left on device")

    job = shop.jobs.enqueue("test", {})
    worker = shop.worker(fail)
    for pause_s in (2.0, 4.0):
        assert worker.run_once() is True
        waiting = shop.jobs.get(job.id)
        assert waiting.status == "queued"
        assert waiting.run_after == shop.clock.now + timedelta(seconds=pause_s)
        assert worker.run_once() is False, "not before its time"
        shop.clock.pass_s(pause_s)
    assert worker.run_once() is True
    dead = shop.jobs.get(job.id)
    assert dead.status == "failed"
    assert "3 attempts" in (dead.error or "")
    assert "No space left on device" in (dead.error or "")


def test_the_pause_is_bounded(shop: Shop) -> None:
    assert shop.worker(succeed)._pause_s(10_000) == MAX_BACKOFF_S


def test_a_wrong_argument_is_not_tried_again(shop: Shop) -> None:
    def refuse(job: JobRecord, check: Callable[[], None]) -> None:
        raise InvalidInput("payload.k is -1; it must be positive")

    job = shop.jobs.enqueue("test", {})
    shop.worker(refuse).run_once()
    assert shop.jobs.get(job.id).status == "failed"
    assert shop.jobs.get(job.id).error == "payload.k is -1; it must be positive"


def test_a_cancelled_job_is_let_go_at_the_next_boundary(shop: Shop) -> None:
    def cancelled_meanwhile(job: JobRecord, check: Callable[[], None]) -> None:
        shop.jobs.cancel(job.id)
        wait_until_raised(check)

    job = shop.jobs.enqueue("test", {})
    assert shop.worker(cancelled_meanwhile, lease_s=0.03).run_once() is True
    assert shop.jobs.get(job.id).status == "cancelled"


def wait_until_raised(check: Callable[[], None]) -> None:
    for _ in range(6000):
        check()
        threading.Event().wait(0.005)
    raise AssertionError("no boundary raised")


def test_work_that_outlives_its_lease_writes_no_end(shop: Shop) -> None:
    def overtaken(job: JobRecord, check: Callable[[], None]) -> None:
        shop.clock.pass_s(1000)
        other = shop.jobs.claim("other", ["test"])
        assert other is not None
        wait_until_raised(check)

    job = shop.jobs.enqueue("test", {})
    shop.worker(overtaken, lease_s=0.03).run_once()
    running = shop.jobs.get(job.id)
    assert (running.status, running.worker_id) == ("running", "other")


def test_the_lease_is_renewed_while_the_work_goes_on(shop: Shop) -> None:
    renewals: list[datetime] = []

    def long(job: JobRecord, check: Callable[[], None]) -> None:
        for _ in range(5):
            shop.clock.pass_s(0.02)
            before = len(renewals)
            wait_until(lambda before=before: len(renewals) > before)  # type: ignore[misc]
            check()

    heartbeat = shop.jobs.heartbeat

    def counted(*args: Any) -> bool:
        held = heartbeat(*args)
        renewals.append(shop.clock.now)
        return held

    shop.jobs.heartbeat = counted  # type: ignore[method-assign]
    job = shop.jobs.enqueue("test", {})
    shop.worker(long, lease_s=0.03).run_once()
    assert shop.jobs.get(job.id).status == "succeeded"
    assert shop.jobs.get(job.id).attempts == 1


def test_a_lease_that_can_not_be_renewed_counts_as_lost_once_it_has_run_out(shop: Shop) -> None:
    def unreachable(*_: Any) -> bool:
        raise OSError("the disk is gone")

    shop.jobs.heartbeat = unreachable  # type: ignore[method-assign]
    with Lease(shop.jobs, "job_x", "w", 0.03) as lease, pytest.raises(LeaseLost):
        wait_until_raised(lease.check)


def test_a_stopping_worker_gives_its_job_back_at_once(shop: Shop) -> None:
    started, stop = threading.Event(), threading.Event()

    def long(job: JobRecord, check: Callable[[], None]) -> None:
        started.set()
        wait_until_raised(check)

    job = shop.jobs.enqueue("test", {})
    thread = threading.Thread(target=shop.worker(long).run_forever, args=(stop,))
    thread.start()
    assert started.wait(30)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    assert shop.jobs.get(job.id).status == "queued"
    assert shop.worker(succeed).run_once() is True, "another worker goes on at once, with no lease to wait for"
    assert shop.jobs.get(job.id).status == "succeeded"


def test_a_check_of_a_stopping_worker_raises(shop: Shop) -> None:
    stop = threading.Event()
    with Lease(shop.jobs, "job_x", "w", 30.0, stop) as lease:
        lease.check()
        stop.set()
        with pytest.raises(Stopping):
            lease.check()


def test_a_worker_in_trouble_goes_on_when_it_is_over(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    worker = shop.worker(succeed)
    monkeypatch.setattr(worker, "_pause_s", lambda attempt: 0.001)
    claim, failures = shop.jobs.claim, iter([OSError("locked"), OSError("locked")])

    def troubled(*args: Any) -> JobRecord | None:
        for error in failures:
            raise error
        return claim(*args)

    shop.jobs.claim = troubled  # type: ignore[method-assign]
    job = shop.jobs.enqueue("test", {})
    thread = threading.Thread(target=worker.run_forever, args=(stop,))
    thread.start()
    wait_until(lambda: shop.jobs.get(job.id).status == "succeeded")
    stop.set()
    thread.join(30)
    assert [each.id for each in shop.jobs.live_workers()] == [worker.id]


def test_maintenance_runs_only_when_there_has_been_nothing_to_do(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion.worker.IDLE_S", 0.01)
    stop = threading.Event()
    order: list[str] = []

    def work(job: JobRecord, check: Callable[[], None]) -> None:
        order.append("job")

    def maintain() -> bool:
        order.append("maintenance")
        stop.set()
        return True

    for _ in range(3):
        shop.jobs.enqueue("test", {})
    shop.worker(work, maintain=maintain).run_forever(stop)
    assert order == ["job", "job", "job", "maintenance"]


def test_a_worker_of_another_encoder_refuses_and_touches_nothing(shop: Shop) -> None:
    def unfit() -> None:
        raise Unavailable("built by encoder A, configured is B; run `attest reindex`")

    job = shop.jobs.enqueue("test", {})
    worker = shop.worker(succeed, fit=unfit)
    with pytest.raises(Unfit, match="attest reindex"):
        worker.run_forever(threading.Event())
    assert shop.jobs.get(job.id).attempts == 0


def test_a_worker_that_becomes_unfit_gives_the_job_back(shop: Shop) -> None:
    def unfit() -> None:
        raise Unavailable("built by another encoder; run `attest reindex`")

    job = shop.jobs.enqueue("test", {})
    with pytest.raises(Unfit):
        shop.worker(succeed, fit=unfit).run_once()
    assert shop.jobs.get(job.id).status == "queued"
    assert shop.worker(succeed).run_once() is True


def test_a_dead_workers_job_is_taken_up_when_its_lease_has_run_out(shop: Shop) -> None:
    job = shop.jobs.enqueue("test", {})
    assert shop.jobs.claim("dead", ["test"], 30.0) is not None
    worker = shop.worker(succeed)
    assert worker.run_once() is False
    shop.clock.pass_s(31)
    assert worker.run_once() is True
    assert shop.jobs.get(job.id).status == "succeeded"


def test_unfinished_finds_the_oldest_waiting_or_left_behind(shop: Shop) -> None:
    worker = shop.worker(succeed)
    assert worker.unfinished("test") is None
    first = shop.jobs.enqueue("test", {})
    shop.clock.pass_s(1)
    shop.jobs.enqueue("test", {})
    shop.jobs.claim("dead", ["test"])
    found = worker.unfinished("test")
    assert found is not None
    assert found.id == first.id


def test_worker_ids_differ() -> None:
    assert new_worker_id() != new_worker_id()


def test_an_ingest_job_can_not_be_called_done_while_a_document_waits(shop: Shop) -> None:
    job, _ = shop.catalog.submit("default", [NewDocument("0" * 64, 1, None, "a", None, None)])
    settings = WorkerSettings(lease_s=30.0, poll_s=0.005, backoff_s=2.0, max_attempts=3, batch_chunks=8)
    worker = Worker(
        jobs=shop.jobs,
        fit=lambda: None,
        work={"ingest": lambda _job, _check: None},
        recover=lambda: None,
        maintain=lambda: False,
        settings=settings,
    )
    worker.run_once()
    assert shop.jobs.get(job.id).status == "queued", "it is tried again, not forgotten"
