"""RAG-Token: every token of the answer may come from another document, and which one is summed out at each step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from app.generation.marginalize import (
    IMPOSSIBLE,
    DocumentModel,
    MarginalHypothesis,
    Marginals,
    Search,
    Written,
    checked,
    finite,
)


def rag_token(model: DocumentModel, log_prior: Sequence[float], search: Search) -> Marginals:
    """Return the most probable answers by `p(y|x) = Π_i Σ_z p(z|x) p(y_i | x, z, y_<i)`, END being one of the y_i.

    One beam over hypotheses that all documents share: each step reads every document with the same prefix.

    Where a document can not produce the prefix at all (a model that only copies), p(y_i | x, z, y_<i) is not defined;
    p(z | x) is then taken over the documents that can. A decoder with a vocabulary can always, and for it this is the
    paper's formula.

    Args:
        model: with one document or more.
        log_prior: log p(z | x) of each document, up to a constant.
        search: beams and limits.

    Source: Lewis et al. 2020, sections 2.1 and 2.5; departure: the prior among documents that can follow, see above.
    """
    prior = torch.tensor(checked(model, log_prior), dtype=torch.float64)
    documents = model.num_documents
    logprobs = finite(model.start())
    prior = prior.to(logprobs.device)
    end = logprobs.shape[1] - 1
    empty = tuple(logprobs[:, end].tolist())
    finished: list[MarginalHypothesis] = []
    beams: list[tuple[int, ...]] = [()]
    totals = logprobs.new_zeros(1)  # [beams]: log of the product of marginals so far
    each = logprobs.new_zeros(1, documents)  # [beams, documents]: log p(prefix | x, z)
    for length in range(1, search.max_tokens + 1):
        steps = logprobs.view(len(beams), documents, end + 1)
        sums = totals.unsqueeze(1) + _marginal(steps, each, prior)[:, :end]
        values, places = sums.flatten().topk(min(search.num_beams, sums.numel()))
        kept = [place for value, place in zip(values.tolist(), places.tolist(), strict=True) if value > IMPOSSIBLE]
        kept = [place for place in kept if _worthwhile(float(sums.flatten()[place]), finished, search)]
        if not kept:
            break
        parents, tokens = [place // end for place in kept], [place % end for place in kept]
        totals = sums.flatten()[kept]
        each = each[parents] + steps[parents, :, tokens]
        beams = [(*beams[parent], token) for parent, token in zip(parents, tokens, strict=True)]
        if length == search.max_tokens and search.keep_cut:
            finished += _finished(beams, totals, each, ended=False)
            break
        search.check()
        rows = [parent * documents + z for parent in parents for z in range(documents)]
        logprobs = finite(model.step(rows, [token for token in tokens for _ in range(documents)]))
        steps = logprobs.view(len(beams), documents, end + 1)
        ending = totals + _marginal(steps, each, prior)[:, end]
        finished += _finished(beams, ending, each + steps[:, :, end], ended=True)
    finished.sort(key=lambda one: (-one.logprob, one.written.tokens))
    return Marginals(tuple(finished), empty)


def _marginal(steps: Tensor, each: Tensor, prior: Tensor) -> Tensor:
    """Return log Σ_z p(z|x) p(· | x, z, prefix) `[beams, v + 1]` of `steps` `[beams, documents, v + 1]`."""
    weights = prior.masked_fill(each == IMPOSSIBLE, IMPOSSIBLE)  # [beams, documents]
    weights = weights - torch.logsumexp(weights, dim=1, keepdim=True)
    return torch.logsumexp(weights.unsqueeze(2) + steps, dim=1)


def _finished(
    beams: Sequence[tuple[int, ...]], totals: Tensor, each: Tensor, *, ended: bool
) -> list[MarginalHypothesis]:
    return [
        MarginalHypothesis(Written(tokens, ended), total, tuple(documents))
        for tokens, total, documents in zip(beams, totals.tolist(), each.tolist(), strict=True)
        if total > IMPOSSIBLE
    ]


def _worthwhile(total: float, finished: Sequence[MarginalHypothesis], search: Search) -> bool:
    """Whether a live hypothesis may still come among the `num_beams` best, and near the best one."""
    logprobs = sorted((one.logprob for one in finished), reverse=True)
    if logprobs and total < logprobs[0] - search.lost:
        return False
    return len(logprobs) < search.num_beams or total > logprobs[search.num_beams - 1]
