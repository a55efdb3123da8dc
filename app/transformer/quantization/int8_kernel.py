"""The int8 matrix product of this CPU: `[t, k]` whole numbers times a packed int8 weight.

FBGEMM's kernel reads a packed weight at memory speed, for one row as for eight. Where PyTorch carries none (Arm, or a
future release: it is reached through quantized tensors, which PyTorch means to retire), `_int_mm` does the same sums.
"""

from __future__ import annotations

import warnings
from typing import Any, Protocol

import torch
from torch import Tensor


class PackedInt8(Protocol):
    """A weight that was packed once."""

    levels: int  # activations are whole numbers in ±levels

    def multiply(self, rows: Tensor, step: float = 1.0) -> Tensor:
        """Return float32 `[t, out]`: `step · round(rows / step) · weightᵀ · scale` of `rows` float32 `[t, in]`.

        `rows / step` must lie within ±levels.
        """
        ...

    def weight(self) -> Tensor:
        """Return int8 `[out, in]`."""
        ...


class FbgemmInt8:
    """FBGEMM's packed weight.

    Without VNNI instructions the kernel adds pairs of products in 16 bits: 7-bit activations keep those in range.
    """

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        vnni = torch.cpu._is_vnni_supported()
        self.levels, self._zero_point = (127, 128) if vnni else (63, 64)
        engine = torch.backends.quantized.engine
        torch.backends.quantized.engine = "fbgemm"
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*quantized tensor creation functions.*")
                zeros = torch.zeros(len(scale), dtype=torch.int64)
                tensor = torch._make_per_channel_quantized_tensor(weight, scale.double(), zeros, 0)
            self._packed: Any = torch.ops.quantized.linear_prepack(tensor, None)
        finally:
            torch.backends.quantized.engine = engine

    def multiply(self, rows: Tensor, step: float = 1.0) -> Tensor:
        out: Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            rows, step, self._zero_point, self._packed
        )
        return out

    def weight(self) -> Tensor:
        plain: Tensor = torch.ops.quantized.linear_unpack(self._packed)[0].int_repr()
        return plain


class PlainInt8:
    """PyTorch's general int8 product, on every CPU."""

    levels = 127

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        self._weight = weight
        self._scale = scale

    def multiply(self, rows: Tensor, step: float = 1.0) -> Tensor:
        whole = (rows if step == 1.0 else rows / step).round().to(torch.int8)
        return torch._int_mm(whole, self._weight.t()) * (self._scale if step == 1.0 else self._scale * step)

    def weight(self) -> Tensor:
        return self._weight


def pack_int8(weight: Tensor, scale: Tensor) -> PackedInt8:
    """Return `weight` int8 `[out, in]` with float32 `scale` `[out]`, packed for the fastest kernel here."""
    return FbgemmInt8(weight, scale) if has_fbgemm_kernel() else PlainInt8(weight.contiguous(), scale)


def has_fbgemm_kernel() -> bool:
    """Whether this PyTorch carries FBGEMM's int8 kernel for this CPU."""
    ops = torch.ops.quantized
    return "fbgemm" in torch.backends.quantized.supported_engines and hasattr(
        ops, "linear_with_input_q_dq_qweight_dq_output_fp32"
    )
