"""Our attention against PyTorch's `scaled_dot_product_attention`."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from app.transformer.attention import MultiHeadAttention, dot_product_attention


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("kind", ["plain", "masked", "causal"])
def test_written_out_attention_equals_the_fused_kernel(kv_heads: int, kind: str) -> None:
    torch.manual_seed(0)
    query = torch.randn(2, 4, 5, 8)
    key, value = torch.randn(2, kv_heads, 5, 8), torch.randn(2, kv_heads, 5, 8)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.bool)[:, None, None, :]
    attn_mask = mask if kind == "masked" else None
    ours = dot_product_attention(query, key, value, attn_mask=attn_mask, is_causal=kind == "causal")
    theirs = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attn_mask, is_causal=kind == "causal", enable_gqa=kv_heads != 4
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_training_and_serving_paths_agree(kv_heads: int) -> None:
    torch.manual_seed(1)
    attention = MultiHeadAttention(16, 4, num_kv_heads=kv_heads)
    x = torch.randn(2, 6, 16)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]], dtype=torch.bool)[:, None, None, :]
    trained = attention(x, attn_mask=mask)
    with torch.inference_mode():
        served = attention(x, attn_mask=mask)
    torch.testing.assert_close(trained, served, atol=1e-5, rtol=0)


def test_equals_pytorchs_multihead_attention() -> None:
    torch.manual_seed(2)
    ours = MultiHeadAttention(16, 4)
    theirs = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.q_proj.weight, ours.k_proj.weight, ours.v_proj.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.q_proj.bias, ours.k_proj.bias, ours.v_proj.bias]))
        theirs.out_proj.weight.copy_(ours.out_proj.weight)
        theirs.out_proj.bias.copy_(ours.out_proj.bias)
    x, memory = torch.randn(2, 3, 16), torch.randn(2, 5, 16)
    with torch.inference_mode():
        expected = theirs(x, memory, memory, need_weights=False)[0]
        torch.testing.assert_close(ours(x, memory_kv=ours.project_kv(memory)), expected, atol=1e-5, rtol=0)
