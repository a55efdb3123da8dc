"""Batches side by side, each on one core: no barrier inside a layer makes one core wait for another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


class Lanes:
    """As many threads as PyTorch would give one operation, each with one thread of PyTorch's to itself.

    Two lanes of one core beat one operation on two cores: less waiting at the end of each of a hundred operations,
    each core's cache holds its own batch, and a core that another process takes delays only its own batch.
    """

    def __init__(self) -> None:
        self.count = torch.get_num_threads()
        self._pool: ThreadPoolExecutor | None = None
        self._starting = threading.Lock()

    def each(self, action: Callable[[T], object], items: Iterable[T]) -> None:
        """Calls `action` with every item, in order of their start; the first error is raised once all have ended."""
        given = list(items)
        if self.count == 1 or len(given) < 2:
            for item in given:
                action(item)
            return
        futures = [self._started().submit(action, item) for item in given]
        errors = [error for future in futures if (error := future.exception()) is not None]
        if errors:
            raise errors[0]

    def alone(self, action: Callable[[], T]) -> T:
        """What `action` returns, run in a lane: a long row of small operations is no faster on two cores, and where
        other work wants the second one, each operation would wait for it."""
        return action() if self.count == 1 else self._started().submit(action).result()

    def _started(self) -> ThreadPoolExecutor:
        with self._starting:
            if self._pool is None:
                pool = ThreadPoolExecutor(self.count, thread_name_prefix="embedding-lane")
                together = threading.Barrier(self.count)  # so that every thread takes one of the calls
                calls = [pool.submit(_one_core, together) for _ in range(self.count)]
                for call in calls:
                    call.result()
                # OpenMP keeps the number for each thread, but PyTorch also for the threads that are yet to come.
                torch.set_num_threads(self.count)
                self._pool = pool
            return self._pool


def _one_core(together: threading.Barrier) -> None:
    torch.get_num_threads()  # a thread's first question takes over the number of the process: not after the next line
    torch.set_num_threads(1)
    together.wait()
