"""Our own compiled kernels for quantized decoders on x86-64 with AVX-512 and VNNI: optional, built at first use.

`choose_kernels` is the way in; docs/decisions/0006-native-kernels.md says why they exist, docs/quantization.md what
they bring.
"""

from app.transformer.native.library import Kernels, choose_kernels, load_kernels

__all__ = ["Kernels", "choose_kernels", "load_kernels"]
