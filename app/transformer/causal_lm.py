"""Decoder language models: GPT-2, Llama, Qwen, Gemma, Phi and their kin are settings of one class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from app.errors import InvalidInput
from app.transformer.causal_attention import AttentionSpec
from app.transformer.causal_block import CausalBlock, CausalSelfAttention, NormPlacement, alibi_slopes
from app.transformer.feed_forward import Activation
from app.transformer.norm import NormKind, new_norm
from app.transformer.positions import LearnedPositions, SinusoidalPositions
from app.transformer.rotary import DynamicScaling, Rotary, RotaryConfig, Rotation, settled_length
from app.transformer.stores import KeyValueStore, KnowsLengths, SequenceStore

Positions = Literal["rotary", "learned", "sinusoidal", "alibi", "none"]


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """Sizes and choices of a decoder; plain data, read by loaders and stores. Blocks never see it.

    `rotary` and `windows` have one entry a layer: `None` is a layer without rotary positions (SmolLM3) or without a
    window; an empty `windows` means none anywhere. `attention_scale=None` is `1/√head_dim`.
    """

    vocab_size: int
    embed_dim: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    ff_dim: int
    max_positions: int
    positions: Positions = "rotary"
    rotary: tuple[RotaryConfig | None, ...] = ()
    windows: tuple[int | None, ...] = ()
    norm: NormKind = "rms"
    norm_eps: float = 1e-6
    norm_placement: NormPlacement = "pre"
    activation: Activation = "silu"
    gated: bool = True
    qkv_bias: bool = False
    out_bias: bool = False
    ff_bias: bool = False
    head_bias: bool = False
    qk_norm: bool = False
    tie_embeddings: bool = True
    embedding_scale: float = 1.0
    attention_scale: float | None = None
    attention_softcap: float | None = None
    logit_softcap: float | None = None

    @property
    def context_tokens(self) -> int:
        """The longest sequence: `max_positions`, or what dynamic rotary positions stretch them to."""
        stretched = [
            int(rotary.scaling.factor * rotary.scaling.max_positions)
            for rotary in self.rotary
            if rotary is not None and isinstance(rotary.scaling, DynamicScaling)
        ]
        return max(self.max_positions, min(stretched, default=0))


class LayerRunner(Protocol):
    """Runs layers in the place of their modules (`app.transformer.native.decoder`)."""

    def serves(self, x: Tensor) -> bool:
        """Whether this pass is one for it."""
        ...

    def in_a_row(self, first: int) -> int:
        """How many layers from `first` on it can run."""
        ...

    def run(self, x: Tensor, first: int, count: int, rotations: Sequence[Rotation], store: KeyValueStore) -> Tensor:
        """Return `x` `[t, embed_dim]` after `count` layers from `first` on; `rotations` are float32."""
        ...


class CausalLM(nn.Module):
    """Returns next-token states of a flat row of tokens, whoever they belong to; the store knows whose they are.

    Args:
        config: kept for loaders and stores.
        blocks: one a layer.
        norm: the last one, `None` after post-norm blocks.
        absolute: positions added to the embeddings.
        rotaries: the distinct rotary positions.
        rotary_of_layer: index into `rotaries`, `None` for a layer without.
    """

    def __init__(
        self,
        config: DecoderConfig,
        blocks: Sequence[CausalBlock],
        *,
        norm: nn.Module | None,
        absolute: LearnedPositions | SinusoidalPositions | None,
        rotaries: Sequence[Rotary],
        rotary_of_layer: Sequence[int | None],
    ) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.embed_dim)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.positions = absolute
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.lm_head = nn.Linear(config.embed_dim, config.vocab_size, bias=config.head_bias)
        self.specs: tuple[AttentionSpec, ...] = tuple(block.attention.spec for block in blocks)
        self._rotaries = tuple(rotaries)
        self.rotary_of_layer = tuple(rotary_of_layer)
        self.native: LayerRunner | None = None  # set by `app.transformer.quantization.quantize`
        self.by_length = any(rotary.by_length for rotary in rotaries)
        self.tie()

    def tie(self) -> None:
        """Share the embedding's weight with the head where the model does; again after weights were assigned."""
        if self.config.tie_embeddings:
            self.lm_head.weight = self.embed.weight

    def forward(self, token_ids: Tensor, positions: Tensor, store: KeyValueStore) -> Tensor:
        """Return the hidden states after the last norm, `[t, embed_dim]`, of `token_ids`, `positions` int64 `[t]`."""
        x: Tensor = self.embed(token_ids)
        if self.config.embedding_scale != 1.0:
            # The scale is rounded to the weights' precision, as the models were trained.
            x = x * torch.tensor(self.config.embedding_scale, dtype=x.dtype, device=x.device)
        if self.positions is not None:
            x = x + self.positions.at(positions).to(x.dtype)
        lengths = None
        if self.by_length and isinstance(store, KnowsLengths):
            # Single tokens of several sequences may stand at consecutive positions and yet be no run.
            lengths = store.token_lengths()
        angles: dict[torch.dtype, list[Rotation]] = {}

        def rotations(dtype: torch.dtype) -> list[Rotation]:
            if dtype not in angles:
                angles[dtype] = [rotary.angles(positions, dtype, lengths) for rotary in self._rotaries]
            return angles[dtype]

        native = self.native if self.native is not None and self.native.serves(x) else None
        layer = 0
        while layer < len(self.blocks):
            together = 0 if native is None else native.in_a_row(layer)
            if native is not None and together:
                x = native.run(x, layer, together, rotations(torch.float32), store)
                layer += together
                continue
            which = self.rotary_of_layer[layer]
            x = self.blocks[layer](x, None if which is None else rotations(x.dtype)[which], store)
            layer += 1
        return x if self.norm is None else self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return `[…, vocab_size]` float32 of `hidden` `[…, embed_dim]`, soft cap applied."""
        logits: Tensor = self.lm_head(hidden).float()
        cap = self.config.logit_softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def settled_length(self, length: int, settled: int) -> int:
        """Return the length whose angles a sequence of `length` tokens has, read last with those of `settled`.

        Another one than `settled` means that all its tokens must be read again.
        """
        asked = [settled_length(rotary.config.scaling, length, settled) for rotary in self._rotaries]
        return next((other for other in asked if other != settled), settled)

    def new_store(self, *, batch: int = 1, capacity: int) -> SequenceStore:
        """Return an empty store of the model's precision, where the model is."""
        like = self.embed.weight
        return SequenceStore(self.specs, batch=batch, capacity=capacity, dtype=like.dtype, device=like.device)


def build_causal_lm(config: DecoderConfig) -> CausalLM:
    """Return a `CausalLM` with random weights.

    Raises:
        InvalidInput: `rotary` or `windows` has not one entry a layer, or the heads do not divide.
    """
    layers = config.num_layers
    if config.positions == "rotary" and len(config.rotary) != layers:
        raise InvalidInput(f"rotary has {len(config.rotary)} entries, num_layers={layers} needs as many")
    if config.windows and len(config.windows) != layers:
        raise InvalidInput(f"windows has {len(config.windows)} entries, num_layers={layers} needs as many")
    per_layer = config.rotary if config.positions == "rotary" else (None,) * layers
    distinct = list(dict.fromkeys(rotary for rotary in per_layer if rotary is not None))
    absolute: LearnedPositions | SinusoidalPositions | None = None
    if config.positions == "learned":
        absolute = LearnedPositions(config.max_positions, config.embed_dim)
    elif config.positions == "sinusoidal":
        absolute = SinusoidalPositions(config.max_positions, config.embed_dim)
    slopes = alibi_slopes(config.num_heads) if config.positions == "alibi" else None
    blocks = []
    for layer in range(layers):
        spec = AttentionSpec(
            layer=layer,
            num_heads=config.num_heads,
            num_kv_heads=config.num_kv_heads,
            head_dim=config.head_dim,
            scale=config.head_dim**-0.5 if config.attention_scale is None else config.attention_scale,
            window=config.windows[layer] if config.windows else None,
            softcap=config.attention_softcap,
            alibi_slopes=slopes,
        )
        attention = CausalSelfAttention(
            spec,
            config.embed_dim,
            qkv_bias=config.qkv_bias,
            out_bias=config.out_bias,
            qk_norm=config.norm if config.qk_norm else None,
            norm_eps=config.norm_eps,
        )
        blocks.append(
            CausalBlock(
                attention,
                embed_dim=config.embed_dim,
                ff_dim=config.ff_dim,
                activation=config.activation,
                gated=config.gated,
                ff_bias=config.ff_bias,
                norm=config.norm,
                norm_eps=config.norm_eps,
                norm_placement=config.norm_placement,
            )
        )
    return CausalLM(
        config,
        blocks,
        norm=None if config.norm_placement == "post" else new_norm(config.norm, config.embed_dim, config.norm_eps),
        absolute=absolute,
        rotaries=[Rotary(rotary) for rotary in distinct],
        rotary_of_layer=[None if rotary is None else distinct.index(rotary) for rotary in per_layer],
    )


@torch.inference_mode()
def greedy(model: CausalLM, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
    """Return the most probable next `max_tokens` ids of each prompt, decoded together, no stopping; ties: lowest id.

    The general decoder is `app.transformer.decoding`; this is the plain loop that references and examples need.
    """
    store = model.new_store(batch=len(prompts), capacity=max(map(len, prompts)) + max_tokens)
    counts = [len(prompt) for prompt in prompts]
    token_ids = torch.tensor([token for prompt in prompts for token in prompt], device=store.device)
    answers: list[list[int]] = [[] for _ in prompts]
    for _ in range(max_tokens):
        hidden = model(token_ids, store.begin(counts), store)
        last = torch.tensor(counts, device=store.device).cumsum(0) - 1
        token_ids = model.logits(hidden[last]).argmax(dim=-1)
        for answer, token in zip(answers, token_ids.tolist(), strict=True):
            answer.append(token)
        counts = [1] * len(prompts)
    return answers
