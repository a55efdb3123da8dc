"""Normalisation over the last axis."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


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
    """Returns `x / sqrt(mean(x²) + eps) · weight` over the last axis, computed in float32.

    Args:
        embed_dim: size of the last axis.
        eps: added to the mean square.

    Source: Zhang & Sennrich 2019, equation 4.
    """

    def __init__(self, embed_dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(embed_dim))

    def forward(self, x: Tensor) -> Tensor:
        # The mean of squares overflows float16 and loses half of bfloat16's eight bits: float32 inside.
        wide = x.float()
        scaled = wide * torch.rsqrt(wide.pow(2).mean(dim=-1, keepdim=True) + self.eps)
        return scaled.to(x.dtype) * self.weight
