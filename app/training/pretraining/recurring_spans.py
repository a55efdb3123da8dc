"""Recurring-span selection: where a term occurs several times, find the one that was left in place of each hidden one.

A span objective for readers: it trains the start and end of answers on any running text, without questions.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.transformer.encoder import BertEncoder
from app.transformer.pointer_rows import SpecialIds

_LONGEST_SPAN = 8


@dataclass(frozen=True, slots=True)
class RecurringSpanOptions:
    """A span begins or ends with a token that is neither in `wordless` (signs) nor one of the `common` most frequent
    ones of the corpus; at most `most_masks` are hidden in a row."""

    mask_id: int
    batch_tokens: int = 4096
    body_lr: float = 1e-4
    head_lr: float = 5e-4
    weight_decay: float = 0.01
    wordless: frozenset[int] = frozenset()
    common: int = 300
    most_masks: int = 12


@dataclass(frozen=True, slots=True)
class MaskedSpans:
    """A row with spans hidden by one mask token each; `masks[i]` stands for `starts[i] … ends[i]` (inclusive)."""

    ids: list[int]
    masks: list[int]
    starts: list[int]
    ends: list[int]


class SpanSelector(nn.Module):
    """Returns, for every mask, logits of all positions as start and as end: `x_mask · W · x_j`.

    Source: Ram et al. 2021, section 3.2 (question-aware span selection). Departure: no layer before the product.
    """

    def __init__(self, encoder: BertEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.start_query = nn.Linear(encoder.embed_dim, encoder.embed_dim)
        self.end_query = nn.Linear(encoder.embed_dim, encoder.embed_dim)

    def forward(self, ids: Tensor, mask: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Return `[n, s]` twice for masks at `rows`, `columns` int64 `[n]` of `ids` `[b, s]`; `mask` True = attend."""
        states = self.encoder(ids, mask)
        at, memory = states[rows, columns], states[rows]
        scale = states.shape[2] ** -0.5
        hidden = ~mask[rows]
        starts = torch.einsum("nd,nsd->ns", self.start_query(at), memory).float() * scale
        ends = torch.einsum("nd,nsd->ns", self.end_query(at), memory).float() * scale
        return starts.masked_fill(hidden, -1e9), ends.masked_fill(hidden, -1e9)


class RecurringSpanObjective:
    """Implements `Objective`; rows without a recurring span are left out.

    Args:
        model: encoder and span heads.
        rows: token ids without special tokens.
        dev_rows: as `rows`, never trained on; exact matches on them are the score.
        special: `[CLS]`, `[SEP]`, `[PAD]`.
        options: rates and what counts as a span.

    Source: Ram et al. 2021, section 3.1.
    """

    def __init__(
        self,
        model: SpanSelector,
        rows: Sequence[Sequence[int]],
        dev_rows: Sequence[Sequence[int]],
        special: SpecialIds,
        options: RecurringSpanOptions,
    ) -> None:
        self.model = model
        self._special = special
        self._options = options
        self._rows = rows
        self._dull = common_tokens(rows, options.common) | options.wordless
        rng = random.Random(0)
        self._dev = [found for row in dev_rows if (found := self.hide(row, rng)) is not None]
        self._device = next(model.parameters()).device
        body = list(model.encoder.parameters())
        held = {id(p) for p in body}
        heads = [p for p in model.parameters() if id(p) not in held]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": body, "peak": options.body_lr, "lr": options.body_lr, "weight_decay": options.weight_decay},
                {"params": heads, "peak": options.head_lr, "lr": options.head_lr, "weight_decay": 0.0},
            ],
            betas=(0.9, 0.98),
            eps=1e-6,
            fused=True,
        )

    def one_pass(self, seed: str) -> Iterator[list[MaskedSpans]]:
        rng = random.Random(seed)
        order = list(range(len(self._rows)))
        rng.shuffle(order)
        size = max(1, self._options.batch_tokens // (len(self._rows[0]) + 2))
        batch: list[MaskedSpans] = []
        for index in order:
            hidden = self.hide(self._rows[index], rng)
            if hidden is not None:
                batch.append(hidden)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch

    def loss(self, batch: list[MaskedSpans]) -> Mapping[str, Tensor]:
        starts, ends, start_targets, end_targets = self._logits(batch)
        loss = (functional.cross_entropy(starts, start_targets) + functional.cross_entropy(ends, end_targets)) / 2
        right = (starts.argmax(1) == start_targets) & (ends.argmax(1) == end_targets)
        return {"loss": loss, "exact": right.float().mean()}

    def tokens(self, batch: list[MaskedSpans]) -> int:
        return len(batch) * max(len(row.ids) for row in batch)

    def at(self, share: float) -> None:
        """Nothing changes on the way."""

    def scores(self) -> Mapping[str, float]:
        """Share of the hidden spans whose start and end are both found, over the development rows."""
        exact: list[float] = []
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16):
            for at in range(0, len(self._dev), 16):
                batch = self._dev[at : at + 16]
                exact += [float(self.loss(batch)["exact"])] * sum(len(row.masks) for row in batch)
        return {"dev_exact": round(sum(exact) / len(exact), 4)} if exact else {}

    def hide(self, row: Sequence[int], rng: random.Random) -> MaskedSpans | None:
        """Return the row with all but one of each recurring span's occurrences hidden, or None where none recurs."""
        jobs: list[tuple[int, int, int]] = []  # (place to hide, its length, place that answers)
        for places, length in recurring(row, self._dull):
            answer = rng.choice(places)
            jobs += [(place, length, answer) for place in places if place != answer]
        rng.shuffle(jobs)
        jobs = sorted(jobs[: self._options.most_masks])
        if not jobs:
            return None
        ids, masks, moved = [self._special.cls], [], {}
        hidden = {place: length for place, length, _ in jobs}
        at = 0
        while at < len(row):
            moved[at] = len(ids)
            if at in hidden:
                masks.append(len(ids))
                ids.append(self._options.mask_id)
                at += hidden[at]
            else:
                ids.append(row[at])
                at += 1
        ids.append(self._special.sep)
        starts = [moved[answer] for _, _, answer in jobs]
        ends = [moved[answer] + length - 1 for _, length, answer in jobs]
        return MaskedSpans(ids, masks, starts, ends)

    def _logits(self, batch: Sequence[MaskedSpans]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        longest = max(len(row.ids) for row in batch)
        ids = torch.tensor([row.ids + [self._special.pad] * (longest - len(row.ids)) for row in batch])
        real = torch.tensor([[True] * len(row.ids) + [False] * (longest - len(row.ids)) for row in batch])
        rows = torch.tensor([index for index, row in enumerate(batch) for _ in row.masks])
        columns = torch.tensor([column for row in batch for column in row.masks])
        place = self._device
        starts, ends = self.model(ids.to(place), real.to(place), rows.to(place), columns.to(place))
        start_targets = torch.tensor([start for row in batch for start in row.starts], device=place)
        end_targets = torch.tensor([end for row in batch for end in row.ends], device=place)
        return starts, ends, start_targets, end_targets


def recurring(row: Sequence[int], dull: frozenset[int]) -> list[tuple[list[int], int]]:
    """Return `(places, length)` of the spans that occur more than once, longest first, none overlapping another.

    Args:
        row: token ids.
        dull: tokens of which one at least of a span's first and last must be none.
    """
    taken = [False] * len(row)
    found: list[tuple[list[int], int]] = []
    for length in range(min(_LONGEST_SPAN, len(row) // 2), 0, -1):
        places: dict[tuple[int, ...], list[int]] = {}
        for at in range(len(row) - length + 1):
            span = tuple(row[at : at + length])
            if dull.issuperset((span[0], span[-1])) or any(taken[at : at + length]):
                continue
            earlier = places.setdefault(span, [])
            if not earlier or earlier[-1] + length <= at:
                earlier.append(at)
        for span_places in places.values():
            free = [at for at in span_places if not any(taken[at : at + length])]
            if len(free) > 1:
                found.append((free, length))
                for at in free:
                    taken[at : at + length] = [True] * length
    return found


def common_tokens(rows: Sequence[Sequence[int]], number: int) -> frozenset[int]:
    """Return the most frequent tokens of the rows; ties by id."""
    counts: dict[int, int] = {}
    for row in rows:
        for token in row:
            counts[token] = counts.get(token, 0) + 1
    return frozenset(sorted(counts, key=lambda token: (-counts[token], token))[:number])
