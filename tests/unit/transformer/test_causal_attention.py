"""Causal attention over remembered keys against sums written out one query at a time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from app.transformer.causal_attention import AttentionSpec, MaskMemo, attend_one_sequence, attend_single_tokens
from app.transformer.causal_block import alibi_slopes

SPECS: dict[str, dict[str, Any]] = {
    "plain": {},
    "window": {"window": 5},
    "window of one": {"window": 1},
    "soft cap": {"softcap": 0.7},
    "window and soft cap": {"window": 4, "softcap": 0.7},
    "alibi": {"alibi_slopes": alibi_slopes(4)},
    "alibi, window and soft cap": {"alibi_slopes": alibi_slopes(4), "window": 6, "softcap": 0.7},
}


def _spec(kv_heads: int = 2, **settings: Any) -> AttentionSpec:
    return AttentionSpec(layer=0, num_heads=4, num_kv_heads=kv_heads, head_dim=8, scale=0.3, **settings)


def _by_hand(spec: AttentionSpec, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """One head and one query at a time, straight from the definitions."""
    new, seen = query.shape[0], key.shape[1]
    out = torch.empty_like(query)
    for head in range(spec.num_heads):
        shared = head // (spec.num_heads // spec.num_kv_heads)
        for i in range(new):
            place = seen - new + i
            first = 0 if spec.window is None else max(0, place - spec.window + 1)
            scores = key[shared, first : place + 1] @ query[i, head] * spec.scale
            if spec.softcap is not None:
                scores = spec.softcap * (scores / spec.softcap).tanh()
            if spec.alibi_slopes is not None:
                scores = scores + spec.alibi_slopes[head] * (torch.arange(first, place + 1) - place)
            out[i, head] = scores.softmax(0) @ value[shared, first : place + 1]
    return out


def _random(new: int, seen: int, kv_heads: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(new, 4, 8) * 2, torch.randn(kv_heads, seen, 8) * 2, torch.randn(kv_heads, seen, 8)


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize(("new", "seen"), [(1, 1), (1, 9), (9, 9), (3, 9), (4, 4)])
def test_one_sequence_by_hand(kind: str, kv_heads: int, new: int, seen: int) -> None:
    spec = _spec(kv_heads, **SPECS[kind])
    query, key, value = _random(new, seen, kv_heads)
    expected = _by_hand(spec, query, key, value)
    torch.testing.assert_close(attend_one_sequence(spec, query, key, value, MaskMemo()), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", SPECS)
def test_more_queries_than_one_block_holds(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.transformer.causal_attention._QUERIES_AT_ONCE", 4)
    spec = _spec(**SPECS[kind])
    query, key, value = _random(11, 15)
    expected = _by_hand(spec, query, key, value)
    torch.testing.assert_close(attend_one_sequence(spec, query, key, value, MaskMemo()), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", SPECS)
def test_single_tokens_of_sequences_of_different_lengths(kind: str) -> None:
    spec = _spec(**SPECS[kind])
    lengths = [9, 2, 6]
    key, value = torch.randn(3, 2, 9, 8), torch.randn(3, 2, 9, 8)
    query = torch.randn(3, 4, 8)
    mixed = attend_single_tokens(spec, query, key, value, torch.tensor(lengths) - 1, MaskMemo())
    for row, length in enumerate(lengths):
        expected = _by_hand(spec, query[row : row + 1], key[row, :, :length], value[row, :, :length])
        torch.testing.assert_close(mixed[row : row + 1], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("window", [None, 40, 150])
@pytest.mark.parametrize(("new", "seen"), [(200, 200), (130, 190), (64, 64)])
@pytest.mark.parametrize("bias", [0.0, 60.0])
def test_long_bfloat16_prompts_are_computed_by_products(
    window: int | None, new: int, seen: int, bias: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = _spec(window=window)
    query, key, value = (part.bfloat16() for part in _random(new, seen))
    key[:, :, 3] += bias  # common to all keys: scores of 100 and more, which softmax does not see
    expected = _by_hand(spec, query.float(), key.float(), value.float())
    with torch.inference_mode():
        mixed = attend_one_sequence(spec, query, key, value, MaskMemo())
        monkeypatch.setattr("app.transformer.causal_attention._products_are_faster", lambda query: False)
        fused = attend_one_sequence(spec, query, key, value, MaskMemo())
    assert mixed.dtype == torch.bfloat16
    error, fused_error = ((each.float() - expected).abs().mean() for each in (mixed, fused))
    assert not torch.equal(mixed, fused)  # else the products were not tried
    assert error < 0.006  # values are near 1; bfloat16 keeps eight bits
    assert error < 8 * fused_error


def test_one_pass_of_all_layers_builds_a_mask_once() -> None:
    masks = MaskMemo()
    device = torch.device("cpu")
    assert masks.block(3, 5, 2, None, device) is masks.block(3, 5, 2, None, device)
    assert masks.block(3, 5, 2, None, device).tolist() == [
        [True, True, True, False, False],
        [True, True, True, True, False],
        [True, True, True, True, True],
    ]
    assert masks.block(3, 5, 2, 2, device)[0].tolist() == [False, True, True, False, False]


def test_gradients_flow_and_equal_those_of_the_definition() -> None:
    spec = _spec()
    inputs = [part.requires_grad_() for part in _random(6, 6)]
    copies = [part.detach().clone().requires_grad_() for part in inputs]
    attend_one_sequence(spec, *inputs, MaskMemo()).square().sum().backward()
    query, key, value = copies
    scores = torch.einsum("ihd,hjd->hij", query, key.repeat_interleave(2, 0)) * spec.scale
    scores = scores.masked_fill(~torch.ones(6, 6, dtype=torch.bool).tril(), float("-inf"))
    torch.einsum("hij,hjd->ihd", scores.softmax(-1), value.repeat_interleave(2, 0)).square().sum().backward()
    for part, copy in zip(inputs, copies, strict=True):
        assert part.grad is not None
        assert copy.grad is not None
        torch.testing.assert_close(part.grad, copy.grad, atol=1e-4, rtol=0)


def test_alibi_slopes_of_the_paper() -> None:
    # 8 heads: 1/2, 1/4, … 1/256; 12 heads: those, then every other of the 16-head sequence
    assert alibi_slopes(8).tolist() == [2.0**-power for power in range(1, 9)]
    rest = [2.0 ** (-0.5 * power) for power in (1, 3, 5, 7)]
    assert alibi_slopes(12).tolist() == pytest.approx([*alibi_slopes(8).tolist(), *rest])
    assert math.isclose(float(alibi_slopes(1)[0]), 2**-8)
