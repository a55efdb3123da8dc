"""The compiled kernels as Python objects see them."""

from __future__ import annotations

import ctypes
import logging
from ctypes import c_int32, c_int64, c_void_p
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

from app.errors import Unavailable
from app.transformer.native.build import built_library, processor_flags
from app.transformer.native.openmp import openmp_entries
from app.transformer.native.structures import Angles, Layer, Matrix, Pass

_LOG = logging.getLogger(__name__)

KIND_NUMBERS = {"int4": 0, "int8": 1, "int8_dynamic": 2, "bf16": 3}
INPUTS = 64  # a group of activations
OUTPUTS = 32  # a panel of outputs
_VERSION = 1

Choice = Literal["auto", "off", "on"]


class Kernels:
    """The loaded library. Its calls run without Python's lock, in as many threads as PyTorch would take.

    Args:
        library: as `load_kernels` opened it.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.attest_packed_bytes.restype = c_int64
        library.attest_packed_bytes.argtypes = [c_int32, c_int64, c_int64]
        pointer, size = c_void_p, c_int64
        library.attest_pack_int4.argtypes = [pointer, pointer, size, size, size, size, pointer]
        library.attest_unpack_int4.argtypes = [pointer, size, size, size, size, pointer, pointer]
        for name in ("attest_pack_int8", "attest_pack_bf16", "attest_unpack_int8", "attest_unpack_bf16"):
            getattr(library, name).argtypes = [pointer, size, size, pointer]
        library.attest_linear.argtypes = [pointer, pointer, c_int32, size, pointer, c_int32, c_int32]
        library.attest_layers.argtypes = [pointer]
        library.attest_before_attention.argtypes = [pointer, pointer, size, pointer, pointer, c_int32, c_int32]
        library.attest_after_attention.argtypes = [pointer, pointer, c_int32, pointer, size, c_int32]
        # A processor with matrix registers multiplies bfloat16 through oneDNN several times as fast as by vectors.
        self.multiplies_bf16 = bool(library.attest_multiplies_bf16()) and "amx_bf16" not in processor_flags()

    def packed_bytes(self, kind: str, out: int, inputs: int) -> int:
        """Return the bytes of a packed weight `[out, inputs]`."""
        size: int = self._library.attest_packed_bytes(KIND_NUMBERS[kind], out, inputs)
        return size

    def pack(self, kind: str, whole: Tensor, scales: Tensor | None = None, group_size: int = INPUTS) -> Tensor:
        """Return `whole` packed, uint8.

        Args:
            kind: "int4", "int8", "int8_dynamic" or "bf16".
            whole: `[out, in]`: uint8 0 … 15, int8, or bfloat16.
            scales: of "int4": bfloat16 `[in / group_size, out or more, 2]`, scale and offset.
            group_size: of "int4", a multiple of 64.
        """
        out, inputs = whole.shape
        whole = whole.contiguous()
        blocks = torch.empty(self.packed_bytes(kind, out, inputs), dtype=torch.uint8)
        if kind == "int4":
            assert scales is not None
            scales = scales.contiguous()
            self._library.attest_pack_int4(
                whole.data_ptr(), scales.data_ptr(), scales.shape[1], out, inputs, group_size, blocks.data_ptr()
            )
        else:
            pack = self._library.attest_pack_bf16 if kind == "bf16" else self._library.attest_pack_int8
            pack(whole.data_ptr(), out, inputs, blocks.data_ptr())
        return blocks

    def unpack(self, kind: str, blocks: Tensor, out: int, inputs: int) -> Tensor:
        """Return what `pack` was given as `whole`; for "int4" see `unpack_int4`."""
        whole = torch.empty(out, inputs, dtype=torch.bfloat16 if kind == "bf16" else torch.int8)
        unpack = self._library.attest_unpack_bf16 if kind == "bf16" else self._library.attest_unpack_int8
        unpack(blocks.data_ptr(), out, inputs, whole.data_ptr())
        return whole

    def unpack_int4(self, blocks: Tensor, out: int, inputs: int, group_size: int) -> tuple[Tensor, Tensor]:
        """Return the numbers uint8 `[out, inputs]`, and scales and offsets bfloat16 `[inputs / group_size, out, 2]`."""
        whole = torch.empty(out, inputs, dtype=torch.uint8)
        scales = torch.empty(inputs // group_size, out, 2, dtype=torch.bfloat16)
        self._library.attest_unpack_int4(
            blocks.data_ptr(), out, inputs, group_size, out, whole.data_ptr(), scales.data_ptr()
        )
        return whole, scales

    def linear(self, matrix: Matrix, rows: Tensor, out: Tensor) -> None:
        """Write `rows · weightᵀ + bias` to `out`; both contiguous, float32 or bfloat16, `[t, in]` and `[t, out]`."""
        self._check(
            self._library.attest_linear(
                ctypes.byref(matrix),
                rows.data_ptr(),
                _is_float(rows),
                len(rows),
                out.data_ptr(),
                _is_float(out),
                _threads(),
            )
        )

    def layers(self, described: Pass) -> None:
        """Run whole layers over a few rows."""
        described.threads = _threads()
        self._check(self._library.attest_layers(ctypes.byref(described)))

    def before_attention(self, layer: Layer, x: Tensor, angles: ctypes.Array[Angles], heads: Tensor) -> None:
        """Write queries, keys and values of `x` float32 `[t, embed]` to `heads` `[t, heads + 2 kv_heads, head_dim]`."""
        self._check(
            self._library.attest_before_attention(
                ctypes.byref(layer), x.data_ptr(), len(x), angles, heads.data_ptr(), _is_float(heads), _threads()
            )
        )

    def after_attention(self, layer: Layer, mixed: Tensor, x: Tensor) -> None:
        """Add to `x` what the rest of the layer makes of `mixed` `[t, heads, head_dim]`."""
        self._check(
            self._library.attest_after_attention(
                ctypes.byref(layer), mixed.data_ptr(), _is_float(mixed), x.data_ptr(), len(x), _threads()
            )
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Kernels:
        return self  # one library a process

    @staticmethod
    def _check(failed: int) -> None:
        if failed:
            raise MemoryError("native kernels: there is no memory for a pass of the model; take fewer rows at once")


def load_kernels() -> Kernels:
    """Return the kernels, compiled if need be; once a process.

    Raises:
        Unavailable: they can not run here; the message says why, and what to do.
    """
    found = _load()
    if isinstance(found, str):
        raise Unavailable(found)
    return found


def choose_kernels(choice: Choice) -> Kernels | None:
    """Return the kernels, or `None` for PyTorch's: with "off", and with "auto" (logged) where ours can not run.

    Raises:
        Unavailable: `choice="on"` and they can not run here.
    """
    if choice == "off":
        return None
    try:
        return load_kernels()
    except Unavailable as error:
        if choice == "on":
            raise
        _LOG.info("PyTorch's kernels are used: %s", error.message)
        return None


@cache
def _load() -> Kernels | str:
    try:
        path = built_library()
        library: Any = ctypes.CDLL(str(path))
        library.attest_use_openmp.argtypes = [c_void_p] * 3
        library.attest_use_openmp(*openmp_entries())
    except Unavailable as error:
        return error.message
    except OSError as error:
        return f"native kernels could not be loaded: {error}"
    if library.attest_version() != _VERSION:
        return f"native kernels: {path} is of another version; delete it"
    _LOG.info("native kernels in use: %s", path)
    return Kernels(library)


def _is_float(tensor: Tensor) -> int:
    return int(tensor.dtype == torch.float32)


def _threads() -> int:
    return torch.get_num_threads()
