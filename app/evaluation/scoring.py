"""One answer beside one golden question: its scores, as plain numbers that can be stored."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.evaluation.golden import GoldenQuestion
from app.evaluation.metrics import answer_tokens, exact_match, f1, mrr_at_k, ndcg_at_k, recall_at_k
from app.types import Answer, Citation

RECALL_CUTS = (1, 5, 10, 20)
CUT = 10
RETRIEVAL = (*(f"recall@{k}" for k in RECALL_CUTS), f"mrr@{CUT}", f"ndcg@{CUT}")
ANSWERS = ("exact_match", "f1")
METRICS = (*RETRIEVAL, *ANSWERS, "citation_precision")
RIGHT_F1 = 0.5
"""Token F1 from which an answer counts as right for abstention; the reader's calibrator is fitted to the same."""

_MARKER = re.compile(r"\s*\[\d+\]")


def observe(golden: GoldenQuestion, answer: Answer, latency_ms: float) -> dict[str, Any]:
    """`{scores, right, abstained, confidence, latency_ms}` of one answer; a score is None where it can't be told.

    No word of a document is in it: a stored evaluation must not outlive the deletion of what it was made from.
    """
    scores: dict[str, float | None] = dict.fromkeys(METRICS)
    scores.update(_retrieval(golden, answer))
    said = "" if answer.abstained else _plain(answer.short_answer)
    if golden.has_answer is False:  # as in SQuAD 2.0: only a refusal is right
        scores["exact_match"] = scores["f1"] = float(answer.abstained)
    elif golden.answers:
        scores["exact_match"], scores["f1"] = exact_match(said, golden.answers), f1(said, golden.answers)
    scores["citation_precision"] = _citation_precision(golden, answer)
    return {
        "scores": scores,
        "right": _right(golden, answer),
        "abstained": answer.abstained,
        "confidence": answer.confidence,
        "latency_ms": latency_ms,
    }


def failure(reason: str) -> dict[str, Any]:
    """What stands for a question that could not be asked."""
    return {"error": reason[:500]}


def _retrieval(golden: GoldenQuestion, answer: Answer) -> Mapping[str, float]:
    """Ranks are those of the passages after reranking; a document stands where its best passage does."""
    if golden.relevant_chunk_ids:
        ranking = [hit.chunk.chunk_id for hit in answer.candidates]
        relevant: Sequence[str] = golden.relevant_chunk_ids
    elif golden.relevant_document_ids:
        ranking = list(dict.fromkeys(hit.chunk.document_id for hit in answer.candidates))
        relevant = golden.relevant_document_ids
    else:
        return {}
    grades = dict.fromkeys(relevant, 1.0)
    return {
        **{f"recall@{k}": recall_at_k(ranking, grades, k) for k in RECALL_CUTS},
        f"mrr@{CUT}": mrr_at_k(ranking, grades, CUT),
        f"ndcg@{CUT}": ndcg_at_k(ranking, grades, CUT),
    }


def _citation_precision(golden: GoldenQuestion, answer: Answer) -> float | None:
    """Share of the citations that point where the answer is: at a relevant chunk or document, or at an answer's words.

    None without citations, and where nothing is known of the right places.
    """
    if not answer.citations:
        return None
    if golden.has_answer is False:
        return 0.0
    right: list[bool]
    if golden.relevant_chunk_ids:
        right = [citation.chunk_id in golden.relevant_chunk_ids for citation in answer.citations]
    elif golden.relevant_document_ids:
        right = [citation.document_id in golden.relevant_document_ids for citation in answer.citations]
    elif golden.answers:
        wanted = [answer_tokens(text) for text in golden.answers]
        right = [_holds_any(citation, wanted) for citation in answer.citations]
    else:
        return None
    return sum(right) / len(right)


def _holds_any(citation: Citation, answers: Sequence[Sequence[str]]) -> bool:
    quoted = answer_tokens(citation.quote)
    return any(
        list(tokens) == quoted[start : start + len(tokens)]
        for tokens in answers
        if tokens
        for start in range(len(quoted) - len(tokens) + 1)
    )


def _right(golden: GoldenQuestion, answer: Answer) -> bool | None:
    """Whether the answer would be right if it were given, whatever the threshold made of it; None where unknown."""
    if golden.has_answer is False:
        return False
    if not golden.answers:
        return None
    return f1(_guess(answer), golden.answers) >= RIGHT_F1


def _guess(answer: Answer) -> str:
    """What the generator wrote, also where the threshold then held it back."""
    if not answer.abstained:
        return _plain(answer.short_answer)
    for stage in reversed(answer.trace):  # the last: partial questions have written answers of their own before it
        if stage.stage == "generate" and isinstance(text := stage.detail.get("text"), str):
            return _plain(text)
    return ""


def _plain(text: str) -> str:
    return _MARKER.sub("", text)
