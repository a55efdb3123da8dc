"""Causal attention of decoder layers over remembered keys and values: what every key–value store computes with.

PyTorch's fused kernel does most of it. A soft cap needs the scores written out; long bfloat16 prompts are faster so.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_QUERIES_AT_ONCE = 512  # with a window or a soft cap: bounds the scores' memory, and skips keys that left the window
_QUERIES_IN_PRODUCT = 128  # 256 computes more scores that the causal mask throws away, 64 makes the products too small


@dataclass(frozen=True, slots=True, eq=False)
class AttentionSpec:
    """How one decoder layer attends; built once with the model.

    `window` counts the query's own token (Mistral, Gemma); `softcap` c turns a score s into c · tanh(s / c) (Gemma 2);
    `alibi_slopes` `[num_heads]` float32 adds slope · (key position − query position).
    """

    layer: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    scale: float
    window: int | None = None
    softcap: float | None = None
    alibi_slopes: Tensor | None = None


class MaskMemo:
    """Returns masks, each built once: the layers of one forward pass ask for the same. Make a new one for each pass."""

    def __init__(self) -> None:
        self._made: dict[tuple[int | None, ...], Tensor] = {}

    def block(self, queries: int, keys: int, ahead: int, window: int | None, device: torch.device) -> Tensor:
        """Return bool `[queries, keys]`, True = attend: query i stands at key position `ahead + i`."""
        name = (queries, keys, ahead, window)
        if name not in self._made:
            mask = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(ahead)
            self._made[name] = mask if window is None else mask.triu(ahead - window + 1)
        return self._made[name]

    def rows(self, newest: Tensor, keys: int, window: int | None) -> Tensor:
        """Return bool `[batch, 1, 1, keys]`, True = attend: the query of row b stands at key position `newest[b]`."""
        name = (-1, keys, window)
        if name not in self._made:
            places = torch.arange(keys, device=newest.device)
            mask = places <= newest.unsqueeze(1)
            if window is not None:
                mask &= places > (newest - window).unsqueeze(1)
            self._made[name] = mask[:, None, None, :]
        return self._made[name]

    def added(self, queries: int, keys: int, ahead: int, window: int | None, like: Tensor) -> Tensor:
        """Return `block` as what is added to scores: 0 where attended, −inf elsewhere, in the precision of `like`."""
        name = (-2, queries, keys, ahead, window)
        if name not in self._made:
            mask = self.block(queries, keys, ahead, window, like.device)
            self._made[name] = torch.zeros_like(mask, dtype=like.dtype).masked_fill_(~mask, float("-inf"))
        return self._made[name]


def attend_one_sequence(spec: AttentionSpec, query: Tensor, key: Tensor, value: Tensor, masks: MaskMemo) -> Tensor:
    """Return the mixed values `[t, num_heads, head_dim]` of the last `t` tokens of one sequence.

    Args:
        spec: of the layer.
        query: `[t, num_heads, head_dim]`.
        key: `[num_kv_heads, m, head_dim]`, `m ≥ t`: all tokens so far, the new ones last.
        value: as `key`.
        masks: of this forward pass.

    Source: Vaswani et al. 2017, equation 1; grouped queries: Ainslie et al. 2023, section 2.2.
    """
    new, seen = query.shape[0], key.shape[1]
    if new == 1:
        return attend_single_tokens(spec, query, key.unsqueeze(0), value.unsqueeze(0), None, masks)
    plain = spec.softcap is None and spec.alibi_slopes is None
    if plain and new >= _QUERIES_IN_PRODUCT // 2 and _products_are_faster(query):
        return _attend_in_products(spec, query, key, value.contiguous(), masks)
    windowed = spec.window is not None and spec.window < seen
    if windowed or not plain:
        parts = [
            _attend_block(spec, query, key, value, slice(first, min(first + _QUERIES_AT_ONCE, new)), masks)
            for first in range(0, new, _QUERIES_AT_ONCE)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)
    mask = None if new == seen else masks.block(new, seen, seen - new, None, query.device)
    mixed = functional.scaled_dot_product_attention(
        query.transpose(0, 1).unsqueeze(0),
        _for_each_query_head(spec, key).unsqueeze(0),
        _for_each_query_head(spec, value).unsqueeze(0),
        attn_mask=mask,
        is_causal=mask is None,
        scale=spec.scale,
    )
    return mixed[0].transpose(0, 1)


def attend_single_tokens(
    spec: AttentionSpec, query: Tensor, key: Tensor, value: Tensor, newest: Tensor | None, masks: MaskMemo
) -> Tensor:
    """Return the mixed values `[batch, num_heads, head_dim]` of one new token in each of `batch` sequences.

    The query heads that share a key head become that head's query positions: a kernel call without repeated keys.

    Args:
        spec: of the layer.
        query: `[batch, num_heads, head_dim]`.
        key: `[batch, num_kv_heads, m, head_dim]`: all tokens so far of the longest sequence.
        value: as `key`.
        newest: int64 `[batch]`, position of each row's new token; `None` where it is `m − 1` in every row.
        masks: of this forward pass.
    """
    batch, seen = query.shape[0], key.shape[2]
    window = spec.window if spec.window is not None and spec.window < seen else None
    if newest is None and window is not None:
        key, value = key[:, :, seen - window :], value[:, :, seen - window :]
    mask = None if newest is None else masks.rows(newest, seen, window)
    grouped = query.view(batch, spec.num_kv_heads, -1, spec.head_dim)
    if spec.alibi_slopes is not None:
        places = torch.arange(seen - key.shape[2], seen, device=query.device)
        distance = places - (newest.unsqueeze(1) if newest is not None else seen - 1)
        bias = spec.alibi_slopes.to(query.device).view(spec.num_kv_heads, -1, 1) * distance.view(-1, 1, 1, len(places))
    else:
        bias = None
    mixed = _mix(spec, grouped, key, value, mask, bias)
    return mixed.reshape(batch, spec.num_heads, spec.head_dim)


def _attend_block(
    spec: AttentionSpec, query: Tensor, key: Tensor, value: Tensor, rows: slice, masks: MaskMemo
) -> Tensor:
    """Some queries of a sequence, `[rows, num_heads, head_dim]`, with the keys that their window can reach."""
    ahead = key.shape[1] - query.shape[0]
    last = ahead + rows.stop
    first = 0 if spec.window is None else max(0, ahead + rows.start - spec.window + 1)
    query, key, value = query[rows].transpose(0, 1), key[:, first:last], value[:, first:last]
    count, seen = query.shape[1], last - first
    place = ahead + rows.start - first  # of the first query among these keys
    mask = masks.block(count, seen, place, spec.window, query.device)
    bias = None
    if spec.alibi_slopes is not None:
        distance = (
            torch.arange(seen, device=query.device) - torch.arange(place, place + count, device=query.device)[:, None]
        )
        bias = spec.alibi_slopes.to(query.device)[:, None, None] * distance
    mixed = _mix(
        spec,
        query.unsqueeze(0),
        _for_each_query_head(spec, key).unsqueeze(0),
        _for_each_query_head(spec, value).unsqueeze(0),
        mask,
        bias,
    )
    return mixed[0].transpose(0, 1)


def _products_are_faster(query: Tensor) -> bool:
    return query.dtype == torch.bfloat16 and query.device.type == "cpu" and not torch.is_grad_enabled()


def _attend_in_products(spec: AttentionSpec, query: Tensor, key: Tensor, value: Tensor, masks: MaskMemo) -> Tensor:
    """As `attend_one_sequence`, by two matrix products for each block of queries; the heads of a key head together.

    The fused kernel multiplies bfloat16 no faster than float32 on a CPU; oneDNN's product does. 1,024 tokens of 14
    heads on 2, head size 64: 24 against 42 ms (one Zen 4 core). The scores are rounded to bfloat16 on the way. What all
    keys have in common (the large biases of Qwen2) would be most of a score, and of its rounding; it adds the same to
    all scores of a query, which softmax takes out, so it is taken out of the keys first.

    Source: for the last, Zhang et al. 2024 (SageAttention), section 4.2.
    """
    new, seen = query.shape[0], key.shape[1]
    heads, size = spec.num_kv_heads, spec.head_dim
    ahead = seen - new
    key = (key.float() - key.float().mean(dim=1, keepdim=True)).to(key.dtype)
    grouped = (query * spec.scale).view(new, heads, -1, size).permute(1, 2, 0, 3).contiguous()
    groups = grouped.shape[1]
    out = torch.empty_like(grouped)
    for start in range(0, new, _QUERIES_IN_PRODUCT):
        stop = min(start + _QUERIES_IN_PRODUCT, new)
        count, last = stop - start, ahead + stop
        first = 0 if spec.window is None else max(0, ahead + start - spec.window + 1)
        rows = grouped[:, :, start:stop].reshape(heads, groups * count, size)
        scores = torch.bmm(rows, key[:, first:last].transpose(1, 2))
        by_head = scores.view(heads, groups, count, last - first)
        if spec.window is None:  # only the newest keys can be hidden from any of these queries
            by_head[..., -count:] += masks.added(count, count, 0, None, scores)
        else:
            by_head += masks.added(count, last - first, ahead + start - first, spec.window, scores)
        mixed = torch.bmm(scores.softmax(dim=-1), value[:, first:last])
        out[:, :, start:stop] = mixed.view(heads, groups, count, size)
    return out.permute(2, 0, 1, 3).reshape(new, spec.num_heads, size)


def _mix(
    spec: AttentionSpec, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None
) -> Tensor:
    """`softmax(capped(q · kᵀ · scale) + bias) · v` over `[b, heads, s, head_dim]`; `mask` bool, True = attend."""
    if spec.softcap is None:
        if bias is not None:
            bias = bias.to(query.dtype)
            mask = bias if mask is None else bias.masked_fill(~mask, float("-inf"))
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=spec.scale)
    scores = (query @ key.transpose(-1, -2)).float() * (spec.scale / spec.softcap)
    scores = scores.tanh() * spec.softcap
    if bias is not None:
        scores = scores + bias
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))  # every query attends to itself at least
    return scores.softmax(dim=-1).to(value.dtype) @ value


def _for_each_query_head(spec: AttentionSpec, x: Tensor) -> Tensor:
    """[num_kv_heads, m, head_dim] → [num_heads, m, head_dim], a view."""
    groups = spec.num_heads // spec.num_kv_heads
    return x if groups == 1 else x.unsqueeze(1).expand(-1, groups, -1, -1).flatten(0, 1)
