"""Scaled dot-product attention: multi-head, grouped-query and multi-query; self and cross; with or without a cache."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.transformer.kv_cache import KVCache
from app.transformer.positions import RotaryPositions


def dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """Returns `softmax(q·kᵀ · scale) · v`, `[b, h, s, head_dim]`, written out.

    Training on a CPU takes this path: the backward pass of PyTorch's fused kernel needs 2.5 times as long there
    (20 × 12 heads × 200 tokens, bfloat16, two cores). Everywhere else the fused kernel is faster.

    Args:
        query: `[b, h, s, head_dim]`.
        key: `[b, h_kv, m, head_dim]`; `h_kv` divides `h`.
        value: as `key`.
        attn_mask: bool, broadcastable to `[b, h, s, m]`, True = attend; or float, added to the scores.
        is_causal: position i attends to 0..i of `m = s` positions.
        scale: factor of the scores; `None` means `1 / sqrt(head_dim)`.

    Source: Vaswani et al. 2017, equation 1.
    """
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    # Autocast would widen the scores to float32; softmax already sums in float32 inside, so that only costs memory.
    with torch.autocast(query.device.type, enabled=False):
        scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-1, -2)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        if attn_mask is not None and attn_mask.is_floating_point():
            scores = scores + attn_mask
        elif attn_mask is not None:
            # A large negative number and no -inf: a row without any True becomes uniform, not NaN.
            scores = scores + torch.zeros_like(attn_mask, dtype=scores.dtype).masked_fill(~attn_mask, -1e4)
        mixed: Tensor = scores.softmax(dim=-1).to(value.dtype) @ value
        return mixed


class MultiHeadAttention(nn.Module):
    """Returns `softmax(q·kᵀ / sqrt(head_dim)) · v`, heads concatenated and projected, shape `[b, s, embed_dim]`.

    With `num_kv_heads < num_heads` each key/value head serves `num_heads / num_kv_heads` query heads
    (grouped-query attention); with one it is multi-query attention.

    Args:
        embed_dim: size of the input and the output.
        num_heads: query heads.
        num_kv_heads: key/value heads, a divisor of `num_heads`; `None` means as many.
        head_dim: size of one head; `None` means `embed_dim / num_heads`.
        bias: whether the projections have biases.
        rotary: turns queries and keys by their position; self-attention only.
        scale: factor of the scores; `None` means `1 / sqrt(head_dim)`, T5 takes 1.

    Raises:
        ValueError: the heads do not divide.

    Source: Vaswani et al. 2017, section 3.2; grouped queries: Ainslie et al. 2023, section 2.2.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = True,
        rotary: RotaryPositions | None = None,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        if num_heads % num_kv_heads:
            raise ValueError(f"num_kv_heads={num_kv_heads} must divide num_heads={num_heads}")
        if head_dim is None and embed_dim % num_heads:
            raise ValueError(f"num_heads={num_heads} must divide embed_dim={embed_dim}, or give head_dim")
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.head_dim = embed_dim // num_heads if head_dim is None else head_dim
        self.rotary = rotary
        self.scale = scale
        self.q_proj = nn.Linear(embed_dim, num_heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(embed_dim, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(embed_dim, num_kv_heads * self.head_dim, bias=bias)
        self.out_proj = nn.Linear(num_heads * self.head_dim, embed_dim, bias=bias)

    def project_kv(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values `[b, num_kv_heads, m, head_dim]` of `memory` `[b, m, embed_dim]`."""
        return self._split(self.k_proj(memory), self.num_kv_heads), self._split(self.v_proj(memory), self.num_kv_heads)

    def forward(
        self,
        x: Tensor,
        *,
        memory_kv: tuple[Tensor, Tensor] | None = None,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Attend from `x` `[b, s, embed_dim]` to itself, or to `memory_kv` from `project_kv`.

        Args:
            x: queries; in self-attention keys and values too.
            memory_kv: keys and values of another sequence (cross-attention); computed once, used at every step. Their
                batch may be 1, shared by all rows of `x`; `attn_mask` must then be the same for all queries.
            attn_mask: bool, broadcastable to `[b, num_heads, s, m]`, True = attend, and every query needs one True;
                or float, added to the scores (a position bias, with a large negative number where nothing is read).
            is_causal: position i attends to 0..i; exclusive with `attn_mask` and with a non-empty cache.
            cache: earlier keys and values of this layer; the new ones are appended.
        """
        if memory_kv is not None and memory_kv[0].shape[0] == 1 < x.shape[0]:
            # Beams share one memory. Queries of cross-attention do not see each other: as positions of one row they
            # read the memory once, not once per beam.
            folded: Tensor = self(x.flatten(0, 1).unsqueeze(0), memory_kv=memory_kv, attn_mask=attn_mask)
            return folded.view(x.shape)
        query = self._split(self.q_proj(x), self.num_heads)
        if memory_kv is None:
            key, value = self.project_kv(x)
            if self.rotary is not None:
                offset = 0 if cache is None else cache.length
                query, key = self.rotary(query, offset), self.rotary(key, offset)
            if cache is not None:
                key, value = cache.append(key, value)
        else:
            key, value = memory_kv
        if torch.is_grad_enabled() and x.device.type == "cpu":
            mixed = dot_product_attention(query, key, value, attn_mask=attn_mask, is_causal=is_causal, scale=self.scale)
        else:
            mixed = functional.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=attn_mask,
                is_causal=is_causal,
                scale=self.scale,
                enable_gqa=self.num_kv_heads != self.num_heads,
            )
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor, heads: int) -> Tensor:
        """[b, s, heads · head_dim] → [b, heads, s, head_dim]."""
        batch, length, _ = x.shape
        return x.view(batch, length, heads, self.head_dim).transpose(1, 2)
