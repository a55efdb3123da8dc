"""GPT-2: learned positions, LayerNorm before each part, biases everywhere, weights stored `[in, out]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from app.transformer.causal_lm import DecoderConfig, build_causal_lm
from app.transformer.families import ConfigKeys, Family, harmless_keys
from app.transformer.families.activations import read_activation, write_activation
from app.transformer.families.tensor_names import TensorNames

_NAMES = TensorNames(
    base="transformer",
    layers="h",
    outside={"wte": "embed", "wpe": "positions", "ln_f": "norm"},
    inside={
        "attn.q_proj": "attention.q_proj",
        "attn.k_proj": "attention.k_proj",
        "attn.v_proj": "attention.v_proj",
        "attn.c_proj": "attention.out_proj",
        "mlp.c_fc": "feed_forward.up",
        "mlp.c_proj": "feed_forward.down",
        "ln_1": "attention_norm",
        "ln_2": "feed_forward_norm",
    },
    ignored=r"h\.\d+\.attn\.(bias|masked_bias)",  # the causal mask, stored as a buffer by old versions
)
_MERGED, _PARTS = "attn.c_attn", ("attn.q_proj", "attn.k_proj", "attn.v_proj")
_TRANSPOSED = (".attn.c_proj.weight", ".mlp.c_fc.weight", ".mlp.c_proj.weight")


def _to_config(source: Mapping[str, Any]) -> DecoderConfig:
    keys = ConfigKeys(source, "GPT-2")
    embed_dim, num_heads = int(keys.need("n_embd")), int(keys.need("n_head"))
    keys.expect("scale_attn_by_inverse_layer_idx", False)
    keys.expect("add_cross_attention", False)
    scaled = bool(keys.take("scale_attn_weights", True))
    config = DecoderConfig(
        vocab_size=int(keys.need("vocab_size")),
        embed_dim=embed_dim,
        num_layers=int(keys.need("n_layer")),
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=embed_dim // num_heads,
        ff_dim=int(keys.take("n_inner", 4 * embed_dim)),
        max_positions=int(keys.need("n_positions")),
        positions="learned",
        norm="layer",
        norm_eps=float(keys.take("layer_norm_epsilon", 1e-5)),
        activation=read_activation(keys, "activation_function", "gelu_new"),
        gated=False,
        qkv_bias=True,
        out_bias=True,
        ff_bias=True,
        tie_embeddings=bool(keys.take("tie_word_embeddings", True)),
        attention_scale=None if scaled else 1.0,
    )
    keys.finish()
    return config


def _from_config(config: DecoderConfig, original: Mapping[str, Any] | None) -> dict[str, Any]:
    if original is not None and _to_config(original) == config:
        return dict(original)
    return {
        **harmless_keys(original),
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_embd": config.embed_dim,
        "n_head": config.num_heads,
        "n_layer": config.num_layers,
        "n_inner": config.ff_dim,
        "n_positions": config.max_positions,
        "layer_norm_epsilon": config.norm_eps,
        "activation_function": write_activation(config.activation),
        "tie_word_embeddings": config.tie_embeddings,
        "scale_attn_weights": config.attention_scale is None,
    }


def _to_ours(tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
    plain: dict[str, Tensor] = {}
    for name in tensors:
        stem, found, kind = name.rpartition(f".{_MERGED}.")
        if found:
            # [in, 3 · out] → three of [out, in]; biases [3 · out] → three
            parts = tensors[name].chunk(3, dim=-1)
            plain.update({f"{stem}.{to}.{kind}": part.t().contiguous() for to, part in zip(_PARTS, parts, strict=True)})
        elif f".{name}".endswith(_TRANSPOSED):
            plain[name] = tensors[name].t().contiguous()
        else:
            plain[name] = tensors[name]
    return _NAMES.to_ours(plain, tied=config.tie_embeddings)


def _to_theirs(state: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
    theirs = _NAMES.to_theirs(state, tied=config.tie_embeddings)
    for layer in range(config.num_layers):
        stem = f"transformer.h.{layer}"
        for kind in ("weight", "bias"):
            parts = [theirs.pop(f"{stem}.{part}.{kind}").t() for part in _PARTS]
            theirs[f"{stem}.{_MERGED}.{kind}"] = torch.cat(parts, dim=-1)
    return {name: tensor.t().contiguous() if name.endswith(_TRANSPOSED) else tensor for name, tensor in theirs.items()}


GPT2 = Family(
    model_types=("gpt2",),
    architectures=("GPT2LMHeadModel",),
    kind="causal",
    to_config=_to_config,
    from_config=_from_config,
    build=build_causal_lm,
    to_ours=_to_ours,
    to_theirs=_to_theirs,
)
