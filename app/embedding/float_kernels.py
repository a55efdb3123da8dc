"""Linear layers for serving in floating point: as PyTorch computes them, or packed for the CPU's bfloat16 kernels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from app.embedding.bert_forward import Parameters
from app.transformer.feed_forward import Activation

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": functional.relu,
    "silu": functional.silu,
}
POST_OPS: dict[Activation, tuple[str, str]] = {
    "gelu": ("gelu", "none"),
    "gelu_tanh": ("gelu", "tanh"),
    "relu": ("relu", ""),
    "silu": ("swish", ""),
}
"""An activation in oneDNN's words: the name and the algorithm of what follows a product in the same kernel."""


class PlainKernels:
    """Any precision that PyTorch computes in, without private kernels."""

    def __init__(self, activation: Activation, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype
        self._activation = ACTIVATIONS[activation]

    def projection(self, name: str, parameters: Parameters) -> PlainProjection:  # noqa: ARG002 - all compute alike
        weight, bias = parameters
        return PlainProjection(weight.to(self.dtype), bias.to(self.dtype))

    def feed_forward(self, name: str, up: Parameters, down: Parameters) -> Callable[[Tensor], Tensor]:
        rise, fall = self.projection(f"{name}.up", up), self.projection(f"{name}.down", down)
        return lambda x: fall.added(self._activation(rise(x)), x)


class PlainProjection:
    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight = weight
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        return functional.linear(x, self._weight, self._bias)

    def added(self, x: Tensor, residual: Tensor) -> Tensor:
        return self(x).add_(residual)


class PackedKernels:
    """Bfloat16 through oneDNN: weights in its own layout; activation and residual in the kernel of the product.

    Args:
        activation: of the feed-forward layers.
        rows: usual rows of a batch, for the choice of the layout.
    """

    dtype = torch.bfloat16

    def __init__(self, activation: Activation, *, rows: int) -> None:
        self._post_op = POST_OPS[activation]
        self._rows = rows

    @staticmethod
    def available() -> bool:
        """Whether this build of PyTorch has the kernels."""
        return has_op("mkldnn::_linear_pointwise")

    def projection(self, name: str, parameters: Parameters) -> PackedProjection:  # noqa: ARG002 - all compute alike
        return PackedProjection(*parameters, rows=self._rows)

    def feed_forward(self, name: str, up: Parameters, down: Parameters) -> Callable[[Tensor], Tensor]:
        rise, fall = self.projection(f"{name}.up", up), self.projection(f"{name}.down", down)
        return lambda x: fall.added(rise(x, *self._post_op), x)


class PackedProjection:
    def __init__(self, weight: Tensor, bias: Tensor, *, rows: int) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.bfloat16(), rows)
        self._bias = bias.bfloat16()

    def __call__(self, x: Tensor, post_op: str = "none", algorithm: str = "") -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, post_op, [], algorithm)
        return out

    def added(self, x: Tensor, residual: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, self._weight, self._bias, "add")
        return out


def has_op(name: str) -> bool:
    """Whether PyTorch has the operator `library::name` for the CPU."""
    try:
        return bool(torch._C._dispatch_has_kernel_for_dispatch_key(name, "MkldnnCPU"))
    except RuntimeError:  # not even its name is known
        return False
