"""The reader's loss: marginal first step, teacher-forced copying, and the extractive heads beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.training.reading_examples import ReadingExample
from app.transformer.pointer import Memory, PointerReader
from app.transformer.pointer_rows import pad_rows


@dataclass(frozen=True, slots=True)
class ReaderLoss:
    """Means over the groups of a batch, natural logarithms; `total` is what is minimised."""

    total: Tensor
    first: Tensor
    later: Tensor
    extractive: Tensor


def reader_loss(
    model: PointerReader,
    examples: Sequence[ReadingExample],
    *,
    pad_id: int,
    device: torch.device,
    extractive_weight: float = 0.5,
) -> ReaderLoss:
    """Return the loss of examples with equally many rows.

    First step: `−log Σ_{occurrences} p(start)` or `−log p(NO ANSWER)` (marginal over occurrences: Clark & Gardner 2018,
    section 2.2). Later steps: cross-entropy along the occurrence that the model itself finds most probable, up to END.
    Extractive: each row alone, `−log Σ p(start)` and `−log Σ p(end)`, at `[CLS]` where the row holds no answer.
    """
    told = _tell(model, examples, pad_id=pad_id, device=device)
    first, later = -told.first.mean(), -told.later.mean()
    extractive = _extractive(told.flat, told.memory, len(examples[0].rows), told.length)
    return ReaderLoss(first + later + extractive_weight * extractive, first, later, extractive)


def answer_logprobs(
    model: PointerReader, examples: Sequence[ReadingExample], *, pad_id: int, device: torch.device
) -> Tensor:
    """Return float32 `[b]`: natural log of the probability that the reader gives each example's answer.

    The first token's probability is summed over the answer's occurrences; what follows is taken from the one that the
    model finds most probable, which stands for the others where an answer occurs more than once.
    """
    told = _tell(model, examples, pad_id=pad_id, device=device)
    return told.first + told.later


@dataclass(frozen=True, slots=True)
class _Told:
    """Log-probabilities `[b]` of each answer's first step and of its later ones, and what they were computed from."""

    first: Tensor
    later: Tensor
    memory: Memory
    flat: list[list[list[int]]]
    length: int


def _tell(model: PointerReader, examples: Sequence[ReadingExample], *, pad_id: int, device: torch.device) -> _Told:
    rows_per_group = len(examples[0].rows)
    tensors = pad_rows([row for example in examples for row in example.rows], pad_id, device)
    length = tensors.token_ids.shape[1]
    memory = model.read(tensors.token_ids, tensors.mask, tensors.token_types, tensors.copyable, rows_per_group)
    flat = [[[row * length + column for row, column in c] for c in example.candidates] for example in examples]
    chosen = _most_probable(flat, memory.start_logits)
    copied = _copied_positions(chosen, device)
    inputs = [model.begin_embedding(len(examples)).to(memory.states.dtype)]
    if copied.shape[1]:
        inputs.append(model.target_embeddings(memory, copied.clamp(min=0)).to(memory.states.dtype))
    decoded = model.decode(memory, torch.cat(inputs, dim=1))

    first_logprobs = torch.log_softmax(model.first_logits(memory, decoded[:, 0]), dim=1)
    end = first_logprobs.shape[1] - 1
    first_targets = [sorted({c[0] for c in candidates}) or [end] for candidates in flat]
    first = _marginal(first_logprobs, first_targets)

    later = torch.zeros_like(first)
    if copied.shape[1]:
        later_logprobs = torch.log_softmax(model.later_logits(memory, decoded[:, 1:], copied.clamp(min=0)), dim=2)
        # After token t comes token t + 1, after the last one END; `-1` pads and is not counted.
        following = torch.cat([copied[:, 1:], copied.new_full((len(examples), 1), -1)], dim=1)
        following = torch.where(following < 0, end, following)
        picked = later_logprobs.gather(2, following.unsqueeze(2)).squeeze(2)
        later = (picked * (copied >= 0)).sum(dim=1)
    return _Told(first, later, memory, flat, length)


def _extractive(flat: Sequence[Sequence[Sequence[int]]], memory: Memory, rows_per_group: int, length: int) -> Tensor:
    starts: list[list[int]] = []
    ends: list[list[int]] = []
    for candidates in flat:
        for row in range(rows_per_group):
            here = [c for c in candidates if c[0] // length == row == c[-1] // length]
            starts.append(sorted({c[0] % length for c in here}) or [0])
            ends.append(sorted({c[-1] % length for c in here}) or [0])
    allowed = memory.copyable.reshape(-1, length).clone()
    allowed[:, 0] = True
    loss = memory.start_logits.new_zeros(())
    for logits, targets in ((memory.start_logits, starts), (memory.end_logits, ends)):
        rows = logits.reshape(-1, length).masked_fill(~allowed, -1e9)
        loss = loss - _marginal(torch.log_softmax(rows, dim=1), targets).mean()
    return loss / 2


def _most_probable(flat: Sequence[Sequence[Sequence[int]]], start_logits: Tensor) -> list[Sequence[int]]:
    scores = start_logits.detach().cpu()
    return [
        max(candidates, key=lambda c, g=group: (float(scores[g, c[0]]), -len(c))) if candidates else []  # type: ignore[misc]
        for group, candidates in enumerate(flat)
    ]


def _copied_positions(chosen: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    longest = max(len(positions) for positions in chosen)
    padded = [[*positions, *[-1] * (longest - len(positions))] for positions in chosen]
    return torch.tensor(padded, dtype=torch.int64, device=device).reshape(len(chosen), longest)


def _marginal(logprobs: Tensor, targets: Sequence[Sequence[int]]) -> Tensor:
    """Log of the summed probability of each row's targets: `[b]`."""
    width = max(len(row) for row in targets)
    index = torch.tensor([[*row, *[row[0]] * (width - len(row))] for row in targets], device=logprobs.device)
    real = torch.tensor([[i < len(row) for i in range(width)] for row in targets], device=logprobs.device)
    return logprobs.gather(1, index).masked_fill(~real, -1e9).logsumexp(dim=1)
