"""One layer of a decoder: attention over a key–value store and a feed-forward network, each with a residual."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from app.errors import InvalidInput
from app.transformer.causal_attention import AttentionSpec
from app.transformer.feed_forward import Activation, FeedForward
from app.transformer.norm import NormKind, new_norm
from app.transformer.rotary import Rotation, turn
from app.transformer.stores import KeyValueStore

NormPlacement = Literal["pre", "post", "sandwich"]


class CausalSelfAttention(nn.Module):
    """Returns `[t, embed_dim]`: projections, positions, and the store's mixed values projected back.

    `qkv_proj` takes the place of the three projections once they are merged for inference (`app.transformer.fuse`).

    Args:
        spec: heads, scale, window; given to the store at every call.
        embed_dim: size of the input and the output.
        qkv_bias: whether queries, keys and values have biases.
        out_bias: whether the output projection has one.
        qk_norm: kind of the norms over each head of queries and keys (Qwen3, Gemma 3); `None` for none.
        norm_eps: of these norms.

    Raises:
        InvalidInput: the heads do not divide.
    """

    qkv_proj: nn.Module | None
    q_proj: nn.Module | None
    k_proj: nn.Module | None
    v_proj: nn.Module | None

    def __init__(
        self,
        spec: AttentionSpec,
        embed_dim: int,
        *,
        qkv_bias: bool = False,
        out_bias: bool = False,
        qk_norm: NormKind | None = None,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        if spec.num_heads % spec.num_kv_heads:
            raise InvalidInput(f"num_kv_heads={spec.num_kv_heads} must divide num_heads={spec.num_heads}")
        self.spec = spec
        self.qkv_proj = None
        self.q_proj = nn.Linear(embed_dim, spec.num_heads * spec.head_dim, bias=qkv_bias)
        self.k_proj = nn.Linear(embed_dim, spec.num_kv_heads * spec.head_dim, bias=qkv_bias)
        self.v_proj = nn.Linear(embed_dim, spec.num_kv_heads * spec.head_dim, bias=qkv_bias)
        self.out_proj = nn.Linear(spec.num_heads * spec.head_dim, embed_dim, bias=out_bias)
        self.q_norm = None if qk_norm is None else new_norm(qk_norm, spec.head_dim, norm_eps)
        self.k_norm = None if qk_norm is None else new_norm(qk_norm, spec.head_dim, norm_eps)

    def forward(self, x: Tensor, rotation: Rotation | None, store: KeyValueStore) -> Tensor:
        """Attend from `x` `[t, embed_dim]`; `rotation` of its positions, `None` where the layer has no rotary ones."""
        spec = self.spec
        if self.qkv_proj is not None:
            heads = self.qkv_proj(x).view(len(x), -1, spec.head_dim)
            turned = spec.num_heads + spec.num_kv_heads
            value = heads[:, turned:]
            if self.q_norm is None and rotation is not None:  # queries and keys in one turn
                both = turn(heads[:, :turned], rotation)
                query, key = both[:, : spec.num_heads], both[:, spec.num_heads :]
                return self._mix(query, key, value, store)
            query, key = heads[:, : spec.num_heads], heads[:, spec.num_heads : turned]
        else:
            assert self.q_proj is not None
            assert self.k_proj is not None
            assert self.v_proj is not None
            query = self.q_proj(x).view(len(x), spec.num_heads, spec.head_dim)
            key = self.k_proj(x).view(len(x), spec.num_kv_heads, spec.head_dim)
            value = self.v_proj(x).view(len(x), spec.num_kv_heads, spec.head_dim)
        if self.q_norm is not None and self.k_norm is not None:
            query, key = self.q_norm(query), self.k_norm(key)
        if rotation is not None:
            query, key = turn(query, rotation), turn(key, rotation)
        return self._mix(query, key, value, store)

    def _mix(self, query: Tensor, key: Tensor, value: Tensor, store: KeyValueStore) -> Tensor:
        mixed = store.attend(self.spec, query, key, value)
        out: Tensor = self.out_proj(mixed.reshape(len(mixed), -1))
        return out


class CausalBlock(nn.Module):
    """Returns `[t, embed_dim]` after attention and a feed-forward network.

    "pre": `x + f(norm(x))`; "post": `norm(x + f(x))`; "sandwich": `x + norm(f(norm(x)))`, the four norms of Gemma 2.

    Source: Vaswani et al. 2017, section 3.1 (post); Xiong et al. 2020 (pre); Gemma Team 2024, section 2 (sandwich).
    """

    def __init__(
        self,
        attention: CausalSelfAttention,
        *,
        embed_dim: int,
        ff_dim: int,
        activation: Activation,
        gated: bool,
        ff_bias: bool,
        norm: NormKind,
        norm_eps: float,
        norm_placement: NormPlacement = "pre",
    ) -> None:
        super().__init__()
        self.norm_placement = norm_placement
        self.attention = attention
        self.attention_norm = new_norm(norm, embed_dim, norm_eps)
        self.feed_forward: nn.Module = FeedForward(embed_dim, ff_dim, activation=activation, gated=gated, bias=ff_bias)
        self.feed_forward_norm = new_norm(norm, embed_dim, norm_eps)
        sandwich = norm_placement == "sandwich"
        self.attention_out_norm = new_norm(norm, embed_dim, norm_eps) if sandwich else None
        self.feed_forward_out_norm = new_norm(norm, embed_dim, norm_eps) if sandwich else None

    def forward(self, x: Tensor, rotation: Rotation | None, store: KeyValueStore) -> Tensor:
        """Transform `x` `[t, embed_dim]`."""
        out: Tensor
        if self.norm_placement == "post":
            x = self.attention_norm(x + self.attention(x, rotation, store))
            out = self.feed_forward_norm(x + self.feed_forward(x))
            return out
        attended = self.attention(self.attention_norm(x), rotation, store)
        x = x + (attended if self.attention_out_norm is None else self.attention_out_norm(attended))
        changed = self.feed_forward(self.feed_forward_norm(x))
        out = x + (changed if self.feed_forward_out_norm is None else self.feed_forward_out_norm(changed))
        return out


def alibi_slopes(num_heads: int) -> Tensor:
    """Return float32 `[num_heads]`: a geometric sequence that starts at its own ratio, `2^(−8/num_heads)`.

    For a number that is no power of two, the sequence of the next lower power, then every other of the next higher.

    Source: Press et al. 2022, section 3.
    """

    def geometric(heads: int) -> list[float]:
        return [2.0 ** (-8.0 * (head + 1) / heads) for head in range(heads)]

    power = 1 << (num_heads.bit_length() - 1)
    slopes = geometric(power) + geometric(2 * power)[::2][: num_heads - power]
    return torch.tensor(slopes, dtype=torch.float32, device="cpu")
