"""Phi-3 (and Phi-4 mini): Llama's block with merged projections on disk, a part of each head turned, LongRoPE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from app.transformer.causal_lm import DecoderConfig, build_causal_lm
from app.transformer.families import ConfigKeys, Family, harmless_keys
from app.transformer.families.llama import read_sizes, write_sizes
from app.transformer.families.tensor_names import LLAMA_NAMES


def _to_config(source: Mapping[str, Any]) -> DecoderConfig:
    keys = ConfigKeys(source, "Phi-3")
    config = read_sizes(keys, partial_rotary=True, norm_eps=1e-5)
    for key in ("attention_bias", "mlp_bias", "lm_head_bias"):
        keys.expect(key, False)
    for key in ("full_attn_mod", "interpolate_factor"):  # in files of Phi-4 mini, without effect at 1
        keys.expect(key, 1)
    window = keys.take("sliding_window")
    keys.finish()
    return replace(config, windows=() if window is None else (int(window),) * config.num_layers)


def _from_config(config: DecoderConfig, original: Mapping[str, Any] | None) -> dict[str, Any]:
    if original is not None and _to_config(original) == config:
        return dict(original)
    return {
        **harmless_keys(original),
        "architectures": ["Phi3ForCausalLM"],
        "model_type": "phi3",
        **write_sizes(config),
        "sliding_window": config.windows[0] if config.windows else None,
    }


def _to_ours(tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
    kv = config.num_kv_heads * config.head_dim
    heights = {
        "self_attn.qkv_proj.weight": (("q_proj", config.num_heads * config.head_dim), ("k_proj", kv), ("v_proj", kv)),
        "mlp.gate_up_proj.weight": (("gate_proj", config.ff_dim), ("up_proj", config.ff_dim)),
    }
    split: dict[str, Tensor] = {}
    for name in tensors:
        for merged, parts in heights.items():
            if name.endswith(merged):
                pieces = torch.split(tensors[name], [height for _, height in parts])
                stem = name.removesuffix(merged) + merged.split(".")[0]
                split.update({f"{stem}.{part}.weight": piece for (part, _), piece in zip(parts, pieces, strict=True)})
                break
        else:
            split[name] = tensors[name]
    return LLAMA_NAMES.to_ours(split, tied=config.tie_embeddings)


def _to_theirs(state: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
    theirs = LLAMA_NAMES.to_theirs(state, tied=config.tie_embeddings)
    for layer in range(config.num_layers):
        stem = f"model.layers.{layer}"
        for merged, parts in (
            ("self_attn.qkv_proj", ("q_proj", "k_proj", "v_proj")),
            ("mlp.gate_up_proj", ("gate_proj", "up_proj")),
        ):
            room = merged.split(".")[0]
            pieces = [theirs.pop(f"{stem}.{room}.{part}.weight") for part in parts]
            theirs[f"{stem}.{merged}.weight"] = torch.cat(pieces)
    return theirs


PHI3 = Family(
    model_types=("phi3",),
    architectures=("Phi3ForCausalLM",),
    kind="causal",
    to_config=_to_config,
    from_config=_from_config,
    build=build_causal_lm,
    to_ours=_to_ours,
    to_theirs=_to_theirs,
)
