"""A linear layer whose bfloat16 weight lies in the order in which the matrix kernel reads it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from app.errors import Unavailable
from app.transformer.native.library import Kernels
from app.transformer.native.weight import NativeWeight
from app.transformer.quantization.packed_state import PackedStateModule

_LAYOUT_ROWS = 32  # the number of rows that the layout is chosen for; it serves 1 to thousands equally well
_FEWEST_ROWS = 4  # with fewer, oneDNN takes a vector kernel at 60–70 % of the memory speed that its matrix kernel has


class PackedBf16Linear(PackedStateModule):
    """Returns `x · weightᵀ + bias` in `x`'s dtype, multiplied in bfloat16 with float32 sums.

    The plain layer reorders its weight at every call or reads it in an order that memory serves slowly; packed once, a
    single row runs at 2.5 times the speed (two Zen 4 cores, 9,728 × 896) and 1,024 rows at 1.1 times.

    Args:
        weight: `[out_features, in_features]`, any float dtype, on the CPU.
        bias: `[out_features]` or `None`.
        kernels: ours, used where the CPU has bfloat16 products; `None`: oneDNN's.

    Raises:
        Unavailable: the CPU, or this PyTorch, has no bfloat16 matrix kernel.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, kernels: Kernels | None = None) -> None:
        super().__init__()
        self._kernels = kernels if kernels is not None and kernels.multiplies_bf16 else None
        self.native: NativeWeight | None = None
        if self._kernels is None and not has_bf16_kernel():
            raise Unavailable(
                "kind='bf16' needs a CPU with AVX-512 (or bfloat16 instructions) and a PyTorch built with oneDNN: "
                "use kind='int8', or load the model in float32"
            )
        self.out_features, self.in_features = self.plain_shape = weight.shape[0], weight.shape[1]
        self.bias: Tensor | None
        self.register_buffer("bias", None if bias is None else bias.detach().to(torch.bfloat16).clone())
        self._pack(weight)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weight in memory."""
        return 2 * self.out_features * self.in_features

    def dequantized(self) -> Tensor:
        """Return the weight, bfloat16 `[out_features, in_features]`, in plain order."""
        if self.native is not None:
            return self.native.unpacked()
        plain: Tensor = self._packed.to_dense()
        return plain.to(torch.bfloat16)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply `x` `[…, in_features]`."""
        if self.native is not None:
            return self.native.multiply(x)
        rows = x.reshape(-1, self.in_features).to(torch.bfloat16)
        count = len(rows)
        if count < _FEWEST_ROWS:
            rows = functional.pad(rows, (0, 0, 0, _FEWEST_ROWS - count))
        out: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._packed, self.bias, "none", [], "")
        return out[:count].view(*x.shape[:-1], self.out_features).to(x.dtype)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"

    def _pack(self, weight: Tensor) -> None:
        plain = weight.detach().to(torch.bfloat16).contiguous()
        if self._kernels is not None:
            self.native = NativeWeight(self._kernels, "bf16", plain, bias=self.bias)
        else:
            self._packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(plain, _LAYOUT_ROWS)

    def _unpack(self) -> Tensor:
        return self.dequantized()


def has_bf16_kernel() -> bool:
    """Whether bfloat16 products run on this CPU with a packed weight."""
    return bool(torch._C._has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported())
