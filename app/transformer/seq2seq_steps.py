"""An encoder–decoder as a `StepModel`: sources encoded once, the decoder cached, the forced first and last tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from app.errors import InvalidInput
from app.transformer.cross_decoder import KeyValues
from app.transformer.seq2seq import Seq2Seq


class Seq2SeqSteps:
    """A `Seq2Seq` model and its caches for a batch of sources of different lengths.

    Args:
        model: in evaluation mode.
        sources: token ids of each source, its own special tokens included, at least one each.
        max_tokens: most new tokens of a row.
        decoder_start: what every row's target begins with; the config's `decoder_start_token_id` when absent.
        forced_bos_token_id: the first new token of every row (BART, translation models).
        forced_eos_token_id: the new token number `max_tokens` of every row, if it gets that far (BART).

    Raises:
        InvalidInput: no source, an empty one, or one beyond the model's positions.

    Source: Vaswani et al. 2017, section 3; forced tokens as the generation configs of BART give them.
    """

    def __init__(
        self,
        model: Seq2Seq,
        sources: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        decoder_start: Sequence[int] | None = None,
        forced_bos_token_id: int | None = None,
        forced_eos_token_id: int | None = None,
    ) -> None:
        if not sources or not all(len(source) for source in sources):
            raise InvalidInput("sources must be one or more lists of at least one token id each")
        config = model.config
        start = list(decoder_start) if decoder_start is not None else [config.decoder_start_token_id]
        longest = max(len(source) for source in sources)
        if config.positions != "relative" and max(longest, len(start) + 1) > config.max_positions:
            raise InvalidInput(
                f"a source of {longest} tokens and a start of {len(start)} do not fit the model's "
                f"{config.max_positions} positions: shorten them"
            )
        self._model = model
        self._sources = [list(source) for source in sources]
        self._start = start
        self._max_tokens = max_tokens
        self._room = max_tokens if config.positions == "relative" else config.max_positions - len(start)
        self._forced_bos = forced_bos_token_id
        self._forced_eos = forced_eos_token_id
        self._made = 0
        self._caches = model.decoder.new_caches()
        self._memory: list[KeyValues] = []
        self._mask = torch.empty(0)

    @property
    def prompts(self) -> Sequence[Sequence[int]]:
        return [self._start for _ in self._sources]

    @property
    def sources(self) -> Sequence[Sequence[int]]:
        return self._sources

    @property
    def room_tokens(self) -> Sequence[int]:
        return [self._room for _ in self._sources]

    def start(self) -> Tensor:
        device = self._model.word.weight.device
        longest = max(len(source) for source in self._sources)
        pad = self._model.config.pad_token_id
        source_ids = torch.tensor([[*source, *[pad] * (longest - len(source))] for source in self._sources])
        self._mask = torch.tensor([[column < len(source) for column in range(longest)] for source in self._sources])
        source_ids, self._mask = source_ids.to(device), self._mask.to(device)
        self._memory = self._model.decoder.project_memory(self._model.encode(source_ids, self._mask))
        target = torch.tensor([self._start] * len(self._sources), device=device)
        return self._decode(target)

    def step(self, token_ids: Tensor) -> Tensor:
        return self._decode(token_ids.unsqueeze(1))

    def reorder(self, rows: Sequence[int]) -> None:
        if list(rows) == list(range(len(self._sources))):
            return
        index = torch.tensor(list(rows), device=self._mask.device)
        sources = [self._sources[row] for row in rows]
        # Beams that change places within one source read the same memory: only a change of sources moves it.
        if sources != self._sources:
            self._memory = [(keys[index], values[index]) for keys, values in self._memory]
            self._mask = self._mask[index]
        self._sources = sources
        for cache in self._caches:
            cache.reorder(index)

    def _decode(self, target: Tensor) -> Tensor:
        logits = self._model.decode(target, self._memory, self._mask, self._caches)[:, -1]
        self._made += 1
        if self._made == 1 and self._forced_bos is not None:
            return _only(logits, self._forced_bos)
        if self._made == self._max_tokens and self._forced_eos is not None:
            return _only(logits, self._forced_eos)
        return logits


def _only(logits: Tensor, token_id: int) -> Tensor:
    """Logits that leave nothing but `token_id`; its log-probability is 0, since nothing was chosen."""
    forced = torch.full_like(logits, float("-inf"))
    forced[:, token_id] = 0.0
    return forced
