"""Who waits, who runs, and whose tokens the next forward pass holds. Knows no tensors and no threads."""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from app.transformer.decoding.sequence import GeneratedSequence
from app.transformer.engine.memory import Extent
from app.transformer.engine.requests import Request


@dataclass(slots=True, eq=False)
class Running:
    """An admitted request: the first `computed` tokens of `sequence.history` have keys and values in `extent`.

    Those at positions `reused` came with known passages and never go through the model. Only
    the first `shareable_tokens` may serve others as a prefix: what follows a reused passage is not exact.
    """

    request: Request
    sequence: GeneratedSequence
    extent: Extent
    computed: int = 0
    remembered: int = 0  # tokens that the prefix tree was offered
    preparing: Iterator[None] | None = None
    reused: frozenset[int] = frozenset()
    shareable_tokens: int = sys.maxsize
    settled: int = 0  # the length whose rotary angles its keys have, where those depend on it

    @property
    def pending(self) -> int:
        """How many tokens have yet to go through the model: 1 while decoding."""
        left = len(self.sequence.history) - self.computed
        return left - sum(place >= self.computed for place in self.reused) if self._blending else left

    def next_positions(self, count: int) -> Sequence[int]:
        """Return the positions of the next `count` pending tokens: a `range` where they follow one another."""
        if not self._blending:
            return range(self.computed, self.computed + count)
        left = (place for place in range(self.computed, len(self.sequence.history)) if place not in self.reused)
        places = tuple(islice(left, count))
        together = places[-1] - places[0] == count - 1
        return range(places[0], places[-1] + 1) if together else places

    @property
    def _blending(self) -> bool:
        return bool(self.reused) and self.computed < self.request.prompt_tokens


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A request in the queue, with the tokens that it needs room for."""

    request: Request
    sequence: GeneratedSequence
    tokens: int


class WaitingQueue:
    """Requests that don't fit yet, first come, first served in each namespace, the namespaces in turns.

    One namespace that floods the queue thus delays its own requests. Nobody overtakes a request because he is smaller:
    the largest one would wait for ever.
    """

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[Waiting]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, waiting: Waiting) -> None:
        """Put it at the end of its namespace's line."""
        self._lines.setdefault(waiting.request.namespace, deque()).append(waiting)
        self._length += 1

    def first(self) -> Waiting | None:
        """Return who is next; None when nobody waits."""
        return next(iter(self._lines.values()))[0] if self._lines else None

    def pop(self) -> Waiting:
        """Take who is next; the next namespace follows."""
        namespace, line = next(iter(self._lines.items()))
        waiting = line.popleft()
        self._length -= 1
        del self._lines[namespace]
        if line:
            self._lines[namespace] = line
        return waiting

    def max_tokens(self) -> int:
        """Return the most tokens that all who wait may yet generate."""
        return sum(waiting.sequence.params.max_tokens for line in self._lines.values() for waiting in line)

    def remove(self, unwanted: Callable[[Waiting], bool]) -> list[Waiting]:
        """Take out and return everyone that is `unwanted`."""
        removed = []
        for namespace, line in list(self._lines.items()):
            removed += [waiting for waiting in line if unwanted(waiting)]
            kept = deque(waiting for waiting in line if not unwanted(waiting))
            if kept:
                self._lines[namespace] = kept
            else:
                del self._lines[namespace]
        self._length -= len(removed)
        return removed


def plan(running: list[Running], *, chunk_tokens: int, alone_chunk_tokens: int) -> list[tuple[Running, int]]:
    """Return who is in the next forward pass, and with how many tokens.

    Everyone who decodes gets one token. Prompts get the rest in turns: the first of them a whole chunk, the next
    whatever of the chunk is left, and so on; who got something goes to the end of `running`, so that a short
    prompt behind a long one waits for one chunk, not for all of it. While somebody decodes, a pass takes at most
    `chunk_tokens` of prompts, so that his next token is not late; otherwise `alone_chunk_tokens`.
    """
    pending = [(each, each.pending) for each in running if each.preparing is None]
    steps = [(each, 1) for each, tokens in pending if tokens == 1]
    left = chunk_tokens if steps else alone_chunk_tokens
    for each, tokens in pending:
        if tokens == 1:
            continue
        if left < 1:
            break
        count = min(tokens, left)
        steps.append((each, count))
        left -= count
        running.remove(each)
        running.append(each)
    return steps
