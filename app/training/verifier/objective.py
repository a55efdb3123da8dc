"""The verifier's loss as an objective of the shared training loop."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from app.evaluation.metrics import auroc
from app.training.verifier.agreement import agrees
from app.training.verifier.examples import GroupBuilder, Judged, Rows, rights
from app.training.verifier.mining import Mined
from app.transformer.verifier import AnswerVerifier, MarkedRow, pad_marked

_SCORED_ROWS = 32


@dataclass(frozen=True, slots=True)
class VerifierRates:
    """Peak learning rates of the blocks that are trained and of the head; `pair_weight` of the ranking loss."""

    encoder_lr: float = 7e-5
    head_lr: float = 5e-4
    weight_decay: float = 0.01
    pair_weight: float = 0.5


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a batch; rows of one group have the same number."""

    marked: MarkedRow
    right: bool
    group: int


class VerifierObjective:
    """Implements `Objective`: cross-entropy of every row, and of every right answer over the wrong ones of its group.

    `loss = mean BCE + pair_weight · mean over (r, w) of one group of −ln σ(logit_r − logit_w)`.

    Args:
        model: the verifier.
        shared_layers: its first blocks and its embeddings are a reader's, and stay as they are.
        groups: of the training rows.
        rows: makes them rows of tokens.
        dev: mined rows of development questions.
        near_misses: answers to development questions of our own, some right and some not.
        rates: of the parts.
        pad_id: of the padding.
        batch_tokens: padded tokens of a batch.
    """

    def __init__(
        self,
        model: AnswerVerifier,
        shared_layers: int,
        groups: GroupBuilder,
        rows: Rows,
        dev: Sequence[Mined],
        rates: VerifierRates,
        *,
        pad_id: int,
        batch_tokens: int = 2048,
        near_misses: Sequence[Judged] = (),
    ) -> None:
        self.model = model
        self._groups = groups
        self._rows = rows
        self._dev = first_guesses(dev)
        self._near_misses = near_misses
        self._rates = rates
        self._pad_id = pad_id
        self._batch_tokens = batch_tokens
        self._device = next(model.parameters()).device
        model.encoder.embeddings.requires_grad_(False)
        for block in list(model.encoder.blocks)[:shared_layers]:
            block.requires_grad_(False)
        members: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                peak = rates.encoder_lr if name.startswith("encoder.") else rates.head_lr
                decay = rates.weight_decay if parameter.dim() > 1 else 0.0
                members.setdefault((peak, decay), []).append(parameter)
        self.optimizer = torch.optim.AdamW(
            [
                {"params": parameters, "peak": peak, "lr": peak, "weight_decay": decay}
                for (peak, decay), parameters in members.items()
            ],
            betas=(0.9, 0.98),
            eps=1e-6,
            fused=True,
        )

    def one_pass(self, seed: str) -> Iterator[list[Row]]:
        rng = random.Random(seed)
        # Rows are made as they are needed: a run by the clock may not see all of a pass.
        groups = self._groups.one_pass(rng)
        for first in range(0, len(groups), 512):
            made = [self._made(group, number) for number, group in enumerate(groups[first : first + 512])]
            yield from batches([group for group in made if group], self._batch_tokens, rng)

    def loss(self, batch: list[Row]) -> Mapping[str, Tensor]:
        logits = self._logits([row.marked for row in batch])
        right = torch.tensor([row.right for row in batch], device=self._device)
        group = torch.tensor([row.group for row in batch], device=self._device)
        each = functional.binary_cross_entropy_with_logits(logits, right.float())
        pairs = (group[:, None] == group[None, :]) & right[:, None] & ~right[None, :]
        ranked = functional.softplus(logits[None, :] - logits[:, None])[pairs]
        pair = ranked.mean() if len(ranked) else logits.new_zeros(())
        return {"loss": each + self._rates.pair_weight * pair, "each": each, "pair": pair}

    def tokens(self, batch: list[Row]) -> int:
        return len(batch) * max(len(row.marked.source.ids) for row in batch)

    def at(self, share: float) -> None:
        """Nothing changes on the way."""

    def scores(self) -> Mapping[str, float]:
        """AUROC of the verifier, and of the reader's own score, for whether the reader's first guess is right; that of
        the verifier for near misses."""
        found: dict[str, float] = {}
        for name in sorted({name for name, _, _ in self._dev} | {"all"}):
            chosen = [(judged, score) for of, judged, score in self._dev if name in (of, "all")]
            pairs = [
                (row, judged.right, score) for judged, score in chosen if (row := self._rows.of(judged)) is not None
            ]
            labels = [right for _, right, _ in pairs]
            if 0 < sum(labels) < len(labels):
                logits = self.judged([row for row, _, _ in pairs])
                found[f"{name}_auroc"] = round(auroc(logits, labels), 4)
                found[f"{name}_auroc_reader"] = round(auroc([score for _, _, score in pairs], labels), 4)
        near = [(row, judged.right) for judged in self._near_misses if (row := self._rows.of(judged)) is not None]
        labels = [right for _, right in near]
        if 0 < sum(labels) < len(labels):
            found["near_misses_auroc"] = round(auroc(self.judged([row for row, _ in near]), labels), 4)
        return found

    def judged(self, rows: Sequence[MarkedRow]) -> list[float]:
        """Return the logits of rows, without gradients."""
        order = sorted(range(len(rows)), key=lambda place: len(rows[place].source.ids))
        logits = [0.0] * len(rows)
        with torch.inference_mode():
            for first in range(0, len(order), _SCORED_ROWS):
                places = order[first : first + _SCORED_ROWS]
                for place, logit in zip(places, self._logits([rows[i] for i in places]).tolist(), strict=True):
                    logits[place] = logit
        return logits

    def _logits(self, rows: Sequence[MarkedRow]) -> Tensor:
        tensors, marks = pad_marked(rows, self._pad_id, self._device)
        logits: Tensor = self.model(tensors.token_ids, tensors.mask, tensors.token_types, marks)
        return logits

    def _made(self, group: Sequence[Judged], number: int) -> list[Row]:
        made = [(self._rows.of(judged), judged.right) for judged in group]
        return [Row(row, right, number) for row, right in made if row is not None]


def batches(groups: Sequence[Sequence[Row]], batch_tokens: int, rng: random.Random) -> list[list[Row]]:
    """Return shuffled batches of whole groups of similar length, padded size at most `batch_tokens` or one group."""

    def longest(group: Sequence[Row]) -> int:
        return max(len(row.marked.source.ids) for row in group)

    done: list[list[Row]] = []
    batch: list[Row] = []
    for group in sorted(groups, key=lambda group: (longest(group), rng.random())):
        if batch and longest(group) * (len(batch) + len(group)) > batch_tokens:
            done.append(batch)
            batch = []
        batch = [*batch, *group]
    if batch:
        done.append(batch)
    rng.shuffle(done)
    return done


def first_guesses(mined: Sequence[Mined]) -> list[tuple[str, Judged, float]]:
    """Return collection, judged answer and the reader's own score of what it would answer from each mined row."""
    guesses = []
    for one in mined:
        for span in one.found[:1]:
            told = {(right.start, right.end) for right in rights(one)} if one.own else set()
            right = (span.start, span.end) in told or (one.own and agrees(one.text[span.start : span.end], one.answers))
            judged = Judged(one.question, one.title, one.text, span.start, span.end, right)
            guesses.append((one.collection, judged, span.score))
    return guesses
