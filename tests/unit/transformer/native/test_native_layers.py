"""Whole layers through our kernels against PyTorch's, family by family, and the layers that stay PyTorch's."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from app.transformer.causal_lm import DecoderConfig, build_causal_lm
from app.transformer.fuse import unfuse
from app.transformer.native.decoder import NativeLayers
from app.transformer.quantization import KINDS, Kind, quantize
from app.transformer.stores import DenseStore
from tests.unit.transformer.native.decoders import (
    BASE,
    CONFIGS,
    both,
    cached,
    covered,
    decoder,
    dequantized,
    error,
    kernels,
    needs_kernels,
    whole,
)

pytestmark = needs_kernels

# What rounding the activations may cost against the same weights with exact ones: 8 bits a group, 16, 8, and bfloat16.
ALLOWED = {"int4": 0.02, "int8": 5e-4, "int8_dynamic": 0.02, "bf16": 0.02}
TOKENS = torch.arange(70) * 37 % 160


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_family_gives_what_exact_activations_give(family: str, kind: Kind) -> None:
    config = CONFIGS[family]
    plain, ours = both(config, kind)
    assert covered(ours) == (True, True)
    expected = whole(dequantized(config, kind), TOKENS)
    found = whole(ours, TOKENS)
    assert error(found, expected) < ALLOWED[kind]
    assert error(whole(plain, TOKENS), expected) < ALLOWED[kind]
    # One token at a time, a few, and a long part: one call for all layers, or two a layer.
    assert error(cached(ours, TOKENS, [40, 1, 1, 8, 9, 1, 1, 9]), expected) < ALLOWED[kind]
    assert error(cached(ours, TOKENS[:9], [1] * 9), expected[:9]) < ALLOWED[kind]


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_bfloat16_models_stay_as_near_as_pytorchs(kind: Kind) -> None:
    expected = whole(dequantized(CONFIGS["qwen2"], kind), TOKENS)
    plain, ours = both(CONFIGS["qwen2"], kind, torch.bfloat16)
    theirs = error(whole(plain, TOKENS), expected)
    assert 0 < error(whole(ours, TOKENS), expected) < 1.2 * theirs
    assert 0 < error(cached(ours, TOKENS, [60] + [1] * 10), expected) < 1.2 * theirs


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("window", [None, 130])
def test_a_long_cache_shared_out_among_more_threads_than_heads(kv_heads: int, window: int | None) -> None:
    config = replace(BASE, num_kv_heads=kv_heads, windows=(None, window))
    token_ids = torch.arange(700) * 53 % 160
    expected = whole(dequantized(config, "int8"), token_ids)
    ours = both(config, "int8")[1]
    threads = torch.get_num_threads()
    try:
        for count in (1, 3, 7):
            torch.set_num_threads(count)
            assert error(cached(ours, token_ids, [697, 1, 1, 1]), expected) < ALLOWED["int8"]
    finally:
        torch.set_num_threads(threads)


@torch.inference_mode()
def test_sequences_of_different_lengths_in_one_pass() -> None:
    ours = both(CONFIGS["qwen3"], "int8")[1]
    parts = [TOKENS[:5], TOKENS[5:6], TOKENS[10:40], TOKENS[3:20]]
    store = ours.new_store(batch=4, capacity=40)
    ours(torch.cat(parts), store.begin([len(part) for part in parts]), store)
    for step in range(3):
        new = torch.tensor([7, 50 + step, 99, 100])
        hidden = ours(new, store.begin([1, 1, 1, 1]), store)
        parts = [torch.cat([part, token.view(1)]) for part, token in zip(parts, new, strict=True)]
        for part, row in zip(parts, ours.logits(hidden), strict=True):
            assert error(row, whole(ours, part)[-1]) < ALLOWED["int8"]
    store.reorder([2, 0])  # the store's memory is another one now
    hidden = ours(torch.tensor([1, 2]), store.begin([1, 1]), store)
    for part, token, row in zip((parts[2], parts[0]), (1, 2), ours.logits(hidden), strict=True):
        assert error(row, whole(ours, torch.cat([part, torch.tensor([token])]))[-1]) < ALLOWED["int8"]


STAYS = {
    "layer norm": replace(BASE, norm="layer"),
    "norms around": replace(BASE, norm_placement="sandwich"),
    "norms after": replace(BASE, norm_placement="post"),
    "relu": replace(BASE, activation="relu"),
    "no gate": replace(BASE, gated=False),
    "feed-forward of no whole group": replace(BASE, ff_dim=160),
    "head size of no whole vector": replace(BASE, head_dim=24, rotary=(replace(BASE.rotary[0], dim=24),) * 2),
}


@pytest.mark.parametrize("part", STAYS)
def test_layers_with_a_part_that_we_lack_stay_pytorchs(part: str) -> None:
    plain, ours = both(STAYS[part], "int8")
    assert covered(ours) == (False, False)
    assert error(whole(ours, TOKENS), whole(plain, TOKENS)) < ALLOWED["int8"]
    assert error(cached(ours, TOKENS, [60] + [1] * 10), whole(plain, TOKENS)) < ALLOWED["int8"]


@pytest.mark.parametrize("config", [replace(BASE, attention_softcap=5.0), replace(BASE, positions="alibi", rotary=())])
def test_attention_that_we_lack_stays_pytorchs_between_our_products(config: DecoderConfig) -> None:
    plain, ours = both(config, "int8")
    assert covered(ours) == (True, True)
    assert error(cached(ours, TOKENS, [60] + [1] * 10), whole(plain, TOKENS)) < ALLOWED["int8"]


def test_layers_of_both_sorts_in_one_model() -> None:
    plain, ours = decoder(BASE), decoder(BASE)
    quantize(plain, "int8", keep=["blocks.0.attention.out_proj"])
    quantize(ours, "int8", keep=["blocks.0.attention.out_proj"], kernels=kernels())
    assert covered(ours) == (False, True)
    assert error(whole(ours, TOKENS), whole(plain, TOKENS)) < ALLOWED["int8"]
    assert error(cached(ours, TOKENS, [60] + [1] * 10), whole(plain, TOKENS)) < ALLOWED["int8"]


def test_projections_that_were_not_merged_stay_pytorchs() -> None:
    merged = both(BASE, "int8")[1]
    plain = build_causal_lm(BASE).eval().requires_grad_(False)
    plain.load_state_dict(unfuse(decoder(BASE)).state_dict())
    quantize(plain, "int8", kernels=kernels())
    assert covered(plain) == (False, False)
    assert error(whole(plain, TOKENS), whole(merged, TOKENS)) < ALLOWED["int8"]


@pytest.mark.parametrize("kind", KINDS)
def test_loaded_weights_are_those_that_run(kind: Kind) -> None:
    source, target = both(CONFIGS["qwen3"], kind)[1], both(CONFIGS["qwen3"], kind)[1]
    state = {
        name: tensor * 0.5 if tensor.is_floating_point() else tensor for name, tensor in source.state_dict().items()
    }
    before = whole(target, TOKENS)
    target.load_state_dict(state)
    source.load_state_dict(state)
    assert torch.equal(whole(target, TOKENS), whole(source, TOKENS))
    assert error(whole(target, TOKENS), before) > 0.01


def test_with_gradients_on_the_modules_run() -> None:
    ours = both(BASE, "int8")[1]
    store = DenseStore([len(TOKENS)])
    with torch.enable_grad():
        assert not NativeLayers.serves(ours.embed(TOKENS))
        found = ours.logits(ours(TOKENS, store.positions(), store))
    assert error(found, whole(ours, TOKENS)) < ALLOWED["int8"]


def test_a_copied_model_has_weights_of_its_own() -> None:
    ours = both(BASE, "int4")[1]
    copied = copy.deepcopy(ours)
    before = whole(ours, TOKENS)
    assert torch.equal(whole(copied, TOKENS), before)
    copied.load_state_dict(
        {name: tensor * (0.5 if "norm" in name else 1) for name, tensor in ours.state_dict().items()}
    )
    assert error(whole(copied, TOKENS), before) > 0.01
    assert torch.equal(whole(ours, TOKENS), before)
