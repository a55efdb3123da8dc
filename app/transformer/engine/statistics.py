"""What the engine tells about itself."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from app.transformer.engine.requests import EndReason

_RATE_OVER_S = 10.0


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """A snapshot. Counters count from the engine's start.

    `memory_tokens` can be used by requests, `prefix_tokens` remember prefixes; `cached_prompt_tokens` of all
    `prompt_tokens` were not recomputed, and
    neither were `reused_passage_tokens`; `tokens_per_s` are tokens generated, over the last ten seconds.
    """

    healthy: bool
    failure: str | None
    waiting: int
    running: int
    memory_tokens: int
    memory_tokens_used: int
    prefix_tokens: int
    prefix_tokens_used: int
    requests: int
    finished: int
    cancelled: int
    failed: int
    refused: int
    prompt_tokens: int
    cached_prompt_tokens: int
    reused_passage_tokens: int
    generated_tokens: int
    passes: int
    tokens_per_s: float


class Counters:
    """What the engine counts. Written by its thread alone, but `requests` and `refused`, which its lock guards."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.requests = self.finished = self.cancelled = self.failed = self.refused = 0
        self.prompt_tokens = self.cached_prompt_tokens = self.generated_tokens = self.passes = 0
        self.reused_passage_tokens = 0
        self._clock = clock
        self._lock = Lock()
        self._recent: deque[tuple[float, int]] = deque()

    def ended(self, reason: EndReason) -> None:
        """Count a request that is over."""
        if reason == "cancelled":
            self.cancelled += 1
        elif reason == "error":
            self.failed += 1
        else:
            self.finished += 1

    def generated(self, tokens: int) -> None:
        """Count tokens generated just now."""
        self.generated_tokens += tokens
        now = self._clock()
        with self._lock:
            self._recent.append((now, tokens))
            while self._recent[0][0] < now - _RATE_OVER_S:
                self._recent.popleft()

    def tokens_per_s(self) -> float:
        """Return the rate over the last ten seconds, or since the first token when that is nearer."""
        now = self._clock()
        with self._lock:
            recent = [(at, tokens) for at, tokens in self._recent if at >= now - _RATE_OVER_S]
        if not recent:
            return 0.0
        return sum(tokens for _, tokens in recent) / max(now - recent[0][0], 0.1)
