import asyncio
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
