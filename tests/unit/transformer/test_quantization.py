"""Quantized linear layers: what they compute, how precise they are, what they refuse."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from app.errors import InvalidInput, Unavailable
from app.transformer.quantization import (
    DynamicInt8Linear,
    Int4Linear,
    Int8Linear,
    PackedBf16Linear,
    int8_kernel,
    linear_bf16,
)
from app.transformer.quantization.int8_kernel import FbgemmInt8, PlainInt8, has_fbgemm_kernel

LAYERS: list[type[nn.Module]] = [PackedBf16Linear, Int8Linear, DynamicInt8Linear, Int4Linear]


def _weight(out_features: int = 96, in_features: int = 128, *, seed: int = 0) -> Tensor:
    return torch.randn(out_features, in_features, generator=torch.Generator().manual_seed(seed)) * 0.05


def _rows(count: int, in_features: int = 128, *, seed: int = 1) -> Tensor:
    return torch.randn(count, in_features, generator=torch.Generator().manual_seed(seed))


def _error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("count", [1, 2, 5, 40])
@pytest.mark.parametrize("with_bias", [False, True])
def test_products_are_those_of_the_dequantized_weight(layer: type[nn.Module], count: int, with_bias: bool) -> None:
    bias = _rows(1, 96)[0] if with_bias else None
    made, x = layer(_weight(), bias), _rows(count)
    exact = x.double() @ made.dequantized().double().T + (0 if bias is None else bias.double())
    # Activations: bfloat16, 15 bits, 8 bits of their row's peak, bfloat16.
    allowed = dict(zip(LAYERS, [6e-3, 2e-4, 1.5e-2, 6e-3], strict=True))
    assert _error(made(x), exact) < allowed[layer]


@pytest.mark.parametrize(
    ("layer", "allowed"), [(PackedBf16Linear, 4e-3), (Int8Linear, 8e-3), (DynamicInt8Linear, 2e-2), (Int4Linear, 0.09)]
)
def test_error_against_the_weight_itself(layer: type[nn.Module], allowed: float) -> None:
    weight, x = _weight(), _rows(16)
    exact = x.double() @ weight.double().T
    error = _error(layer(weight)(x), exact)
    assert allowed / 6 < error < allowed  # a smaller error would mean that nothing was quantized


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("count", [1, 5, 40])
def test_rows_may_be_a_part_of_something_wider(layer: type[nn.Module], count: int) -> None:
    made, wide = layer(_weight()), _rows(count, 256)
    assert torch.equal(made(wide[:, :128]), made(wide[:, :128].contiguous()))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shape_and_dtype_are_those_of_the_input(layer: type[nn.Module], dtype: torch.dtype) -> None:
    made = layer(_weight(), torch.ones(96))
    for shape in [(128,), (1, 128), (2, 3, 128), (0, 128)]:
        out = made(torch.ones(shape, dtype=dtype))
        assert out.shape == (*shape[:-1], 96)
        assert out.dtype == dtype


@pytest.mark.parametrize("layer", LAYERS)
def test_a_row_of_zeros_gives_the_bias_and_no_nan(layer: type[nn.Module]) -> None:
    bias = torch.arange(96, dtype=torch.float32)
    out = layer(_weight(), bias)(torch.cat([torch.zeros(1, 128), _rows(2)]))
    assert torch.equal(out[0], bias)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("layer", [Int8Linear, DynamicInt8Linear, Int4Linear])
def test_zero_and_constant_weight_rows(layer: type[nn.Module]) -> None:
    weight = _weight()
    weight[3] = 0
    weight[4] = 0.5
    out = layer(weight)(torch.ones(1, 128))[0]
    assert out[3] == 0
    assert out[4] == pytest.approx(64.0, rel=1e-2)


@pytest.mark.parametrize("layer", [Int8Linear, DynamicInt8Linear])
def test_rows_do_not_change_each_others_result(layer: type[nn.Module]) -> None:
    made, x = layer(_weight()), _rows(6)
    x[4] *= 1_000  # a scale over the whole tensor would erase the other rows
    together = made(x)
    for row in range(6):
        assert torch.equal(made(x[[row, 0]])[0], together[row])
        # Alone, its scale is applied inside the kernel, and a tie may round the other way.
        assert _error(made(x[row : row + 1])[0], together[row].double()) < 1e-3


def test_int8_keeps_what_int8_activations_lose_beside_an_outlier() -> None:
    weight, x = _weight(), _rows(8)
    x[:, 5] *= 30
    exact = x.double() @ weight.double().T
    assert _error(Int8Linear(weight)(x), exact) < 8e-3
    assert _error(DynamicInt8Linear(weight)(x), exact) > 2e-2


def test_int8_by_hand() -> None:
    weight = torch.tensor([[1.0, -0.5], [0.0, 2.0]])
    made = Int8Linear(weight)
    # Scales 1/127 and 2/127: whole numbers 127, −64 (−63.5 rounds to even) and 0, 127.
    assert made.scale.tolist() == pytest.approx([1 / 127, 2 / 127])
    assert made.state_dict()["weight"].tolist() == [[127, -64], [0, 127]]
    out = made(torch.tensor([[1.0, 1.0]]))
    assert out[0].tolist() == pytest.approx([(127 - 64) / 127, 2.0], rel=1e-4)


def test_int4_by_hand() -> None:
    # 16 evenly spaced levels from −1.5 to 6: scale 0.5, level 8 is 2.5. They are exact in 4 bits and in bfloat16.
    levels = -1.5 + 0.5 * torch.arange(16.0)
    made = Int4Linear(levels.repeat(2).unsqueeze(0), group_size=32)
    assert made.scale_and_offset[0, 0].tolist() == [0.5, 2.5]
    assert torch.equal(made.dequantized()[0].float(), levels.repeat(2))
    assert made(torch.ones(1, 32)).item() == levels.sum().item() * 2


@pytest.mark.parametrize("group_size", [32, 64, 128])
def test_int4_few_rows_and_many_rows_agree(group_size: int) -> None:
    made, x = Int4Linear(_weight(130, 256), torch.ones(130), group_size=group_size), _rows(40, 256)
    few = torch.cat([made(part) for part in x.split(8)])
    assert _error(few, made(x).double()) < 6e-3


def test_int4_smaller_groups_are_more_precise() -> None:
    weight = _weight(64, 256)
    weight[:, 7] *= 20  # one large input spoils its group
    errors = [_error(Int4Linear(weight, group_size=size).dequantized(), weight.double()) for size in (32, 64, 128, 256)]
    assert errors == sorted(errors)


@pytest.mark.parametrize("layer", LAYERS)
def test_state_round_trip(layer: type[nn.Module]) -> None:
    bias = _rows(1, 96)[0]
    first, second = layer(_weight(), bias), layer(_weight(seed=5), torch.zeros(96))
    x = _rows(3)
    assert not torch.equal(first(x), second(x))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x), second(x))


def test_states_hold_plain_weights() -> None:
    made = Int4Linear(_weight(64, 64), group_size=64)
    state = made.state_dict()
    halves = torch.stack([state["weight"] & 15, state["weight"] >> 4], dim=-1).flatten(1)
    scale, offset = made.scale_and_offset[0].float().unbind(-1)
    expected = (halves.float() - 8) * scale.unsqueeze(1) + offset.unsqueeze(1)
    torch.testing.assert_close(made.dequantized().float(), expected, rtol=2e-2, atol=1e-4)
    assert Int8Linear(_weight()).state_dict()["weight"].dtype == torch.int8
    stored = PackedBf16Linear(_weight()).state_dict()["weight"]
    assert torch.equal(stored, _weight().to(torch.bfloat16))


@pytest.mark.parametrize("layer", LAYERS)
def test_missing_weight_in_a_state_is_named(layer: type[nn.Module]) -> None:
    made = layer(_weight())
    state = made.state_dict()
    del state["weight"]
    with pytest.raises(RuntimeError, match="weight"):
        made.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"weight.*shape"):
        made.load_state_dict(layer(_weight(32)).state_dict())


@pytest.mark.parametrize("layer", [Int8Linear, DynamicInt8Linear, Int4Linear])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused(layer: type[nn.Module], bad: float) -> None:
    weight = _weight()
    weight[1, 2] = bad
    with pytest.raises(InvalidInput, match="NaN or infinity"):
        layer(weight)


def test_int4_group_sizes() -> None:
    with pytest.raises(InvalidInput, match=r"group_size=48 must be one of \(32, 64, 128, 256\)"):
        Int4Linear(_weight(), group_size=48)
    with pytest.raises(InvalidInput, match=r"does not divide in_features=96: choose one of \[32\]"):
        Int4Linear(_weight(64, 96), group_size=64)


@pytest.mark.skipif(not has_fbgemm_kernel(), reason="this CPU has only the general kernel")
def test_both_int8_kernels_agree() -> None:
    whole = torch.randint(-127, 128, (48, 64), dtype=torch.int8, generator=torch.Generator().manual_seed(0))
    scale = torch.rand(48, generator=torch.Generator().manual_seed(1)) + 0.01
    fast, plain = FbgemmInt8(whole, scale), PlainInt8(whole, scale)
    rows = torch.full((3, 64), float(fast.levels))  # the largest sums: overflow would show here
    rows[1] = -rows[1]
    rows[2, ::2] = 3.4  # not whole: rounded
    expected = rows.round() @ whole.float().T * scale
    for kernel in (fast, plain):
        torch.testing.assert_close(kernel.multiply(rows), expected, rtol=1e-5, atol=1e-3)
        torch.testing.assert_close(kernel.multiply(rows * 0.5, 0.5), expected * 0.5, rtol=1e-5, atol=1e-3)
    assert torch.equal(fast.weight(), whole)
    assert torch.equal(plain.weight(), whole)


@pytest.mark.parametrize("layer", [Int8Linear, DynamicInt8Linear])
def test_without_fbgemm_the_general_kernel_serves(layer: type[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    usual = layer(_weight())(_rows(5))
    monkeypatch.setattr(int8_kernel, "has_fbgemm_kernel", lambda: False)
    made = layer(_weight())
    assert isinstance(made._packed, PlainInt8)
    assert _error(made(_rows(5)), usual.double()) < 1e-2


def test_a_cpu_without_bfloat16_gets_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_bf16, "has_bf16_kernel", lambda: False)
    with pytest.raises(Unavailable, match="use kind='int8'"):
        PackedBf16Linear(_weight())


def test_packing_leaves_the_global_engine_alone() -> None:
    before = torch.backends.quantized.engine
    Int8Linear(_weight())
    assert torch.backends.quantized.engine == before


@pytest.mark.parametrize("layer", LAYERS)
def test_neither_the_given_weight_nor_the_input_changes(layer: type[nn.Module]) -> None:
    weight, x = _weight(), _rows(3)
    made = layer(weight)
    made(x)
    made(x[:1])
    assert torch.equal(weight, _weight())
    assert torch.equal(x, _rows(3))
