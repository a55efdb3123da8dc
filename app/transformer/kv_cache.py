"""Keys and values of the tokens already decoded, so that a step costs one token."""

from __future__ import annotations

import torch
from torch import Tensor


class KVCache:
    """Keys and values of one self-attention layer, `[b, num_kv_heads, length, head_dim]` each.

    The buffers double when they are full, so appending is amortised constant and no maximum must be guessed.
    """

    def __init__(self, initial_tokens: int = 16) -> None:
        self.length = 0
        self._capacity = max(initial_tokens, 1)
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return all keys and values after adding `[b, num_kv_heads, s, head_dim]` at the end.

        Raises:
            ValueError: batch, heads or head size differ from what the cache holds.
        """
        needed = self.length + keys.shape[2]
        if self._keys is None or self._values is None:
            self._capacity = max(self._capacity, needed)
            self._keys, self._values = self._buffer(keys), self._buffer(values)
        held, new = self._keys.shape, keys.shape
        if (held[0], held[1], held[3]) != (new[0], new[1], new[3]):
            raise ValueError(
                f"keys of shape {tuple(new)} do not fit a cache of {tuple(held)}: batch, heads and head size must "
                "agree; reorder or build a new cache after changing the batch"
            )
        if needed > self._capacity:
            self._capacity = max(needed, 2 * self._capacity)
            old_keys, old_values = self._keys, self._values
            self._keys, self._values = self._buffer(old_keys), self._buffer(old_values)
            self._keys[:, :, : self.length] = old_keys[:, :, : self.length]
            self._values[:, :, : self.length] = old_values[:, :, : self.length]
        self._keys[:, :, self.length : needed] = keys
        self._values[:, :, self.length : needed] = values
        self.length = needed
        return self._keys[:, :, :needed], self._values[:, :, :needed]

    def reorder(self, rows: Tensor) -> None:
        """Keep the batch rows `rows` `[b']` int64, in that order: beams that survive, repeated where they fork."""
        if self._keys is not None and self._values is not None:
            self._keys = self._keys.index_select(0, rows)
            self._values = self._values.index_select(0, rows)

    def _buffer(self, like: Tensor) -> Tensor:
        batch, heads, _, head_dim = like.shape
        return torch.empty(batch, heads, self._capacity, head_dim, dtype=like.dtype, device=like.device)
