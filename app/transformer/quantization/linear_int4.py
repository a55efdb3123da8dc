"""A linear layer with 4-bit weights, a scale and an offset for each group of inputs."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from app.errors import InvalidInput, Unavailable
from app.transformer.native.library import INPUTS, Kernels
from app.transformer.native.weight import NativeWeight
from app.transformer.quantization.packed_state import PackedStateModule

GROUP_SIZES = (32, 64, 128, 256)
_HEIGHT = 64  # outputs are padded to a multiple: the kernel packs whole blocks of them only
_FEW_ROWS = 24  # above, unpacking the weight and one bfloat16 product is faster than the 4-bit kernel
_ROWS_AT_ONCE = 2_048
_SHRINKS = (1.0, 0.95, 0.9, 0.85, 0.8)  # ranges tried for each group


class Int4Linear(PackedStateModule):
    """Returns `x · weightᵀ + bias` in `x`'s dtype with 4-bit weights, multiplied in bfloat16, by our kernels in int8.

    `weight[o, i] ≈ (q[o, i] − 8) · scale[g, o] + offset[g, o]`, `g = i // group_size`, `q` in 0 … 15. For each group
    the range (its own, or up to a fifth narrower) with the least squared error is taken.

    Args:
        weight: `[out_features, in_features]`, float, finite, on the CPU.
        bias: `[out_features]` or `None`.
        group_size: inputs that share a scale: 32, 64, 128 or 256, a divisor of `in_features`.
        kernels: ours, for groups of 64 and more; `None`: PyTorch's.

    Raises:
        InvalidInput: the group size is none of these or does not divide; the weight holds NaN or infinity.
        Unavailable: this PyTorch has no 4-bit kernel.

    Source: group-wise scales and offsets: Frantar et al. 2023, section 5; the search for the range is the simplest form
    of Lin et al. 2024, section 3.2 (weights only, no activations).
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None = None, *, group_size: int = 64, kernels: Kernels | None = None
    ) -> None:
        super().__init__()
        self._kernels = kernels if group_size % INPUTS == 0 else None
        self.native: NativeWeight | None = None
        self.out_features, self.in_features = weight.shape
        if reason := why_not_int4(self.in_features, group_size):
            raise InvalidInput(reason)
        if self._kernels is None and not has_int4_kernel():
            raise Unavailable("kind='int4' needs PyTorch 2.6 or newer with its 4-bit CPU kernel: use kind='int8'")
        self.group_size = group_size
        if not math.isfinite(float(weight.detach().abs().amax())):
            raise InvalidInput("the weight holds NaN or infinity: it can not be quantized; check the checkpoint")
        padded = functional.pad(weight.detach(), (0, 0, 0, self._padding))
        # A few rows at a time: the search works in the cache, and a large head needs no copies of its own size.
        found = [_nearest(part.float().view(len(part), -1, group_size)) for part in torch.split(padded, _ROWS_AT_ONCE)]
        whole, scale, offset = (torch.cat(parts) for parts in zip(*found, strict=True))
        self.scale_and_offset: Tensor | None
        self.bias: Tensor | None
        # Outputs side by side, as the kernel wants them: [groups, out, 2].
        self.register_buffer("scale_and_offset", torch.stack([scale, offset], dim=-1).transpose(0, 1).contiguous())
        self.register_buffer("bias", None if bias is None else bias.detach().to(torch.bfloat16).clone())
        whole = whole.flatten(1)
        self.plain_shape = (len(whole), self.in_features // 2)
        self._pack(whole[:, ::2] | (whole[:, 1::2] << 4))

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weight, its scales and offsets in memory."""
        if self.native is not None:
            return self.native.nbytes
        assert self.scale_and_offset is not None
        return self._packed.nbytes + self.scale_and_offset.nbytes

    def dequantized(self) -> Tensor:
        """Return the weight that the products see, bfloat16 `[out_features, in_features]`."""
        return self._by_input().t()[: self.out_features]

    def forward(self, x: Tensor) -> Tensor:
        """Multiply `x` `[…, in_features]`."""
        if self.native is not None:
            return self.native.multiply(x)
        rows = x.reshape(-1, self.in_features).to(torch.bfloat16).contiguous()
        if len(rows) > _FEW_ROWS:
            out = rows @ self._by_input()
        else:
            out = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, self._packed, self.group_size, self.scale_and_offset)
        if out.shape[1] != self.out_features:
            out = out[:, : self.out_features]
        if self.bias is not None:
            out = out + self.bias
        return out.reshape(*x.shape[:-1], self.out_features).to(x.dtype)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, "
            f"group_size={self.group_size}"
        )

    @property
    def _padding(self) -> int:
        return -self.out_features % _HEIGHT

    def _by_input(self) -> Tensor:
        """The weight, bfloat16 `[in, out padded]`."""
        # Whole numbers are set in order as bytes; bfloat16 comes last, since each pass over it costs twice as much.
        centred = self._whole_by_input().view(torch.int8).sub_(8)
        inputs, outputs = centred.shape
        grouped = centred.to(torch.bfloat16).view(-1, self.group_size, outputs)
        scale, offset = self._scales().permute(2, 0, 1).unsqueeze(2).contiguous()
        return grouped.mul_(scale).add_(offset).view(inputs, outputs)

    def _whole_by_input(self) -> Tensor:
        """The whole numbers 0 … 15, uint8 `[in, out padded]`."""
        if self.native is not None:
            return functional.pad(self.native.unpacked(), (0, 0, 0, self._padding), value=8).t()
        height, inputs = _packed_height(), self.in_features
        # A block holds, for each input, one byte for outputs d (low half) and d + height/2 (high half).
        blocks = self._packed.view(-1, inputs, height // 2)
        both = torch.stack([blocks & 15, blocks >> 4], dim=2).view(-1, inputs, height)
        return both.transpose(0, 1).reshape(inputs, -1)

    def _unpack(self) -> Tensor:
        whole = self._whole_by_input().t()
        return whole[:, ::2] | (whole[:, 1::2] << 4)

    def _pack(self, weight: Tensor) -> None:
        """Take uint8 `[out padded, in / 2]`: the even input in the low half of a byte, the odd one in the high half."""
        whole = torch.stack([weight & 15, weight >> 4], dim=-1).flatten(1)
        if self._kernels is not None:
            # The scales lie between the numbers, so that memory is read in one stretch; they need no other place.
            self.native = NativeWeight(
                self._kernels,
                "int4",
                whole[: self.out_features],
                scale=self.scale_and_offset,
                bias=self.bias,
                group_size=self.group_size,
            )
            self.scale_and_offset = None
            return
        self._packed: Tensor = torch.ops.aten._convert_weight_to_int4pack_for_cpu(whole.int(), 1)

    def _scales(self) -> Tensor:
        """Bfloat16 `[groups, out padded, 2]`."""
        if self.native is not None:
            return functional.pad(self.native.numbers_and_scales()[1], (0, 0, 0, self._padding))
        assert self.scale_and_offset is not None
        return self.scale_and_offset

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "scale_and_offset"] = self._scales()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        if self.native is not None:
            self.scale_and_offset = self._scales()  # where they are loaded to; packing takes them away again
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if self.native is not None:
            self.scale_and_offset = None


def why_not_int4(in_features: int, group_size: int) -> str | None:
    """Return why a layer with `in_features` inputs can not have 4-bit weights, or `None` if it can."""
    if group_size not in GROUP_SIZES:
        return f"group_size={group_size} must be one of {GROUP_SIZES}"
    if in_features % group_size:
        fitting = [size for size in GROUP_SIZES if in_features % size == 0]
        remedy = f"choose one of {fitting}" if fitting else "use int8 for this layer"
        return f"group_size={group_size} does not divide in_features={in_features}: {remedy}"
    return None


def has_int4_kernel() -> bool:
    """Whether this PyTorch carries the 4-bit kernel, in a packing that we can read."""
    return hasattr(torch.ops.aten, "_weight_int4pack_mm_for_cpu") and _packed_height() > 0


@cache
def _packed_height() -> int:
    """Outputs in one packed block: 64 with AVX-512, 32 with AVX2; found by packing a known weight. 0: another order."""
    whole = torch.randint(16, (_HEIGHT, 2), dtype=torch.int32, generator=torch.Generator().manual_seed(0))
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(whole, 1)
    for height in (64, 32, 16, 2):
        low, high = whole.view(-1, 2, height // 2, 2).permute(1, 0, 3, 2).to(torch.uint8)
        if torch.equal(packed.view(-1, 2, height // 2), low | (high << 4)):
            return height
    return 0


def _nearest(groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whole numbers 0 … 15, uint8 `[out, groups, size]`, bfloat16 scales and offsets `[out, groups]` of `groups`."""
    low, high = groups.amin(dim=-1), groups.amax(dim=-1)
    least = torch.full_like(low, math.inf)
    scale, offset = torch.ones_like(low, dtype=torch.bfloat16), torch.zeros_like(low, dtype=torch.bfloat16)
    for shrink in _SHRINKS:
        tried_scale = ((high - low) * (shrink / 15)).to(torch.bfloat16)
        tried_offset = ((high + low) / 2 + tried_scale.float() / 2).to(torch.bfloat16)  # level 7.5 is the middle
        error = (_levels(groups, tried_scale, tried_offset) - groups).square_().sum(dim=-1)
        better = error < least
        least = torch.where(better, error, least)
        scale, offset = torch.where(better, tried_scale, scale), torch.where(better, tried_offset, offset)
    return _whole(groups, scale, offset).to(torch.uint8), scale, offset


def _whole(groups: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    step = torch.where(scale > 0, scale, 1.0).float().unsqueeze(-1)
    return ((groups - offset.float().unsqueeze(-1)) / step).add_(8).round_().clamp_(0, 15)


def _levels(groups: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    return (_whole(groups, scale, offset) - 8).mul_(scale.float().unsqueeze(-1)).add_(offset.float().unsqueeze(-1))
