"""Our ranking measures against ir-measures, and our AUROC against its definition over all pairs."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, R, nDCG

from app.evaluation.metrics import auroc, mrr_at_k, ndcg_at_k, recall_at_k


def _case(seed: int) -> tuple[list[str], dict[str, float], dict[str, float]]:
    generator = np.random.default_rng(seed)
    documents = [f"d{number:02d}" for number in range(40)]
    ranking = [str(document) for document in generator.permutation(documents)[:25]]
    scores = {document: float(len(ranking) - place) for place, document in enumerate(ranking)}
    judged = generator.choice(documents, size=12, replace=False)
    grades = {str(document): float(generator.integers(0, 5)) for document in judged}
    grades[ranking[3]] = 2.0  # at least one relevant document, retrieved
    return ranking, scores, grades


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("k", [1, 5, 10, 100])
def test_ranking_measures_match_ir_measures(seed: int, k: int) -> None:
    ranking, scores, grades = _case(seed)
    qrels = {"q": {document: int(grade) for document, grade in grades.items()}}
    oracle = ir_measures.calc_aggregate([nDCG @ k, RR @ k, R @ k], qrels, {"q": scores})
    assert ndcg_at_k(ranking, grades, k) == pytest.approx(oracle[nDCG @ k], abs=1e-5)
    assert mrr_at_k(ranking, grades, k) == pytest.approx(oracle[RR @ k], abs=1e-5)
    assert recall_at_k(ranking, grades, k) == pytest.approx(oracle[R @ k], abs=1e-5)


def test_exponential_gain_matches_ir_measures_over_gains_as_grades() -> None:
    ranking, scores, grades = _case(3)
    qrels = {"q": {document: 2 ** int(grade) - 1 for document, grade in grades.items()}}
    oracle = ir_measures.calc_aggregate([nDCG @ 10], qrels, {"q": scores})[nDCG @ 10]
    assert ndcg_at_k(ranking, grades, 10, gain="exponential") == pytest.approx(oracle, abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_auroc_matches_the_count_over_all_pairs(seed: int) -> None:
    generator = np.random.default_rng(seed)
    confidences = np.round(generator.random(60), 1)  # many ties
    correct = generator.random(60) < 0.4
    better = confidences[correct][:, None] - confidences[~correct][None, :]
    expected = ((better > 0) + 0.5 * (better == 0)).mean()
    assert auroc(confidences.tolist(), correct.tolist()) == pytest.approx(expected, abs=1e-12)
