"""Norms, positions, feed-forward networks and the key–value cache, with numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from app.transformer.attention import MultiHeadAttention, dot_product_attention
from app.transformer.feed_forward import FeedForward
from app.transformer.kv_cache import KVCache
from app.transformer.norm import LayerNorm, RMSNorm
from app.transformer.positions import LearnedPositions, RotaryPositions, SinusoidalPositions


def test_layer_norm_by_hand() -> None:
    # mean 2, variance 2/3: (1−2)/√(2/3) = −1.2247
    got = LayerNorm(3, eps=0.0)(torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(got, torch.tensor([-1.2247449, 0.0, 1.2247449]))


@pytest.mark.parametrize("plus_one", [False, True])
def test_a_settled_rms_norm_gives_the_same_for_one_token_and_for_many(plus_one: bool) -> None:
    norm = RMSNorm(32, eps=1e-5, plus_one=plus_one)
    nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(0))
    many = torch.randn(3, 32, generator=torch.Generator().manual_seed(1)) * torch.tensor([[1e-3], [1.0], [50.0]])
    expected = norm(many)
    names = set(norm.state_dict())

    def one_by_one(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([norm(row) for row in x.split(1)])

    norm.settle()
    torch.testing.assert_close(one_by_one(many), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(norm(many), expected, atol=0, rtol=0)
    assert norm(many[:1]).is_contiguous()  # some kernels insist
    assert set(norm.state_dict()) == names
    norm.to(torch.bfloat16)
    torch.testing.assert_close(one_by_one(many.bfloat16()).float(), expected, atol=2e-2, rtol=2e-2)
    norm.load_state_dict({"weight": torch.zeros(32)})
    assert torch.equal(one_by_one(many.bfloat16()) == 0, torch.full((3, 32), not plus_one))
    norm.settle(settled=False)
    nn.init.zeros_(norm.weight)
    assert torch.equal(one_by_one(many.bfloat16()) == 0, torch.full((3, 32), not plus_one))


def test_rms_norm_by_hand() -> None:
    # mean square of (3, 4) is 12.5: 3/√12.5 = 0.848528
    got = RMSNorm(2, eps=0.0)(torch.tensor([3.0, 4.0]))
    torch.testing.assert_close(got, torch.tensor([0.84852814, 1.1313708]))


def test_sinusoidal_positions_by_hand() -> None:
    table = SinusoidalPositions(8, 4)(2, offset=3)
    expected = torch.tensor([[math.sin(p), math.cos(p), math.sin(p / 100), math.cos(p / 100)] for p in (3, 4)])
    torch.testing.assert_close(table, expected)


def test_rotary_dot_products_depend_on_the_distance_only() -> None:
    torch.manual_seed(0)
    rotary = RotaryPositions(8)
    query, key = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)
    near = (rotary(query, 5) * rotary(key, 2)).sum()
    far = (rotary(query, 103) * rotary(key, 100)).sum()
    torch.testing.assert_close(near, far, atol=1e-4, rtol=0)
    torch.testing.assert_close(rotary(query, 0), query)


@pytest.mark.parametrize("positions", [LearnedPositions(4, 6), SinusoidalPositions(4, 6)])
def test_positions_beyond_the_table_are_refused(positions: torch.nn.Module) -> None:
    assert positions(4).shape == (4, 6)
    with pytest.raises(ValueError, match="max_positions=4"):
        positions(2, 3)


def test_odd_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        SinusoidalPositions(4, 5)
    with pytest.raises(ValueError, match="even"):
        RotaryPositions(5)


def test_feed_forward_by_hand() -> None:
    network = FeedForward(1, 2, activation="relu", bias=False)
    gated = FeedForward(1, 2, activation="relu", gated=True, bias=False)
    with torch.no_grad():
        for module in (network, gated):
            module.up.weight.copy_(torch.tensor([[2.0], [-1.0]]))
            module.down.weight.copy_(torch.tensor([[10.0, 1.0]]))
        assert gated.gate is not None
        gated.gate.weight.copy_(torch.tensor([[3.0], [1.0]]))
    # relu(2·1.5) = 3 and relu(−1.5) = 0: 10·3 + 0; gated: relu(4.5)·3 = 13.5 and relu(1.5)·(−1.5) = −2.25
    assert network(torch.tensor([1.5])).item() == pytest.approx(30.0)
    assert gated(torch.tensor([1.5])).item() == pytest.approx(135.0 - 2.25)
    with pytest.raises(ValueError, match="activation"):
        FeedForward(1, 1, activation="tanhh")  # type: ignore[arg-type]


def test_attention_by_hand() -> None:
    # scores ln 3 and 0 → weights 3/4 and 1/4 of the values 8 and 4
    query = torch.tensor([[[[1.0]]]])
    key = torch.tensor([[[[math.log(3.0)], [0.0]]]])
    value = torch.tensor([[[[8.0], [4.0]]]])
    assert dot_product_attention(query, key, value).item() == pytest.approx(7.0)
    only_second = torch.tensor([[[[False, True]]]])
    assert dot_product_attention(query, key, value, attn_mask=only_second).item() == pytest.approx(4.0)


def test_a_row_that_sees_nothing_stays_finite() -> None:
    x = torch.randn(1, 2, 3, 4)
    nothing = torch.zeros(1, 1, 1, 3, dtype=torch.bool)
    assert dot_product_attention(x, x, x, attn_mask=nothing).isfinite().all()


def test_head_counts_must_divide() -> None:
    with pytest.raises(ValueError, match="num_kv_heads=3"):
        MultiHeadAttention(8, 4, num_kv_heads=3)
    with pytest.raises(ValueError, match="num_heads=3"):
        MultiHeadAttention(8, 3)


@pytest.mark.parametrize("rotary", [None, RotaryPositions(4)])
@pytest.mark.parametrize("kv_heads", [1, 4])
def test_cached_steps_equal_causal_attention(rotary: RotaryPositions | None, kv_heads: int) -> None:
    torch.manual_seed(1)
    attention = MultiHeadAttention(16, 4, num_kv_heads=kv_heads, rotary=rotary)
    x = torch.randn(2, 6, 16)
    cache = KVCache(initial_tokens=1)
    with torch.inference_mode():
        whole = attention(x, is_causal=True)
        steps = [attention(x[:, i : i + 1], cache=cache) for i in range(6)]
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, atol=1e-5, rtol=0)


def test_rows_that_share_one_memory_equal_rows_with_copies_of_it() -> None:
    torch.manual_seed(2)
    attention = MultiHeadAttention(16, 4, num_kv_heads=2)
    x, memory = torch.randn(3, 2, 16), torch.randn(1, 5, 16)
    mask = torch.tensor([[[[True, True, False, True, True]]]])
    with torch.inference_mode():
        shared = attention(x, memory_kv=attention.project_kv(memory), attn_mask=mask)
        copies = attention(x, memory_kv=attention.project_kv(memory.expand(3, -1, -1)), attn_mask=mask)
    torch.testing.assert_close(shared, copies, atol=1e-6, rtol=0)


def test_cache_reorders_and_refuses_other_shapes() -> None:
    cache = KVCache(initial_tokens=2)
    first = torch.arange(3.0).reshape(3, 1, 1, 1)
    cache.append(first, first)
    cache.reorder(torch.tensor([2, 0, 0]))
    keys, values = cache.append(first + 10, first + 10)
    assert keys[:, 0, :, 0].tolist() == [[2, 10], [0, 11], [0, 12]]
    assert values.shape == (3, 1, 2, 1)
    with pytest.raises(ValueError, match="do not fit"):
        cache.append(first[:2], first[:2])
