"""The bidirectional encoder of BERT and RoBERTa: embeddings and post-norm blocks over a padded batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from app.transformer.block import EncoderBlock
from app.transformer.feed_forward import Activation
from app.transformer.norm import LayerNorm
from app.transformer.positions import LearnedPositions


@dataclass(frozen=True, slots=True)
class BertConfig:
    """Sizes of a BERT-style encoder; the defaults are those of MiniLM-L6-H384.

    With `positions_after_padding` (RoBERTa) the first real token stands at position `pad_token_id + 1`, and padding
    takes no position.
    """

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
    positions_after_padding: bool = False


class BertEmbeddings(nn.Module):
    """Returns `norm(word + position + token type)`, `[b, s, embed_dim]`.

    Args:
        vocab_size: rows of the word table.
        embed_dim: size of a vector.
        max_positions: rows of the position table.
        type_vocab_size: rows of the segment table.
        norm_eps: of the norm.
        padding_id: tokens with this id take no position and the others are counted from `padding_id + 1`, as RoBERTa
            does; `None` counts every token from 0.

    Source: Devlin et al. 2019, figure 2; padding: fairseq's RoBERTa (Liu et al. 2019).
    """

    def __init__(
        self,
        vocab_size: int,
        embed_dim: int,
        max_positions: int,
        *,
        type_vocab_size: int = 2,
        norm_eps: float = 1e-12,
        padding_id: int | None = None,
    ) -> None:
        super().__init__()
        self.padding_id = padding_id
        self.word = nn.Embedding(vocab_size, embed_dim)
        self.position = LearnedPositions(max_positions, embed_dim)
        self.token_type = nn.Embedding(type_vocab_size, embed_dim)
        self.norm = LayerNorm(embed_dim, norm_eps)

    def forward(self, token_ids: Tensor, token_types: Tensor | None = None) -> Tensor:
        """Embed `token_ids` int64 `[b, s]`; `token_types` int64 `[b, s]`, zeros when absent."""
        types = self.token_type.weight[0] if token_types is None else self.token_type(token_types)
        out: Tensor = self.norm(self.word(token_ids) + types + self._position_vectors(token_ids))
        return out

    def _position_vectors(self, token_ids: Tensor) -> Tensor:
        length = token_ids.shape[1]
        if self.padding_id is None:
            out: Tensor = self.position(length)
            return out
        # Asked for its error message: a row without padding would need all these positions.
        self.position(length, self.padding_id + 1)
        real = (token_ids != self.padding_id).long()
        return nn.functional.embedding(real.cumsum(1) * real + self.padding_id, self.position.weight)


class BertEncoder(nn.Module):
    """Returns contextual states `[b, s, embed_dim]`; post-norm blocks over learned positions.

    Source: Devlin et al. 2019, section 3. Departure: no dropout (serving and short fine-tuning); pooler and heads
    are in `encoder_heads`.
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
        padding_id: int | None = None,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.max_positions = max_positions if padding_id is None else max_positions - padding_id - 1
        self.embeddings = BertEmbeddings(
            vocab_size,
            embed_dim,
            max_positions,
            type_vocab_size=type_vocab_size,
            norm_eps=norm_eps,
            padding_id=padding_id,
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
        padding_id=config.pad_token_id if config.positions_after_padding else None,
    )


def mean_pool(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean `[b, d]` of the real tokens' `states` `[b, s, d]`; a row without any is zero.

    Source: Reimers & Gurevych 2019, section 3.
    """
    weights = mask.unsqueeze(2).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


def cls_pool(states: Tensor, mask: Tensor) -> Tensor:
    """Return the first real token's state `[b, d]` of `states` `[b, s, d]`, on whichever side the padding is."""
    first = mask.to(torch.uint8).argmax(dim=1)
    return states[torch.arange(states.shape[0], device=states.device), first]
