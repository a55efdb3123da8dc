"""Logits changed by what was generated before: the repetition, presence and frequency penalties."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from app.transformer.decoding.params import SamplingParams


class SeenTokens:
    """The tokens of one growing sequence, counted once each: a step costs its new tokens, not the whole sequence.

    The first history that it sees is the prompt; later ones must begin with the former.
    """

    def __init__(self) -> None:
        self._read = 0
        self._prompt_tokens: int | None = None
        self._seen: dict[int, None] = {}
        self._generated: dict[int, int] = {}

    def update(self, history: Sequence[int]) -> None:
        """Count the tokens that `history` has gained since the last call."""
        if self._prompt_tokens is None:
            self._prompt_tokens = len(history)
        for place in range(self._read, len(history)):
            token = history[place]
            self._seen[token] = None
            if place >= self._prompt_tokens:
                self._generated[token] = self._generated.get(token, 0) + 1
        self._read = len(history)

    def penalize(self, logits: Tensor, params: SamplingParams) -> None:
        """Change `logits` `[vocab_size]` in place.

        The repetition penalty divides positive logits and multiplies negative ones, over prompt and generated tokens;
        the others are subtracted, over generated tokens alone.
        """
        vocab_size = logits.shape[0]
        if params.repetition_penalty != 1.0:
            ids = self._index((token for token in self._seen if token < vocab_size), logits)
            values = logits[ids]
            logits[ids] = torch.where(
                values < 0, values * params.repetition_penalty, values / params.repetition_penalty
            )
        if self._generated and (params.presence_penalty or params.frequency_penalty):
            ids = self._index(self._generated, logits)
            counts = torch.tensor(list(self._generated.values()), dtype=logits.dtype, device=logits.device)
            logits[ids] -= params.presence_penalty + params.frequency_penalty * counts

    @staticmethod
    def _index(tokens: object, logits: Tensor) -> Tensor:
        return torch.tensor(list(tokens), dtype=torch.int64, device=logits.device)  # type: ignore[call-overload]
