"""Tiny decoders of several families, plain and with our kernels, and what the tests of the kernels share."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from app.transformer.causal_lm import CausalLM, DecoderConfig, build_causal_lm
from app.transformer.fuse import fuse
from app.transformer.native.build import find_compiler, why_not_here
from app.transformer.native.decoder import NativeLayers
from app.transformer.native.library import Kernels, load_kernels
from app.transformer.quantization import Kind, quantize
from app.transformer.rotary import RotaryConfig
from app.transformer.stores import DenseStore

NOT_HERE = why_not_here() or ("" if find_compiler() else "there is no C++ compiler")
needs_kernels = pytest.mark.skipif(bool(NOT_HERE), reason=NOT_HERE)

BASE = DecoderConfig(
    vocab_size=160,
    embed_dim=128,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=32,
    ff_dim=192,
    max_positions=1024,
    rotary=(RotaryConfig(theta=10_000.0, dim=32),) * 2,
)
CONFIGS = {
    "llama": BASE,
    "qwen2": replace(BASE, qkv_bias=True, num_heads=6, embed_dim=192),
    "qwen3": replace(BASE, qk_norm=True, head_dim=64, rotary=(RotaryConfig(theta=10_000.0, dim=64),) * 2),
    "mistral": replace(BASE, windows=(5, 5)),
    "smollm3": replace(BASE, rotary=(None, BASE.rotary[0])),
    "phi3": replace(BASE, rotary=(RotaryConfig(theta=10_000.0, dim=16),) * 2, num_kv_heads=4),
    "gemma-like": replace(BASE, norm="rms_plus_one", activation="gelu_tanh", num_kv_heads=1, embedding_scale=4.0),
    "all biases": replace(BASE, qkv_bias=True, out_bias=True, ff_bias=True),
}


def kernels() -> Kernels:
    """The library, compiled at the first call on a machine."""
    return load_kernels()


def decoder(config: DecoderConfig, dtype: torch.dtype = torch.float32) -> CausalLM:
    """A merged decoder whose random norms, biases and logits all matter."""
    torch.manual_seed(3)
    model = build_causal_lm(config).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if "norm" in name or name.endswith("bias"):
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.embed.weight.mul_(8)
    return fuse(model.to(dtype))


def both(config: DecoderConfig, kind: Kind, dtype: torch.dtype = torch.float32) -> tuple[CausalLM, CausalLM]:
    """The same quantized decoder through PyTorch's kernels and through ours."""
    plain = decoder(config, dtype)
    ours = copy.deepcopy(plain)
    quantize(plain, kind)
    quantize(ours, kind, kernels=kernels())
    return plain, ours


def dequantized(config: DecoderConfig, kind: Kind) -> CausalLM:
    """The decoder in float32 with the rounded weights: what exact activations would give."""
    model, quantized = decoder(config), decoder(config)
    quantize(quantized, kind)
    for (name, layer), (_, rounded) in zip(model.named_modules(), quantized.named_modules(), strict=True):
        if isinstance(layer, torch.nn.Linear):
            assert hasattr(rounded, "dequantized"), name
            layer.weight = torch.nn.Parameter(rounded.dequantized().float(), requires_grad=False)
    return model


def covered(model: CausalLM) -> tuple[bool, ...]:
    """Which layers our kernels run."""
    assert isinstance(model.native, NativeLayers)
    return model.native.covered


@torch.inference_mode()
def whole(model: CausalLM, token_ids: Tensor) -> Tensor:
    """Logits of one sequence in one pass."""
    store = DenseStore([len(token_ids)])
    return model.logits(model(token_ids, store.positions(), store))


@torch.inference_mode()
def cached(model: CausalLM, token_ids: Tensor, counts: list[int]) -> Tensor:
    """The same logits in passes of `counts` tokens over a cache."""
    store = model.new_store(capacity=len(token_ids))
    parts = [model(part, store.begin([len(part)]), store) for part in torch.split(token_ids, counts)]
    return model.logits(torch.cat(parts))


def error(found: Tensor, expected: Tensor) -> float:
    """The relative error of the whole."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())
