"""Transformer blocks. `norm_first` is pre-norm (x + f(norm(x))); otherwise post-norm as in BERT (norm(x + f(x)))."""

from __future__ import annotations

from torch import Tensor, nn

from app.transformer.attention import MultiHeadAttention
from app.transformer.feed_forward import Activation, FeedForward
from app.transformer.kv_cache import KVCache
from app.transformer.norm import NormKind, new_norm


class EncoderBlock(nn.Module):
    """Returns self-attention and a feed-forward network over `[b, s, embed_dim]`, each with a residual and a norm.

    Source: Vaswani et al. 2017, section 3.1 (post-norm); Xiong et al. 2020 (pre-norm).
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        ff_dim: int,
        *,
        head_dim: int | None = None,
        activation: Activation = "gelu",
        gated: bool = False,
        bias: bool = True,
        norm: NormKind = "layer",
        norm_eps: float = 1e-12,
        norm_first: bool = False,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention = MultiHeadAttention(embed_dim, num_heads, head_dim=head_dim, bias=bias, scale=scale)
        self.attention_norm = new_norm(norm, embed_dim, norm_eps)
        self.feed_forward = FeedForward(embed_dim, ff_dim, activation=activation, gated=gated, bias=bias)
        self.feed_forward_norm = new_norm(norm, embed_dim, norm_eps)

    def forward(self, x: Tensor, *, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Transform `x` `[b, s, embed_dim]`.

        `attn_mask`: bool `[b|1, 1, s|1, s]`, True = attend, or float `[b|1, num_heads, s, s]`, added to the scores.
        """
        if self.norm_first:
            x = x + self.attention(self.attention_norm(x), attn_mask=attn_mask, is_causal=is_causal)
            return self._add_feed_forward(x)
        x = self.attention_norm(x + self.attention(x, attn_mask=attn_mask, is_causal=is_causal))
        return self._add_feed_forward(x)

    def _add_feed_forward(self, x: Tensor) -> Tensor:
        changed = self.feed_forward(self.feed_forward_norm(x) if self.norm_first else x)
        out: Tensor = x + changed if self.norm_first else self.feed_forward_norm(x + changed)
        return out


class DecoderBlock(nn.Module):
    """Returns causal self-attention, cross-attention to a memory and a feed-forward network over `[b, t, embed_dim]`.

    Source: Vaswani et al. 2017, section 3.1 (post-norm); Xiong et al. 2020 (pre-norm).
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        ff_dim: int,
        *,
        head_dim: int | None = None,
        activation: Activation = "gelu",
        gated: bool = False,
        bias: bool = True,
        norm: NormKind = "layer",
        norm_eps: float = 1e-5,
        norm_first: bool = True,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.self_attention = MultiHeadAttention(embed_dim, num_heads, head_dim=head_dim, bias=bias, scale=scale)
        self.self_norm = new_norm(norm, embed_dim, norm_eps)
        self.cross_attention = MultiHeadAttention(embed_dim, num_heads, head_dim=head_dim, bias=bias, scale=scale)
        self.cross_norm = new_norm(norm, embed_dim, norm_eps)
        self.feed_forward = FeedForward(embed_dim, ff_dim, activation=activation, gated=gated, bias=bias)
        self.feed_forward_norm = new_norm(norm, embed_dim, norm_eps)

    def forward(
        self,
        x: Tensor,
        memory_kv: tuple[Tensor, Tensor],
        *,
        memory_mask: Tensor | None = None,
        self_bias: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Transform `x` `[b, t, embed_dim]`.

        Args:
            x: the new target positions; with a filled cache exactly one.
            memory_kv: `cross_attention.project_kv(memory)`.
            memory_mask: bool `[b, 1, 1, m]`, True = attend.
            self_bias: float `[1, num_heads, t, t + cached]`, added to the scores of self-attention; it then hides
                what is later too. Without it the block is causal by itself.
            cache: this block's earlier self-attention keys and values.
        """
        is_causal = x.shape[1] > 1 and self_bias is None
        if self.norm_first:
            normed = self.self_norm(x)
            x = x + self.self_attention(normed, attn_mask=self_bias, is_causal=is_causal, cache=cache)
            x = x + self.cross_attention(self.cross_norm(x), memory_kv=memory_kv, attn_mask=memory_mask)
            return self._add_feed_forward(x)
        x = self.self_norm(x + self.self_attention(x, attn_mask=self_bias, is_causal=is_causal, cache=cache))
        x = self.cross_norm(x + self.cross_attention(x, memory_kv=memory_kv, attn_mask=memory_mask))
        return self._add_feed_forward(x)

    def _add_feed_forward(self, x: Tensor) -> Tensor:
        changed = self.feed_forward(self.feed_forward_norm(x) if self.norm_first else x)
        out: Tensor = x + changed if self.norm_first else self.feed_forward_norm(x + changed)
        return out
