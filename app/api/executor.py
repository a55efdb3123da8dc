"""The bounded executor for model work, and how a request waits for it without outliving its client."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import structlog
from starlette.requests import Request

from app.errors import Cancelled, Overloaded

T = TypeVar("T")


class ModelExecutor:
    """`threads` calls run at once and `queue` more may wait; one past that is refused at once, never piled up."""

    def __init__(self, threads: int, queue: int, on_depth: Callable[[int], None] | None = None) -> None:
        self._threads = threads
        self._capacity = threads + queue
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="attest-model")
        self._lock = threading.Lock()
        self._depth = 0
        self._mean_s = 0.5  # exponentially weighted mean of a call's duration
        self._on_depth = on_depth

    @property
    def depth(self) -> int:
        """Calls that wait or run."""
        return self._depth

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """The future of `call()` on a worker thread; cancelling it before it starts frees its place.

        Raises:
            Overloaded: threads and queue are full; `retry_after_s` estimates when the queue has drained.
        """
        with self._lock:
            if self._depth >= self._capacity:
                wait_s = self._mean_s * self._depth / self._threads
                raise Overloaded(
                    f"{self._depth} requests already wait for the models: come back later, or raise "
                    "ATTEST_SERVER__MODEL_QUEUE",
                    retry_after_s=min(60, max(1, math.ceil(wait_s))),
                )
            self._depth += 1
            self._tell()

        def timed() -> T:
            started_s = time.perf_counter()
            try:
                return call()
            finally:
                elapsed_s = time.perf_counter() - started_s
                with self._lock:
                    self._mean_s += 0.2 * (elapsed_s - self._mean_s)

        try:
            future = self._pool.submit(timed)
        except RuntimeError:
            self._leave()
            raise Overloaded("the server is shutting down: try again in a moment") from None
        future.add_done_callback(lambda _: self._leave())
        return future

    def close(self) -> None:
        """Waits for the calls that run and drops those that wait."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _leave(self) -> None:
        with self._lock:
            self._depth -= 1
            self._tell()

    def _tell(self) -> None:
        if self._on_depth is not None:
            self._on_depth(self._depth)


async def until_disconnect(request: Request, future: Future[T], cancel: Callable[[], None]) -> T:
    """The future's result; when the client hangs up first, calls `cancel` and raises `Cancelled`.

    The request's body must have been read: what arrives after it can only be the disconnection.
    """
    work = asyncio.wrap_future(future)
    gone = asyncio.ensure_future(_disconnected(request))
    both: list[asyncio.Future[Any]] = [work, gone]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        structlog.get_logger("api").info("client_gone", path=request.url.path)
        raise Cancelled("the client closed the connection")
    finally:
        if not work.done():
            cancel()
            future.cancel()
            work.add_done_callback(_swallow)
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _swallow(task: asyncio.Future[T]) -> None:
    """Takes the outcome of abandoned work, so that asyncio does not report it as never retrieved."""
    if not task.cancelled():
        task.exception()
