"""Beam search over what a `Writer` writes, for one source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from app.transformer.writer import Source, Writer

_NOTHING = -1  # a token before the beginning
_LENGTH_POWER = 0.8  # of the length that a log-probability is divided by: without it the shortest text wins
_REPEATED = 3  # tokens in a row that a text may not hold twice


@dataclass(frozen=True, slots=True)
class Written:
    """Token ids without the end, and the natural log-probability of writing them and stopping."""

    ids: tuple[int, ...]
    logprob: float

    @property
    def mean_logprob(self) -> float:
        """Log-probability of a token, the end included: how sure the writer was."""
        return self.logprob / (len(self.ids) + 1)

    @property
    def rank_score(self) -> float:
        """Log-probability by length.

        Source: Wu et al. 2016, section 7, with a simpler penalty.
        """
        return self.logprob / float((len(self.ids) + 1) ** _LENGTH_POWER)


@torch.inference_mode()
def write(
    model: Writer,
    source: Source,
    task: int,
    end_id: int,
    *,
    num_beams: int = 4,
    max_written: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[Written]:
    """Return up to `num_beams` texts, the best first; ties break by their ids.

    A text never holds the same three tokens in a row twice. A beam that has not ended after `max_written` tokens is
    given up, so the list may be empty. The search ends once the best finished text ranks above the best live one.

    Args:
        model: in evaluation mode.
        source: of one row.
        task: index of the control token.
        end_id: the token that ends a text.
        num_beams: live hypotheses, at least 1.
        max_written: longest text with its end; at most what the model was trained for.
        check: called before every step; raises to abandon the search.

    Raises:
        ValueError: no beam, or more than one source row.
    """
    if num_beams < 1 or source.token_ids.shape[0] != 1:
        raise ValueError(f"num_beams={num_beams} must be at least 1, rows={source.token_ids.shape[0]} must be 1")
    limit = min(max_written or model.config.max_written, model.config.max_written)
    caches = model.decoder.new_caches()
    live: list[Written] = [Written((), 0.0)]
    finished: list[Written] = []
    for _ in range(limit):
        check()
        tasks = torch.full((len(live),), task)
        if live[0].ids:
            newest = torch.tensor([[beam.ids[-1]] for beam in live])
            inputs = model.later_inputs(tasks, newest)
        else:
            inputs = model.first_input(tasks)
        decoded = model.decode(source, inputs, caches)
        last, before = _lasts(live, 1), _lasts(live, 2)
        logprobs = model.next_logprobs(source, model.score(source, decoded, last, before))
        top = logprobs.topk(min(2 * num_beams, logprobs.shape[1]), dim=1)
        grown = [
            (beam.logprob + score, row, token)
            for row, beam in enumerate(live)
            for score, token in zip(top.values[row].tolist(), top.indices[row].tolist(), strict=True)
            if token == end_id or not _repeats(beam.ids, token)
        ]
        grown.sort(key=lambda g: (-g[0], live[g[1]].ids, g[2]))
        kept: list[tuple[int, Written]] = []
        for score, row, token in grown[: 2 * num_beams]:
            if token == end_id:
                finished.append(Written(live[row].ids, score))
            elif len(kept) < num_beams:
                kept.append((row, Written((*live[row].ids, token), score)))
        finished = sorted(finished, key=lambda w: (-w.rank_score, w.ids))[:num_beams]
        if not kept or (finished and kept[0][1].rank_score < finished[0].rank_score):
            break
        rows = torch.tensor([row for row, _ in kept])
        for cache in caches:
            cache.reorder(rows)
        live = [beam for _, beam in kept]
    return finished


def _lasts(live: list[Written], back: int) -> Tensor:
    """The token that every beam wrote `back` steps ago, int64 `[beams, 1]`."""
    return torch.tensor([[beam.ids[-back] if len(beam.ids) >= back else _NOTHING] for beam in live])


def _repeats(ids: tuple[int, ...], token: int) -> bool:
    grown = (*ids, token)
    tail = grown[-_REPEATED:]
    return len(tail) == _REPEATED and any(grown[at : at + _REPEATED] == tail for at in range(len(grown) - _REPEATED))
