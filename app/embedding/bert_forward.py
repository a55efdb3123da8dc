"""The forward pass of a BERT-style encoder, for serving only: fused projections, no autograd, any precision of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from app.transformer.encoder import BertConfig

_LONGEST_WHOLE_SCORES = 320  # tokens; past that the scores leave the cache, and the fused kernel is faster
_SAFE_SUMS = (1e-30, 1e30)


Parameters = tuple[Tensor, Tensor]
"""Weight `[out, in]` and bias `[out]`, float32."""


class Projection(Protocol):
    """`x · weightᵀ + bias` over rows `[t, in]`."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def added(self, x: Tensor, residual: Tensor) -> Tensor:
        """The projection plus `residual` `[t, out]`, which may be overwritten."""


class Kernels(Protocol):
    """How the layers of a model compute; `name` is `LAYER.part`."""

    @property
    def dtype(self) -> torch.dtype:
        """Of the states between the layers."""

    def projection(self, name: str, parameters: Parameters) -> Projection: ...

    def feed_forward(self, name: str, up: Parameters, down: Parameters) -> Callable[[Tensor], Tensor]:
        """`x` `[t, embed_dim]` → `x + down(activation(up(x)))`."""


@dataclass(frozen=True, slots=True)
class Block:
    """One post-norm block; `query_key_value` has the scale of attention folded into its queries."""

    query_key_value: Projection
    out: Projection
    attention_norm: Parameters
    feed_forward: Callable[[Tensor], Tensor]
    feed_forward_norm: Parameters


class BertForward:
    """Returns the hidden states of token ids.

    Args:
        tensors: float32 state of `app.transformer`'s `BertEncoder`, by its names.
        config: its sizes.
        kernels: how its layers compute.

    Source: Devlin et al. 2019, section 3; softmax without its maximum: see `_attend`.
    """

    def __init__(self, tensors: Mapping[str, Tensor], config: BertConfig, kernels: Kernels) -> None:
        self.config = config
        self._dtype = kernels.dtype
        self._word = tensors["embeddings.word.weight"]
        # Rows are padded behind, so the first token stands where RoBERTa begins to count, or at 0.
        first = config.pad_token_id + 1 if config.positions_after_padding else 0
        types = tensors["embeddings.token_type.weight"]
        self._place = tensors["embeddings.position.weight"][first:] + types[0]
        self._type_shift = types - types[0]
        self._norm = _pair(tensors, "embeddings.norm")
        self._blocks = [self._block(tensors, layer, kernels) for layer in range(config.num_layers)]

    def _block(self, tensors: Mapping[str, Tensor], layer: int, kernels: Kernels) -> Block:
        at = f"blocks.{layer}"
        scale = (self.config.embed_dim // self.config.num_heads) ** -0.5
        query, key, value = (_pair(tensors, f"{at}.attention.{part}_proj") for part in "qkv")
        fused = torch.cat([query[0] * scale, key[0], value[0]]), torch.cat([query[1] * scale, key[1], value[1]])
        return Block(
            query_key_value=kernels.projection(f"{layer}.query_key_value", fused),
            out=kernels.projection(f"{layer}.out", _pair(tensors, f"{at}.attention.out_proj")),
            attention_norm=_pair(tensors, f"{at}.attention_norm"),
            feed_forward=kernels.feed_forward(
                f"{layer}.feed_forward",
                _pair(tensors, f"{at}.feed_forward.up"),
                _pair(tensors, f"{at}.feed_forward.down"),
            ),
            feed_forward_norm=_pair(tensors, f"{at}.feed_forward_norm"),
        )

    def __call__(self, token_ids: Tensor, mask: Tensor | None, token_types: Tensor | None = None) -> Tensor:
        """States `[b, s, embed_dim]` of `token_ids` int64 `[b, s]`; `mask` bool `[b, s]`, True = a real token.

        Padding stands behind the real tokens; `mask` is None where every token is real. `token_types` int64 `[b, s]`
        is None where every token is of type 0.
        """
        batch, length = token_ids.shape
        embedded = functional.embedding(token_ids, self._word) + self._place[:length]
        if token_types is not None:
            embedded += functional.embedding(token_types, self._type_shift)
        x = self._normalised(embedded, self._norm).to(self._dtype).flatten(0, 1)
        for block in self._blocks:
            mixed = self._attend(block.query_key_value(x), batch, length, mask)
            x = self._normalised(block.out.added(mixed, x), block.attention_norm)
            x = self._normalised(block.feed_forward(x), block.feed_forward_norm)
        return x.view(batch, length, -1)

    def _normalised(self, x: Tensor, norm: Parameters) -> Tensor:
        return functional.layer_norm(x, norm[0].shape, *norm, self.config.norm_eps)

    def _attend(self, projected: Tensor, batch: int, length: int, mask: Tensor | None) -> Tensor:
        """`softmax(q·kᵀ) · v`, heads concatenated, `[t, embed_dim]`.

        In bfloat16 the scores are exponentiated as they are: subtracting each row's maximum first, as softmax does,
        changes nothing but the range, and costs more than both products at these lengths. Where the range does not
        do, the plain way is taken.
        """
        heads = self.config.num_heads
        split = projected.view(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        if projected.dtype == torch.bfloat16 and length <= _LONGEST_WHOLE_SCORES:
            mixed = _unshifted_attention(split, mask)
            if mixed is not None:
                return mixed.transpose(1, 2).reshape(batch * length, -1)
        query, key, value = split.unbind(0)
        attn_mask = None if mask is None else mask[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask, scale=1.0)
        return mixed.transpose(1, 2).reshape(batch * length, -1)


def _unshifted_attention(split: Tensor, mask: Tensor | None) -> Tensor | None:
    """Attention of `split` `[3, b, h, s, head_dim]`, or None where a row's sum leaves the safe range."""
    query, key, value = split.contiguous().unbind(0)
    weights = torch.matmul(query, key.transpose(-1, -2)).exp_()
    if mask is None:
        sums = weights.sum(-1, keepdim=True)
    else:  # padding weighs nothing in either sum: cheaper than masking the scores
        real = mask.to(value.dtype)[:, None, :, None]
        sums = torch.matmul(weights, real.expand(-1, value.shape[1], -1, -1))
        value = value * real
    low, high = torch.aminmax(sums)
    if not (low > _SAFE_SUMS[0] and high < _SAFE_SUMS[1]):  # NaN is neither
        return None
    return torch.matmul(weights, value).div_(sums)


def _pair(tensors: Mapping[str, Tensor], name: str) -> Parameters:
    return tensors[f"{name}.weight"], tensors[f"{name}.bias"]
