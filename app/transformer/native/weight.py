"""A linear layer's weight in the order in which our kernels read it, and its product."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from app.transformer.native.library import INPUTS, KIND_NUMBERS, OUTPUTS, Kernels
from app.transformer.native.structures import Matrix

WeightKind = Literal["int4", "int8", "int8_dynamic", "bf16"]


class NativeWeight:
    """One packed weight with its bias. It is the only copy: `unpacked` gives back what it was made of.

    Args:
        kernels: to multiply with.
        kind: "int4" multiplies with int8 activations, "int8" with 16-bit ones, "int8_dynamic" with int8 ones, each with
            a scale for 64 of them; "bf16" with bfloat16 ones.
        whole: `[out, in]`: uint8 0 … 15 for "int4", int8, or bfloat16.
        scale: float32 `[out]` for the int8 kinds; for "int4" bfloat16 `[in / group_size, out or more, 2]`.
        bias: `[out]` or `None`.
        group_size: of "int4", a multiple of 64 that divides `in`.
    """

    def __init__(
        self,
        kernels: Kernels,
        kind: WeightKind,
        whole: Tensor,
        *,
        scale: Tensor | None = None,
        bias: Tensor | None = None,
        group_size: int = INPUTS,
    ) -> None:
        out, inputs = whole.shape
        self.kernels, self.kind, self.group_size = kernels, kind, group_size
        self.out_features, self.in_features = out, inputs
        self._blocks = kernels.pack(kind, whole, scale if kind == "int4" else None, group_size)
        self._scale = None if kind in ("int4", "bf16") or scale is None else _filled_up(scale)
        self._bias = None if bias is None else _filled_up(bias)
        self.matrix = Matrix(
            blocks=self._blocks.data_ptr(),
            scale=None if self._scale is None else self._scale.data_ptr(),
            bias=None if self._bias is None else self._bias.data_ptr(),
            out=out,
            in_=inputs,
            kind=KIND_NUMBERS[kind],
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the weight with its scales."""
        return self._blocks.nbytes + (0 if self._scale is None else self._scale.nbytes)

    def unpacked(self) -> Tensor:
        """Return `whole` as it was given."""
        if self.kind == "int4":
            return self.numbers_and_scales()[0]
        return self.kernels.unpack(self.kind, self._blocks, self.out_features, self.in_features)

    def numbers_and_scales(self) -> tuple[Tensor, Tensor]:
        """Return, of "int4", the numbers and bfloat16 `[in / group_size, out, 2]`."""
        return self.kernels.unpack_int4(self._blocks, self.out_features, self.in_features, self.group_size)

    def multiply(self, x: Tensor) -> Tensor:
        """Return `x · weightᵀ + bias` of `x` `[…, in]`, in its dtype: float32 or bfloat16, any other as float32."""
        rows = x.reshape(-1, self.in_features)
        if rows.dtype not in (torch.float32, torch.bfloat16):
            rows = rows.float()
        out = torch.empty(len(rows), self.out_features, dtype=rows.dtype)
        if len(rows):
            self.kernels.linear(self.matrix, rows.contiguous(), out)
        return out.view(*x.shape[:-1], self.out_features).to(x.dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> NativeWeight:
        # Nothing in it ever changes, and a copied structure would point at memory of its original.
        memo[id(self)] = self
        return self


def _filled_up(numbers: Tensor) -> Tensor:
    return functional.pad(numbers.detach().float(), (0, -len(numbers) % OUTPUTS)).contiguous()
