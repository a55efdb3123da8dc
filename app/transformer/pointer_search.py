"""Beam search over what a `PointerReader` copies, for one group of sources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from app.transformer.pointer import Memory, PointerReader


@dataclass(frozen=True, slots=True)
class CopiedSequence:
    """Positions in the memory in the order copied, and the natural log-probability of copying them and stopping.

    `rank_score`, by which sequences are ranked, adds the end head's weighted log-probability of the last position.
    """

    positions: tuple[int, ...]
    logprob: float
    rank_score: float


@dataclass(frozen=True, slots=True)
class PointerSearch:
    """`sequences` best first; `null_logprob` is that of NO ANSWER; `row_mass[p]` is the first step's mass in row p."""

    sequences: tuple[CopiedSequence, ...]
    null_logprob: float
    row_mass: tuple[float, ...]


_LOST = 3.0  # a beam e³ times less probable than the best finished answer is not worth another step
_KEPT_PER_BEAM = 4


@torch.inference_mode()
def search(
    model: PointerReader,
    memory: Memory,
    *,
    num_beams: int = 4,
    max_answer_tokens: int = 48,
    end_weight: float = 0.0,
    check: Callable[[], None] = lambda: None,
) -> PointerSearch:
    """Return the most probable copied sequences of a memory of one group, `b = 1`.

    The beams start at the `num_beams` best first tokens. Every beam is kept as finished where it may stop, and goes on;
    the search ends when no live beam is near the best finished one (a beam's log-probability can only fall).

    Args:
        model: in evaluation mode.
        memory: of one group.
        num_beams: live hypotheses, at least 1; up to four times as many sequences are returned.
        max_answer_tokens: longest sequence.
        end_weight: of the end head in the ranking. Step by step the decoder stops early (each further token costs
            probability); the end head compares all ends at once.
        check: called before every step; raises to abandon the search.
    """
    rows = memory.null_logits.shape[1]
    memory_kv = model.decoder.project_memory(memory.states)
    caches = model.decoder.new_caches()
    check()
    decoded = model.decode(memory, model.begin_embedding(1).to(memory.states.dtype), memory_kv, caches)
    logprobs = torch.log_softmax(model.first_logits(memory, decoded[:, 0]), dim=1)[0]
    size = logprobs.shape[0] - 1
    null_logprob = float(logprobs[size])
    row_mass = logprobs[:size].exp().reshape(rows, -1).sum(dim=1)
    beams = min(num_beams, int(memory.copyable.sum()))
    if beams == 0:
        return PointerSearch((), null_logprob, tuple(row_mass.tolist()))
    end_logprobs = torch.log_softmax(memory.end_logits.masked_fill(~memory.copyable, -1e9), dim=1)[0]
    scores, tokens = logprobs[:size].topk(beams)
    paths: list[tuple[int, ...]] = [(int(token),) for token in tokens]
    finished: list[CopiedSequence] = []
    parents = torch.zeros(beams, dtype=torch.int64, device=tokens.device)
    for step in range(1, max_answer_tokens + 1):
        check()
        for cache in caches:
            cache.reorder(parents)
        wide = _repeat(memory, len(paths))
        previous = tokens.unsqueeze(1)
        decoded = model.decoder(model.target_embeddings(wide, previous), memory_kv, memory.readable, caches)
        logprobs = torch.log_softmax(model.later_logits(wide, decoded, previous)[:, 0], dim=1)
        ends = (scores + logprobs[:, size]).tolist()
        for path, end in zip(paths, ends, strict=True):
            finished.append(CopiedSequence(path, end, end + end_weight * float(end_logprobs[path[-1]])))
        finished = sorted(finished, key=lambda done: (-done.logprob, done.positions))[: _KEPT_PER_BEAM * num_beams]
        scores, choices = (scores.unsqueeze(1) + logprobs[:, :size]).flatten().topk(beams)
        alive = scores > finished[0].logprob - _LOST
        if step == max_answer_tokens or not bool(alive.any()):
            break
        scores, choices = scores[alive], choices[alive]
        parents = torch.div(choices, size, rounding_mode="floor")
        tokens = choices % size
        paths = [(*paths[int(parent)], int(token)) for parent, token in zip(parents, tokens, strict=True)]
        beams = len(paths)
    ranked = sorted(finished, key=lambda done: (-done.rank_score, done.positions))
    return PointerSearch(tuple(ranked), null_logprob, tuple(row_mass.tolist()))


def _repeat(memory: Memory, beams: int) -> Memory:
    return replace(
        memory,
        states=memory.states.expand(beams, -1, -1),
        readable=memory.readable.expand(beams, -1),
        copyable=memory.copyable.expand(beams, -1),
        start_logits=memory.start_logits.expand(beams, -1),
        end_logits=memory.end_logits.expand(beams, -1),
        null_logits=memory.null_logits.expand(beams, -1),
    )


@torch.inference_mode()
def best_extractive_span(memory: Memory, max_answer_tokens: int = 48) -> tuple[int, int, float]:
    """Return `(first, last, score)` by the extractive heads alone, for a memory of one group: the decoder's rival.

    The span lies within one row and maximises start + end logit, less the row's own no-answer score (both at `[CLS]`).

    Source: Devlin et al. 2019, section 4.3.
    """
    rows = memory.null_logits.shape[1]
    starts = memory.start_logits.reshape(rows, -1)
    ends = memory.end_logits.reshape(rows, -1)
    allowed = memory.copyable.reshape(rows, -1)
    length = starts.shape[1]
    lowest = torch.finfo(torch.float32).min / 4
    start_scores = (starts - starts[:, :1]).masked_fill(~allowed, lowest)
    end_scores = (ends - ends[:, :1]).masked_fill(~allowed, lowest)
    pairs = start_scores.unsqueeze(2) + end_scores.unsqueeze(1)
    band = torch.ones(length, length, dtype=torch.bool, device=pairs.device).triu().tril(max_answer_tokens - 1)
    pairs = pairs.masked_fill(~band, lowest)
    best = int(pairs.argmax())
    row, start, end = best // (length * length), best // length % length, best % length
    return row * length + start, row * length + end, float(pairs[row, start, end])
