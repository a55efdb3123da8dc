"""Linear layers for serving in eight-bit integers, through oneDNN: twice the products a second of bfloat16."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from app.embedding.bert_forward import Parameters
from app.embedding.float_kernels import ACTIVATIONS, POST_OPS, has_op
from app.transformer.feed_forward import Activation

_MIDDLE = 128
_SMOOTHING = 0.65
"""How much of the difference between channels moves into the weights; of .3, .5, .65 and .8 the nearest to float32."""
_SPILLED_UNITS = 8
"""Hidden units per layer that are kept out of the bytes. BERT has one or two that reach 25 where the rest end at 6: in
one range with them, the others lose two bits. With 0, 1, 4, 8 and 16 the cosine to float32 is .9965, .9987, .9989,
.9990 and .9990 on 90 abstracts."""

Extent = tuple[Tensor, Tensor]
"""The lowest and the highest of each channel, float32 `[in]`."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The affine map between floats and bytes, `value = scale · (byte − zero)`; 0 is a byte."""

    scale: float
    zero: int

    @classmethod
    def over(cls, low: Tensor, high: Tensor) -> ByteRange:
        """The range from the lowest of `low` to the highest of `high`, and 0."""
        bottom, top = min(float(low.min()), 0.0), max(float(high.max()), 0.0)
        scale = max(top - bottom, 1e-12) / 255
        return cls(scale, round(-bottom / scale))


class Int8Kernels:
    """Weights by output row, activations by one range for each layer that was measured before; bfloat16 in between.

    Args:
        activation: of the feed-forward layers.
        extents: of the inputs of every projection, by name; `measured` in `quantizing` makes them.

    Source: Jacob et al. 2018, section 2.
    """

    dtype = torch.bfloat16

    def __init__(self, activation: Activation, extents: Mapping[str, Extent]) -> None:
        self._activation = activation
        self._extents = extents

    @staticmethod
    def available() -> bool:
        """Whether this build of PyTorch has the kernels; whether they are fast depends on the CPU."""
        return has_op("onednn::qlinear_pointwise")

    def projection(self, name: str, parameters: Parameters) -> Int8Projection:
        return smoothed_projection(parameters, self._extents[name])

    def feed_forward(self, name: str, up: Parameters, down: Parameters) -> Callable[[Tensor], Tensor]:
        return Int8FeedForward(
            up, down, self._activation, inputs=self._extents[f"{name}.up"], hidden=self._extents[f"{name}.down"]
        )


class Int8Projection:
    """One linear layer; inputs that are not bytes yet are rounded here.

    Args:
        weight: float32 `[out, in]`.
        bias: float32 `[out]`.
        inputs: range of what goes in.
        smoothing: float32 `[in]`, by which inputs are to be divided; the weight is multiplied by it.
    """

    def __init__(self, weight: Tensor, bias: Tensor, inputs: ByteRange, smoothing: Tensor | None = None) -> None:
        if smoothing is not None:
            weight = weight * smoothing
        scales = weight.abs().amax(1).clamp_(min=1e-12) / 127
        rounded = (weight / scales[:, None]).round_().clamp_(-127, 127).to(torch.int8)
        self._weight = torch.ops.onednn.qlinear_prepack(rounded, None)
        self._scales = scales
        self._zeros = torch.zeros(len(scales), dtype=torch.int64)
        self._bias = bias
        self._inputs = inputs
        self._factor = 1 / inputs.scale if smoothing is None else 1 / (inputs.scale * smoothing)

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.onednn.qlinear_pointwise(
            *self._product(x), self._bias, 1.0, 0, torch.bfloat16, "none", [], ""
        )
        return out

    def added(self, x: Tensor, residual: Tensor) -> Tensor:
        out: Tensor = torch.ops.onednn.qlinear_pointwise.binary(
            *self._product(x), residual, self._bias, 1.0, 0, torch.bfloat16, 1.0, 0, "add", 1.0, "none", [], ""
        )
        return out

    def activated(self, x: Tensor, activation: Activation, hidden: ByteRange) -> Tensor:
        """Bytes, in the range `hidden`, of the projection's activation."""
        name, algorithm = POST_OPS[activation]
        out: Tensor = torch.ops.onednn.qlinear_pointwise(
            *self._product(x), self._bias, hidden.scale, hidden.zero, torch.uint8, name, [], algorithm
        )
        return out

    def _product(self, x: Tensor) -> tuple[Tensor, float, int, Tensor, Tensor, Tensor]:
        if x.dtype != torch.uint8:
            x = self._as_bytes(x)
        return x, self._inputs.scale, self._inputs.zero, self._weight, self._scales, self._zeros

    def _as_bytes(self, x: Tensor) -> Tensor:
        # Signed bytes and then the top bit flipped: PyTorch has vector instructions for the one conversion, but not
        # for that to unsigned bytes, which the kernels take.
        shifted = (x.float() * self._factor).add_(self._inputs.zero - _MIDDLE)
        signed = shifted.round_().clamp_(-128, 127).to(torch.int8)
        return signed.view(torch.uint8).bitwise_xor_(_MIDDLE)


class Int8FeedForward:
    """`x + down(activation(up(x)))`, bytes from the inputs to the second product.

    The few hidden units that reach far beyond the others are computed in bfloat16 and go to the residual by a way of
    their own, as Dettmers et al. 2022 (section 3.2) do with whole channels.
    """

    def __init__(
        self, up: Parameters, down: Parameters, activation: Activation, *, inputs: Extent, hidden: Extent
    ) -> None:
        low, high = hidden
        spilled = torch.maximum(-low, high).topk(min(_SPILLED_UNITS, len(high) // 2)).indices
        kept = torch.ones(len(high), dtype=torch.bool).index_fill_(0, spilled, False)
        weight, bias = down
        self._spilled_up = up[0][spilled].bfloat16(), up[1][spilled].bfloat16()
        self._spilled_down = weight[:, spilled].t().contiguous().bfloat16()
        self._spill = ACTIVATIONS[activation]
        self._activation = activation
        self._hidden = ByteRange.over(low[kept], high[kept])
        self._up = smoothed_projection(up, inputs)
        self._down = Int8Projection(weight.index_fill(1, spilled, 0.0), bias, self._hidden)

    def __call__(self, x: Tensor) -> Tensor:
        residual = torch.addmm(x, self._spill(functional.linear(x, *self._spilled_up)), self._spilled_down)
        return self._down.added(self._up.activated(x, self._activation, self._hidden), residual)


def smoothed_projection(parameters: Parameters, extent: Extent) -> Int8Projection:
    """A projection whose input channels were first brought nearer to one range.

    Source: Xiao et al. 2023, equation 4; here around a mean of 1.
    """
    weight, bias = parameters
    low, high = extent
    inputs = torch.maximum(-low, high).clamp(min=1e-5)
    factors = inputs**_SMOOTHING / weight.abs().amax(0).clamp(min=1e-5) ** (1 - _SMOOTHING)
    factors = factors / factors.mean()
    return Int8Projection(weight, bias, ByteRange.over(low / factors, high / factors), factors)
