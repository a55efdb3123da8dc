"""A circuit breaker: a server that keeps failing is left alone for a while, then tried with one request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

from app.errors import Unavailable


class CircuitBreaker:
    """Closed (calls pass) → open after `failures` in a row → half-open after `open_s`: one probe decides.

    Safe to share between threads. Every `enter` that returns must be followed by one of `succeeded`, `failed` and
    `abandoned`.

    Args:
        failures: in a row after which it opens.
        open_s: seconds that it stays open.
        clock: seconds, never going backwards.

    Source: Nygard, Release It!, 2nd edition 2018, chapter 5.
    """

    def __init__(self, failures: int, open_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_s: float | None = None
        self._probing = False

    @property
    def state(self) -> Literal["closed", "open", "half_open"]:
        with self._lock:
            if self._opened_s is None:
                return "closed"
            return "half_open" if self._clock() - self._opened_s >= self._open_s else "open"

    def enter(self) -> None:
        """Asks to call. Raises `Unavailable` while the circuit is open, and beside a probe that is under way."""
        with self._lock:
            if self._opened_s is None:
                return
            left_s = self._open_s - (self._clock() - self._opened_s)
            if left_s > 0:
                raise Unavailable(
                    f"the model server failed {self._failures} times in a row and is left alone for {left_s:.0f} s more"
                )
            if self._probing:
                raise Unavailable("the model server failed lately and is being tried again: ask in a moment")
            self._probing = True

    def succeeded(self) -> None:
        with self._lock:
            self._failures = 0
            self._opened_s = None
            self._probing = False

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            self._probing = False
            if self._opened_s is not None or self._failures >= self._limit:
                self._opened_s = self._clock()

    def abandoned(self) -> None:
        """The call ended without telling anything of the server: the caller went away, or asked for nonsense."""
        with self._lock:
            self._probing = False
