"""Which tokens may be drawn, and how likely each is: temperature, then top-k, top-p and min-p, many rows at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from app.transformer.decoding.params import SamplingParams

_FIRST_WIDTH = 64
_WIDEN = 8
_BLOCK = 128  # most vocabularies are padded to a multiple of it


@dataclass(frozen=True, slots=True)
class Candidates:
    """Scaled logits `[r, k]` of the tokens still in play, −inf where one was removed.

    `token_ids` `[r, k]` names them, most probable first, ties by id; None: column i is token i.
    """

    logits: Tensor
    token_ids: Tensor | None

    def draw(self, uniforms: Sequence[float]) -> Tensor:
        """Return one token id a row `[r]`: the inverse of the cumulative distribution at `uniforms[i]` in [0, 1).

        One number a token, not noise of the vocabulary's size, so that a row's draws depend on its own seed alone.
        """
        weights = (self.logits - self.logits.amax(dim=1, keepdim=True)).exp_()
        goals = torch.tensor(uniforms, dtype=torch.float64, device=weights.device).unsqueeze(1)
        if weights.shape[1] <= _BLOCK:
            columns = _inverse(weights, goals)[0]
        else:
            # First the block of columns, then the column: a running sum over the whole vocabulary costs ten times more.
            missing = -weights.shape[1] % _BLOCK
            blocks = (pad(weights, (0, missing)) if missing else weights).view(len(weights), -1, _BLOCK)
            block, goals = _inverse(blocks.sum(dim=2), goals)
            inside = blocks.gather(1, block.unsqueeze(2).expand(-1, -1, _BLOCK)).squeeze(1)
            columns = block * _BLOCK + _inverse(inside, goals)[0]
        return columns.squeeze(1) if self.token_ids is None else self.token_ids.gather(1, columns).squeeze(1)

    def logprobs(self, vocab_size: int) -> Tensor:
        """Return the log-probabilities `[r, vocab_size]` of the distribution that `draw` draws from."""
        logprobs = torch.log_softmax(self.logits, dim=1)
        if self.token_ids is None:
            return logprobs
        full = torch.full((logprobs.shape[0], vocab_size), -math.inf, dtype=logprobs.dtype, device=logprobs.device)
        return full.scatter_(1, self.token_ids, logprobs)


def _inverse(weights: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Return `(columns, rest)` `[r, 1]`: where the running sum of `weights` `[r, k]` passes `uniforms` of its total.

    `rest` in [0, 1) is how far into that column's own weight.
    """
    # In float32 the running sum of many small weights would lose the last ones' share.
    cumulative = weights.cumsum(dim=1, dtype=torch.float64)
    totals = cumulative[:, -1:]
    # A product rounded up to the total would fall past the last token in play.
    goals = torch.minimum(uniforms * totals, torch.nextafter(totals, torch.zeros_like(totals)))
    columns = torch.searchsorted(cumulative, goals, right=True)
    own = weights.gather(1, columns).double()
    rest = (goals - (cumulative.gather(1, columns) - own)) / own
    return columns, rest.clamp_(0.0, 1.0 - 2.0**-53)


def unfiltered(params: SamplingParams) -> bool:
    """Return whether every token stays in play, or min-p alone decides: no sorting is needed then."""
    return params.top_k == 0 and params.top_p == 1.0


def candidates(logits: Tensor, params: Sequence[SamplingParams]) -> Candidates:
    """Return what may be drawn from `logits` float32 `[r, vocab_size]`, by each row's own parameters.

    All rows must agree on `unfiltered`. A row's result does not depend on the rows beside it. As in `transformers`,
    top-p counts the probability left by top-k, and tokens as likely as the last of top-k stay.
    """
    temperatures = [each.temperature or 1.0 for each in params]
    scaled = logits if set(temperatures) == {1.0} else logits / _column(temperatures, logits)
    if unfiltered(params[0]):
        return Candidates(_at_least_min_p(scaled, scaled.amax(dim=1, keepdim=True), params), None)
    vocab_size = scaled.shape[1]
    totals = torch.logsumexp(scaled, dim=1, keepdim=True)
    top_k = torch.tensor([each.top_k for each in params], device=logits.device).unsqueeze(1)
    top_p = _column([each.top_p for each in params], logits)
    width = max(_FIRST_WIDTH, int(top_k.max()) + 16)
    while True:
        width = min(width, vocab_size)
        values, ids = _sorted_top(scaled, width)
        kept = _kept(values, totals, top_k, top_p)
        # Settled: all tokens as likely as the last kept one are in sight, so that ties can't depend on the width.
        last = values.gather(1, kept.sum(dim=1, keepdim=True) - 1)
        if width == vocab_size or bool((last > values[:, -1:]).all()):
            break
        width *= _WIDEN
    values = values.masked_fill(~kept, -math.inf)
    return Candidates(_at_least_min_p(values, values[:, :1], params), ids)


def _kept(values: Tensor, totals: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Return bool `[r, k]`, True = stays, for `values` in descending order; `totals` are logsumexps of whole rows."""
    width = values.shape[1]
    last_of_k = values.gather(1, (top_k - 1).clamp(0, width - 1))
    kept = (top_k == 0) | (values >= last_of_k)
    weights = torch.exp(values - values[:, :1]).masked_fill(~kept, 0.0)
    cumulative = weights.cumsum(dim=1, dtype=torch.float64)
    total = torch.where(top_k == 0, torch.exp((totals - values[:, :1]).double()), cumulative[:, -1:])
    # A token stays while the tokens before it fall short of top_p; the first one always does.
    kept &= (top_p >= 1.0) | (cumulative - weights < top_p * total)
    kept[:, 0] = True
    return kept


def _sorted_top(scaled: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the `width` largest of each row, descending; equal ones by id, as `topk` promises no order among them."""
    ids = scaled.topk(width, dim=1, sorted=False).indices.sort(dim=1).values
    values, order = scaled.gather(1, ids).sort(dim=1, descending=True, stable=True)
    return values, ids.gather(1, order)


def _at_least_min_p(values: Tensor, best: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    if not any(each.min_p for each in params):
        return values
    gaps = _column([math.log(each.min_p) if each.min_p else -math.inf for each in params], values)
    return values.masked_fill(values < best + gaps, -math.inf)


def _column(numbers: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(numbers, dtype=like.dtype, device=like.device).unsqueeze(1)
