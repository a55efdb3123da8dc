"""Whole models: a BERT-style encoder, a decoder stack, and the encoder–decoder made of both.

`BertConfig` is the only config; `build_bert_encoder` turns it into flat arguments.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from app.transformer.block import DecoderBlock, EncoderBlock
from app.transformer.feed_forward import Activation
from app.transformer.kv_cache import KVCache
from app.transformer.norm import LayerNorm
from app.transformer.positions import LearnedPositions, SinusoidalPositions

KeyValues = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class BertConfig:
    """Sizes of a BERT-style encoder; the defaults are those of MiniLM-L6-H384."""

    vocab_size: int = 30522
    embed_dim: int = 384
    num_layers: int = 6
    num_heads: int = 12
    ff_dim: int = 1536
    max_positions: int = 512
    type_vocab_size: int = 2
    activation: Activation = "gelu"
    norm_eps: float = 1e-12
    pad_token_id: int = 0


class BertEmbeddings(nn.Module):
    """Returns `norm(word + position + token type)`, `[b, s, embed_dim]`.

    Source: Devlin et al. 2019, figure 2.
    """

    def __init__(
        self, vocab_size: int, embed_dim: int, max_positions: int, *, type_vocab_size: int = 2, norm_eps: float = 1e-12
    ) -> None:
        super().__init__()
        self.word = nn.Embedding(vocab_size, embed_dim)
        self.position = LearnedPositions(max_positions, embed_dim)
        self.token_type = nn.Embedding(type_vocab_size, embed_dim)
        self.norm = LayerNorm(embed_dim, norm_eps)

    def forward(self, token_ids: Tensor, token_types: Tensor | None = None) -> Tensor:
        """Embed `token_ids` int64 `[b, s]`; `token_types` int64 `[b, s]`, zeros when absent."""
        types = self.token_type.weight[0] if token_types is None else self.token_type(token_types)
        out: Tensor = self.norm(self.word(token_ids) + types + self.position(token_ids.shape[1]))
        return out


class BertEncoder(nn.Module):
    """Returns contextual states `[b, s, embed_dim]`; post-norm blocks over learned positions.

    Source: Devlin et al. 2019, section 3. Departure: no pooler and no dropout (serving and short fine-tuning).
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        embed_dim: int,
        num_layers: int,
        num_heads: int,
        ff_dim: int,
        max_positions: int,
        type_vocab_size: int = 2,
        activation: Activation = "gelu",
        norm_eps: float = 1e-12,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.max_positions = max_positions
        self.embeddings = BertEmbeddings(
            vocab_size, embed_dim, max_positions, type_vocab_size=type_vocab_size, norm_eps=norm_eps
        )
        self.blocks = nn.ModuleList(
            EncoderBlock(embed_dim, num_heads, ff_dim, activation=activation, norm_eps=norm_eps)
            for _ in range(num_layers)
        )

    def forward(self, token_ids: Tensor, mask: Tensor, token_types: Tensor | None = None) -> Tensor:
        """Encode `token_ids` int64 `[b, s]`; `mask` bool `[b, s]`, True = a real token, attended to."""
        x = self.embeddings(token_ids, token_types)
        # A mask that hides nothing costs time in every layer.
        attn_mask = None if bool(mask.all()) else mask[:, None, None, :]
        for block in self.blocks:
            x = block(x, attn_mask=attn_mask)
        out: Tensor = x
        return out


class Decoder(nn.Module):
    """Returns decoder states `[b, t, embed_dim]` of target embeddings that cross-attend to a memory.

    Positions are sinusoidal, the blocks pre-norm with a last norm: a small decoder trained from nothing stays stable.

    Source: Vaswani et al. 2017, section 3; pre-norm: Xiong et al. 2020.
    """

    def __init__(
        self, *, embed_dim: int, num_layers: int, num_heads: int, ff_dim: int, max_target_tokens: int = 128
    ) -> None:
        super().__init__()
        self.positions = SinusoidalPositions(max_target_tokens, embed_dim)
        self.blocks = nn.ModuleList(DecoderBlock(embed_dim, num_heads, ff_dim) for _ in range(num_layers))
        self.norm = LayerNorm(embed_dim, 1e-5)

    def project_memory(self, memory: Tensor) -> list[KeyValues]:
        """Return each block's cross-attention keys and values of `memory` `[b, m, embed_dim]`."""
        return [block.cross_attention.project_kv(memory) for block in self._decoder_blocks()]

    def new_caches(self) -> list[KVCache]:
        """Return one empty cache per block."""
        return [KVCache() for _ in self.blocks]

    def forward(
        self,
        targets: Tensor,
        memory_kv: list[KeyValues],
        memory_mask: Tensor | None = None,
        caches: list[KVCache] | None = None,
    ) -> Tensor:
        """Decode.

        Args:
            targets: embeddings `[b, t, embed_dim]`; with filled caches the newest position only, `t = 1`.
            memory_kv: from `project_memory`.
            memory_mask: bool `[b, m]`, True = attend.
            caches: from `new_caches`; absent in training.
        """
        offset = caches[0].length if caches else 0
        x = targets + self.positions(targets.shape[1], offset).to(targets.dtype)
        attn_mask = None if memory_mask is None else memory_mask[:, None, None, :]
        for layer, block in enumerate(self._decoder_blocks()):
            x = block(x, memory_kv[layer], memory_mask=attn_mask, cache=caches[layer] if caches else None)
        out: Tensor = self.norm(x)
        return out

    def _decoder_blocks(self) -> list[DecoderBlock]:
        return [block for block in self.blocks if isinstance(block, DecoderBlock)]


class EncoderDecoder(nn.Module):
    """Returns next-token logits `[b, t, vocab_size]` of target tokens given source tokens; embeddings are shared.

    Source: Vaswani et al. 2017, sections 3.1 and 3.4 (tied embeddings).
    """

    def __init__(self, encoder: BertEncoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, source_ids: Tensor, source_mask: Tensor, target_ids: Tensor) -> Tensor:
        """Score `target_ids` int64 `[b, t]` given `source_ids` int64 `[b, s]`; `source_mask` bool, True = attend."""
        memory = self.encoder(source_ids, source_mask)
        return self.decode(target_ids, self.decoder.project_memory(memory), source_mask)

    def decode(
        self,
        target_ids: Tensor,
        memory_kv: list[KeyValues],
        source_mask: Tensor,
        caches: list[KVCache] | None = None,
    ) -> Tensor:
        """Return logits `[b, t, vocab_size]`; with filled caches `target_ids` is the newest token, `[b, 1]`."""
        word = self.encoder.embeddings.word
        states = self.decoder(word(target_ids), memory_kv, source_mask, caches)
        return torch.nn.functional.linear(states, word.weight)


def build_bert_encoder(config: BertConfig) -> BertEncoder:
    """Return a `BertEncoder` with random weights in the sizes of `config`."""
    return BertEncoder(
        vocab_size=config.vocab_size,
        embed_dim=config.embed_dim,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        ff_dim=config.ff_dim,
        max_positions=config.max_positions,
        type_vocab_size=config.type_vocab_size,
        activation=config.activation,
        norm_eps=config.norm_eps,
    )
