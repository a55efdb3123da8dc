"""Normalisation over the last axis."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

NormKind = Literal["layer", "rms", "rms_plus_one"]  # the last is Gemma's


class LayerNorm(nn.Module):
    """Returns `(x − mean) / sqrt(var + eps) · weight + bias` over the last axis.

    Args:
        embed_dim: size of the last axis.
        eps: added to the variance, not to its root.

    Source: Ba, Kiros & Hinton 2016, equation 4.
    """

    def __init__(self, embed_dim: int, eps: float = 1e-12) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(embed_dim))
        self.bias = nn.Parameter(torch.zeros(embed_dim))

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class RMSNorm(nn.Module):
    """Returns `x / sqrt(mean(x²) + eps) · weight` over the last axis, the mean taken in float32.

    Args:
        embed_dim: size of the last axis.
        eps: added to the mean square.
        plus_one: multiply by `1 + weight` (Gemma): stored weights stay near zero, where bfloat16 is fine.

    Source: Zhang & Sennrich 2019, equation 4.
    """

    def __init__(self, embed_dim: int, eps: float = 1e-6, *, plus_one: bool = False) -> None:
        super().__init__()
        self.eps = eps
        self.plus_one = plus_one
        self.weight = nn.Parameter(torch.zeros(embed_dim) if plus_one else torch.ones(embed_dim))
        self._twice: Tensor | None
        self.register_buffer("_twice", None, persistent=False)

    def settle(self, *, settled: bool = True) -> None:
        """Prepare for single tokens with weights that will not change any more; `settled=False` takes it back."""
        weight = self.weight.detach() + 1 if self.plus_one else self.weight.detach()
        self._twice = torch.cat([weight, weight]) if settled else None

    def _load_from_state_dict(self, *given: Any, **named: Any) -> None:
        super()._load_from_state_dict(*given, **named)
        if self._twice is not None:  # made of the weights that were there before
            self.settle()

    def forward(self, x: Tensor) -> Tensor:
        if self._twice is not None and x.numel() == x.shape[-1] and x.device.type == "cpu":
            # [x, −x] has mean 0 and variance mean(x²), so one kernel does it. PyTorch runs an RMS norm as eight; with
            # one token, starting them is what they cost.
            both = functional.layer_norm(torch.cat((x, -x), dim=-1), self._twice.shape, self._twice, None, self.eps)
            return both[..., : x.shape[-1]]
        if self.plus_one:
            scaled = functional.rms_norm(x, self.weight.shape, None, self.eps)
            return torch.addcmul(scaled, scaled, self.weight)
        return functional.rms_norm(x, self.weight.shape, self.weight, self.eps)


def new_norm(kind: NormKind, embed_dim: int, eps: float) -> LayerNorm | RMSNorm:
    """Return a norm over `embed_dim`: "layer", "rms", or "rms_plus_one" as in Gemma."""
    if kind == "layer":
        return LayerNorm(embed_dim, eps)
    return RMSNorm(embed_dim, eps, plus_one=kind == "rms_plus_one")
