"""What decoding asks of a model: logits of the first new token, then of one more token a row, and rows that move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from app.errors import InvalidInput
from app.transformer.causal_lm import CausalLM


class StepModel(Protocol):
    """A batch of rows being decoded, each with its own past. Greedy, sampled and beam decoding run over this alone.

    A decoder-only model starts from prompts (`CausalSteps`); an encoder–decoder encodes its sources when it is built
    or in `start`, and its `prompts` are the decoder's start tokens.
    """

    @property
    def prompts(self) -> Sequence[Sequence[int]]:
        """The ids each row starts from: what the repetition penalty counts besides the new tokens."""
        ...

    @property
    def sources(self) -> Sequence[Sequence[int]]:
        """The ids that each row answers to: an encoder's input, and the prompt itself where there is no encoder."""
        ...

    @property
    def room_tokens(self) -> Sequence[int]:
        """How many tokens each row can be given at most, before its positions or its memory end."""
        ...

    def start(self) -> Tensor:
        """Return the logits float32 `[rows, vocab_size]` of each row's first new token. Called once."""
        ...

    def step(self, token_ids: Tensor) -> Tensor:
        """Return the logits float32 `[rows, vocab_size]` after one more token a row, `token_ids` int64 `[rows]`."""
        ...

    def reorder(self, rows: Sequence[int]) -> None:
        """Keep the rows `rows`, in that order: fewer when some have ended, repeated where beams fork."""
        ...


class CausalSteps:
    """A `CausalLM` and a `SequenceStore` as a `StepModel`; the prompts may have different lengths.

    Args:
        model: in evaluation mode.
        prompts: token ids, at least one each.
        max_tokens: most new tokens of any row; the store is as large as that needs, or as the model's context.
        prefill_chunk_tokens: most prompt tokens in one forward pass, which bounds the memory that prompts take.

    Raises:
        InvalidInput: no prompt, an empty one, an id outside the vocabulary, or a prompt that leaves no room in the
            model's context.
    """

    def __init__(
        self, model: CausalLM, prompts: Sequence[Sequence[int]], *, max_tokens: int, prefill_chunk_tokens: int = 2048
    ) -> None:
        if not prompts or not all(len(prompt) for prompt in prompts):
            raise InvalidInput("prompts must be one or more lists of at least one token id each")
        context, vocab_size = model.config.context_tokens, model.config.vocab_size
        for token in (token for prompt in prompts for token in prompt):
            if not 0 <= token < vocab_size:
                raise InvalidInput(f"token id {token} is outside the model's {vocab_size} entries: check the tokenizer")
        longest = max(len(prompt) for prompt in prompts)
        if longest >= context:
            raise InvalidInput(
                f"a prompt of {longest} tokens leaves no room in the model's context of {context} tokens: shorten it"
            )
        self._model = model
        self._prompts = [list(prompt) for prompt in prompts]
        self._store = model.new_store(batch=len(prompts), capacity=min(longest + max_tokens, context))
        self._chunk = max(1, prefill_chunk_tokens)
        # What each row has read, where keys depend on the length of the text and a row may have to be read again.
        self._histories = [list(prompt) for prompt in prompts] if model.by_length else []

    @property
    def prompts(self) -> Sequence[Sequence[int]]:
        return self._prompts

    @property
    def sources(self) -> Sequence[Sequence[int]]:
        return self._prompts

    @property
    def room_tokens(self) -> Sequence[int]:
        return [self._model.config.context_tokens - len(prompt) for prompt in self._prompts]

    def start(self) -> Tensor:
        self._store.settled = [len(prompt) for prompt in self._prompts]
        return self._model.logits(self._read(self._prompts))

    def _read(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Return the states `[rows, embed_dim]` behind `rows`, one to be added to each sequence of the store."""
        last: dict[int, Tensor] = {}
        read = [0] * len(rows)
        while len(last) < len(rows):
            counts, budget = [0] * len(rows), self._chunk
            for row, prompt in enumerate(rows):
                counts[row] = min(len(prompt) - read[row], budget)
                budget -= counts[row]
            parts = [prompt[start : start + count] for prompt, start, count in zip(rows, read, counts, strict=True)]
            hidden = self._forward(torch.tensor([token for part in parts for token in part]), counts)
            end = 0
            for row, count in enumerate(counts):
                read[row], end = read[row] + count, end + count
                if count and read[row] == len(rows[row]):
                    last[row] = hidden[end - 1]
        return torch.stack([last[row] for row in range(len(rows))])

    def step(self, token_ids: Tensor) -> Tensor:
        if not self._model.by_length:
            return self._model.logits(self._forward(token_ids, [1] * len(token_ids)))
        pending: list[Sequence[int]] = []
        for row, (history, token) in enumerate(zip(self._histories, token_ids.tolist(), strict=True)):
            history.append(token)
            before = self._store.settled[row]
            self._store.settled[row] = self._model.settled_length(len(history), before)
            if self._store.settled[row] != before:
                self._store.truncate(row, 0)
            pending.append(history[self._store.lengths[row] :])
        return self._model.logits(self._read(pending))

    def reorder(self, rows: Sequence[int]) -> None:
        if list(rows) != list(range(len(self._store.lengths))):
            self._store.reorder(rows)
            self._histories = [list(self._histories[row]) for row in rows] if self._histories else []

    def _forward(self, token_ids: Tensor, counts: Sequence[int]) -> Tensor:
        positions = self._store.begin(counts)
        hidden: Tensor = self._model(token_ids.to(positions.device), positions, self._store)
        return hidden
