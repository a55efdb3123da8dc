"""The writer's loss as an objective of the shared training loop: next token, by generating or by copying."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.training.writer.examples import WritingBatch, WritingExample, collate, writing_batches
from app.transformer.encoder import BertEncoder
from app.transformer.pointer_rows import SpecialIds
from app.transformer.writer import Writer
from app.transformer.writer_checkpoints import TASKS
from app.transformer.writer_rows import copyable_of

_NOTHING = -1  # a token before the beginning


@dataclass(frozen=True, slots=True)
class WriterRates:
    """Peak learning rates: of blocks that start from the encoder's, and of what is new."""

    block_lr: float = 2e-4
    new_lr: float = 6e-4
    weight_decay: float = 0.01


@dataclass(frozen=True, slots=True)
class Mixture:
    """How many examples of each task a pass draws, at most; of a task with fewer, all are drawn, `repeats` times."""

    draws: Mapping[str, int] = field(default_factory=dict)
    repeats: Mapping[str, int] = field(default_factory=dict)


class WriterObjective:
    """Implements `Objective` over writing examples.

    Args:
        model: the writer.
        encoder: frozen; its states are computed without gradients.
        train: training examples by task.
        dev: examples that are scored by their loss, by task.
        special: `[CLS]`, `[SEP]`, `[PAD]`.
        rates: of the parts.
        mixture: of a pass.
        batch_tokens: of a batch, see `writing_batches`.
    """

    def __init__(
        self,
        model: Writer,
        encoder: BertEncoder,
        train: Mapping[str, Sequence[WritingExample]],
        dev: Mapping[str, Sequence[WritingExample]],
        special: SpecialIds,
        rates: WriterRates,
        mixture: Mixture,
        *,
        batch_tokens: int = 4096,
    ) -> None:
        self.model: nn.Module = model
        self._writer = model
        self._encoder = encoder.eval().requires_grad_(False)
        self._train = train
        self._dev = dev
        self._special = special
        self._mixture = mixture
        self._batch_tokens = batch_tokens
        self._device = next(model.parameters()).device
        blocks = {id(p) for p in model.decoder.parameters()}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for parameter in model.parameters():
            peak = rates.block_lr if id(parameter) in blocks else rates.new_lr
            groups.setdefault((peak, rates.weight_decay if parameter.dim() > 1 else 0.0), []).append(parameter)
        self.optimizer = torch.optim.AdamW(
            [
                {"params": members, "peak": peak, "lr": peak, "weight_decay": decay}
                for (peak, decay), members in groups.items()
            ],
            betas=(0.9, 0.98),
            eps=1e-6,
            fused=True,
        )

    def one_pass(self, seed: str) -> Iterator[WritingBatch]:
        rng = random.Random(seed)
        drawn: list[WritingExample] = []
        for task, examples in self._train.items():
            limit = self._mixture.draws.get(task, len(examples))
            once = rng.sample(list(examples), min(limit, len(examples)))
            drawn += once * self._mixture.repeats.get(task, 1)
        for batch in writing_batches(drawn, self._batch_tokens, rng):
            yield collate(batch, self._special.pad, self._device)

    def loss(self, batch: WritingBatch) -> Mapping[str, Tensor]:
        logprobs = self.logprobs(batch)
        counted = batch.counted.float()
        return {"loss": -(logprobs * counted).sum() / counted.sum().clamp(min=1.0)}

    def logprobs(self, batch: WritingBatch) -> Tensor:
        """Return ln p of every target `[b, t]`, given those before it."""
        rows, writer = batch.rows, self._writer
        with torch.no_grad():
            states = self._encoder(rows.token_ids, rows.mask, rows.token_types)
        copyable = copyable_of(rows.token_ids, rows.mask, self._special)
        source = writer.read(states, rows.token_ids, batch.segments, rows.mask, copyable)
        written = batch.target[:, :-1]
        inputs = torch.cat([writer.first_input(batch.task), writer.later_inputs(batch.task, written)], dim=1)
        decoded = writer.decode(source, inputs)
        last = functional.pad(written, (1, 0), value=_NOTHING)
        before = functional.pad(last, (1, 0), value=_NOTHING)[:, :-1]
        scores = writer.score(source, decoded, last, before)
        return writer.target_logprobs(source, scores, batch.target)

    def tokens(self, batch: WritingBatch) -> int:
        return batch.rows.token_ids.numel() + batch.target.numel()

    def at(self, share: float) -> None:
        """Nothing changes in the course of a run."""

    def scores(self) -> Mapping[str, float]:
        """Mean negative log-likelihood of a token, for every task."""
        found: dict[str, float] = {}
        for task, examples in self._dev.items():
            total, tokens = 0.0, 0
            for group in writing_batches(examples, self._batch_tokens, random.Random(0)):
                batch = collate(group, self._special.pad, self._device)
                with torch.no_grad(), torch.autocast(self._device.type, torch.bfloat16):
                    logprobs = self.logprobs(batch)
                total -= float((logprobs * batch.counted).sum())
                tokens += int(batch.counted.sum())
            found[f"{task}_nll"] = round(total / max(1, tokens), 4)
        return found


def by_task(examples: Sequence[WritingExample]) -> dict[str, list[WritingExample]]:
    """Return the examples under the names of their tasks; a task without any is left out."""
    found: dict[str, list[WritingExample]] = {task: [] for task in TASKS}
    for example in examples:
        found[TASKS[example.task]].append(example)
    return {task: members for task, members in found.items() if members}
