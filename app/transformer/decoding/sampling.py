"""The next token of one sequence, or of many at once."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from app.errors import AttestError, Unavailable
from app.transformer.decoding.bans import Bans
from app.transformer.decoding.candidates import candidates, unfiltered
from app.transformer.decoding.params import SamplingParams
from app.transformer.decoding.penalties import SeenTokens


class Constraint(Protocol):
    """A language that the tokens of one sequence spell."""

    @property
    def finished(self) -> bool:
        """Whether the text is complete and nothing can follow."""
        ...

    def mask(self) -> Tensor | None:
        """Return bool `[vocab_size]`, True = may come next; None when every token may."""
        ...

    def accept(self, token_id: int) -> None:
        """Advance by a token that the mask allowed."""
        ...


@dataclass(frozen=True, slots=True)
class Sampled:
    """A token, its natural log-probability, and the most probable tokens with theirs, best first."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class Sampler:
    """Chooses the tokens of one sequence; owns its random numbers, its penalties and its constraint.

    Args:
        params: of the request.
        eos_token_ids: the model's ending tokens, which `min_tokens` and `ignore_eos` hold back.
        constraint: of this sequence alone; it advances with every token chosen.
        source: what `encoder_no_repeat_ngram_size` looks at.
        prompt_tokens: length of the first history, which `min_length` counts.
    """

    def __init__(
        self,
        params: SamplingParams,
        *,
        eos_token_ids: Sequence[int] = (),
        constraint: Constraint | None = None,
        source: Sequence[int] = (),
        prompt_tokens: int = 0,
    ) -> None:
        self.params = params
        self.constraint = constraint
        # Python keeps the numbers of a seed the same over its versions; torch does not over its own.
        self._random = random.Random(params.seed)
        self._seen = SeenTokens() if params.penalized else None
        self._bans = Bans(params, eos_token_ids, source)
        self._prompt_tokens = prompt_tokens
        self._chosen = 0
        self._failure: AttestError | None = None

    def next(self, logits: Tensor, history: Sequence[int]) -> Sampled:
        """Return the next token by `logits` float32 `[vocab_size]`, which stay as they are.

        `history` is the prompt and what followed; the first call's is the prompt alone.

        Raises:
            Unavailable: the logits are not finite, or the constraint allows no token.
        """
        return sample_batch(logits.unsqueeze(0), [self], [history])[0]

    @property
    def edits(self) -> bool:
        """Whether the next call changes logits before it chooses."""
        banned = self._bans.active(self._chosen, self._prompt_tokens)
        return banned or self._seen is not None or self.constraint is not None

    def edit(self, logits: Tensor, history: Sequence[int]) -> None:
        """Apply penalties, constraint and bans to `logits` `[vocab_size]` in place.

        Raises:
            AttestError: the constraint could not take the token before this one.
            Unavailable: no token is left.
        """
        if self._failure is not None:
            raise self._failure
        if self._seen is not None:
            self._seen.update(history)
            self._seen.penalize(logits, self.params)
        mask = self.constraint.mask() if self.constraint is not None else None
        if mask is not None:
            if not bool(mask.any()):
                raise Unavailable(
                    f"after {self._chosen} tokens the grammar allows none of the tokenizer's tokens: choose a model "
                    "whose tokenizer can spell every byte"
                )
            logits.masked_fill_(~mask, -math.inf)
        self._bans.apply(logits, history, self._chosen)

    def uniform(self) -> float:
        """Return the next of the sequence's own random numbers, in [0, 1)."""
        return self._random.random()

    def accept(self, token_id: int) -> None:
        """Note that `token_id` was chosen. What the constraint makes of it is heard at the next call.

        The rows beside it have drawn already, and must not draw again because this one fails.
        """
        self._chosen += 1
        if self.constraint is not None:
            try:
                self.constraint.accept(token_id)
            except AttestError as error:
                self._failure = error


@torch.inference_mode()
def sample_batch(logits: Tensor, samplers: Sequence[Sampler], histories: Sequence[Sequence[int]]) -> list[Sampled]:
    """Return the next token of each row of `logits` float32 `[b, vocab_size]`; the same as row by row, but faster.

    When it raises, nothing has been drawn: the rows may be tried again, without the one at fault.

    Raises:
        AttestError: a constraint could not take the token before this one.
        Unavailable: the logits of a row are not finite, or its constraint allows no token.
    """
    totals = torch.logsumexp(logits, dim=1)
    if not all(map(math.isfinite, totals.tolist())):
        raise Unavailable("the model's logits are not finite: its weights are damaged, or their type is too narrow")
    edited = logits
    if any(sampler.edits for sampler in samplers):
        edited = logits.clone()
        for row, (sampler, history) in enumerate(zip(samplers, histories, strict=True)):
            if sampler.edits:
                sampler.edit(edited[row], history)
    chosen = [0] * len(samplers)
    greedy = [row for row, sampler in enumerate(samplers) if sampler.params.greedy]
    for row, token in zip(greedy, _rows(edited, greedy).argmax(dim=1).tolist(), strict=True):
        chosen[row] = token
    for sorts in (False, True):
        rows = [
            row
            for row, sampler in enumerate(samplers)
            if not sampler.params.greedy and unfiltered(sampler.params) is not sorts
        ]
        if rows:
            found = candidates(_rows(edited, rows), [samplers[row].params for row in rows])
            for row, token in zip(rows, found.draw([samplers[row].uniform() for row in rows]).tolist(), strict=True):
                chosen[row] = token
    index = torch.tensor(chosen, device=logits.device)
    logprobs = (logits.gather(1, index.unsqueeze(1)).squeeze(1) - totals).tolist()
    sampled: list[Sampled] = []
    for row, sampler in enumerate(samplers):
        sampler.accept(chosen[row])
        sampled.append(_report(sampler.params, chosen[row], logprobs[row], logits[row], totals[row], edited[row]))
    return sampled


def _report(
    params: SamplingParams, token_id: int, logprob: float, logits: Tensor, total: Tensor, edited: Tensor
) -> Sampled:
    if params.logprobs_of == "sampled":
        full = candidates(edited.unsqueeze(0), [params]).logprobs(logits.shape[0])[0]
        logprob = float(full[token_id])
    elif params.logprobs:
        full = logits
    if not params.logprobs:
        return Sampled(token_id, logprob)
    values, ids = full.topk(min(params.logprobs, logits.shape[0]))
    values = values if params.logprobs_of == "sampled" else values - total
    top = zip(ids.tolist(), values.tolist(), strict=True)
    return Sampled(token_id, logprob, tuple((token, value) for token, value in top if value > -math.inf))


def _rows(logits: Tensor, rows: list[int]) -> Tensor:
    return logits if len(rows) == logits.shape[0] else logits[rows]
