"""What a caller holds while the engine works for it: a stream of steps that ends with a reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event
from typing import Literal

from app.errors import AttestError
from app.transformer.decoding.params import SamplingParams
from app.transformer.decoding.sequence import Generation, Step

EndReason = Literal["stop", "length", "cancelled", "error"]


@dataclass(frozen=True, slots=True)
class End:
    """A request is over; `error` says why it failed, and is a `Cancelled` after `cancel()`."""

    reason: EndReason
    error: AttestError | None = None


class Request:
    """A submitted prompt. Iterating gives its `Step`s as they come, to one reader; every method may be called from any
    thread.

    From an event loop, don't iterate: give `Engine.submit` an `on_event` that hands over with
    `loop.call_soon_threadsafe(queue.put_nowait, event)`, and await the queue until an `End` comes.
    """

    def __init__(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        namespace: str,
        passages: tuple[tuple[int, int], ...],
        on_event: Callable[[Step | End], None] | None,
        wake: Callable[[], None],
    ) -> None:
        self.prompt_ids = tuple(prompt_ids)
        self.params = params
        self.namespace = namespace
        self.passages = passages
        self.cached_tokens = 0
        self.submitted_at = time.monotonic()
        self.first_token_at: float | None = None
        self.end: End | None = None
        self._on_event = on_event
        self._wake = wake
        self._events: SimpleQueue[Step | End] = SimpleQueue()
        self._generation: Generation | None = None
        self._cancelled = False
        self._over = Event()

    @property
    def prompt_tokens(self) -> int:
        """Length of the prompt."""
        return len(self.prompt_ids)

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """Ask for the end: the memory is free after the engine's present step. Nothing happens to an ended request."""
        self._cancelled = True
        self._wake()

    def __iter__(self) -> Iterator[Step]:
        """Yield the steps as they come, once.

        Raises:
            AttestError: why the request failed; `Cancelled` after `cancel()`.
        """
        while True:
            event = self._events.get()
            if isinstance(event, End):
                self._events.put(event)  # a second iteration ends as well
                if event.error is not None:
                    raise event.error
                return
            yield event

    def next_event(self, timeout_s: float | None = None) -> Step | End | None:
        """Return the next step or the end, or None when `timeout_s` seconds pass without any."""
        try:
            event = self._events.get(timeout=timeout_s)
        except Empty:
            return None
        if isinstance(event, End):
            self._events.put(event)
        return event

    def result(self, timeout_s: float | None = None) -> Generation:
        """Wait for the end and return everything; what a cancelled request had, if it had begun.

        Raises:
            TimeoutError: `timeout_s` seconds passed; the request goes on.
            AttestError: why it failed; `Cancelled` when it was cancelled while it waited.
        """
        if not self._over.wait(timeout_s):
            raise TimeoutError(f"the request has not ended within timeout_s={timeout_s}; cancel() it or wait longer")
        assert self.end is not None
        if self._generation is None:
            assert self.end.error is not None
            raise self.end.error
        return self._generation

    def give(self, step: Step) -> None:
        """Hand out a step; the engine's thread calls this."""
        if self.first_token_at is None:
            self.first_token_at = time.monotonic()
        if self._on_event is None:
            self._events.put(step)
        else:
            self._on_event(step)

    def finish(self, reason: EndReason, error: AttestError | None = None, *, result: Generation | None = None) -> None:
        """End the request, once; the engine's thread calls this."""
        if self.end is not None:
            return
        self.end, self._generation = End(reason, error), result
        self._events.put(self.end)
        self._over.set()
        if self._on_event is not None:
            self._on_event(self.end)
