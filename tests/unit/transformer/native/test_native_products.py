"""Linear layers through our kernels: their products, their weights, and what odd inputs do."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from app.transformer.quantization import (
    KINDS,
    DynamicInt8Linear,
    Int4Linear,
    Int8Linear,
    Kind,
    PackedBf16Linear,
    quantization_report,
    quantize,
)
from tests.unit.transformer.native.decoders import kernels, needs_kernels

pytestmark = needs_kernels

QuantizedLinear = Int4Linear | Int8Linear | DynamicInt8Linear | PackedBf16Linear
# Relative errors against the rounded weights with exact activations; 8-bit activations beside their group's largest
# are off by 1/254 of it at most, 16-bit ones by 1/65,000.
ALLOWED = {"int4": 8e-3, "int8": 5e-5, "int8_dynamic": 8e-3, "bf16": 3e-3}
SHAPES = [(100, 128), (96, 192), (33, 64), (1, 256), (65, 320)]


def made(kind: Kind, weight: torch.Tensor, bias: torch.Tensor | None = None, *, ours: bool = True) -> QuantizedLinear:
    """The quantized form of a layer with these weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    quantized = quantize(layer, kind, kernels=kernels() if ours else None)
    assert isinstance(quantized, QuantizedLinear)
    assert (quantized.native is not None) == ours
    return quantized


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("out", "inputs"), SHAPES)
def test_products_are_those_of_the_rounded_weights(kind: Kind, out: int, inputs: int) -> None:
    torch.manual_seed(out)
    layer = made(kind, torch.randn(out, inputs) * 0.05, torch.randn(out))
    assert layer.bias is not None
    for rows in (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 25, 61):  # every size of tile, and what remains of it
        x = torch.randn(rows, inputs)
        expected = x.double() @ layer.dequantized().double().T + layer.bias.double()
        # A lone output can be near zero by chance: what it could have been is the measure.
        size = (x.norm(dim=1, keepdim=True) * layer.dequantized().float().norm(dim=1)).norm()
        assert (layer(x) - expected).norm() / size < ALLOWED[kind], rows
        halves = layer(x.to(torch.bfloat16))
        assert halves.dtype == torch.bfloat16
        assert (halves - expected).norm() / (size + layer.bias.norm()) < ALLOWED[kind] + 6e-3, rows


@pytest.mark.parametrize("kind", ["int8", "int8_dynamic", "bf16"])
@pytest.mark.parametrize("inputs", [1, 17, 63, 65, 130])
def test_inputs_that_fill_no_group(kind: Kind, inputs: int) -> None:
    torch.manual_seed(inputs)
    layer, x = made(kind, torch.randn(40, inputs)), torch.randn(3, inputs)
    assert error(layer(x), x.double() @ layer.dequantized().double().T) < ALLOWED[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_of_a_batch_do_not_touch_each_other(kind: Kind) -> None:
    torch.manual_seed(1)
    layer, x = made(kind, torch.randn(70, 128)), torch.randn(30, 128)
    x[7] *= 1_000
    together = layer(x)
    for row in (0, 6, 7, 8, 29):
        assert torch.equal(layer(x[row : row + 1])[0], together[row])


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_the_same_and_are_exchanged_with_pytorchs_form(kind: Kind) -> None:
    torch.manual_seed(2)
    weight, bias = torch.randn(70, 128), torch.randn(70)
    ours, theirs = made(kind, weight, bias), made(kind, weight, bias, ours=False)
    assert torch.equal(ours.dequantized(), theirs.dequantized())
    mine, other = ours.state_dict(), theirs.state_dict()
    assert set(mine) == set(other)
    assert all(torch.equal(mine[name], other[name]) for name in mine)
    x = torch.randn(2, 128)
    for state, target in (
        (other, made(kind, weight * 0, bias * 0)),
        (mine, made(kind, weight * 0, bias * 0, ours=False)),
    ):
        target.load_state_dict(state)
        assert torch.equal(target.dequantized(), ours.dequantized())
        assert error(target(x), ours(x).double()) < 2 * ALLOWED[kind]
    assert torch.equal(copy.deepcopy(ours)(x), ours(x))


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_that_of_the_bits(kind: Kind) -> None:
    (entry,) = quantization_report(made(kind, torch.randn(128, 256)))
    bits = {"int4": 4.5, "int8": 8.125, "int8_dynamic": 8.125, "bf16": 16}[kind]
    assert entry.weight_bytes == 128 * 256 * bits / 8
    assert entry.kind.startswith(kind)


@pytest.mark.parametrize("group_size", [128, 256])
def test_wider_groups_of_4_bits(group_size: int) -> None:
    torch.manual_seed(3)
    layer = Int4Linear(torch.randn(48, 512), group_size=group_size, kernels=kernels())
    plain = Int4Linear(torch.randn(48, 512), group_size=group_size)
    x = torch.randn(5, 512)
    assert error(layer(x), x.double() @ layer.dequantized().double().T) < ALLOWED["int4"]
    plain.load_state_dict(layer.state_dict())
    assert torch.equal(plain.dequantized(), layer.dequantized())


def test_groups_of_32_stay_pytorchs() -> None:
    layer = Int4Linear(torch.randn(64, 64), group_size=32, kernels=kernels())
    assert layer.native is None
    assert layer(torch.randn(2, 64)).shape == (2, 64)


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_large_numbers_and_no_rows(kind: Kind) -> None:
    torch.manual_seed(4)
    layer = made(kind, torch.randn(40, 128))
    assert torch.equal(layer(torch.zeros(2, 128)), torch.zeros(2, 40))
    assert layer(torch.zeros(0, 128)).shape == (0, 40)
    assert layer(torch.zeros(2, 3, 128)).shape == (2, 3, 40)
    large = torch.randn(2, 128) * 1e20
    assert error(layer(large), large.double() @ layer.dequantized().double().T) < ALLOWED[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_broken_input_does_not_become_an_ordinary_number(kind: Kind, broken: float) -> None:
    torch.manual_seed(5)
    layer, x = made(kind, torch.randn(40, 128)), torch.randn(3, 128)
    x[1, 77] = broken
    found = layer(x)
    assert not found[1].isfinite().any()
    assert found[[0, 2]].isfinite().all()


def test_views_that_are_not_contiguous() -> None:
    torch.manual_seed(6)
    layer, x = made("int8", torch.randn(40, 128)), torch.randn(128, 6)
    assert torch.equal(layer(x.t()), layer(x.t().contiguous()))
