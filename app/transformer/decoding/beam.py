"""Beam search: the sequences with the highest total probability, length taken into account."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.errors import Unavailable
from app.transformer.decoding.bans import Bans
from app.transformer.decoding.params import EarlyStopping, SamplingParams
from app.transformer.decoding.penalties import SeenTokens
from app.transformer.decoding.steps import StepModel


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """New tokens with their log-probabilities; `score` is their sum / tokens ** length_penalty; `ended`: by its last.

    `total`, the sum, is kept apart: adding the rounded parts again would not give the same number.
    """

    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    total: float = 0.0
    score: float = 0.0
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Continuation:
    """One more token behind live hypothesis `beam`; `total` is the sum with it."""

    beam: int
    token_id: int
    logprob: float
    total: float


class BeamGroup:
    """The bookkeeping of one prompt's beams; knows no model and no tensor.

    Equal to `transformers`: of the best continuations, those that end count as finished only if they are among the
    first `num_beams`; the best `num_beams` others live on.

    Args:
        num_beams: live and finished hypotheses kept.
        length_penalty: exponent of the length that totals are divided by.
        early_stopping: see `SamplingParams`.
        ends: token ids that end a hypothesis.
        limit: most tokens; there every hypothesis is finished.

    Source: Wu et al. 2016, section 7 (length normalisation, there with another formula); Freitag and Al-Onaizan 2017.
    """

    def __init__(
        self, *, num_beams: int, length_penalty: float, early_stopping: EarlyStopping, ends: frozenset[int], limit: int
    ) -> None:
        self.live = [Hypothesis()]
        self.finished: list[Hypothesis] = []
        self.done = False
        self._num_beams = num_beams
        self._length_penalty = length_penalty
        self._early_stopping = early_stopping
        self.ends = ends
        self._limit = limit
        # Enough that `num_beams` continuations go on even if every beam's best ones are all the ending tokens.
        self.candidates = max(2, 1 + len(ends)) * num_beams

    def advance(self, continuations: Sequence[Continuation]) -> list[int]:
        """Take the best `candidates` continuations, best first; return the parent of each new live hypothesis."""
        length = len(self.live[0].token_ids) + 1
        at_limit = length >= self._limit
        old, live, parents = self.live, list[Hypothesis](), list[int]()
        for rank, continuation in enumerate(continuations):
            ended = continuation.token_id in self.ends
            if ended or at_limit:
                if rank < self._num_beams:
                    self.finished.append(self._grown(old, continuation, ended))
            elif len(live) < self._num_beams:
                live.append(self._grown(old, continuation, ended))
                parents.append(continuation.beam)
        # `sort` is stable, so an earlier hypothesis stays before an equal later one.
        self.finished.sort(key=lambda hypothesis: -hypothesis.score)
        del self.finished[self._num_beams :]
        self.live = live
        self.done = not live or self._can_stop(length)
        return parents

    def best(self) -> list[Hypothesis]:
        """Return the finished hypotheses, best first; the live ones where none is finished."""
        return self.finished or self.live

    def _grown(self, old: Sequence[Hypothesis], continuation: Continuation, ended: bool) -> Hypothesis:
        parent = old[continuation.beam]
        tokens = (*parent.token_ids, continuation.token_id)
        score = self._normalised(continuation.total, len(tokens))
        return Hypothesis(tokens, (*parent.logprobs, continuation.logprob), continuation.total, score, ended)

    def _normalised(self, total: float, length: int) -> float:
        return float(total / length**self._length_penalty)

    def _can_stop(self, length: int) -> bool:
        if len(self.finished) < self._num_beams:
            return False
        if self._early_stopping is True:
            return True
        # A total only falls, but divided by a greater length it may still rise.
        longest = self._limit if self._early_stopping == "never" and self._length_penalty > 0 else length
        return self._normalised(self.live[0].total, longest) <= self.finished[-1].score


@torch.inference_mode()
def beam_search(
    steps: StepModel,
    params: Sequence[SamplingParams],
    *,
    eos_token_ids: Sequence[int] = (),
    cancelled: Callable[[int], bool] = lambda _: False,
) -> list[list[Hypothesis]]:
    """Return the best hypotheses of each prompt, best first; at most `num_beams` each.

    Args:
        steps: not started yet.
        params: one for each prompt; `max_tokens`, the penalties and the bans count.
        eos_token_ids: the model's ending tokens.
        cancelled: asked with a prompt's place before every step; a cancelled prompt gives what it has.

    Raises:
        Unavailable: the logits are not finite.
    """
    groups = [_new_group(each, room, eos_token_ids) for each, room in zip(params, steps.room_tokens, strict=True)]
    prompts = [list(prompt) for prompt in steps.prompts]
    bans = [Bans(each, eos_token_ids, source) for each, source in zip(params, steps.sources, strict=True)]
    live = [place for place in range(len(groups)) if not cancelled(place)]
    if not live:
        return [group.best() for group in groups]
    logits = steps.start()
    rows = list(range(len(groups)))  # the prompt of each row
    while True:
        kept_rows: list[int] = []
        for place in live:
            mine = [row for row, owner in enumerate(rows) if owner == place]
            continuations = _continuations(groups[place], logits[mine], prompts[place], params[place], bans[place])
            kept_rows += [mine[parent] for parent in groups[place].advance(continuations)]
        live = [place for place in live if not groups[place].done and not cancelled(place)]
        if not live:
            return [group.best() for group in groups]
        kept_rows = [row for row in kept_rows if rows[row] in live]
        rows = [rows[row] for row in kept_rows]
        newest = [hypothesis.token_ids[-1] for place in live for hypothesis in groups[place].live]
        steps.reorder(kept_rows)
        logits = steps.step(torch.tensor(newest, device=logits.device))


def _continuations(
    group: BeamGroup, logits: Tensor, prompt: Sequence[int], params: SamplingParams, bans: Bans
) -> list[Continuation]:
    """Return the best continuations of `group`, best first; `logits` `[live, vocab_size]`."""
    logprobs = torch.log_softmax(logits, dim=1)
    if bool(torch.isnan(logprobs).any()):
        raise Unavailable("the model's logits are not finite: its weights are damaged, or their type is too narrow")
    totals = torch.tensor([[hypothesis.total] for hypothesis in group.live], device=logits.device)
    sums = (_edited(logprobs, group, prompt, params, bans) + totals).flatten()
    values, places = sums.topk(min(group.candidates, sums.shape[0]))
    vocab_size = logits.shape[1]
    return [
        Continuation(place // vocab_size, place % vocab_size, value - group.live[place // vocab_size].total, value)
        for value, place in zip(values.tolist(), places.tolist(), strict=True)
        if value > -torch.inf
    ]


def _edited(logprobs: Tensor, group: BeamGroup, prompt: Sequence[int], params: SamplingParams, bans: Bans) -> Tensor:
    """Return `logprobs` after penalties and bans; as in `transformers`, normalised again only where that is asked."""
    generated = len(group.live[0].token_ids)
    banned = bans.active(generated, len(prompt))
    if not (params.penalized or banned):
        return logprobs
    logprobs = logprobs.clone()
    for row, hypothesis in zip(logprobs, group.live, strict=True):
        history = [*prompt, *hypothesis.token_ids]
        if params.penalized:
            seen = SeenTokens()
            seen.update(prompt)
            seen.update(history)
            seen.penalize(row, params)
        if banned:
            bans.apply(row, history, generated)
    return torch.log_softmax(logprobs, dim=1) if params.renormalize_logits else logprobs


def _new_group(params: SamplingParams, room_tokens: int, eos_token_ids: Sequence[int]) -> BeamGroup:
    model_ends = frozenset[int]() if params.ignore_eos else frozenset(eos_token_ids)
    return BeamGroup(
        num_beams=params.num_beams,
        length_penalty=params.length_penalty,
        early_stopping=params.early_stopping,
        ends=model_ends | frozenset(params.stop_token_ids),
        limit=min(params.max_tokens, room_tokens),
    )
