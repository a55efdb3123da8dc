"""A model whose logits are a function of the history: everything about decoding can be computed by hand with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

LogitsOf = Callable[[Sequence[int]], Sequence[float]]


class ScriptedSteps:
    """A `StepModel` that answers `logits_of(history)` for each row and notes how many rows each step had."""

    def __init__(self, prompts: Sequence[Sequence[int]], logits_of: LogitsOf, room_tokens: int = 1000) -> None:
        self.prompts = [list(prompt) for prompt in prompts]
        self.sources = self.prompts
        self.room_tokens = [room_tokens] * len(prompts)
        self.histories = [list(prompt) for prompt in prompts]
        self.rows_of_step: list[int] = []
        self._logits_of = logits_of

    def start(self) -> Tensor:
        self.rows_of_step.append(len(self.histories))
        return torch.tensor([list(self._logits_of(history)) for history in self.histories])

    def step(self, token_ids: Tensor) -> Tensor:
        self.histories = [[*history, token] for history, token in zip(self.histories, token_ids.tolist(), strict=True)]
        return self.start()

    def reorder(self, rows: Sequence[int]) -> None:
        self.histories = [list(self.histories[row]) for row in rows]


def random_logits(vocab_size: int, spread: float = 2.0) -> LogitsOf:
    """Return a function that draws the logits of a history from its content alone."""

    def logits_of(history: Sequence[int]) -> list[float]:
        seed = hash(tuple(history)) & 0xFFFFFFFF
        logits: list[float] = (torch.randn(vocab_size, generator=torch.Generator().manual_seed(seed)) * spread).tolist()
        return logits

    return logits_of
