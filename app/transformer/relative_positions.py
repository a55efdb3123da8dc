"""Positions as a bias of the attention scores that depends on the distance only, in buckets: T5's way."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class RelativePositionBias(nn.Module):
    """Returns the trained bias of every (query, key) distance, `[1, num_heads, query_len, key_len]`.

    Half of the buckets hold one distance each, the rest grow logarithmically up to `max_distance`; what is farther
    shares the last one. Bidirectional: one half of the buckets for earlier keys, one for later ones. Otherwise later
    keys get the lowest number there is, so that the bias is the causal mask too.

    Args:
        num_buckets: rows of the table; even where bidirectional.
        max_distance: tokens from which on distances are not told apart.
        num_heads: columns of the table.
        bidirectional: encoder, not decoder.

    Raises:
        ValueError: `num_buckets` is odd in both directions, or leaves no room between exact and logarithmic buckets.

    Source: Raffel et al. 2020, section 2.1.
    """

    def __init__(self, num_buckets: int, max_distance: int, num_heads: int, *, bidirectional: bool) -> None:
        super().__init__()
        exact = num_buckets // (4 if bidirectional else 2)
        if (bidirectional and num_buckets % 2) or exact < 1 or max_distance <= exact:
            raise ValueError(
                f"num_buckets={num_buckets}, max_distance={max_distance}: an encoder needs an even number of at least "
                f"4 buckets, a decoder at least 2, and max_distance must exceed the {exact} exact ones"
            )
        self.max_distance = max_distance
        self.bidirectional = bidirectional
        self.weight = nn.Parameter(torch.empty(num_buckets, num_heads))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, query_len: int, key_len: int, offset: int = 0) -> Tensor:
        """Return the bias of queries at `offset … offset + query_len − 1` to keys at `0 … key_len − 1`."""
        device = self.weight.device
        queries = torch.arange(offset, offset + query_len, device=device).unsqueeze(1)
        distance = torch.arange(key_len, device=device).unsqueeze(0) - queries
        bias = nn.functional.embedding(self.buckets(distance), self.weight).permute(2, 0, 1).unsqueeze(0)
        if not self.bidirectional:
            bias = bias.masked_fill(distance > 0, torch.finfo(bias.dtype).min)
        return bias

    def buckets(self, distance: Tensor) -> Tensor:
        """Return the bucket of each `distance` = key position − query position, int64."""
        count = self.weight.shape[0]
        first = torch.zeros_like(distance)
        if self.bidirectional:
            count //= 2
            first = (distance > 0).long() * count
            away = distance.abs()
        else:
            away = (-distance).clamp(min=0)
        exact = count // 2
        # log(0) is never used, but it must not become an integer: that is undefined.
        growth = torch.log(away.clamp(min=1).float() / exact) / math.log(self.max_distance / exact)
        logarithmic = (exact + (growth * (count - exact)).long()).clamp(max=count - 1)
        return first + torch.where(away < exact, away, logarithmic)
