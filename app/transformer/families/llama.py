"""Llama 2 and 3, Mistral, Qwen2, Qwen3 and SmolLM: one block, a few switches, the same tensor names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from app.transformer.causal_lm import DecoderConfig, build_causal_lm
from app.transformer.families import ConfigKeys, Family, harmless_keys
from app.transformer.families.activations import read_activation, write_activation
from app.transformer.families.rotary_keys import read_rotary, write_rotary
from app.transformer.families.tensor_names import LLAMA_NAMES
from app.transformer.rotary import RotaryConfig


def read_sizes(
    keys: ConfigKeys,
    *,
    default_theta: float = 10_000.0,
    head_dim: int | None = None,
    partial_rotary: bool = False,
    norm_eps: float = 1e-6,
    rotary: RotaryConfig | None = None,
) -> DecoderConfig:
    """Return what all folders of this kind say in the same words: sizes, norm, rotary positions, tied or not.

    `rotary` is given by a family that reads it from other keys; the rest are defaults for keys that are absent.
    """
    embed_dim, num_heads = int(keys.need("hidden_size")), int(keys.need("num_attention_heads"))
    num_layers = int(keys.need("num_hidden_layers"))
    head_dim = int(keys.take("head_dim", head_dim or embed_dim // num_heads))
    max_positions = int(keys.need("max_position_embeddings"))
    if rotary is None:
        rotary = read_rotary(
            keys, head_dim=head_dim, max_positions=max_positions, default_theta=default_theta, partial=partial_rotary
        )
    return DecoderConfig(
        vocab_size=int(keys.need("vocab_size")),
        embed_dim=embed_dim,
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=int(keys.take("num_key_value_heads", num_heads)),
        head_dim=head_dim,
        ff_dim=int(keys.need("intermediate_size")),
        max_positions=max_positions,
        rotary=(rotary,) * num_layers,
        norm_eps=float(keys.take("rms_norm_eps", norm_eps)),
        activation=read_activation(keys, "hidden_act", "silu"),
        tie_embeddings=bool(keys.take("tie_word_embeddings", False)),
    )


def write_sizes(config: DecoderConfig) -> dict[str, Any]:
    """Return the keys that `read_sizes` reads."""
    rotary = next(rotary for rotary in config.rotary if rotary is not None)
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.embed_dim,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.ff_dim,
        "max_position_embeddings": config.max_positions,
        "rms_norm_eps": config.norm_eps,
        "hidden_act": write_activation(config.activation),
        "tie_word_embeddings": config.tie_embeddings,
        **write_rotary(rotary, head_dim=config.head_dim, max_positions=config.max_positions),
    }


def layer_windows(keys: ConfigKeys, num_layers: int, window: int | None) -> tuple[int | None, ...]:
    """Return each layer's window by `layer_types`; empty where no layer has one.

    Raises:
        Unavailable: a layer type other than full or sliding attention.
    """
    kinds = keys.take("layer_types")
    if kinds is None:
        return ()
    for kind in kinds:
        if kind not in ("full_attention", "sliding_attention"):
            raise keys.refusal("layer_types", kinds, f"whose {kind!r} does not run here")
    if len(kinds) != num_layers:
        raise keys.refusal("layer_types", kinds, f"which must have one entry for each of {num_layers} layers")
    windows = tuple(window if kind == "sliding_attention" else None for kind in kinds)
    return windows if any(windows) else ()


def layer_types(config: DecoderConfig) -> list[str]:
    """Return the `layer_types` of a config."""
    windows = config.windows or (None,) * config.num_layers
    return ["full_attention" if window is None else "sliding_attention" for window in windows]


def _llama(source: Mapping[str, Any]) -> DecoderConfig:
    keys = ConfigKeys(source, "Llama")
    config = read_sizes(keys)
    bias = bool(keys.take("attention_bias", False))
    config = replace(config, qkv_bias=bias, out_bias=bias, ff_bias=bool(keys.take("mlp_bias", False)))
    keys.finish()
    return config


def _mistral(source: Mapping[str, Any]) -> DecoderConfig:
    keys = ConfigKeys(source, "Mistral")
    config = read_sizes(keys)
    # Absent means 4096 to transformers; null, which newer models write, means none.
    window = source.get("sliding_window", 4096)
    keys.take("sliding_window")
    keys.finish()
    return replace(config, windows=() if window is None else (int(window),) * config.num_layers)


def _qwen(family: str, *, qkv_bias: bool, qk_norm: bool) -> Callable[[Mapping[str, Any]], DecoderConfig]:
    def to_config(source: Mapping[str, Any]) -> DecoderConfig:
        keys = ConfigKeys(source, family)
        config = read_sizes(keys, head_dim=128 if qk_norm else None)
        layers = config.num_layers
        window: int | None = int(keys.take("sliding_window", 4096))
        if not keys.take("use_sliding_window", False):
            window = None  # most files give a size all the same
        first = int(keys.take("max_window_layers", 28))
        windows = layer_windows(keys, layers, window)
        if keys.take("layer_types") is None and window is not None and first < layers:
            windows = (None,) * first + (window,) * (layers - first)
        bias = qkv_bias
        if qk_norm:
            bias = bool(keys.take("attention_bias", False))
        keys.finish()
        return replace(config, qkv_bias=bias, out_bias=qk_norm and bias, qk_norm=qk_norm, windows=windows)

    return to_config


def _smollm3(source: Mapping[str, Any]) -> DecoderConfig:
    keys = ConfigKeys(source, "SmolLM3")
    config = read_sizes(keys, default_theta=2_000_000.0)
    layers = config.num_layers
    interval = int(keys.take("no_rope_layer_interval", 4))
    turned = keys.take("no_rope_layers", [int((layer + 1) % interval != 0) for layer in range(layers)])
    if len(turned) != layers:
        raise keys.refusal("no_rope_layers", turned, f"which must have one entry for each of {layers} layers")
    window = keys.take("sliding_window")
    if not keys.take("use_sliding_window", False):
        window = None
    windows = layer_windows(keys, layers, window)
    if keys.take("layer_types") is None and window is not None:
        windows = tuple(None if has else int(window) for has in turned)
    bias = bool(keys.take("attention_bias", False))
    config = replace(
        config,
        rotary=tuple(rotary if has else None for rotary, has in zip(config.rotary, turned, strict=True)),
        windows=windows,
        qkv_bias=bias,
        out_bias=bias,
        ff_bias=bool(keys.take("mlp_bias", False)),
        tie_embeddings=bool(keys.take("tie_word_embeddings", True)),
    )
    keys.finish()
    return config


def _llama_keys(config: DecoderConfig) -> dict[str, Any]:
    return {"attention_bias": config.qkv_bias, "mlp_bias": config.ff_bias}


def _mistral_keys(config: DecoderConfig) -> dict[str, Any]:
    return {"sliding_window": config.windows[0] if config.windows else None}


def _qwen_keys(config: DecoderConfig) -> dict[str, Any]:
    window = next((window for window in config.windows if window is not None), None)
    keys = {"use_sliding_window": window is not None, "layer_types": layer_types(config)}
    if window is not None:
        keys["sliding_window"] = window
    return {**keys, "attention_bias": config.qkv_bias} if config.qk_norm else keys


def _smollm3_keys(config: DecoderConfig) -> dict[str, Any]:
    keys = {**_llama_keys(config), **_qwen_keys(replace(config, qk_norm=False))}
    keys["no_rope_layers"] = [int(rotary is not None) for rotary in config.rotary]
    return keys


def _family(
    model_type: str,
    architecture: str,
    to_config: Callable[[Mapping[str, Any]], DecoderConfig],
    own_keys: Callable[[DecoderConfig], dict[str, Any]],
) -> Family:
    def from_config(config: DecoderConfig, original: Mapping[str, Any] | None) -> dict[str, Any]:
        if original is not None and to_config(original) == config:
            return dict(original)
        heading = {"architectures": [architecture], "model_type": model_type}
        return {**harmless_keys(original), **heading, **write_sizes(config), **own_keys(config)}

    return Family(
        model_types=(model_type,),
        architectures=(architecture,),
        kind="causal",
        to_config=to_config,
        from_config=from_config,
        build=build_causal_lm,
        to_ours=_to_ours,
        to_theirs=_to_theirs,
    )


def _to_ours(tensors: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
    return LLAMA_NAMES.to_ours(tensors, tied=config.tie_embeddings)


def _to_theirs(state: Mapping[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
    return LLAMA_NAMES.to_theirs(state, tied=config.tie_embeddings)


LLAMA = _family("llama", "LlamaForCausalLM", _llama, _llama_keys)
MISTRAL = _family("mistral", "MistralForCausalLM", _mistral, _mistral_keys)
QWEN2 = _family("qwen2", "Qwen2ForCausalLM", _qwen("Qwen2", qkv_bias=True, qk_norm=False), _qwen_keys)
QWEN3 = _family("qwen3", "Qwen3ForCausalLM", _qwen("Qwen3", qkv_bias=False, qk_norm=True), _qwen_keys)
SMOLLM3 = _family("smollm3", "SmolLM3ForCausalLM", _smollm3, _smollm3_keys)
