"""Beam search over what a `PointerReader` copies, for one group of sources."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.transformer.cross_decoder import KeyValues
from app.transformer.pointer import Memory, PointerReader
from app.transformer.pointer_following import Following, widened


@dataclass(frozen=True, slots=True)
class CopiedSequence:
    """Positions in the memory in the order copied, and the natural log-probability of copying them and stopping.

    `rank_score` is what sequences are ranked by, see `RankWeights`.
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


@dataclass(frozen=True, slots=True)
class RankWeights:
    """`rank_score = logprob + start · ln p_start(first) + end · ln p_end(last) + length · ln(tokens)`.

    Step by step the decoder stops early, for each further token costs probability; the extractive heads compare all
    starts and all ends at once, and the logarithm of the length pays some of the price of a longer answer back.
    """

    start: float = 0.0
    end: float = 0.0
    length: float = 0.0


_LOST = 3.0  # a beam e³ times less probable than the best finished answer is not worth another step
_KEPT_PER_BEAM = 4
_STARTS, _ENDS, _SPANS = 12, 3, 6  # of the extractive heads, put before the decoder beside its own beams


@torch.inference_mode()
def search(
    model: PointerReader,
    memory: Memory,
    *,
    num_beams: int = 4,
    max_answer_tokens: int = 48,
    weights: RankWeights | None = None,
    proposed: Sequence[tuple[int, ...]] = (),
    check: Callable[[], None] = lambda: None,
) -> PointerSearch:
    """Return the most probable copied sequences of a memory of one group, `b = 1`.

    The beams start at the `num_beams` best first tokens. Every beam is kept as finished where it may stop, and goes on;
    the search ends when no live beam is near the best finished one (a beam's log-probability can only fall). The spans
    that the extractive heads like best are scored by the decoder, too, so that a beam lost early is not the end of one.

    Args:
        model: in evaluation mode.
        memory: of one group.
        num_beams: live hypotheses, at least 1; up to four times as many of their sequences are returned.
        max_answer_tokens: longest sequence.
        weights: of the ranking; by default the log-probability alone, and no extractive span is looked at.
        proposed: further paths to be scored, of positions that may be copied.
        check: called before every step; raises to abandon the search.
    """
    rows = memory.null_logits.shape[1]
    memory_kv = model.decoder.project_memory(memory.states)
    check()
    decoded = model.decode(memory, model.begin_embedding(1).to(memory.states.dtype), memory_kv)
    first = torch.log_softmax(model.first_logits(memory, decoded[:, 0]), dim=1)[0]
    size = first.shape[0] - 1
    null_logprob = float(first[size])
    row_mass = first[:size].exp().reshape(rows, -1).sum(dim=1)
    beams = min(num_beams, int(memory.copyable.sum()))
    if beams == 0:
        return PointerSearch((), null_logprob, tuple(row_mass.tolist()))
    scores, tokens = first[:size].topk(beams)
    live: list[tuple[float, tuple[int, ...]]] = [
        (score, (token,)) for score, token in zip(scores.tolist(), tokens.tolist(), strict=True)
    ]
    spans = extractive_spans(memory, max_answer_tokens) if weights is not None else []
    spans += [path for path in proposed if path not in spans]
    following = Following(model, memory, memory_kv, branches=beams, max_tokens=max_answer_tokens, check=check)
    following.look_up([path for _, path in live], spans)
    finished = _finished(following, live, num_beams, max_answer_tokens)
    known = {path for _, path in finished}
    first_logprobs = first.tolist()
    finished += [(first_logprobs[span[0]] + following.logprob(span), span) for span in spans if span not in known]
    return PointerSearch(_ranked(memory, finished, weights), null_logprob, tuple(row_mass.tolist()))


def _finished(
    following: Following, live: list[tuple[float, tuple[int, ...]]], num_beams: int, max_answer_tokens: int
) -> list[tuple[float, tuple[int, ...]]]:
    """Finished paths with their log-probabilities, best first."""
    finished: list[tuple[float, tuple[int, ...]]] = []
    for length in range(1, max_answer_tokens + 1):
        following.look_up([path for _, path in live])
        finished += [(score + following.end(path), path) for score, path in live]
        finished = sorted(finished, key=lambda done: (-done[0], done[1]))[: _KEPT_PER_BEAM * num_beams]
        if length == max_answer_tokens:
            break
        grown = [
            (score + logprob, (*path, position))
            for score, path in live
            for logprob, position in following.best(path)
            if score + logprob > finished[0][0] - _LOST
        ]
        live = sorted(grown, key=lambda one: (-one[0], one[1]))[:num_beams]
        if not live:
            break
    return finished


def _ranked(
    memory: Memory, finished: Sequence[tuple[float, tuple[int, ...]]], weights: RankWeights | None
) -> tuple[CopiedSequence, ...]:
    weights = weights or RankWeights()
    hidden = ~memory.copyable
    starts, ends = (
        torch.log_softmax(logits.masked_fill(hidden, -1e9), dim=1)[0]
        for logits in (memory.start_logits, memory.end_logits)
    )
    sequences = [
        CopiedSequence(
            path,
            logprob,
            logprob
            + weights.start * float(starts[path[0]])
            + weights.end * float(ends[path[-1]])
            + weights.length * math.log(len(path)),
        )
        for logprob, path in finished
    ]
    return tuple(sorted(sequences, key=lambda done: (-done.rank_score, done.positions)))


@torch.inference_mode()
def copied_logprobs(
    model: PointerReader, memory: Memory, memory_kv: list[KeyValues], first: Tensor, paths: Sequence[tuple[int, ...]]
) -> list[float]:
    """Return the natural log-probability of copying each path and stopping.

    Args:
        model: in evaluation mode.
        memory: of one group.
        memory_kv: `model.decoder.project_memory(memory.states)`.
        first: log-probabilities `[m + 1]` of the first step.
        paths: positions in the memory, at least one each.
    """
    if not paths:
        return []
    longest = max(map(len, paths))
    copied = torch.tensor([[*path, *[path[-1]] * (longest - len(path))] for path in paths], device=first.device)
    wide = widened(memory, len(paths))
    inputs = model.target_embeddings(wide, copied).to(memory.states.dtype)
    begin = model.begin_embedding(len(paths)).to(memory.states.dtype)
    decoded = model.decode(memory, torch.cat([begin, inputs], dim=1), memory_kv)
    logprobs = torch.log_softmax(model.later_logits(wide, decoded[:, 1:], copied), dim=2)
    end = logprobs.shape[2] - 1
    following = torch.full_like(copied, end)
    following[:, :-1] = copied[:, 1:]
    for row, path in enumerate(paths):
        following[row, len(path) - 1] = end
    steps = logprobs.gather(2, following.unsqueeze(2)).squeeze(2)
    counted = torch.arange(longest, device=first.device) < torch.tensor(
        [[len(path)] for path in paths], device=first.device
    )
    totals = first[copied[:, 0]] + (steps * counted).sum(dim=1)
    return [float(total) for total in totals]


@torch.inference_mode()
def best_extractive_span(memory: Memory, max_answer_tokens: int = 48) -> tuple[int, int, float]:
    """Return `(first, last, score)` by the extractive heads alone, for a memory of one group: the decoder's rival.

    The span lies within one row and maximises start + end logit, less the row's own no-answer score (both at `[CLS]`).

    Source: Devlin et al. 2019, section 4.3.
    """
    pairs, length = _span_scores(memory, max_answer_tokens)
    best = int(pairs.argmax())
    row, start, end = best // (length * length), best // length % length, best % length
    return row * length + start, row * length + end, float(pairs[row, start, end])


@torch.inference_mode()
def extractive_spans(memory: Memory, max_answer_tokens: int = 48) -> list[tuple[int, ...]]:
    """Return up to 6 spans, best first: of the 12 best starts the three best ends each, scored as in
    `best_extractive_span`; every span as its positions in the memory."""
    rows = memory.null_logits.shape[1]
    length = memory.copyable.shape[1] // rows
    starts, ends = _over_null(memory)
    found: list[tuple[float, int, int]] = []
    flat = starts.flatten()
    for start in flat.topk(min(_STARTS, int(memory.copyable.sum()))).indices.tolist():
        row, column = divmod(start, length)
        scores = ends[row, column : column + max_answer_tokens]
        best = scores.topk(min(_ENDS, len(scores)))
        for score, offset in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            if memory.copyable[0, start + offset]:
                found.append((float(flat[start]) + score, start, start + offset))
    found.sort(key=lambda span: (-span[0], span[1:]))
    return [tuple(range(start, end + 1)) for _, start, end in found[:_SPANS]]


@torch.inference_mode()
def span_over_null(memory: Memory, first: int, last: int) -> float:
    """Return the start logit at `first` and the end logit at `last`, less the no-answer scores of their rows."""
    length = memory.copyable.shape[1] // memory.null_logits.shape[1]
    starts, ends = _over_null(memory)
    return float(starts[first // length, first % length]) + float(ends[last // length, last % length])


def _over_null(memory: Memory) -> tuple[Tensor, Tensor]:
    """Start and end logits over the row's own no-answer score, float32 `[rows, s]`, lowest where nothing is copied."""
    rows = memory.null_logits.shape[1]
    allowed = memory.copyable.reshape(rows, -1)
    lowest = torch.finfo(torch.float32).min / 4
    starts, ends = (logits.reshape(rows, -1) for logits in (memory.start_logits, memory.end_logits))
    return (
        (starts - starts[:, :1]).masked_fill(~allowed, lowest),
        (ends - ends[:, :1]).masked_fill(~allowed, lowest),
    )


def _span_scores(memory: Memory, max_answer_tokens: int) -> tuple[Tensor, int]:
    """Scores `[rows, s, s]` of every span of at most so many tokens, and `s`."""
    starts, ends = _over_null(memory)
    length = starts.shape[1]
    pairs = starts.unsqueeze(2) + ends.unsqueeze(1)
    band = torch.ones(length, length, dtype=torch.bool, device=pairs.device).triu().tril(max_answer_tokens - 1)
    return pairs.masked_fill(~band, torch.finfo(torch.float32).min / 4), length
