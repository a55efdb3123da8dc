"""Passages seen before, at another place of another prompt: their keys and values reused, a share of them corrected.

A passage is read once by itself, from position 0, and its keys and values are kept. In a prompt its keys are turned to
their new positions. They lack what the passage would have drawn from the text before it; so the tokens whose keys and
values differ most from fresh ones at the second layer are computed again, at every layer, and all tokens outside of
passages always are. With `share = 0` this is block attention, which a model can be trained for; with `share = 1` it is
the ordinary prompt. In between the result is approximate: `benchmarks/engine_throughput.py` prints by how much.

What is kept depends on the passage alone, so an answer does not depend on who asked before.

Source: Yao et al. 2025 (CacheBlend), sections 4.2 and 4.3; Ma et al. 2025 (Block-Attention), section 3. Departures: the
tokens are chosen once, not anew at each layer, and by keys and values together, not by values alone.
"""

from __future__ import annotations

import contextlib
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.errors import InvalidInput
from app.transformer.causal_attention import AttentionSpec, MaskMemo, attend_one_sequence
from app.transformer.causal_lm import CausalLM
from app.transformer.engine.memory import KeyValueMemory
from app.transformer.engine.schedule import Running
from app.transformer.rotary import Rotary, RotaryConfig, Rotation, turn

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """Keys and values `[layers, n, num_kv_heads, head_dim]` of a text that stands alone at position 0."""

    keys: Tensor
    values: Tensor

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.keys.nbytes + self.values.nbytes


class PassageBlender:
    """Prepares prompts with known passages; used by the engine's thread alone.

    Args:
        model: with rotary positions, and without soft caps and ALiBi.
        memory: of the requests.
        share: of the passages' tokens to compute again, in [0, 1].
        capacity_bytes: for kept passages; the least recently used goes first.

    Raises:
        InvalidInput: a model whose keys can't be moved, or `share` out of range.
    """

    def __init__(self, model: CausalLM, memory: KeyValueMemory, *, share: float, capacity_bytes: int) -> None:
        if not 0 <= share <= 1:
            raise InvalidInput(f"passage_reuse={share} must be between 0 and 1: the share of tokens to compute again")
        config = model.config
        if config.positions not in ("rotary", "none") or config.attention_softcap is not None:
            raise InvalidInput(
                f"passage_reuse={share} needs rotary positions and no attention soft cap, the model has "
                f"positions={config.positions!r} and attention_softcap={config.attention_softcap}: leave it off"
            )
        self._model = model
        self._memory = memory
        self._share = share
        self._capacity_bytes = capacity_bytes
        self._kept: OrderedDict[tuple[str, tuple[int, ...]], Passage] = OrderedDict()
        self._kept_bytes = 0
        self._rotaries = config.rotary if config.positions == "rotary" else (None,) * config.num_layers

    def prepare(self, running: Running, spans: Sequence[Span]) -> Iterator[None]:
        """Do the work before the prompt's own passes, one pass of the model between two yields.

        Afterwards `running.reused` says which positions need no computing, and its extent holds them.
        """
        request = running.request
        found: list[Passage] = []
        for start, end in spans:
            name = (request.namespace, request.prompt_ids[start:end])
            passage = self._kept.pop(name, None)
            if passage is None:
                passage = self._read(name[1])
                yield
            else:
                self._kept_bytes -= passage.nbytes
            self._keep(name, passage)
            found.append(passage)
        moved = [self._moved(passage, start) for passage, (start, _) in zip(found, spans, strict=True)]
        reused = {place for start, end in spans for place in range(start, end)}
        if self._share > 0:
            fresh = self._second_layer(request.prompt_ids[: spans[-1][1]])
            yield
            reused -= set(self._most_changed(spans, moved, fresh))
        reused.discard(request.prompt_tokens - 1)  # its logits are wanted
        for (start, end), passage in zip(spans, moved, strict=True):
            rows = slice(running.extent.start + start, running.extent.start + end)
            self._memory.keys[:, rows] = passage.keys
            self._memory.values[:, rows] = passage.values
        running.reused = frozenset(reused)

    def forget(self, chosen: Callable[[str], bool]) -> None:
        """Drop the passages of the namespaces of which `chosen` is true."""
        for name in [name for name in self._kept if chosen(name[0])]:
            self._kept_bytes -= self._kept.pop(name).nbytes

    def _keep(self, name: tuple[str, tuple[int, ...]], passage: Passage) -> None:
        self._kept[name] = passage
        self._kept_bytes += passage.nbytes
        while self._kept_bytes > self._capacity_bytes and self._kept:
            self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes

    def _read(self, token_ids: Sequence[int]) -> Passage:
        store = _Capture()
        self._forward(token_ids, store)
        return Passage(torch.stack(store.keys), torch.stack(store.values))

    def _second_layer(self, token_ids: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return fresh keys and values `[t, num_kv_heads, head_dim]` of the second layer, the first to see context."""
        store = _Capture(stop_after=min(2, len(self._model.specs)))
        with contextlib.suppress(_EnoughError):
            self._forward(token_ids, store)
        return store.keys[-1], store.values[-1]

    def _forward(self, token_ids: Sequence[int], store: _Capture) -> None:
        device = self._memory.keys.device
        self._model(torch.tensor(token_ids, device=device), torch.arange(len(token_ids), device=device), store)

    def _moved(self, passage: Passage, distance: int) -> Passage:
        """Return the passage with its keys turned by `distance` positions."""
        turns: dict[RotaryConfig, Rotation] = {}
        keys = passage.keys.clone()
        for layer, config in enumerate(self._rotaries):
            if config is None:
                continue
            if config not in turns:
                rotary = Rotary(config)
                # The keys carry the scaling's factor already.
                angles = rotary.angles(torch.tensor([distance], device=keys.device), torch.float32)
                turns[config] = Rotation(angles.cos / rotary.factor, angles.sin / rotary.factor)
            keys[layer] = turn(passage.keys[layer].float(), turns[config]).to(keys.dtype)
        return Passage(keys, passage.values)

    def _most_changed(self, spans: Sequence[Span], moved: Sequence[Passage], fresh: tuple[Tensor, Tensor]) -> list[int]:
        """Return the positions to compute again: those whose second layer differs most from the fresh one."""
        places = torch.cat([torch.arange(start, end) for start, end in spans])
        layer = min(1, len(self._model.specs) - 1)
        changes = torch.zeros(len(places))
        for now, before in zip(fresh, ("keys", "values"), strict=True):
            expected = now[places].float()
            had = torch.cat([getattr(passage, before)[layer] for passage in moved]).float()
            gap = (expected - had).square().sum(dim=(1, 2)) / expected.square().sum(dim=(1, 2)).mean().clamp(min=1e-12)
            changes += gap.cpu()
        count = math.ceil(self._share * len(places))
        chosen: list[int] = places[changes.topk(count).indices].tolist()
        return chosen


class _EnoughError(Exception):
    """Ends a forward pass whose later layers nobody needs."""


class _Capture:
    """A store of one text from position 0 that keeps all layers' keys and values, or ends the pass after some."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self._stop_after = stop_after
        self._masks = MaskMemo()

    def attend(self, spec: AttentionSpec, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.keys.append(key)
        self.values.append(value)
        if len(self.keys) == self._stop_after:
            raise _EnoughError
        return attend_one_sequence(spec, query, key.transpose(0, 1), value.transpose(0, 1), self._masks)
