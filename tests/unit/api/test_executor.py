import asyncio
import contextlib
import threading

import pytest
from starlette.requests import Request

from app.api.executor import ModelExecutor, until_disconnect
from app.errors import Cancelled, Overloaded


@pytest.fixture
def executor():
    made = ModelExecutor(threads=1, queue=1)
    yield made
    made.close()


def request_with(receive):
    return Request({"type": "http", "method": "POST", "path": "/v1/ask", "headers": []}, receive)


async def never():
    await asyncio.Event().wait()


def test_one_runs_one_waits_and_the_third_is_refused(executor):
    release = threading.Event()
    started = threading.Event()
    first = executor.submit(lambda: started.set() or release.wait(10))
    second = executor.submit(lambda: "second")
    assert started.wait(10)
    with pytest.raises(Overloaded) as caught:
        executor.submit(lambda: "third")
    assert caught.value.retry_after_s >= 1
    release.set()
    assert first.result(10) is True
    assert second.result(10) == "second"


def test_a_place_is_free_again_after_success_failure_and_cancellation(executor):
    with pytest.raises(ZeroDivisionError):
        executor.submit(lambda: 1 / 0).result(10)
    release = threading.Event()
    running = executor.submit(lambda: release.wait(10))
    waiting = executor.submit(lambda: None)
    assert waiting.cancel()
    assert executor.depth == 1
    release.set()
    running.result(10)
    assert executor.submit(lambda: 7).result(10) == 7


def test_the_depth_is_reported():
    depths = []
    executor = ModelExecutor(threads=1, queue=0, on_depth=depths.append)
    executor.submit(lambda: None).result(10)
    executor.close()
    assert depths == [1, 0]


def test_after_closing_it_refuses_and_counts_nobody():
    executor = ModelExecutor(threads=1, queue=0)
    executor.close()
    for _ in range(3):
        with pytest.raises(Overloaded, match="shutting down"):
            executor.submit(lambda: None)


async def test_the_result_comes_while_the_client_stays(executor):
    cancelled = []
    future = executor.submit(lambda: 5)
    assert await until_disconnect(request_with(never), future, lambda: cancelled.append(1)) == 5
    assert cancelled == []


async def test_the_work_is_cancelled_when_the_client_hangs_up(executor):
    stop = threading.Event()
    future = executor.submit(lambda: stop.wait(10))

    async def hang_up():
        return {"type": "http.disconnect"}

    with pytest.raises(Cancelled):
        await until_disconnect(request_with(hang_up), future, stop.set)
    assert await asyncio.to_thread(future.result, 10) is True


async def test_an_error_of_the_work_comes_through(executor):
    with pytest.raises(KeyError):
        await until_disconnect(request_with(never), executor.submit(lambda: {}["x"]), lambda: None)


def held_by(executor, caller=""):
    """(release, future) of a call that holds the only thread."""
    release, started = threading.Event(), threading.Event()
    future = executor.submit(lambda: started.set() or release.wait(10), caller)
    assert started.wait(10)
    return release, future


def test_one_caller_is_served_in_the_order_of_its_calls():
    executor = ModelExecutor(threads=1, queue=20)
    release, _ = held_by(executor)
    served = []
    futures = [executor.submit(lambda n=n: served.append(n)) for n in range(20)]
    release.set()
    for future in futures:
        future.result(10)
    executor.close()
    assert served == list(range(20))


def test_callers_take_turns_whoever_sent_more():
    executor = ModelExecutor(threads=1, queue=10)
    release, _ = held_by(executor, "holder")
    served = []
    futures = [executor.submit(lambda n=n: served.append(f"many{n}"), "many") for n in range(4)]
    futures += [executor.submit(lambda n=n: served.append(f"few{n}"), "few") for n in range(2)]
    release.set()
    for future in futures:
        future.result(10)
    executor.close()
    assert served == ["many0", "few0", "many1", "few1", "many2", "many3"]


def test_a_caller_that_fills_its_queue_locks_out_nobody_else():
    executor = ModelExecutor(threads=1, queue=1)
    release, _ = held_by(executor, "greedy")
    executor.submit(lambda: None, "greedy")
    with pytest.raises(Overloaded):
        executor.submit(lambda: None, "greedy")
    modest = executor.submit(lambda: "served", "modest")
    release.set()
    assert modest.result(10) == "served"
    executor.close()


def test_however_many_callers_there_are_the_queue_is_bounded():
    executor = ModelExecutor(threads=1, queue=1)
    release, first = held_by(executor, "0")
    waiting = [executor.submit(lambda: None, str(number)) for number in range(1, 8)]
    with pytest.raises(Overloaded):
        executor.submit(lambda: None, "8")
    assert waiting[3].cancel()
    assert executor.submit(lambda: "room again", "8") is not None
    release.set()
    assert first.result(10) is True
    executor.close()


def test_long_work_lets_the_others_have_their_turn_between_two_steps():
    executor = ModelExecutor(threads=1, queue=5)
    release, _ = held_by(executor)
    served = []

    def long():
        for number in range(3):
            served.append(f"step{number}")
            yield
        return "whole"

    work = executor.submit_steps(long())
    short = executor.submit(lambda: served.append("short"))
    release.set()
    assert work.result(10) == "whole"
    assert short.result(10) is None
    executor.close()
    assert served == ["step0", "short", "step1", "step2"]


def test_a_step_that_fails_ends_the_work_and_frees_the_place(executor):
    def failing():
        yield
        raise KeyError("x")

    with pytest.raises(KeyError):
        executor.submit_steps(failing()).result(10)
    assert executor.submit(lambda: 7).result(10) == 7
    assert executor.depth == 0


def test_closing_between_two_steps_fails_the_work_and_runs_its_cleanup():
    executor = ModelExecutor(threads=1, queue=5)
    begun, go_on, cleaned = threading.Event(), threading.Event(), threading.Event()

    def long():
        try:
            begun.set()
            go_on.wait(10)
            yield
            raise AssertionError("a step ran after closing")
        finally:
            cleaned.set()

    work = executor.submit_steps(long())
    assert begun.wait(10)
    waiting = executor.submit(lambda: None)
    closing = threading.Thread(target=executor.close)
    closing.start()
    with contextlib.suppress(Overloaded):
        while True:  # until the executor takes nothing more: `close` has begun
            executor.submit(lambda: None).cancel()
    go_on.set()
    closing.join(10)
    with pytest.raises(Overloaded, match="shutting down"):
        work.result(0)
    assert waiting.cancelled()
    assert cleaned.is_set()
    assert executor.depth == 0
