"""An encoder–decoder whose decoder points at source tokens: fusion in the decoder over several encoded sources.

Each source row is `[CLS] query [SEP] … [SEP]` and is encoded alone; the decoder cross-attends to the states of all
rows of a group and, at every step, copies one source token or stops. Every emitted token therefore knows its origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.transformer.block import DecoderBlock
from app.transformer.cross_decoder import CrossDecoder, KeyValues
from app.transformer.encoder import BertConfig, BertEncoder, build_bert_encoder
from app.transformer.kv_cache import KVCache
from app.transformer.norm import LayerNorm
from app.transformer.positions import SinusoidalPositions

_HIDDEN = -1e9  # finite: a row of -inf would turn a softmax into NaN


@dataclass(frozen=True, slots=True)
class PointerConfig:
    """Sizes of a `PointerReader`; `max_tokens` bounds one source row, `max_answer_tokens` the copied tokens."""

    encoder: BertConfig
    decoder_layers: int = 2
    decoder_heads: int = 12
    decoder_ff_dim: int = 768
    max_tokens: int = 384
    max_answer_tokens: int = 48


@dataclass(frozen=True, slots=True)
class Memory:
    """What the decoder reads, for `b` groups of `p` rows of `s` tokens, `m = p · s`.

    `states` `[b, m, d]`; `keys` float32 `[b, m, d]`, or `[1, m, d]` for beams over one memory; `readable`
    bool `[b, m]`, True = attend; `copyable` bool `[b, m]`, True = may be pointed at; `start_logits`,
    `end_logits` `[b, m]` of the extractive heads; `null_logits` `[b, p]`, one per row.
    """

    states: Tensor
    readable: Tensor
    copyable: Tensor
    start_logits: Tensor
    end_logits: Tensor
    null_logits: Tensor
    keys: Tensor


class PointerReader(nn.Module):
    """Returns logits over copyable source tokens and one stop choice (NO ANSWER first, END later).

    `first(j) = q₀·k_j/√d + start_j`, `first(NO ANSWER) = w·y₀ + softmin_p start_{CLS of p}`;
    `later(j) = q_t·k_j/√d + [j = previous + 1]·c(y_t)`, `later(END) = e(y_t) + end_previous`.

    Source: fusion in the decoder: Izacard & Grave 2021, section 3; pointing: Vinyals et al. 2015, section 2.3;
    copying: See et al. 2017, section 2.2. Departure: no vocabulary at all, and the extractive head's logits enter as
    residuals, so an untrained decoder already answers like that head.
    """

    def __init__(
        self,
        encoder: BertEncoder,
        *,
        decoder_layers: int = 2,
        decoder_heads: int = 12,
        decoder_ff_dim: int = 768,
        max_answer_tokens: int = 48,
    ) -> None:
        super().__init__()
        width = encoder.embed_dim
        self.encoder = encoder
        self.decoder = CrossDecoder(
            [DecoderBlock(width, decoder_heads, decoder_ff_dim) for _ in range(decoder_layers)],
            positions=SinusoidalPositions(max_answer_tokens + 2, width),
            norm=LayerNorm(width, 1e-5),
        )
        self.start_head = nn.Linear(width, 1)
        self.end_head = nn.Linear(width, 1)
        self.begin = nn.Parameter(torch.randn(width) * 0.02)
        self.copied_proj = nn.Linear(width, width)
        self.key_proj = nn.Linear(width, width, bias=False)
        self.query_proj = nn.Linear(width, width)
        self.null_step = nn.Linear(width, 1)
        self.end_step = nn.Linear(width, 1)
        self.copy_next = nn.Linear(width, 1)
        for head in (self.null_step, self.end_step, self.copy_next):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        # Some 200 other positions share the softmax: without a head start the next token is lost among them.
        nn.init.constant_(self.copy_next.bias, 7.0)
        nn.init.constant_(self.end_step.bias, 6.0)

    def read(
        self, token_ids: Tensor, mask: Tensor, token_types: Tensor, copyable: Tensor, rows_per_group: int
    ) -> Memory:
        """Return the memory of `b · p` source rows.

        Args:
            token_ids: int64 `[b · p, s]`, rows of one group adjacent.
            mask: bool `[b · p, s]`, True = attend.
            token_types: int64 `[b · p, s]`.
            copyable: bool `[b · p, s]`, True = may be pointed at; never column 0, which holds `[CLS]`.
            rows_per_group: `p`.
        """
        return self.fuse(self.encoder(token_ids, mask, token_types), mask, copyable, rows_per_group)

    def fuse(self, states: Tensor, mask: Tensor, copyable: Tensor, rows_per_group: int) -> Memory:
        """Return the memory of encoded rows `[b · p, s, d]`; the other arguments as in `read`."""
        rows, length, width = states.shape
        groups = rows // rows_per_group
        starts = _score(self.start_head, states)
        ends = _score(self.end_head, states)
        flat = states.reshape(groups, rows_per_group * length, width)
        return Memory(
            states=flat,
            readable=mask.reshape(groups, -1),
            copyable=copyable.reshape(groups, -1),
            start_logits=starts.reshape(groups, -1),
            end_logits=ends.reshape(groups, -1),
            null_logits=starts[:, 0].reshape(groups, rows_per_group),
            keys=self.key_proj(flat).float(),
        )

    def first_logits(self, memory: Memory, decoded: Tensor) -> Tensor:
        """Return float32 `[b, m + 1]` for the first step's decoder state `[b, d]`; the last column is NO ANSWER."""
        pointer = self._point(memory, decoded.unsqueeze(1)).squeeze(1) + memory.start_logits
        pointer = pointer.masked_fill(~memory.copyable, _HIDDEN)
        # Softmin: the group lacks an answer only as far as its most promising row does.
        rows = memory.null_logits.shape[1]
        softmin = -torch.logsumexp(-memory.null_logits, dim=1) + torch.log(torch.tensor(float(rows)))
        null = _score(self.null_step, decoded) + softmin
        return torch.cat([pointer, null.unsqueeze(1)], dim=1)

    def later_logits(self, memory: Memory, decoded: Tensor, previous: Tensor) -> Tensor:
        """Return float32 `[b, t, m + 1]` after copying `previous` int64 `[b, t]`; the last column is END."""
        pointer = self._point(memory, decoded)
        size = pointer.shape[2]
        following = (previous + 1).clamp(max=size - 1).unsqueeze(2)
        pointer = pointer.scatter_add(2, following, _score(self.copy_next, decoded).unsqueeze(2))
        pointer = pointer.masked_fill(~memory.copyable.unsqueeze(1), _HIDDEN)
        end = _score(self.end_step, decoded) + memory.end_logits.gather(1, previous)
        return torch.cat([pointer, end.unsqueeze(2)], dim=2)

    def target_embeddings(self, memory: Memory, copied: Tensor) -> Tensor:
        """Return decoder inputs `[b, t, d]` for `copied` int64 `[b, t]` positions in the memory."""
        width = memory.states.shape[2]
        states = memory.states.gather(1, copied.unsqueeze(2).expand(-1, -1, width))
        out: Tensor = self.copied_proj(states)
        return out

    def begin_embedding(self, groups: int) -> Tensor:
        """Return the first decoder input `[b, 1, d]`."""
        return self.begin.expand(groups, 1, -1)

    def decode(
        self,
        memory: Memory,
        targets: Tensor,
        memory_kv: list[KeyValues] | None = None,
        caches: list[KVCache] | None = None,
    ) -> Tensor:
        """Return decoder states `[b, t, d]` of `targets` from `begin_embedding` or `target_embeddings`."""
        kv = self.decoder.project_memory(memory.states) if memory_kv is None else memory_kv
        out: Tensor = self.decoder(targets, kv, memory.readable, caches)
        return out

    def _point(self, memory: Memory, decoded: Tensor) -> Tensor:
        """Scaled dot products of `decoded` `[b, t, d]` with the memory's keys: float32 `[b, t, m]`."""
        queries = self.query_proj(decoded).float()
        with torch.autocast(decoded.device.type, enabled=False):
            keys = memory.keys.transpose(1, 2)
            if keys.shape[0] == 1 < queries.shape[0]:  # beams over one memory: one product, not one per beam
                products: Tensor = (queries.flatten(0, 1) @ keys[0]).view(*queries.shape[:2], -1)
            else:
                products = queries @ keys
            scaled: Tensor = products / queries.shape[2] ** 0.5
        return scaled


def _score(head: nn.Linear, x: Tensor) -> Tensor:
    """One number per state `[…, d]` → `[…]`, in float32: bfloat16's 8 bits would tie neighbouring logits."""
    with torch.autocast(x.device.type, enabled=False):
        return functional.linear(x.float(), head.weight.float(), head.bias.float()).squeeze(-1)


def build_pointer_reader(config: PointerConfig, encoder: BertEncoder | None = None) -> PointerReader:
    """Return a reader in the sizes of `config`, around `encoder` or one with random weights."""
    return PointerReader(
        build_bert_encoder(config.encoder) if encoder is None else encoder,
        decoder_layers=config.decoder_layers,
        decoder_heads=config.decoder_heads,
        decoder_ff_dim=config.decoder_ff_dim,
        max_answer_tokens=config.max_answer_tokens,
    )
