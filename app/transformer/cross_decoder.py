"""The decoder of an encoder–decoder: causal over its own tokens, cross-attending to a memory that is projected once."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from app.transformer.block import DecoderBlock
from app.transformer.kv_cache import KVCache
from app.transformer.positions import LearnedPositions, SinusoidalPositions
from app.transformer.relative_positions import RelativePositionBias

KeyValues = tuple[Tensor, Tensor]
AddedPositions = LearnedPositions | SinusoidalPositions


class CrossDecoder(nn.Module):
    """Returns decoder states `[b, t, embed_dim]` of target embeddings that cross-attend to a memory.

    Args:
        blocks: one a layer.
        positions: added to the targets; `None` where `relative` (or nothing) says where a token stands.
        first_position: rows at the table's beginning that are never used (BART: 2).
        relative: bias of self-attention, shared by all blocks.
        embedding_norm: over targets plus positions, before the first block.
        norm: after the last block; pre-norm blocks need one.

    Source: Vaswani et al. 2017, section 3; pre-norm: Xiong et al. 2020; relative bias: Raffel et al. 2020, 2.1.
    """

    def __init__(
        self,
        blocks: Sequence[DecoderBlock],
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
        length = targets.shape[1]
        x = targets
        if self.positions is not None:
            x = x + self.positions(length, offset + self.first_position).to(x.dtype)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        self_bias = None if self.relative is None else self.relative(length, offset + length, offset)
        attn_mask = None if memory_mask is None else memory_mask[:, None, None, :]
        for layer, block in enumerate(self._decoder_blocks()):
            cache = caches[layer] if caches else None
            x = block(x, memory_kv[layer], memory_mask=attn_mask, self_bias=self_bias, cache=cache)
        return x if self.norm is None else self.norm(x)

    def _decoder_blocks(self) -> list[DecoderBlock]:
        return [block for block in self.blocks if isinstance(block, DecoderBlock)]
