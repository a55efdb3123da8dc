"""Where a token stands: added to the embedding (learned, sinusoidal) or turned into queries and keys (rotary)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from app.transformer.rotary import Rotary, RotaryConfig, Rotation, turn


class LearnedPositions(nn.Module):
    """Returns the trained vectors of positions `offset … offset + seq_len − 1`, shape `[seq_len, embed_dim]`.

    Raises:
        ValueError: the last position lies beyond `max_positions`.

    Source: Devlin et al. 2019, section 3.
    """

    def __init__(self, max_positions: int, embed_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(max_positions, embed_dim))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, seq_len: int, offset: int = 0) -> Tensor:
        _check_range(seq_len, offset, self.weight.shape[0])
        return self.weight[offset : offset + seq_len]

    def at(self, positions: Tensor) -> Tensor:
        """Return the vectors `[t, embed_dim]` of `positions` int64 `[t]`, in any order.

        Raises:
            ValueError: a position lies beyond `max_positions`.
        """
        return _rows(self.weight, positions)


class SinusoidalPositions(nn.Module):
    """Returns fixed vectors of positions `offset … offset + seq_len − 1`, shape `[seq_len, embed_dim]`.

    `p[pos, 2i] = sin(pos / 10000^(2i/d))`, `p[pos, 2i+1] = cos(pos / 10000^(2i/d))`.

    Raises:
        ValueError: `embed_dim` is odd, or the last position lies beyond `max_positions`.

    Source: Vaswani et al. 2017, section 3.5.
    """

    table: Tensor

    def __init__(self, max_positions: int, embed_dim: int) -> None:
        super().__init__()
        if embed_dim % 2:
            raise ValueError(f"embed_dim={embed_dim} must be even: sines and cosines come in pairs")
        rates = torch.exp(torch.arange(0, embed_dim, 2) * (-torch.log(torch.tensor(10_000.0)) / embed_dim))
        angles = torch.arange(max_positions).unsqueeze(1) * rates
        table = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
        self.register_buffer("table", table, persistent=False)

    def forward(self, seq_len: int, offset: int = 0) -> Tensor:
        _check_range(seq_len, offset, self.table.shape[0])
        return self.table[offset : offset + seq_len]

    def at(self, positions: Tensor) -> Tensor:
        """Return the vectors `[t, embed_dim]` of `positions` int64 `[t]`, in any order.

        Raises:
            ValueError: a position lies beyond `max_positions`.
        """
        return _rows(self.table, positions)


class RotaryPositions(nn.Module):
    """Returns `x` with each pair `(x[i], x[i + head_dim/2])` turned by the angle `position · base^(−2i/head_dim)`.

    The dot product of a turned query and a turned key then depends on their distance only.

    Args:
        head_dim: size of one head, even.
        base: the longest wavelength is `2π · base`.

    Raises:
        ValueError: `head_dim` is odd.

    Source: Su et al. 2021, section 3.2; the half-split pairing is that of GPT-NeoX.
    """

    def __init__(self, head_dim: int, base: float = 10_000.0) -> None:
        super().__init__()
        if head_dim % 2:
            raise ValueError(f"head_dim={head_dim} must be even: rotary positions turn pairs")
        self._rotary = Rotary(RotaryConfig(base, head_dim))

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """Turn `x` `[b, h, s, head_dim]` whose first row stands at position `offset`."""
        cos, sin = self._rotary.angles(torch.arange(offset, offset + x.shape[-2], device=x.device), x.dtype)
        return turn(x, Rotation(cos.squeeze(1), sin.squeeze(1)))


def _check_range(seq_len: int, offset: int, max_positions: int) -> None:
    if offset + seq_len > max_positions:
        raise ValueError(
            f"positions {offset}..{offset + seq_len - 1} asked, but the model has max_positions={max_positions}: "
            "shorten or window the input"
        )


def _rows(table: Tensor, positions: Tensor) -> Tensor:
    last = int(positions.max())
    if last >= table.shape[0]:
        _check_range(1, last, table.shape[0])
    return nn.functional.embedding(positions, table)
