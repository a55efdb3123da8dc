"""Gemma 2 and 3 (text): four norms around a block, windows on most layers, soft caps (2) or normed heads (3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from app.transformer.causal_lm import DecoderConfig, build_causal_lm
from app.transformer.families import ConfigKeys, Family, harmless_keys
from app.transformer.families.activations import read_activation, write_activation
from app.transformer.families.llama import layer_types, layer_windows, read_sizes, write_sizes
from app.transformer.families.rotary_keys import rotary_of, write_scaling
from app.transformer.families.tensor_names import LLAMA_NAMES, TensorNames
from app.transformer.rotary import RotaryConfig

_NAMES = TensorNames(
    base=LLAMA_NAMES.base,
    layers=LLAMA_NAMES.layers,
    outside=LLAMA_NAMES.outside,
    inside={
        **LLAMA_NAMES.inside,
        "post_attention_layernorm": "attention_out_norm",
        "pre_feedforward_layernorm": "feed_forward_norm",
        "post_feedforward_layernorm": "feed_forward_out_norm",
    },
)
_HEAD_DIM = 256
_LOCAL, _GLOBAL = "sliding_attention", "full_attention"


def _shared(keys: ConfigKeys, rotary: RotaryConfig | None = None) -> DecoderConfig:
    """What both versions say alike."""
    # Gemma has two keys for the activation; the model reads this one, whatever the other says.
    activation = read_activation(keys, "hidden_activation", "gelu_pytorch_tanh")
    keys.expect("use_bidirectional_attention", False)
    config = read_sizes(keys, head_dim=_HEAD_DIM, rotary=rotary)
    keys.take("hidden_act")
    bias = bool(keys.take("attention_bias", False))
    return replace(
        config,
        norm="rms_plus_one",
        norm_placement="sandwich",
        activation=activation,
        qkv_bias=bias,
        out_bias=bias,
        tie_embeddings=bool(keys.take("tie_word_embeddings", True)),
        embedding_scale=config.embed_dim**0.5,
        attention_scale=float(keys.take("query_pre_attn_scalar", 256)) ** -0.5,
    )


def _windows(keys: ConfigKeys, layers: int, every: int) -> tuple[int | None, ...]:
    """Windows by `layer_types`, else on all layers but each `every`-th."""
    window = int(keys.take("sliding_window", 4096))
    given = layer_windows(keys, layers, window)
    if keys.take("layer_types") is not None:
        return given
    return tuple(window if (layer + 1) % every else None for layer in range(layers))


def _cap(source: Mapping[str, Any], keys: ConfigKeys, key: str, default: float | None) -> float | None:
    keys.take(key)
    value = source.get(key, default)  # null is no cap, absent the family's default
    return None if value is None else float(value)


def _gemma2(source: Mapping[str, Any]) -> DecoderConfig:
    keys = ConfigKeys(source, "Gemma 2")
    config = _shared(keys)
    config = replace(
        config,
        windows=_windows(keys, config.num_layers, every=2),
        attention_softcap=_cap(source, keys, "attn_logit_softcapping", 50.0),
        logit_softcap=_cap(source, keys, "final_logit_softcapping", 30.0),
    )
    keys.finish()
    return config


def _gemma3(source: Mapping[str, Any]) -> DecoderConfig:
    keys = ConfigKeys(source, "Gemma 3")
    parameters = keys.take("rope_parameters", {})
    local, everywhere = dict(parameters.get(_LOCAL) or {}), dict(parameters.get(_GLOBAL) or {})
    everywhere.update(keys.take("rope_scaling", {}))
    everywhere.setdefault("rope_theta", keys.take("rope_theta", 1_000_000.0))
    local.setdefault("rope_theta", keys.take("rope_local_base_freq", 10_000.0))
    extra = {name: value for name, value in parameters.items() if name not in (_LOCAL, _GLOBAL)}
    if extra:
        raise keys.refusal("rope_parameters", extra, "which must be given for full and sliding attention")
    sizes = {
        "head_dim": int(keys.take("head_dim", _HEAD_DIM)),
        "max_positions": int(keys.need("max_position_embeddings")),
    }
    far, near = rotary_of(everywhere, keys, **sizes), rotary_of(local, keys, **sizes)
    config = _shared(keys, far)
    every = keys.take("sliding_window_pattern", keys.take("_sliding_window_pattern", 6))
    windows = _windows(keys, config.num_layers, every=int(every))
    config = replace(
        config,
        windows=windows,
        rotary=tuple(far if window is None else near for window in windows or (None,) * config.num_layers),
        qk_norm=True,
        attention_softcap=_cap(source, keys, "attn_logit_softcapping", None),
        logit_softcap=_cap(source, keys, "final_logit_softcapping", None),
    )
    keys.finish()
    return config


def _keys(config: DecoderConfig) -> dict[str, Any]:
    keys = write_sizes(config)
    del keys["hidden_act"]
    scale = config.head_dim**-0.5 if config.attention_scale is None else config.attention_scale
    return {
        **keys,
        "hidden_activation": write_activation(config.activation),
        "attention_bias": config.qkv_bias,
        "query_pre_attn_scalar": round(scale**-2),
        "sliding_window": next((window for window in config.windows if window is not None), 4096),
        "layer_types": layer_types(config),
        "attn_logit_softcapping": config.attention_softcap,
        "final_logit_softcapping": config.logit_softcap,
    }


def _gemma3_keys(config: DecoderConfig) -> dict[str, Any]:
    keys = {key: value for key, value in _keys(config).items() if not key.startswith("rope_")}
    windows = config.windows or (None,) * config.num_layers
    pairs = list(zip(windows, config.rotary, strict=True))
    far = next((rotary for window, rotary in pairs if window is None), None)
    near = next((rotary for window, rotary in pairs if window is not None), None)
    parameters = {}
    for name, rotary in ((_GLOBAL, far), (_LOCAL, near)):
        if rotary is not None:
            parameters[name] = _rope_parameters(rotary, config.max_positions)
    return {**keys, "rope_parameters": parameters}


def _rope_parameters(rotary: RotaryConfig, max_positions: int) -> dict[str, Any]:
    scaling = write_scaling(rotary.scaling, max_positions=max_positions)
    return {"rope_theta": rotary.theta, **(scaling or {"rope_type": "default"})}


def _from_gemma2(config: DecoderConfig, original: Mapping[str, Any] | None) -> dict[str, Any]:
    if original is not None and _gemma2(original) == config:
        return dict(original)
    heading = {"architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2"}
    return {**harmless_keys(original), **heading, **_keys(config)}


def _from_gemma3(config: DecoderConfig, original: Mapping[str, Any] | None) -> dict[str, Any]:
    if original is not None and _gemma3(original) == config:
        return dict(original)
    heading = {"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text"}
    return {**harmless_keys(original), **heading, **_gemma3_keys(config)}


def _to_ours(tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
    return _NAMES.to_ours(tensors, tied=config.tie_embeddings)


def _to_theirs(state: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
    return _NAMES.to_theirs(state, tied=config.tie_embeddings)


GEMMA2 = Family(
    model_types=("gemma2",),
    architectures=("Gemma2ForCausalLM",),
    kind="causal",
    to_config=_gemma2,
    from_config=_from_gemma2,
    build=build_causal_lm,
    to_ours=_to_ours,
    to_theirs=_to_theirs,
)
GEMMA3 = Family(
    model_types=("gemma3_text",),
    architectures=("Gemma3ForCausalLM",),
    kind="causal",
    to_config=_gemma3,
    from_config=_from_gemma3,
    build=build_causal_lm,
    to_ours=_to_ours,
    to_theirs=_to_theirs,
)
