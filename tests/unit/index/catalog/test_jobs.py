from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from app.errors import Conflict, InvalidInput, NotFound
from app.index.catalog import Catalog
from app.index.evaluations import EvaluationStore
from app.index.jobs import ITEM_CRASHES, JobQueue
from app.index.records import JobRecord
from tests.unit.index.catalog.house import Clock, new, publish, start_python, store

KINDS = ["ingest"]


def submit(catalog: Catalog, *texts: str) -> JobRecord:
    return catalog.submit("default", [new(text, text) for text in texts])[0]


class TestClaiming:
    def test_oldest_first_of_the_wanted_kinds(self, queue: JobQueue, clock: Clock) -> None:
        first = queue.enqueue("a", {"n": 1})
        other = queue.enqueue("b", {})
        second = queue.enqueue("a", {"n": 2})
        claimed = queue.claim("w", ["a"])
        assert claimed is not None
        assert (claimed.id, claimed.status, claimed.attempts, claimed.payload) == (first.id, "running", 1, {"n": 1})
        assert (claimed.started_at, claimed.worker_id) == (clock(), "w")
        assert [job.id if (job := queue.claim("w", ["a"])) else None for _ in range(2)] == [second.id, None]
        assert queue.get(other.id).status == "queued"

    def test_many_claim_at_once_and_each_job_has_one_worker(self, queue: JobQueue) -> None:
        made = {queue.enqueue("a", {}).id for _ in range(12)}
        barrier = threading.Barrier(4)

        def work(worker: int) -> list[str]:
            barrier.wait()
            claimed = []
            while job := queue.claim(f"w{worker}", ["a"]):
                claimed.append(job.id)
            return claimed

        with ThreadPoolExecutor(4) as pool:
            claimed = [job_id for ids in pool.map(work, range(4)) for job_id in ids]
        assert sorted(claimed) == sorted(made)

    def test_a_lease_that_ran_out(self, queue: JobQueue, clock: Clock) -> None:
        job = queue.enqueue("a", {})
        queue.claim("dead", ["a"], lease_s=30)
        clock.advance(29)
        assert queue.claim("next", ["a"]) is None
        clock.advance(1)
        again = queue.claim("next", ["a"])
        assert again is not None
        assert (again.id, again.attempts, again.worker_id) == (job.id, 2, "next")
        assert not queue.heartbeat(job.id, "dead")
        assert not queue.succeed(job.id, "dead")
        assert not queue.fail(job.id, "dead", "late", None)
        assert not queue.release(job.id, "dead")
        assert queue.succeed(job.id, "next", {"n": 1})
        assert queue.get(job.id).result == {"n": 1}

    def test_heartbeats_keep_it(self, queue: JobQueue, clock: Clock) -> None:
        job = queue.enqueue("a", {})
        queue.claim("w", ["a"], lease_s=30)
        for _ in range(5):
            clock.advance(20)
            assert queue.heartbeat(job.id, "w", 30)
            assert queue.claim("other", ["a"]) is None

    def test_a_killed_process_loses_its_job_to_another(
        self, url: str, catalog: Catalog, queue: JobQueue, clock: Clock
    ) -> None:
        script = """
import sys, time
from app.index.catalog import Catalog
from app.index.evaluations import EvaluationStore
from app.index.jobs import JobQueue
catalog = Catalog.open(sys.argv[1])
queue = JobQueue(catalog)
job = queue.claim("killed", ["ingest"], lease_s=600)
catalog.set_version_status(queue.items(job.id)[0].version_id, "loading")
print(job.id, flush=True)
time.sleep(100)
"""
        job = submit(catalog, "One.", "Two.")
        process = start_python(script, url)
        assert process.stdout is not None
        assert process.stdout.readline().strip() == job.id
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        clock.now = datetime.now(UTC)
        assert queue.claim("next", KINDS) is None
        clock.advance(600)
        claimed = queue.claim("next", KINDS)
        assert claimed is not None
        assert (claimed.id, claimed.attempts, claimed.done, claimed.total) == (job.id, 2, 0, 2)
        for item in queue.items(job.id):
            store(catalog, item.version_id, "Text.")
            publish(catalog, item.version_id)
        assert queue.succeed(job.id, "next")
        assert queue.get(job.id).done == 2

    def test_released_for_a_worker_that_is_told_to_stop(self, queue: JobQueue) -> None:
        job = queue.enqueue("a", {})
        for _ in range(10):  # more often than attempts without progress are allowed
            assert queue.claim("w", ["a"]) is not None
            assert queue.release(job.id, "w")
        assert queue.get(job.id).status == "queued"


class TestFailing:
    def test_tried_again_after_a_while(self, queue: JobQueue, clock: Clock) -> None:
        job = queue.enqueue("a", {})
        queue.claim("w", ["a"])
        assert queue.fail(job.id, "w", "disk full", retry_in_s=10)
        waiting = queue.get(job.id)
        assert (waiting.status, waiting.error, waiting.worker_id) == ("queued", "disk full", None)
        clock.advance(9)
        assert queue.claim("w", ["a"]) is None
        clock.advance(1)
        assert queue.claim("w", ["a"]) is not None

    def test_given_up_at_once_or_after_too_many_attempts(self, catalog: Catalog) -> None:
        queue = JobQueue(catalog, max_attempts=3)
        final, tried = queue.enqueue("a", {}), queue.enqueue("b", {})
        queue.claim("w", ["a"])
        queue.fail(final.id, "w", "no such model", None)
        assert (queue.get(final.id).status, queue.get(final.id).error) == ("failed", "no such model")
        for _ in range(3):
            queue.claim("w", ["b"])
            queue.fail(tried.id, "w", "disk full", 0)
        dead = queue.get(tried.id)
        assert (dead.status, dead.attempts) == ("failed", 3)
        assert dead.error == "given up after 3 attempts without progress; the last: disk full"
        assert dead.finished_at is not None
        assert queue.claim("w", ["a", "b"]) is None
        assert queue.depth() == {"queued": 0, "running": 0, "failed": 2}

    def test_a_dead_letter_takes_its_open_documents_along(self, catalog: Catalog, queue: JobQueue) -> None:
        job = submit(catalog, "One.", "Two.")
        queue.claim("w", KINDS)
        first, _ = queue.items(job.id)
        store(catalog, first.version_id, "One.")
        publish(catalog, first.version_id)
        queue.fail(job.id, "w", "index is broken", None)
        assert [(item.status, item.error) for item in queue.items(job.id)] == [
            ("ready", None),
            ("failed", "index is broken"),
        ]
        assert catalog.get_document("One.").status == "ready"
        failed = catalog.get_document("Two.")
        assert (failed.status, failed.error, failed.error_code) == ("failed", "index is broken", "job_failed")

    def test_a_worker_that_dies_without_a_document_in_hand(self, queue: JobQueue, clock: Clock) -> None:
        job = queue.enqueue("a", {})
        for _ in range(5):
            assert queue.claim("w", ["a"], lease_s=1) is not None
            clock.advance(1)
        assert queue.claim("w", ["a"]) is None
        dead = queue.get(job.id)
        assert (dead.status, dead.attempts) == ("failed", 5)
        assert "died or hung 5 times" in (dead.error or "")

    def test_a_document_that_kills_workers_fails_alone(self, catalog: Catalog, queue: JobQueue, clock: Clock) -> None:
        job = submit(catalog, "Good.", "Killer.", "Killer-too.", "Better.")
        crashes = 0
        for _ in range(20):
            if queue.claim("w", KINDS, lease_s=1) is None:
                break
            for item in queue.items(job.id):
                if item.status != "queued":
                    continue
                clock.advance(0.001)
                catalog.set_version_status(item.version_id, "loading")
                if item.document_id.startswith("Killer"):
                    crashes += 1
                    break
                store(catalog, item.version_id, "Text.")
                publish(catalog, item.version_id)
            else:
                assert queue.succeed(job.id, "w")
            clock.advance(1)
        assert crashes == 2 * ITEM_CRASHES
        ended = queue.get(job.id)
        assert (ended.status, ended.done, ended.attempts) == ("succeeded", 4, 7)
        assert (ended.error or "").startswith("2 of 4 documents failed; the first, Killer.: the worker died 3 times")
        assert [item.status for item in queue.items(job.id)] == ["ready", "failed", "failed", "ready"]
        assert catalog.get_document("Killer.").error_code == "worker_died"


class TestItems:
    def test_progress_counts_documents(self, catalog: Catalog, queue: JobQueue) -> None:
        job, [one, _, two] = catalog.submit("default", [new("1"), new("1"), new("2")])
        assert (job.done, job.total) == (1, 3)
        queue.claim("w", KINDS)
        assert [item.version_id for item in queue.items(job.id)] == [one.version_id, two.version_id]
        assert [item.duplicate for item in queue.items(job.id, include_duplicates=True)] == [False, True, False]
        for _ in range(2):  # repeating changes nothing
            queue.finish_item(job.id, one.version_id, "failed", "corrupt")
            assert queue.get(job.id).done == 2
        queue.finish_item(job.id, one.version_id, "ready")
        assert queue.items(job.id)[0].error == "corrupt"
        with pytest.raises(Conflict, match="have not ended"):
            queue.succeed(job.id, "w")
        store(catalog, two.version_id, "2.")
        publish(catalog, two.version_id)
        assert queue.get(job.id).done == 3
        assert queue.succeed(job.id, "w")
        ended = queue.get(job.id)
        assert ended.status == "succeeded"
        assert ended.error == f"1 of 3 documents failed; the first, {one.id}: corrupt"

    def test_all_documents_failed(self, catalog: Catalog, queue: JobQueue) -> None:
        job = submit(catalog, "One.")
        queue.claim("w", KINDS)
        queue.finish_item(job.id, queue.items(job.id)[0].version_id, "failed", "encrypted")
        assert queue.succeed(job.id, "w")
        assert (queue.get(job.id).status, queue.get(job.id).error) == ("failed", "encrypted")

    def test_all_documents_deleted(self, catalog: Catalog, queue: JobQueue) -> None:
        job = submit(catalog, "One.")
        queue.claim("w", KINDS)
        catalog.remove_document_rows("One.")
        assert queue.succeed(job.id, "w")
        assert queue.get(job.id).status == "cancelled"

    def test_bad_statuses(self, catalog: Catalog, queue: JobQueue) -> None:
        job = submit(catalog, "One.")
        for status in ("queued", "lost"):
            with pytest.raises(InvalidInput, match="does not end"):
                queue.finish_item(job.id, 1, status)  # type: ignore[arg-type]


class TestCancelling:
    def test_a_running_job_stops_at_its_next_heartbeat(self, catalog: Catalog, queue: JobQueue) -> None:
        job = submit(catalog, "One.", "Two.")
        queue.claim("w", KINDS)
        first, second = queue.items(job.id)
        store(catalog, first.version_id, "One.")
        publish(catalog, first.version_id)
        cancelled = queue.cancel(job.id)
        assert (cancelled.status, cancelled.error) == ("cancelled", "the job was cancelled")
        assert not queue.heartbeat(job.id, "w")
        assert not queue.succeed(job.id, "w")
        queue.progress(job.id, stage="late")
        assert queue.get(job.id).stage is None
        assert not catalog.is_wanted(second.version_id)
        assert [item.status for item in queue.items(job.id)] == ["ready", "cancelled"]
        assert (catalog.get_document("Two.").status, catalog.get_document("Two.").error_code) == ("failed", "cancelled")
        assert catalog.submit("default", [new("Two.")])[1][0].duplicate is False

    def test_a_queued_job_is_never_claimed(self, queue: JobQueue) -> None:
        job = queue.enqueue("a", {})
        queue.cancel(job.id)
        assert queue.claim("w", ["a"]) is None

    def test_only_what_has_not_ended(self, queue: JobQueue) -> None:
        job = queue.enqueue("a", {})
        queue.claim("w", ["a"])
        queue.succeed(job.id, "w")
        with pytest.raises(Conflict, match="has ended"):
            queue.cancel(job.id)
        with pytest.raises(NotFound, match="'nothing'"):
            queue.cancel("nothing")


class TestPruning:
    DAY = timedelta(days=1)

    def ended(self, queue: JobQueue, kind: str = "a") -> str:
        job = queue.enqueue(kind, {})
        assert queue.claim("w", [kind]) is not None
        assert queue.succeed(job.id, "w")
        return job.id

    def left(self, queue: JobQueue) -> list[str]:
        return [job.id for job in reversed(queue.list(limit=100)[0])]

    def test_old_jobs_beyond_the_newest_are_forgotten(self, queue: JobQueue, clock: Clock) -> None:
        made = [self.ended(queue) for _ in range(4)]
        assert queue.prune(self.DAY, 0) == 0  # none is old
        clock.advance(2 * 86_400)
        young = self.ended(queue)
        assert queue.prune(self.DAY, 3) == 2
        assert self.left(queue) == [made[2], made[3], young]
        assert queue.prune(self.DAY, 3) == 0
        assert queue.prune(self.DAY, 0) == 2
        assert self.left(queue) == [young]

    def test_many_go_in_several_transactions(
        self, queue: JobQueue, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.index.jobs._PRUNED_AT_ONCE", 2)
        for _ in range(3):
            self.ended(queue)
        clock.advance(2 * 86_400)
        assert [queue.prune(self.DAY, 0) for _ in range(3)] == [2, 1, 0]

    def test_what_has_not_ended_stays_however_old(self, queue: JobQueue, clock: Clock) -> None:
        failed, cancelled = queue.enqueue("a", {}).id, queue.enqueue("b", {}).id
        assert queue.claim("w", ["a"]) is not None
        assert queue.fail(failed, "w", "broken", None)
        queue.cancel(cancelled)
        running = queue.enqueue("c", {}).id
        assert queue.claim("w", ["c"], lease_s=1e9) is not None
        retried = queue.enqueue("d", {}).id
        assert queue.claim("w", ["d"]) is not None
        assert queue.fail(retried, "w", "later", 1e9)
        waiting = queue.enqueue("e", {}).id
        clock.advance(1_000 * 86_400)
        assert queue.prune(self.DAY, 0) == 2
        assert self.left(queue) == [running, retried, waiting]

    def test_documents_keep_their_records(self, catalog: Catalog, queue: JobQueue, clock: Clock) -> None:
        job, [one] = catalog.submit("default", [new("a")])
        assert queue.claim("w", KINDS) is not None
        store(catalog, one.version_id, "a")
        publish(catalog, one.version_id)
        queue.finish_item(job.id, one.version_id, "ready")
        assert queue.succeed(job.id, "w")
        before = catalog.get_document(one.id)
        clock.advance(2 * 86_400)
        assert queue.prune(self.DAY, 0) == 1
        assert catalog.get_document(one.id) == before
        with pytest.raises(NotFound):
            queue.get(job.id)
        assert queue.items(job.id) == []

    def test_an_evaluation_keeps_its_job(self, catalog: Catalog, queue: JobQueue, clock: Clock) -> None:
        record = EvaluationStore(catalog).start("default", [{"question": "q"}], [{}])
        queue.cancel(record.id)
        clock.advance(2 * 86_400)
        assert queue.prune(self.DAY, 0) == 0
        assert EvaluationStore(catalog).get(record.id).job.status == "cancelled"
        EvaluationStore(catalog).delete(record.id)
        assert queue.prune(self.DAY, 0) == 1


class TestReading:
    def test_progress_of_other_jobs(self, queue: JobQueue) -> None:
        job = queue.enqueue("train", {}, unit="trees")
        queue.progress(job.id, stage="too early")
        assert queue.get(job.id).stage is None
        queue.claim("w", ["train"])
        queue.progress(job.id, stage="fitting", done=3, total=200)
        queue.progress(job.id, unit="rounds")
        shown = queue.get(job.id)
        assert (shown.stage, shown.done, shown.total, shown.unit) == ("fitting", 3, 200, "rounds")
        queue.succeed(job.id, "w")
        assert (queue.get(job.id).done, queue.get(job.id).total, queue.get(job.id).stage) == (200, 200, None)

    def test_pages(self, catalog: Catalog, queue: JobQueue) -> None:
        ids = [
            queue.enqueue(kind, {}, collection).id for kind, collection in (("a", None), ("b", "default"), ("a", None))
        ]
        page, cursor = queue.list(limit=2)
        assert [job.id for job in page] == [ids[2], ids[1]]
        queue.enqueue("later", {})
        page, cursor = queue.list(limit=2, cursor=cursor)
        assert ([job.id for job in page], cursor) == ([ids[0]], None)
        queue.claim("w", ["b"])
        assert [job.id for job in queue.list("running")[0]] == [ids[1]]
        assert [job.id for job in queue.list(kind="a")[0]] == [ids[2], ids[0]]
        assert [job.id for job in queue.list(collection="default")[0]] == [ids[1]]
        with pytest.raises(InvalidInput, match="status"):
            queue.list("lost")  # type: ignore[arg-type]

    def test_enqueue_refuses_what_it_cannot_keep(self, queue: JobQueue) -> None:
        with pytest.raises(InvalidInput, match="payload"):
            queue.enqueue("a", {"when": object()})
        with pytest.raises(NotFound, match="laws"):
            queue.enqueue("a", {}, "laws")

    def test_one_pending_job_is_enough(self, queue: JobQueue) -> None:
        first = queue.enqueue("compact", {}, "default", unless_pending=True)
        assert queue.enqueue("compact", {}, "default", unless_pending=True).id == first.id
        assert queue.enqueue("compact", {}, unless_pending=True).id != first.id
        queue.claim("w", ["compact"])
        assert queue.enqueue("compact", {}, "default", unless_pending=True).id != first.id

    def test_deleting_a_collection_cancels_its_jobs(self, catalog: Catalog, queue: JobQueue) -> None:
        catalog.create_collection("laws")
        job = catalog.submit("laws", [new("One.")])[0]
        queue.claim("w", KINDS)
        catalog.delete_collection("laws")
        assert not queue.heartbeat(job.id, "w")
        assert (queue.get(job.id).status, queue.get(job.id).error) == ("cancelled", "the collection was deleted")
        assert [item.status for item in queue.items(job.id)] == ["cancelled"]


def test_workers_that_live(queue: JobQueue, clock: Clock) -> None:
    queue.worker_seen("old")
    start = clock()
    clock.advance(20)
    queue.worker_seen("new")
    assert [worker.id for worker in queue.live_workers(within_s=30)] == ["new", "old"]
    clock.advance(20)
    queue.worker_seen("new")
    [alive] = queue.live_workers(within_s=30)
    assert (alive.id, alive.started_at, alive.seen_at) == ("new", start + (clock() - start) / 2, clock())
