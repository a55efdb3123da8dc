"""The decoder as a whole: kinds of positions and norms, tied heads, soft caps, merging, wrong settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from app.errors import InvalidInput
from app.transformer.causal_lm import CausalLM, DecoderConfig, build_causal_lm, greedy
from app.transformer.fuse import FusedFeedForward, fuse, unfuse
from app.transformer.rotary import RotaryConfig
from app.transformer.stores import DenseStore

CONFIG = DecoderConfig(
    vocab_size=19,
    embed_dim=16,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=4,
    ff_dim=24,
    max_positions=16,
    rotary=(RotaryConfig(10_000.0, 4), None),
)
KINDS: dict[str, dict[str, Any]] = {
    "rotary": {},
    "learned": {"positions": "learned"},
    "sinusoidal": {"positions": "sinusoidal"},
    "alibi": {"positions": "alibi"},
    "none": {"positions": "none"},
    "post-norm": {"positions": "sinusoidal", "norm": "layer", "norm_placement": "post", "gated": False},
    "sandwich": {"norm": "rms_plus_one", "norm_placement": "sandwich", "qk_norm": True, "attention_softcap": 2.0},
    "biases everywhere": {"qkv_bias": True, "out_bias": True, "ff_bias": True, "head_bias": True},
}


def _model(**settings: Any) -> CausalLM:
    model = build_causal_lm(replace(CONFIG, **settings)).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


def _logits(model: CausalLM, tokens: list[int]) -> torch.Tensor:
    store = DenseStore([len(tokens)])
    return model.logits(model(torch.tensor(tokens), store.positions(), store))


@pytest.mark.parametrize("kind", KINDS)
def test_cached_merged_and_whole_agree(kind: str) -> None:
    model = _model(**KINDS[kind])
    tokens = [3, 1, 4, 1, 5, 9, 2, 6]
    with torch.inference_mode():
        whole = _logits(model, tokens)
        for ours in (model, fuse(model)):
            store = ours.new_store(capacity=8)
            steps = [ours.logits(ours(torch.tensor([token]), store.begin([1]), store)) for token in tokens]
            torch.testing.assert_close(torch.cat(steps), whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_future_changes_nothing_and_order_matters_with_positions(kind: str) -> None:
    model = _model(**KINDS[kind])
    with torch.inference_mode():
        first = _logits(model, [3, 1, 4, 1])
        torch.testing.assert_close(_logits(model, [3, 1, 4, 1, 7, 8])[:4], first, atol=1e-5, rtol=0)
        swapped = _logits(model, [1, 3, 4, 1])
    same_end = torch.allclose(swapped[2:], first[2:], atol=1e-4)
    # Without positions the last tokens of one layer see a set; two causal layers still tell its order.
    assert not same_end


def test_soft_cap_bounds_the_logits_and_they_are_float32() -> None:
    model = _model(logit_softcap=1.5).to(torch.bfloat16)
    with torch.no_grad():
        model.lm_head.weight.mul_(100)
        logits = _logits(model, [1, 2, 3])
    assert logits.dtype == torch.float32
    assert 1.4 < float(logits.abs().max()) <= 1.5


def test_a_tied_head_is_the_embedding_and_an_untied_one_is_not() -> None:
    tied, untied = _model(), _model(tie_embeddings=False)
    assert tied.lm_head.weight is tied.embed.weight
    assert untied.lm_head.weight is not untied.embed.weight
    count = sum(parameter.numel() for parameter in untied.parameters())
    assert sum(parameter.numel() for parameter in tied.parameters()) == count - 19 * 16


def test_training_lowers_the_loss() -> None:
    torch.manual_seed(0)
    model = build_causal_lm(CONFIG)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.02)
    tokens = torch.tensor([1, 2, 3, 4, 5, 6, 1, 3, 5, 2, 4, 6])
    losses = []
    for _ in range(25):
        store = DenseStore([6, 6])
        logits = model.logits(model(tokens, store.positions(), store)).view(2, 6, -1)
        loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens.view(2, 6)[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_greedy_decodes_prompts_of_different_lengths_as_if_alone() -> None:
    model = _model()
    prompts = [[1, 2, 3, 4, 5], [6], [7, 8]]
    together = greedy(model, prompts, 6)
    assert together == [greedy(model, [prompt], 6)[0] for prompt in prompts]
    assert [len(answer) for answer in together] == [6, 6, 6]


def test_positions_beyond_a_table_are_refused() -> None:
    for kind in ("learned", "sinusoidal"):
        model = _model(positions=kind)
        with pytest.raises(ValueError, match="max_positions=16"):
            _logits(model, [1] * 17)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidInput, match="rotary has 1 entries"):
        _model(rotary=(RotaryConfig(10_000.0, 4),))
    with pytest.raises(InvalidInput, match="windows has 3 entries"):
        _model(windows=(1, 2, 3))
    with pytest.raises(InvalidInput, match="num_kv_heads=3"):
        _model(num_kv_heads=3)


def test_merging_keeps_the_weights_and_refuses_quantized_layers() -> None:
    model = _model(qkv_bias=True, ff_bias=True)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert fuse(fuse(model)) is model
    assert all(isinstance(block.feed_forward, FusedFeedForward) for block in model.blocks)
    after = unfuse(model).state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)

    class Quantized(nn.Linear):
        pass

    model.blocks[0].attention.q_proj = Quantized(16, 16)
    with pytest.raises(InvalidInput, match="before quantizing"):
        fuse(model)
    merged = fuse(_model())
    merged.blocks[1].attention.qkv_proj = Quantized(16, 32)
    with pytest.raises(InvalidInput, match="quantized"):
        unfuse(merged)


def test_a_network_without_a_gate_is_left_alone() -> None:
    model = fuse(_model(gated=False))
    assert not any(isinstance(block.feed_forward, FusedFeedForward) for block in model.blocks)
