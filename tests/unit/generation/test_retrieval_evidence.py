"""Ranks of the passage that answers, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from app.generation.retrieval_evidence import retrieval_agreement
from app.types import Hit, Passage
from tests.unit.generation.test_reader import passage


def ranked(number: int, **ranks: int) -> Passage:
    plain = passage(number, "text")
    return replace(plain, hit=Hit(plain.hit.chunk, {}, ranks))


def test_the_mean_logarithm_of_the_ranks() -> None:
    passages = [ranked(1, bm25=1, cosine=1, rerank=1), ranked(2, bm25=4, cosine=2, rerank=8)]
    assert retrieval_agreement(passages, 0) == 0.0
    assert retrieval_agreement(passages, 1) == pytest.approx(-(2 + 1 + 3) / 3)


def test_who_ranked_nothing_is_not_asked_and_who_ranked_others_counts_as_last() -> None:
    passages = [ranked(1, bm25=2, rrf=1), ranked(2, rrf=2)]
    assert retrieval_agreement(passages, 0) == -1.0
    assert retrieval_agreement(passages, 1) == pytest.approx(-math.log2(51))
    assert retrieval_agreement([ranked(1, bm25=400)], 0) == pytest.approx(-math.log2(51))


def test_without_ranks_nothing_is_known() -> None:
    assert retrieval_agreement([passage(1, "text")], 0) is None
