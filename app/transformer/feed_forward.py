"""The position-wise network of a block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

Activation = Literal["gelu", "gelu_tanh", "relu", "silu"]


def _gelu_tanh(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_tanh": _gelu_tanh,
    "relu": functional.relu,
    "silu": functional.silu,
}


def activation_function(name: Activation) -> Callable[[Tensor], Tensor]:
    """Return the function `name`.

    Raises:
        ValueError: no such activation.
    """
    if name not in _ACTIVATIONS:
        raise ValueError(f"activation={name!r} is unknown: choose one of {sorted(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


class FeedForward(nn.Module):
    """Returns `down(act(up(x)))`, or with `gated` `down(act(gate(x)) · up(x))`, shape of `x`.

    Args:
        embed_dim: size of the input and the output.
        ff_dim: size of the hidden layer.
        activation: "gelu" is the exact one (erf), as in BERT.
        gated: a second projection multiplies the activated one.
        bias: whether the projections have biases.

    Raises:
        ValueError: unknown activation.

    Source: Vaswani et al. 2017, equation 2; gated: Shazeer 2020, equation 6.
    """

    def __init__(
        self, embed_dim: int, ff_dim: int, *, activation: Activation = "gelu", gated: bool = False, bias: bool = True
    ) -> None:
        super().__init__()
        self.activation = activation_function(activation)
        self.up = nn.Linear(embed_dim, ff_dim, bias=bias)
        self.gate = nn.Linear(embed_dim, ff_dim, bias=bias) if gated else None
        self.down = nn.Linear(ff_dim, embed_dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.up(x)
        hidden = self.activation(hidden) if self.gate is None else self.activation(self.gate(x)) * hidden
        out: Tensor = self.down(hidden)
        return out
