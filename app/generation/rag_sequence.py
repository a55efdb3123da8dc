"""RAG-Sequence: one document stands behind the whole answer, and which one is summed out."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from app.generation.marginalize import (
    IMPOSSIBLE,
    DocumentModel,
    MarginalHypothesis,
    Marginals,
    Search,
    Tokens,
    Written,
    checked,
    finite,
    log_sum,
)

MAX_HYPOTHESES = 32
_Found = dict[Written, float]


def rag_sequence(
    model: DocumentModel,
    log_prior: Sequence[float],
    search: Search,
    *,
    thorough: bool = True,
    proposals: Sequence[Tokens] = (),
    max_hypotheses: int = MAX_HYPOTHESES,
) -> Marginals:
    """Return the most probable answers by `log p(y|x) = log Σ_z p(z|x) Π_i p(y_i | x, z, y_<i)`.

    Each document has a beam of its own; the answers of all beams are the hypotheses. Thorough decoding scores each of
    them under every document whose beam did not bring it; fast decoding takes 0 there and saves those passes.

    Args:
        model: with one document or more.
        log_prior: log p(z | x) of each document, up to a constant.
        search: beams and limits, for each document.
        thorough: see above.
        proposals: further answers to be scored, thorough decoding only.
        max_hypotheses: most that are scored; those kept have the highest sums over the beams that found them.

    Source: Lewis et al. 2020, sections 2.1 and 2.5 ("Thorough Decoding", "Fast Decoding"); departure: the number of
    hypotheses is bounded.
    """
    prior = checked(model, log_prior)
    found, empty = _document_beams(model, search)
    sums = {
        written: log_sum([prior[z] + each[written] for z, each in enumerate(found) if written in each])
        for each in found
        for written in each
    }
    kept = sorted(sums, key=lambda written: (-sums[written], written.tokens))[:max_hypotheses]
    if thorough:
        kept += [new for new in dict.fromkeys(Written(tokens) for tokens in proposals if tokens) if new not in sums]
        pairs = [(z, written) for written in kept for z in range(len(prior)) if written not in found[z]]
        search.check()
        for (z, written), logprob in zip(pairs, model.score(pairs) if pairs else [], strict=True):
            found[z][written] = logprob
    hypotheses = []
    for written in kept:
        documents = tuple(each.get(written, IMPOSSIBLE) for each in found)
        whole = log_sum([p + each for p, each in zip(prior, documents, strict=True)])
        if whole > IMPOSSIBLE:
            hypotheses.append(MarginalHypothesis(written, whole, documents))
    hypotheses.sort(key=lambda each: (-each.logprob, each.written.tokens))
    return Marginals(tuple(hypotheses), empty)


def _document_beams(model: DocumentModel, search: Search) -> tuple[list[_Found], tuple[float, ...]]:
    """Return what each document's beam finished, and log p(END at once) of each. All beams go in step."""
    logprobs = finite(model.start())
    end = logprobs.shape[1] - 1
    empty = tuple(logprobs[:, end].tolist())
    found: list[_Found] = [{} for _ in range(model.num_documents)]
    rows: list[tuple[int, Tokens, float]] = [(z, (), 0.0) for z in range(model.num_documents)]
    for length in range(1, search.max_tokens + 1):
        parents: list[int] = []
        grown: list[tuple[int, Tokens, float]] = []
        for z in sorted({row[0] for row in rows}):
            mine = [index for index, row in enumerate(rows) if row[0] == z]
            for total, parent, token in _best(logprobs, [(index, rows[index][2]) for index in mine], search.num_beams):
                if _worthwhile(total, found[z], search):
                    parents.append(parent)
                    grown.append((z, (*rows[parent][1], token), total))
        if not grown:
            break
        if length == search.max_tokens and search.keep_cut:
            for z, tokens, total in grown:
                found[z][Written(tokens, ended=False)] = total
            break
        search.check()
        rows = grown
        logprobs = finite(model.step(parents, [tokens[-1] for _, tokens, _ in rows]))
        for (z, tokens, total), ending in zip(rows, logprobs[:, end].tolist(), strict=True):
            if ending > IMPOSSIBLE:
                found[z][Written(tokens)] = total + ending
    return found, empty


def _best(logprobs: Tensor, rows: Sequence[tuple[int, float]], count: int) -> list[tuple[float, int, int]]:
    """Return (total, row, token) of the best possible continuations; `rows` are (index, total so far)."""
    end = logprobs.shape[1] - 1
    totals = logprobs[[index for index, _ in rows], :end] + logprobs.new_tensor([[total] for _, total in rows])
    values, places = totals.flatten().topk(min(count, totals.numel()))
    return [
        (value, rows[place // end][0], place % end)
        for value, place in zip(values.tolist(), places.tolist(), strict=True)
        if value > IMPOSSIBLE
    ]


def _worthwhile(total: float, found: _Found, search: Search) -> bool:
    """Whether a live hypothesis may still come among its document's `num_beams` best, and near the best one."""
    finished = sorted(found.values(), reverse=True)
    if finished and total < finished[0] - search.lost:
        return False
    return len(finished) < search.num_beams or total > finished[search.num_beams - 1]
