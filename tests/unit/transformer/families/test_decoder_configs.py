"""config.json of decoder families: keys of older files, and keys that would change the result refused by name."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from app.errors import Unavailable
from app.transformer.causal_lm import DecoderConfig
from app.transformer.families import ConfigKeys, Family
from app.transformer.families.gemma import GEMMA2, GEMMA3
from app.transformer.families.gpt2 import GPT2
from app.transformer.families.llama import LLAMA, MISTRAL, QWEN2, QWEN3, SMOLLM3
from app.transformer.families.phi3 import PHI3
from app.transformer.rotary import LinearScaling, Llama3Scaling, LongRopeScaling, RotaryConfig, YarnScaling

SIZES: dict[str, Any] = {
    "vocab_size": 31,
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
}
GPT2_SIZES = {"vocab_size": 31, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 20}
FAMILIES = [LLAMA, MISTRAL, QWEN2, QWEN3, SMOLLM3, GEMMA2, GEMMA3, PHI3, GPT2]


def _sizes(family: Family) -> dict[str, Any]:
    return dict(GPT2_SIZES if family is GPT2 else SIZES)


def _config(family: Family, **keys: Any) -> DecoderConfig:
    config = family.to_config(_sizes(family) | keys)
    assert isinstance(config, DecoderConfig)
    return config


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_types[0])
class TestEveryFamily:
    def test_an_unknown_key_is_refused_by_name(self, family: Family) -> None:
        with pytest.raises(Unavailable, match="residual_multiplier"):
            _config(family, residual_multiplier=0.22)

    def test_keys_that_are_off_or_say_nothing_about_the_result_are_fine(self, family: Family) -> None:
        plain = _config(family)
        said = {"use_cache": True, "torch_dtype": "bfloat16", "eos_token_id": [1, 2], "sub_norm": False, "extra": None}
        assert _config(family, **said) == plain

    def test_a_missing_size_is_named(self, family: Family) -> None:
        sizes = _sizes(family)
        del sizes["vocab_size"]
        with pytest.raises(Unavailable, match="'vocab_size'"):
            family.to_config(sizes)

    def test_an_unknown_activation_is_refused(self, family: Family) -> None:
        key = {GPT2: "activation_function", GEMMA2: "hidden_activation", GEMMA3: "hidden_activation"}
        with pytest.raises(Unavailable, match="xielu"):
            _config(family, **{key.get(family, "hidden_act"): "xielu"})

    def test_what_is_written_reads_the_same(self, family: Family) -> None:
        config = _config(family)
        written = family.from_config(config, None)
        assert family.to_config(written) == config
        assert written["model_type"] in family.model_types
        assert written["architectures"] == list(family.architectures[:1])

    def test_a_changed_model_keeps_the_special_tokens_of_its_original(self, family: Family) -> None:
        original = _sizes(family) | {"eos_token_id": 5, "dtype": "float32"}
        changed = family.from_config(family.to_config(_sizes(family) | {"vocab_size": 40}), original)
        assert (changed["vocab_size"], changed["eos_token_id"]) == (40, 5)
        same = family.from_config(family.to_config(original), original)
        assert same == original


# What published folders say beside their sizes.
PUBLISHED: dict[str, tuple[Family, dict[str, Any]]] = {
    "Qwen2.5-0.5B-Instruct": (
        QWEN2,
        {"max_window_layers": 21, "rope_theta": 1e6, "sliding_window": 32768, "use_sliding_window": False},
    ),
    "Qwen3-0.6B": (
        QWEN3,
        {"attention_bias": False, "max_window_layers": 28, "rope_scaling": None, "sliding_window": None},
    ),
    "SmolLM2-135M-Instruct": (
        LLAMA,
        {
            "is_llama_config": True,
            "rope_interleaved": False,
            "mlp_bias": False,
            "pretraining_tp": 1,
            "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}},
        },
    ),
    "SmolLM3-3B": (
        SMOLLM3,
        {
            "max_window_layers": 28,
            "no_rope_layer_interval": 4,
            "no_rope_layers": [1, 1, 1, 0],
            "pretraining_tp": 2,
            "sliding_window": 4096,
            "use_sliding_window": False,
            "layer_types": ["full_attention"] * 4,
        },
    ),
    "Phi-4-mini-instruct": (
        PHI3,
        {
            "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"},
            "embd_pdrop": 0.0,
            "full_attn_mod": 1,
            "interpolate_factor": 1,
            "lm_head_bias": False,
            "mlp_bias": False,
            "attention_bias": False,
            "sliding_window": 262144,
        },
    ),
    "gemma-2-2b-it": (
        GEMMA2,
        {"cache_implementation": "hybrid", "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh"},
    ),
    "gemma-3-1b-it": (
        GEMMA3,
        {"cache_implementation": "hybrid", "sliding_window_pattern": 6, "rope_scaling": None, "sliding_window": 512},
    ),
    "gpt2": (
        GPT2,
        {
            "n_ctx": 1024,
            "summary_type": "cls_index",
            "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        },
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_folders_are_understood(name: str) -> None:
    family, keys = PUBLISHED[name]
    _config(family, **keys)


def test_rotary_keys_of_older_files() -> None:
    old = {"rope_theta": 500_000.0, "rope_scaling": {"type": "linear", "factor": 4.0}}
    assert _config(LLAMA, **old).rotary == (RotaryConfig(500_000.0, 4, LinearScaling(4.0)),) * 4
    llama3 = {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    rotary = _config(LLAMA, rope_theta=500_000.0, rope_scaling=llama3).rotary[0]
    assert rotary == RotaryConfig(500_000.0, 4, Llama3Scaling(32.0, 1.0, 4.0, 8192))
    # YaRN as Qwen2.5 documents it: the attention factor is 0.1 · ln 4 + 1
    yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    scaling = _config(QWEN2, rope_scaling=yarn).rotary[0]
    assert scaling is not None
    assert isinstance(scaling.scaling, YarnScaling)
    assert scaling.scaling.attention_factor == pytest.approx(0.1 * math.log(4) + 1)


@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "mystery", "factor": 2.0},
        {"rope_type": "linear", "factor": 2.0, "mrope_section": [1, 1]},
        {"rope_type": "linear"},
        {"rope_type": "llama3", "factor": 8.0},
        {"rope_type": "default", "partial_rotary_factor": 0.3},
    ],
)
def test_an_unknown_rotary_scaling_is_refused(scaling: dict[str, Any]) -> None:
    with pytest.raises(Unavailable, match=r"rope_parameters|rope_type|rotary"):
        _config(LLAMA, rope_scaling=scaling)


def test_windows() -> None:
    assert _config(MISTRAL).windows == (4096,) * 4  # of the first Mistral, whose file need not say it
    assert _config(MISTRAL, sliding_window=None).windows == ()
    assert _config(QWEN2, sliding_window=9).windows == ()
    assert _config(QWEN2, sliding_window=9, use_sliding_window=True, max_window_layers=3).windows == (None,) * 3 + (9,)
    kinds = ["full_attention", "sliding_attention"] * 2
    assert _config(QWEN3, sliding_window=9, use_sliding_window=True, layer_types=kinds).windows == (None, 9, None, 9)
    assert _config(GEMMA2, sliding_window=9).windows == (9, None, 9, None)
    assert _config(GEMMA3, sliding_window=9, sliding_window_pattern=3).windows == (9, 9, None, 9)
    for bad in (["chunked_attention"] * 4, ["full_attention"]):
        with pytest.raises(Unavailable, match="layer_types"):
            _config(QWEN3, layer_types=bad)


def test_gemma_3_of_older_files_turns_far_and_near_layers_differently() -> None:
    config = _config(
        GEMMA3,
        head_dim=8,
        rope_theta=1e6,
        rope_local_base_freq=1e4,
        rope_scaling={"rope_type": "linear", "factor": 8.0},
        sliding_window_pattern=2,
    )
    near, far = RotaryConfig(1e4, 8), RotaryConfig(1e6, 8, LinearScaling(8.0))
    assert config.rotary == (near, far, near, far)
    assert config.logit_softcap is None
    with pytest.raises(Unavailable, match="use_bidirectional_attention"):
        _config(GEMMA3, use_bidirectional_attention=True)


def test_gemma_2_caps_unless_told_not_to() -> None:
    assert (_config(GEMMA2).attention_softcap, _config(GEMMA2).logit_softcap) == (50.0, 30.0)
    assert _config(GEMMA2, attn_logit_softcapping=None).attention_softcap is None


def test_smollm3_leaves_out_every_fourth_layer() -> None:
    assert [rotary is None for rotary in _config(SMOLLM3).rotary] == [False, False, False, True]
    with pytest.raises(Unavailable, match="no_rope_layers"):
        _config(SMOLLM3, no_rope_layers=[1, 0])


def test_phi_3_long_and_partial() -> None:
    scaling = {"type": "su", "short_factor": [1.0], "long_factor": [4.0]}
    config = _config(PHI3, rope_scaling=scaling, original_max_position_embeddings=16, partial_rotary_factor=0.5)
    # √(1 + ln(64 / 16) / ln 16) = √1.5
    assert config.rotary[0] == RotaryConfig(10_000.0, 2, LongRopeScaling((1.0,), (4.0,), 16, math.sqrt(1.5)))
    with pytest.raises(Unavailable, match="lm_head_bias"):
        _config(PHI3, lm_head_bias=True)


def test_gpt_2_refuses_what_it_would_get_wrong() -> None:
    with pytest.raises(Unavailable, match="scale_attn_by_inverse_layer_idx"):
        _config(GPT2, scale_attn_by_inverse_layer_idx=True)
    assert _config(GPT2, scale_attn_weights=False).attention_scale == 1.0


def test_the_first_gpt_2_folders_have_no_prefix_and_carry_the_mask() -> None:
    config = _config(GPT2)
    state = GPT2.build(config).state_dict()
    theirs = GPT2.to_theirs(state, config)
    old = {name.removeprefix("transformer."): tensor for name, tensor in theirs.items()}
    old["h.0.attn.bias"] = torch.ones(1, 1, 20, 20)
    old["h.1.attn.masked_bias"] = torch.tensor(-1e4)
    ours = GPT2.to_ours(old, config)
    assert ours.keys() == state.keys()
    assert all(torch.equal(ours[name], state[name]) for name in state)


def test_a_tensor_without_a_place_is_named() -> None:
    config = _config(QWEN2)
    theirs = QWEN2.to_theirs(QWEN2.build(config).state_dict(), config)
    with pytest.raises(Unavailable, match=r"'model\.layers\.0\.self_attn\.sinks'"):
        QWEN2.to_ours({**theirs, "model.layers.0.self_attn.sinks": torch.ones(4)}, config)
    QWEN2.to_ours({**theirs, "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(2)}, config)


def test_config_keys_shorten_long_values_in_messages() -> None:
    keys = ConfigKeys({"table": list(range(1000))}, "Llama")
    with pytest.raises(Unavailable) as caught:
        keys.finish()
    assert "table=[0, 1" in caught.value.message
    assert len(caught.value.message) < 250
