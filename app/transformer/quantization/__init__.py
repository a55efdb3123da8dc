"""Small weights for inference on a CPU: bfloat16, int8, int4, and int8 with int8 activations (docs/quantization.md)."""

from app.transformer.quantization.fidelity import Fidelity, fidelity, perplexity
from app.transformer.quantization.linear_bf16 import PackedBf16Linear
from app.transformer.quantization.linear_int4 import Int4Linear
from app.transformer.quantization.linear_int8 import DynamicInt8Linear, Int8Linear
from app.transformer.quantization.replace import (
    KINDS,
    Kind,
    QuantizedLayer,
    quantization_report,
    quantize,
    weight_bytes,
)

__all__ = [
    "KINDS",
    "DynamicInt8Linear",
    "Fidelity",
    "Int4Linear",
    "Int8Linear",
    "Kind",
    "PackedBf16Linear",
    "QuantizedLayer",
    "fidelity",
    "perplexity",
    "quantization_report",
    "quantize",
    "weight_bytes",
]
