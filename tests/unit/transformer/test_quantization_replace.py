"""`quantize` over whole models, its report, and the measures of what it cost."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from app.errors import InvalidInput
from app.transformer.causal_lm import CausalLM, DecoderConfig, build_causal_lm
from app.transformer.fuse import fuse
from app.transformer.quantization import (
    KINDS,
    DynamicInt8Linear,
    Int4Linear,
    Int8Linear,
    Kind,
    PackedBf16Linear,
    fidelity,
    perplexity,
    quantization_report,
    quantize,
    weight_bytes,
)
from app.transformer.rotary import RotaryConfig
from app.transformer.stores import DenseStore

_TYPES = {"bf16": PackedBf16Linear, "int8": Int8Linear, "int4": Int4Linear, "int8_dynamic": DynamicInt8Linear}


def _model() -> CausalLM:
    torch.manual_seed(0)
    config = DecoderConfig(
        vocab_size=160,
        embed_dim=64,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        head_dim=32,
        ff_dim=128,
        max_positions=64,
        rotary=(RotaryConfig(theta=10_000.0, dim=32),) * 2,
        qkv_bias=True,
    )
    model = build_causal_lm(config)
    with torch.no_grad():
        model.embed.weight.mul_(8)  # logits that differ: with tiny ones every form would agree
    return model.eval().requires_grad_(False)


def _logits(model: CausalLM, token_ids: Tensor) -> Tensor:
    store = DenseStore([len(token_ids)])
    return model.logits(model(token_ids, store.positions(), store))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fused", [False, True])
def test_every_linear_layer_is_replaced_and_the_model_still_predicts(kind: Kind, fused: bool) -> None:
    model, token_ids = _model(), torch.arange(30) * 5
    expected = _logits(model, token_ids)
    if fused:
        fuse(model)
    assert quantize(model, kind) is model
    assert {type(layer) for layer in model.modules() if hasattr(layer, "in_features")} == {_TYPES[kind]}
    found = _logits(model, token_ids)
    allowed = {"bf16": 0.03, "int8": 0.03, "int8_dynamic": 0.06, "int4": 0.4}[kind]
    error = float((found - expected).norm() / expected.norm())
    assert 0 < error < allowed


@pytest.mark.parametrize("kind", KINDS)
def test_cached_decoding_agrees_with_the_full_pass(kind: Kind) -> None:
    model, token_ids = _model(), torch.arange(40) * 3
    quantize(fuse(model), kind)
    whole = _logits(model, token_ids)
    store = model.new_store(capacity=40)
    parts = [token_ids[:37], *token_ids[37:].split(1)]  # many rows take another kernel than one
    stepwise = torch.cat([model.logits(model(part, store.begin([len(part)]), store)) for part in parts])
    assert float((stepwise - whole).norm() / whole.norm()) < 0.02


def test_a_tied_head_is_quantized_and_the_embedding_is_not() -> None:
    model = _model()
    before = model.embed.weight.clone()
    quantize(model, "int8")
    assert isinstance(model.lm_head, Int8Linear)
    assert torch.equal(model.embed.weight, before)


def test_keep_leaves_layers_alone() -> None:
    model = _model()
    quantize(model, "int8", keep=["lm_head"])
    assert type(model.lm_head) is nn.Linear
    assert model.lm_head.weight is model.embed.weight
    with pytest.raises(InvalidInput, match=r"keep=\['head'\] names no linear layer"):
        quantize(_model(), "int8", keep=["head"])


def test_a_layer_used_twice_stays_one_layer() -> None:
    shared = nn.Linear(32, 32)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    quantize(model, "int8")
    assert model[0] is model[2]
    assert isinstance(model[0], Int8Linear)


def test_layers_that_int4_does_not_fit_become_int8_and_the_report_says_why() -> None:
    model = nn.Sequential(nn.Linear(128, 100), nn.Linear(100, 8))
    quantize(model, "int4", group_size=64)
    first, second = quantization_report(model)
    assert (first.name, first.kind, first.note) == ("0", "int4/64", "")
    assert (second.name, second.kind, second.out_features, second.in_features) == ("1", "int8", 8, 100)
    assert "group_size=64 does not divide in_features=100: use int8" in second.note
    assert model(torch.ones(3, 128)).shape == (3, 8)


def test_subclasses_of_linear_are_left_and_named() -> None:
    model = nn.MultiheadAttention(32, 2)
    quantize(model, "int8")
    (only,) = quantization_report(model)
    assert only.name == "out_proj"
    assert only.kind == "float32"
    assert "NonDynamicallyQuantizableLinear is left as it is" in only.note


def test_a_lone_layer_is_returned_replaced() -> None:
    assert isinstance(quantize(nn.Linear(64, 64), "int4"), Int4Linear)


def test_sizes() -> None:
    layer = nn.Linear(1_024, 256, bias=False)
    assert weight_bytes(layer) == 4 * 1_024 * 256
    sizes = {kind: weight_bytes(quantize(copy.deepcopy(layer), kind)) for kind in KINDS}
    assert sizes["bf16"] == 2 * 1_024 * 256
    assert sizes["int8"] == sizes["int8_dynamic"] == 1_024 * 256 + 4 * 256
    assert sizes["int4"] == 1_024 * 256 // 2 + 4 * 256 * 16  # 16 groups, a scale and an offset each
    model = _model()
    tied = weight_bytes(model)
    assert tied == sum(parameter.nbytes for parameter in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_state_of_a_quantized_model_loads_into_another(kind: Kind) -> None:
    first, second = quantize(fuse(_model()), kind), _model()
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.mul_(0.5)
    quantize(fuse(second), kind)
    second.load_state_dict(first.state_dict())
    token_ids = torch.arange(12)
    assert torch.equal(_logits(first, token_ids), _logits(second, token_ids))


def test_bad_arguments() -> None:
    with pytest.raises(InvalidInput, match="kind='int3' must be one of bf16, int8, int4, int8_dynamic"):
        quantize(_model(), "int3")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="group_size=20 must be one of"):
        quantize(_model(), "int4", group_size=20)
    with pytest.raises(InvalidInput, match=r"the model is on \['meta'\].*call model.cpu\(\)"):
        quantize(nn.Linear(32, 32, device="meta"), "int8")
    model = nn.Sequential(nn.Linear(32, 32))
    with torch.no_grad():
        model[0].weight[0, 0] = math.nan
    with pytest.raises(InvalidInput, match="layer '0': the weight holds NaN"):
        quantize(model, "int8")


def test_perplexity_by_hand() -> None:
    # Every next token has probability 1/4, whatever came before.
    uniform = torch.zeros(5, 4)
    assert perplexity(lambda ids: uniform[: len(ids)], [torch.tensor([0, 1, 2]), torch.tensor([3, 3])]) == (
        pytest.approx(4.0)
    )


def test_fidelity_by_hand() -> None:
    # Reference (1/2, 1/2), candidate (3/4, 1/4): KL = ½ ln(½ / ¾) + ½ ln(½ / ¼).
    sure = torch.tensor([[0.75, 0.25]]).log()
    found = fidelity(
        lambda ids: torch.zeros(len(ids), 2), lambda ids: sure.expand(len(ids), 2), [torch.tensor([0, 1, 0])]
    )
    assert found.tokens == 2
    assert found.reference_perplexity == pytest.approx(2.0)
    assert found.perplexity == pytest.approx(math.exp(-(math.log(0.25) + math.log(0.75)) / 2))
    assert found.kl_divergence == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2))
    assert found.agreement == 1.0  # ties go to the first in both


def test_fidelity_orders_the_kinds() -> None:
    model = _model()
    sequences = [torch.randint(160, (40,), generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    divergence = {}
    for kind in ("int8", "int8_dynamic", "int4"):
        candidate = quantize(copy.deepcopy(model), kind)
        found = fidelity(lambda ids: _logits(model, ids), lambda ids, c=candidate: _logits(c, ids), sequences)
        divergence[kind] = found.kl_divergence
    assert 0 < divergence["int8"] < divergence["int8_dynamic"] < divergence["int4"]
    same = fidelity(lambda ids: _logits(model, ids), lambda ids: _logits(model, ids), sequences)
    assert same.kl_divergence == 0
    assert same.perplexity == same.reference_perplexity


@pytest.mark.parametrize("sequences", [[], [torch.tensor([1])]])
def test_fidelity_needs_tokens_to_predict(sequences: list[Tensor]) -> None:
    with pytest.raises(InvalidInput, match="at least two tokens"):
        fidelity(lambda ids: torch.zeros(len(ids), 2), lambda ids: torch.zeros(len(ids), 2), sequences)
    with pytest.raises(InvalidInput, match="at least two tokens"):
        perplexity(lambda ids: torch.zeros(len(ids), 2), sequences)
