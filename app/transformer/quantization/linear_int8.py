"""Linear layers with int8 weights, one scale for each output: exact activations, or int8 ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from app.errors import InvalidInput
from app.transformer.native.library import Kernels
from app.transformer.native.weight import NativeWeight, WeightKind
from app.transformer.quantization.int8_kernel import pack_int8
from app.transformer.quantization.packed_state import PackedStateModule

_ROWS_AT_ONCE = 4_096
_TINY = 1e-30  # the peak of a row of zeros


class DynamicInt8Linear(PackedStateModule):
    """Returns `x · weightᵀ + bias` in `x`'s dtype with int8 weights and int8 activations.

    `weight[o, i] ≈ scale[o] · q[o, i]`, and each row of `x` is rounded to whole numbers in ±127 times its own scale:
    two rows never touch each other's precision. All products are int8, the fastest that a CPU does; the rounding of the
    activations costs quality where a few of them are large (`Int8Linear` has no such loss).

    Args:
        weight: `[out_features, in_features]`, float, finite, on the CPU.
        bias: `[out_features]` or `None`.
        kernels: ours, whose activations have a scale for every 64 of a row; `None`: PyTorch's, one for the row.

    Raises:
        InvalidInput: the weight holds NaN or infinity.

    Source: Dettmers et al. 2022, section 2.1 (vector-wise quantization).
    """

    _native_kind: WeightKind = "int8_dynamic"

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, kernels: Kernels | None = None) -> None:
        super().__init__()
        self._kernels = kernels
        self.native: NativeWeight | None = None
        self.out_features, self.in_features = self.plain_shape = weight.shape[0], weight.shape[1]
        weight = weight.detach()
        scale = weight.abs().amax(dim=1).float() / 127
        if not math.isfinite(float(scale.sum())):
            raise InvalidInput("the weight holds NaN or infinity: it can not be quantized; check the checkpoint")
        scale = torch.where(scale > 0, scale, 1.0)
        # A few rows at a time: a large head needs no float32 copy of its own size.
        parts = zip(torch.split(weight, _ROWS_AT_ONCE), torch.split(scale.unsqueeze(1), _ROWS_AT_ONCE), strict=True)
        whole = torch.cat([(rows / its_scale).round_().to(torch.int8) for rows, its_scale in parts])
        self.scale: Tensor
        self.bias: Tensor | None
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if bias is None else bias.detach().float().clone())
        self._pack(whole)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weight and its scales in memory."""
        return self.out_features * (self.in_features + 4)

    def dequantized(self) -> Tensor:
        """Return the weight that the products see, float32 `[out_features, in_features]`."""
        return self._unpack().float() * self.scale.unsqueeze(1)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply `x` `[…, in_features]`."""
        if self.native is not None:
            return self.native.multiply(x)
        rows = x.reshape(-1, self.in_features)
        if len(rows) == 1:
            # One token: its scale is a number that the kernel itself applies. Each small operation saved counts here.
            row = rows.float()
            out = self._multiply(row, max(float(row.abs().max()), _TINY) / self._packed.levels)
            if self.bias is not None:
                out = out + self.bias
        else:
            step = _peaks(rows).div_(self._packed.levels)
            out = self._multiply(rows / step, 1.0)
            if self.bias is not None:
                out = torch.addcmul(self.bias, out, step)
            elif out.dtype == x.dtype:
                out = out.mul_(step)
            else:
                out = torch.mul(out, step, out=torch.empty(out.shape, dtype=x.dtype))  # one pass over a large result
        result: Tensor = out.view(*x.shape[:-1], self.out_features).to(x.dtype)
        return result

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"

    def _multiply(self, rows: Tensor, step: float) -> Tensor:
        """Float32 `[t, out]` of float32 `rows`, which are whole numbers times `step` after rounding."""
        return self._packed.multiply(rows, step)

    def _pack(self, whole: Tensor) -> None:
        if self._kernels is None:
            self._packed = pack_int8(whole, self.scale)
        else:
            self.native = NativeWeight(self._kernels, self._native_kind, whole, scale=self.scale, bias=self.bias)

    def _unpack(self) -> Tensor:
        return self._packed.weight() if self.native is None else self.native.unpacked()


class Int8Linear(DynamicInt8Linear):
    """Returns `x · weightᵀ + bias` in `x`'s dtype with int8 weights and activations of 16 bits: weight-only int8.

    A row of `x` is the sum of a coarse row of whole numbers and a fine one for what the first left over, `1/254` as
    large. Both go through the int8 kernel as two rows of one product, which reads the weight once: a product of one
    row waits for memory, so the second row is free, and the activations keep 15 bits (bfloat16 has 8).

    Args:
        weight: `[out_features, in_features]`, float, finite, on the CPU.
        bias: `[out_features]` or `None`.
        kernels: ours, which do the same with a scale for every 64 activations; `None`: PyTorch's.
    """

    _native_kind: WeightKind = "int8"
    note = ""  # why the layer is int8 where int4 was asked for

    def _multiply(self, rows: Tensor, step: float) -> Tensor:
        levels = self._packed.levels
        coarse = torch.fake_quantize_per_tensor_affine(rows, step, 0, -levels, levels)
        fine = (rows - coarse).mul_(2 * levels)  # the remainder lies within half a step
        both = self._packed.multiply(torch.cat([rows, fine]), step)
        return torch.add(both[: len(rows)], both[len(rows) :], alpha=1 / (2 * levels))


def _peaks(rows: Tensor) -> Tensor:
    """The largest magnitude of each row, float32 `[t, 1]`, never zero."""
    # `linalg.vector_norm` would widen a bfloat16 row by itself, but takes ten times as long over many rows.
    return rows.abs().amax(dim=1, keepdim=True).float().clamp_(min=_TINY)
