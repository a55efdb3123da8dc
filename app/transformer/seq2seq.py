"""Encoder–decoders: the original Transformer, T5 and BART are settings of the same two stacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

import torch
from torch import Tensor, nn

from app.transformer.block import DecoderBlock, EncoderBlock
from app.transformer.cross_decoder import AddedPositions, CrossDecoder, KeyValues
from app.transformer.feed_forward import Activation
from app.transformer.kv_cache import KVCache
from app.transformer.norm import NormKind, new_norm
from app.transformer.positions import LearnedPositions, SinusoidalPositions
from app.transformer.relative_positions import RelativePositionBias


@dataclass(frozen=True, slots=True)
class Seq2SeqConfig:
    """Sizes and choices of an encoder–decoder; the defaults are those of the Transformer (base) of 2017.

    `positions`: "relative" needs `relative_buckets` and `relative_max_distance`; "learned" tables have
    `first_position` unused rows in front. `logit_scale` multiplies the states before the head, `embedding_scale` the
    word vectors. `max_positions` counts tokens.
    """

    model_type: str = "transformer"
    vocab_size: int = 32_000
    embed_dim: int = 512
    encoder_layers: int = 6
    decoder_layers: int = 6
    encoder_heads: int = 8
    decoder_heads: int = 8
    head_dim: int = 64
    encoder_ff_dim: int = 2048
    decoder_ff_dim: int = 2048
    activation: Activation = "relu"
    gated: bool = False
    bias: bool = True
    norm: NormKind = "layer"
    norm_eps: float = 1e-5
    norm_first: bool = False
    final_norm: bool = False
    embedding_norm: bool = False
    positions: Literal["sinusoidal", "learned", "relative"] = "sinusoidal"
    first_position: int = 0
    max_positions: int = 1024
    relative_buckets: int = 32
    relative_max_distance: int = 128
    attention_scale: float | None = None
    embedding_scale: float = 1.0
    tied_head: bool = True
    logit_scale: float = 1.0
    logit_bias: bool = False
    pad_token_id: int = 0
    decoder_start_token_id: int = 0


class StackEncoder(nn.Module):
    """Returns encoder states `[b, s, embed_dim]` of source embeddings; arguments as those of `CrossDecoder`.

    Source: Vaswani et al. 2017, section 3.1.
    """

    def __init__(
        self,
        blocks: Sequence[EncoderBlock],
        *,
        positions: AddedPositions | None = None,
        first_position: int = 0,
        relative: RelativePositionBias | None = None,
        embedding_norm: nn.Module | None = None,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.positions = positions
        self.first_position = first_position
        self.relative = relative
        self.embedding_norm = embedding_norm
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm

    def forward(self, sources: Tensor, mask: Tensor) -> Tensor:
        """Encode embeddings `[b, s, embed_dim]`; `mask` bool `[b, s]`, True = a real token, attended to."""
        x, length = sources, sources.shape[1]
        if self.positions is not None:
            x = x + self.positions(length, self.first_position).to(x.dtype)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        attn_mask = None if bool(mask.all()) else mask[:, None, None, :]
        if self.relative is not None:
            bias = self.relative(length, length)
            lowest = torch.finfo(bias.dtype).min
            attn_mask = bias if attn_mask is None else bias.masked_fill(~attn_mask, lowest)
        for block in self.blocks:
            x = block(x, attn_mask=attn_mask)
        return x if self.norm is None else self.norm(x)


class Seq2Seq(nn.Module):
    """Returns next-token logits `[b, t, vocab_size]` of target tokens given source tokens; embeddings are shared.

    Source: Vaswani et al. 2017, sections 3.1 and 3.4 (tied embeddings).
    """

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        self.word = nn.Embedding(config.vocab_size, config.embed_dim)
        self.encoder = StackEncoder(
            [
                EncoderBlock(config.embed_dim, config.encoder_heads, config.encoder_ff_dim, **_of_a_block(config))
                for _ in range(config.encoder_layers)
            ],
            relative=_relative(config, config.encoder_heads, bidirectional=True),
            **_around_the_blocks(config),
        )
        self.decoder = CrossDecoder(
            [
                DecoderBlock(config.embed_dim, config.decoder_heads, config.decoder_ff_dim, **_of_a_block(config))
                for _ in range(config.decoder_layers)
            ],
            relative=_relative(config, config.decoder_heads, bidirectional=False),
            **_around_the_blocks(config),
        )
        self.head = None if config.tied_head else nn.Linear(config.embed_dim, config.vocab_size, bias=False)
        self.logit_bias = nn.Parameter(torch.zeros(1, config.vocab_size)) if config.logit_bias else None

    def forward(self, source_ids: Tensor, source_mask: Tensor, target_ids: Tensor) -> Tensor:
        """Score `target_ids` int64 `[b, t]` given `source_ids` int64 `[b, s]`; `source_mask` bool, True = attend."""
        return self.decode(target_ids, self.decoder.project_memory(self.encode(source_ids, source_mask)), source_mask)

    def encode(self, source_ids: Tensor, source_mask: Tensor) -> Tensor:
        """Return the encoder's states `[b, s, embed_dim]`."""
        states: Tensor = self.encoder(self._embed(source_ids), source_mask)
        return states

    def decode(
        self,
        target_ids: Tensor,
        memory_kv: list[KeyValues],
        source_mask: Tensor,
        caches: list[KVCache] | None = None,
    ) -> Tensor:
        """Return float32 logits `[b, t, vocab_size]`; with filled caches `target_ids` is the newest token, `[b, 1]`."""
        return self.logits(self.decoder(self._embed(target_ids), memory_kv, source_mask, caches))

    def logits(self, states: Tensor) -> Tensor:
        """Return float32 logits `[…, vocab_size]` of decoder states `[…, embed_dim]`."""
        table = self.word.weight if self.head is None else self.head.weight
        logits = nn.functional.linear(states * self.config.logit_scale, table).float()
        return logits if self.logit_bias is None else logits + self.logit_bias

    def _embed(self, token_ids: Tensor) -> Tensor:
        out: Tensor = self.word(token_ids) * self.config.embedding_scale
        return out


def _relative(config: Seq2SeqConfig, num_heads: int, *, bidirectional: bool) -> RelativePositionBias | None:
    if config.positions != "relative":
        return None
    return RelativePositionBias(
        config.relative_buckets, config.relative_max_distance, num_heads, bidirectional=bidirectional
    )


class _OfABlock(TypedDict):
    head_dim: int
    activation: Activation
    gated: bool
    bias: bool
    norm: NormKind
    norm_eps: float
    norm_first: bool
    scale: float | None


def _of_a_block(config: Seq2SeqConfig) -> _OfABlock:
    return {
        "head_dim": config.head_dim,
        "activation": config.activation,
        "gated": config.gated,
        "bias": config.bias,
        "norm": config.norm,
        "norm_eps": config.norm_eps,
        "norm_first": config.norm_first,
        "scale": config.attention_scale,
    }


class _AroundTheBlocks(TypedDict):
    positions: AddedPositions | None
    first_position: int
    embedding_norm: nn.Module | None
    norm: nn.Module | None


def _around_the_blocks(config: Seq2SeqConfig) -> _AroundTheBlocks:
    """New modules at each call: the two stacks share none of them."""
    rows = config.max_positions + config.first_position
    positions: AddedPositions | None = None
    if config.positions == "learned":
        positions = LearnedPositions(rows, config.embed_dim)
    elif config.positions == "sinusoidal":
        positions = SinusoidalPositions(rows, config.embed_dim)
    return {
        "positions": positions,
        "first_position": config.first_position,
        "embedding_norm": new_norm(config.norm, config.embed_dim, config.norm_eps) if config.embedding_norm else None,
        "norm": new_norm(config.norm, config.embed_dim, config.norm_eps) if config.final_norm else None,
    }
