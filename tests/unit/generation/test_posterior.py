"""p(z | x) from the retriever's scores, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from app.generation.posterior import TEMPERATURES, log_prior
from app.types import Hit, Passage
from tests.unit.generation.passages import passage

TEXT = "One. Two. Three."


def scored(*scores: dict[str, float]) -> list[Passage]:
    plain = passage(1, TEXT, "One.")
    return [replace(plain, number=n, hit=Hit(plain.hit.chunk, each)) for n, each in enumerate(scores, start=1)]


def test_it_is_the_softmax_of_the_rerankers_score_at_its_temperature() -> None:
    t = TEMPERATURES["rerank"]
    found = log_prior(scored({"rerank": 0.0, "cosine": 0.9}, {"rerank": t * math.log(3), "cosine": 0.1}))
    assert [math.exp(each) for each in found] == pytest.approx([0.25, 0.75])


def test_a_score_that_some_passages_lack_is_left_for_the_next() -> None:
    t = TEMPERATURES["cosine"]
    found = log_prior(scored({"rerank": 9.0, "cosine": t * math.log(4), "rrf": 0.0}, {"cosine": 0.0, "rrf": 1.0}))
    assert [math.exp(each) for each in found] == pytest.approx([0.8, 0.2])
    by_rrf = log_prior(scored({"cosine": 1.0, "rrf": 0.0}, {"rrf": TEMPERATURES["rrf"] * math.log(9)}))
    assert [math.exp(each) for each in by_rrf] == pytest.approx([0.1, 0.9])


def test_without_a_common_score_all_passages_are_alike() -> None:
    found = log_prior(scored({"rerank": 1.0}, {"bm25": 3.0}, {}))
    assert [math.exp(each) for each in found] == pytest.approx([1 / 3] * 3)
    assert log_prior([]) == []


def test_scores_far_apart_do_not_overflow() -> None:
    found = log_prior(scored({"rerank": 1e4}, {"rerank": -1e4}))
    assert found == pytest.approx([0.0, -2e4 / TEMPERATURES["rerank"]])
