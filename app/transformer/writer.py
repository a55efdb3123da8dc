"""A decoder that writes: a control token says what; it generates words of a vocabulary and copies tokens of its source.

It reads the states of an encoder that stays frozen, and ties its output to word vectors that stay frozen, so that the
decoder alone is trained, stored and shipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.transformer.block import DecoderBlock
from app.transformer.cross_decoder import CrossDecoder, KeyValues
from app.transformer.encoder import BertEncoder
from app.transformer.kv_cache import KVCache
from app.transformer.norm import LayerNorm
from app.transformer.positions import LearnedPositions

_HIDDEN = -1e9  # finite: a row of -inf would turn a softmax into NaN
SEGMENTS = 3
"""Parts of a source row: its question (and the separators), its heading, its passage."""


@dataclass(frozen=True, slots=True)
class WriterConfig:
    """Sizes of a `Writer`.

    `generable` is how many words it may generate, the others it can only copy; `max_tokens` bounds a source row and
    `max_written` the written tokens, the end included.
    """

    embed_dim: int = 384
    decoder_layers: int = 3
    num_heads: int = 12
    ff_dim: int = 1536
    generable: int = 8_000
    tasks: int = 6
    max_tokens: int = 320
    max_written: int = 72
    norm_eps: float = 1e-12


@dataclass(frozen=True, slots=True)
class Source:
    """What the decoder reads, for `b` rows of `s` tokens.

    `token_ids` int64 `[b, s]`; `memory` `[b, s, d]`; `readable` and `copyable` bool `[b, s]`, True = may be attended
    to, may be copied; `keys` float32 `[b, s, d]` of the pointer; `memory_kv` of the blocks.
    """

    token_ids: Tensor
    memory: Tensor
    readable: Tensor
    copyable: Tensor
    keys: Tensor
    memory_kv: list[KeyValues]


@dataclass(frozen=True, slots=True)
class WordScores:
    """Two ways to the next token, `[b, t, …]` in float32.

    `generated` `[b, t, generable]` and `copied` `[b, t, s]` are log-probabilities, each with its share of the mixture
    in it: the exponentials of both together sum to 1.
    """

    generated: Tensor
    copied: Tensor


class TiedWords(nn.Module):
    """Returns the products `[…, v]` of `[…, d]` with `v` frozen word vectors, which are no part of the state."""

    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight)


class Writer(nn.Module):
    """Returns the mixture `p(w) = g · softmax(E·o(y))_w + (1 − g) · Σ_{j: source_j = w} softmax(pointer)_j`.

    `pointer_j = q(y)·k_j/√d + [source_{j−1} = last]·c₁(y) + [source_{j−2..j−1} = last two]·c₂(y)`: having copied a
    token, the one after it is likely; a decoder trained for an hour need not find that out.

    Args:
        words: `[vocab, d]` word vectors, frozen and not part of the state.
        generable: int64 `[generable]`, ids of the words that may be generated, ascending.
        config: sizes.

    Source: pointer and generator: See et al. 2017, section 2.2; tied output: Press & Wolf 2017. Departures: the pointer
    has its own keys, a learned projection stands before the tied vectors, and names and numbers can be left out of the
    vocabulary, so that they come from the source alone.
    """

    words: Tensor
    generable: Tensor
    slot: Tensor

    def __init__(self, words: Tensor, generable: Tensor, config: WriterConfig) -> None:
        super().__init__()
        width = config.embed_dim
        if words.shape[1] != width or generable.shape != (config.generable,):
            raise ValueError(
                f"words {tuple(words.shape)} and generable {tuple(generable.shape)} must be [vocab, {width}] and "
                f"[{config.generable}]: give the vectors and the vocabulary of this config"
            )
        self.config = config
        self.register_buffer("words", words.detach(), persistent=False)
        self.register_buffer("generable", generable)
        slot = torch.full((words.shape[0],), -1, dtype=torch.int64)
        slot[generable] = torch.arange(config.generable)
        self.register_buffer("slot", slot, persistent=False)  # id → its place in `generable`, or −1
        self.task = nn.Embedding(config.tasks, width)
        self.segment = nn.Embedding(SEGMENTS, width)
        self.state_proj = nn.Linear(width, width)
        self.word_proj = nn.Linear(width, width, bias=False)
        self.decoder = CrossDecoder(
            [
                DecoderBlock(width, config.num_heads, config.ff_dim, norm_eps=config.norm_eps, norm_first=False)
                for _ in range(config.decoder_layers)
            ],
            positions=LearnedPositions(config.max_written, width),
            embedding_norm=LayerNorm(width, config.norm_eps),
        )
        self.output: nn.Module = nn.Linear(width, width)
        self.tied: nn.Module = TiedWords(words.detach()[generable])
        self.output_bias = nn.Parameter(torch.zeros(config.generable))
        self.key_proj = nn.Linear(width, width, bias=False)
        self.query_proj = nn.Linear(width, width)
        self.follow = nn.Linear(width, 2)
        self.gate = nn.Linear(width, 1)
        with torch.no_grad():  # the encoder's states pass through at first
            self.state_proj.weight.copy_(torch.eye(width))
            output = self.output.get_parameter
            output("weight").copy_(torch.eye(width))
            for bias in (self.state_proj.bias, output("bias"), self.follow.bias, self.gate.bias):
                bias.zero_()
            for weights in (self.word_proj.weight, self.follow.weight, self.gate.weight, self.segment.weight):
                weights.zero_()
            self.follow.bias.copy_(torch.tensor([2.0, 3.0]))
            self.task.weight.normal_(std=0.05)

    def read(self, states: Tensor, token_ids: Tensor, segments: Tensor, readable: Tensor, copyable: Tensor) -> Source:
        """Return the source of encoded rows.

        Args:
            states: `[b, s, d]` of the frozen encoder.
            token_ids: int64 `[b, s]`.
            segments: int64 `[b, s]`, 0..2.
            readable: bool `[b, s]`, True = attend.
            copyable: bool `[b, s]`, True = may be copied.
        """
        words = functional.embedding(token_ids, self.words).to(states.dtype)
        memory = self.state_proj(states) + self.word_proj(words) + self.segment(segments)
        kv = self.decoder.project_memory(memory)
        return Source(token_ids, memory, readable, copyable, self.key_proj(memory).float(), kv)

    def first_input(self, task: Tensor) -> Tensor:
        """Return the decoder's first input `[b, 1, d]`: the control token of `task` int64 `[b]`."""
        out: Tensor = self.task(task).unsqueeze(1)
        return out

    def later_inputs(self, task: Tensor, written: Tensor) -> Tensor:
        """Return the decoder's inputs `[b, t, d]` after the first, for `written` int64 `[b, t]`."""
        out: Tensor = functional.embedding(written, self.words) + self.task(task).unsqueeze(1)
        return out

    def decode(self, source: Source, inputs: Tensor, caches: list[KVCache] | None = None) -> Tensor:
        """Return decoder states `[b, t, d]`; with caches `inputs` holds the newest position only."""
        out: Tensor = self.decoder(inputs, source.memory_kv, source.readable, caches)
        return out

    def score(self, source: Source, decoded: Tensor, last: Tensor, before: Tensor) -> WordScores:
        """Return the scores of the next token.

        Args:
            source: from `read`; one row may serve all rows of `decoded`.
            decoded: `[b, t, d]`.
            last: int64 `[b, t]`, the token written before, −1 at the beginning.
            before: int64 `[b, t]`, the token before that, −1 where there is none.
        """
        logits = self.tied(self.output(decoded)).float() + self.output_bias.float()
        with torch.autocast(decoded.device.type, enabled=False):
            y = decoded.float()
            gate = functional.linear(y, self.gate.weight.float(), self.gate.bias.float())
            bonus = functional.linear(y, self.follow.weight.float(), self.follow.bias.float())
            query = functional.linear(y, self.query_proj.weight.float(), self.query_proj.bias.float())
            pointer = query @ source.keys.transpose(1, 2) / query.shape[2] ** 0.5
            one, two = _following(source.token_ids, last, before)
            pointer = pointer + one * bonus[..., :1] + two * bonus[..., 1:]
            pointer = pointer.masked_fill(~source.copyable.unsqueeze(1), _HIDDEN)
            generated = functional.logsigmoid(gate) + logits.log_softmax(dim=2)
            copied = functional.logsigmoid(-gate) + pointer.log_softmax(dim=2)
        return WordScores(generated, copied)

    def target_logprobs(self, source: Source, scores: WordScores, targets: Tensor) -> Tensor:
        """Return ln p of `targets` int64 `[b, t]`, float32; about −1e9 for one that can't be generated nor copied."""
        slot = self.slot[targets]
        generated = scores.generated.gather(2, slot.clamp(min=0).unsqueeze(2)).squeeze(2)
        generated = generated.masked_fill(slot < 0, _HIDDEN)
        same = (source.token_ids.unsqueeze(1) == targets.unsqueeze(2)) & source.copyable.unsqueeze(1)
        copied = scores.copied.masked_fill(~same, _HIDDEN).logsumexp(dim=2)
        return torch.logaddexp(generated, copied)

    def next_logprobs(self, source: Source, scores: WordScores) -> Tensor:
        """Return ln p over the whole vocabulary, float32 `[b, vocab]`, for scores of one step, `t = 1`."""
        batch = scores.generated.shape[0]
        mixed = torch.zeros(batch, self.words.shape[0])
        mixed[:, self.generable] = scores.generated[:, 0].exp()
        mixed.scatter_add_(1, source.token_ids.expand(batch, -1), scores.copied[:, 0].exp())
        return mixed.clamp(min=1e-12).log()


def _following(token_ids: Tensor, last: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Where in `token_ids` `[b, s]` the token before is `last` `[b, t]`, and the two before are both: `[b, t, s]`."""
    previous = functional.pad(token_ids, (1, 0), value=-2)[:, :-1]
    earlier = functional.pad(token_ids, (2, 0), value=-2)[:, : token_ids.shape[1]]
    one = previous.unsqueeze(1) == last.unsqueeze(2)
    two = one & (earlier.unsqueeze(1) == before.unsqueeze(2))
    return one.float(), two.float()


@torch.no_grad()
def warm_start(writer: Writer, encoder: BertEncoder, layers: tuple[int, ...]) -> None:
    """Copy encoder blocks `layers` into the decoder's blocks, in order, and the embeddings' positions and norm.

    Cross-attention starts from the block's self-attention.

    Source: Rothe et al. 2020, section 2.

    Raises:
        ValueError: not one layer for each block of the decoder.
    """
    blocks = list(writer.decoder.blocks)
    if len(layers) != len(blocks):
        raise ValueError(f"layers={layers} must name one encoder layer for each of the {len(blocks)} decoder blocks")
    for layer, block in zip(layers, blocks, strict=True):
        from_block, to = encoder.blocks[layer], block
        pairs = (
            ("attention", "self_attention"),
            ("attention_norm", "self_norm"),
            ("attention", "cross_attention"),
            ("attention_norm", "cross_norm"),
            ("feed_forward", "feed_forward"),
            ("feed_forward_norm", "feed_forward_norm"),
        )
        for theirs, ours in pairs:
            to.get_submodule(ours).load_state_dict(from_block.get_submodule(theirs).state_dict())
    embeddings = encoder.embeddings
    table = writer.decoder.positions
    if isinstance(table, LearnedPositions):
        table.weight.copy_(embeddings.position.weight[: table.weight.shape[0]] + embeddings.token_type.weight[0])
    if writer.decoder.embedding_norm is not None:
        writer.decoder.embedding_norm.load_state_dict(embeddings.norm.state_dict())
