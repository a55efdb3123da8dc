"""The bounded executor for model work, and how a request waits for it without outliving its client."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from starlette.requests import Request
from starlette.types import Scope

from app.errors import Cancelled, Overloaded

T = TypeVar("T")
_CALLERS = 4
"""As many callers may fill their own queue before the server refuses everybody: memory stays bounded."""


@dataclass(slots=True, eq=False)
class _Job:
    """One call, in steps; `begun` once a thread has taken its first."""

    steps: Generator[None, None, Any]
    future: Future[Any]
    caller: str
    begun: bool = False
    elapsed_s: float = 0.0


class ModelExecutor:
    """`threads` calls run at once and `queue` more of one caller may wait; past that they are refused, never piled up.

    Fair in two ways. Callers take turns, each in the order of its own calls: one that sends many does not make the
    others wait for all of them. And long work comes in steps, each of which goes to the back of its caller's line.
    """

    def __init__(self, threads: int, queue: int, on_depth: Callable[[int], None] | None = None) -> None:
        self._threads = threads
        self._capacity = threads + queue
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="attest-model")
        self._lock = threading.Lock()
        self._lines: OrderedDict[str, deque[_Job]] = OrderedDict()  # the first caller's turn is next; none is empty
        self._held: dict[str, int] = {}  # places of each caller, waiting or running; none is 0
        self._depth = 0
        self._mean_s = 0.5  # exponentially weighted mean of a call's duration
        self._on_depth = on_depth

    @property
    def depth(self) -> int:
        """Calls that wait or run."""
        return self._depth

    def submit(self, call: Callable[[], T], caller: str = "") -> Future[T]:
        """The future of `call()` on a worker thread; cancelling it before it starts frees its place.

        Raises:
            Overloaded: the caller's places are taken, or everybody's; `retry_after_s` estimates when the queue has
                drained.
        """
        return self.submit_steps(_one_step(call), caller)

    def submit_steps(self, steps: Generator[None, None, T], caller: str = "") -> Future[T]:
        """As `submit`, of a generator: after each `yield` others have their turn. The future holds what it returns."""
        job = _Job(steps, Future(), caller)
        with self._lock:
            held = self._held.get(caller, 0)
            if held >= self._capacity or self._depth >= _CALLERS * self._capacity:
                wait_s = self._mean_s * self._depth / self._threads
                raise Overloaded(
                    f"{self._depth} requests already wait for the models: come back later, or raise "
                    "ATTEST_SERVER__MODEL_QUEUE",
                    retry_after_s=min(60, max(1, math.ceil(wait_s))),
                )
            self._held[caller] = held + 1
            self._depth += 1
            self._lines.setdefault(caller, deque()).append(job)
            self._tell()
        job.future.add_done_callback(lambda _: self._leave(job))
        if not self._wake():
            job.future.cancel()
            raise Overloaded("the server is shutting down: try again in a moment")
        return job.future

    def close(self) -> None:
        """Waits for the calls that run and drops those that wait."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            waiting = [job for line in self._lines.values() for job in line]
        for job in waiting:
            self._drop(job)

    def _wake(self) -> bool:
        """Has a thread run the next step of whoever's turn it is; False once the pool is closed."""
        try:
            self._pool.submit(self._run_next)
        except RuntimeError:
            return False
        return True

    def _run_next(self) -> None:
        job = self._next()
        if job is None:  # it was cancelled while it waited
            return
        if not job.begun and not job.future.set_running_or_notify_cancel():
            return
        job.begun = True
        started_s = time.perf_counter()
        try:
            next(job.steps)
        except StopIteration as end:
            self._finished(job, started_s)
            job.future.set_result(end.value)
        except BaseException as error:  # noqa: BLE001 - the call's boundary: whatever it raised is its future's
            self._finished(job, started_s)
            job.future.set_exception(error)
        else:
            job.elapsed_s += time.perf_counter() - started_s
            with self._lock:
                self._lines.setdefault(job.caller, deque()).append(job)
            if not self._wake():
                self._drop(job)
        finally:
            del job  # an error's traceback holds this frame: with the name it would hold itself

    def _next(self) -> _Job | None:
        with self._lock:
            if not self._lines:
                return None
            caller, line = next(iter(self._lines.items()))
            job = line.popleft()
            if line:
                self._lines.move_to_end(caller)
            else:
                del self._lines[caller]
            return job

    def _finished(self, job: _Job, started_s: float) -> None:
        job.elapsed_s += time.perf_counter() - started_s
        with self._lock:
            self._mean_s += 0.2 * (job.elapsed_s - self._mean_s)

    def _drop(self, job: _Job) -> None:
        """Ends a job that no thread will take up again."""
        if not job.future.cancel() and not job.future.done():
            job.future.set_exception(Overloaded("the server is shutting down: try again in a moment"))

    def _leave(self, job: _Job) -> None:
        job.steps.close()
        with self._lock:
            line = self._lines.get(job.caller)
            if line is not None and job in line:
                line.remove(job)
                if not line:
                    del self._lines[job.caller]
            self._held[job.caller] -= 1
            if not self._held[job.caller]:
                del self._held[job.caller]
            self._depth -= 1
            self._tell()

    def _tell(self) -> None:
        if self._on_depth is not None:
            self._on_depth(self._depth)


def line_of(scope: Scope) -> str:
    """In whose line the request waits: its key's, or its machine's where there are no keys. The gate wrote it down."""
    return str(scope.get("state", {}).get("line", ""))


def _one_step(call: Callable[[], T]) -> Generator[None, None, T]:
    yield from ()  # what makes this a generator
    return call()


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
