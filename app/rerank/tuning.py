"""A reranker for one collection: the serving one, boosted further on what people said there.

The shipped model was trained on some thousand judged questions, a collection has a few dozen: a model of these alone
would lose to it (docs/log.md), so trees are added to it. How many is chosen by cross-validation inside the training
part; whether the result is better is measured on questions that no training, this one or an earlier, has ever seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.errors import InvalidInput
from app.protocols import Float32
from app.rerank.candidates import CUT, Int64, ndcg
from app.rerank.collected import NEEDED, lacking
from app.rerank.features import FEATURES, CorpusStatistics, build
from app.rerank.judgements import JudgedQuestion
from app.rerank.ranker import Ranker
from app.rerank.train import FALLING, PARAMETERS, RISING
from app.types import Hit

ROUNDS = (5, 10, 20, 40, 80)
FOLDS = 4
# small steps and small trees with heavy leaves: some dozens of questions must not overrule what thousands taught
SMALL = {"learning_rate": 0.05, "num_leaves": 4, "min_data_in_leaf": 20, "lambda_l2": 5.0, "bagging_fraction": 0.8}


@dataclass(frozen=True, slots=True)
class Candidates:
    """One question's candidates in first-stage order.

    `features` [n, f]; `grades` [n], 0 or 1; `units[i]` is what the i-th candidate counts as in the ranking, its chunk
    or its document; `relevant` is how many units are relevant; `base_order` is how the serving model orders them.
    """

    held_out: bool
    features: Float32
    grades: Int64
    units: tuple[str, ...]
    relevant: int
    base_order: tuple[int, ...]

    @property
    def useful(self) -> bool:
        """Whether there is a pair to learn from: something relevant, and something that is not."""
        return bool(self.grades.any()) and not bool(self.grades.all())

    def ndcg(self, order: Sequence[int]) -> float:
        """nDCG@10 of the candidates in this order; a document counts once, where its best chunk stands."""
        seen: set[str] = set()
        ranked: list[int] = []
        for index in order:
            if self.units[index] not in seen:
                seen.add(self.units[index])
                ranked.append(int(self.grades[index]))
        return ndcg(ranked, (1.0,) * self.relevant, CUT)

    @property
    def base_ndcg(self) -> float:
        return self.ndcg(self.base_order)


@dataclass(frozen=True, slots=True)
class Tuned:
    """A trained model with nDCG@10 of base and model on each held-out question, in the same order."""

    model: str
    rounds: int
    cross_validation: tuple[float, float]
    base: tuple[float, ...]
    tuned: tuple[float, ...]


def candidates_of(
    question: JudgedQuestion, hits: Sequence[Hit], statistics: CorpusStatistics, base: Ranker
) -> Candidates | None:
    """The question's candidates; None where the search found nothing that is known to be relevant."""
    by_document = bool(question.document_ids)
    units = tuple(hit.chunk.document_id if by_document else hit.chunk.chunk_id for hit in hits)
    relevant = question.document_ids if by_document else question.chunk_ids
    grades = np.array([int(unit in relevant) for unit in units], dtype=np.int64)
    if not grades.any():
        return None
    place = {hit.chunk.chunk_id: index for index, hit in enumerate(hits)}
    order = tuple(place[hit.chunk.chunk_id] for hit in base.rerank(question.question, hits, statistics))
    features = build(question.question, hits, statistics)
    return Candidates(question.held_out, features, grades, units, len(relevant), order)


def check_enough(found: Sequence[Candidates], rated: int, judged: int) -> None:
    """Returns when there is enough to train on and to measure with.

    Args:
        found: of the questions whose relevant passages the search finds.
        rated: ratings of this collection's answers.
        judged: questions with something relevant.

    Raises:
        InvalidInput: says how much there is and how much is needed.
    """
    useful = [each for each in found if each.useful]
    held_out = sum(each.held_out for each in useful)
    training = len(useful) - held_out
    if lacking(training, held_out)[0] == 0:
        return
    raise InvalidInput(
        f"too little feedback to train on: {rated} ratings and golden questions name relevant passages for {judged} "
        f"different questions, and the search finds these passages, among others, for {len(useful)} "
        f"({training} to train on, {held_out} to measure with); {NEEDED}"
    )


def tune(
    found: Sequence[Candidates],
    base_model: str,
    *,
    seed: int = 0,
    check: Callable[[], None] = lambda: None,
) -> Tuned:
    """The base model with further trees, and how both do on the held-out questions.

    Args:
        found: judged candidates; see `check_enough`.
        base_model: LightGBM's text of the model that serves now.
        seed: of the trees.
        check: called between trainings; what it raises ends the work.

    Source: Burges, "From RankNet to LambdaRank to LambdaMART", MSR-TR-2010-82.
    """
    useful = [each for each in found if each.useful]
    training = [each for each in useful if not each.held_out]
    held_out = [each for each in useful if each.held_out]
    rounds, validated = _choose_rounds(training, base_model, seed, check)
    check()
    booster = _boost(training, base_model, rounds, seed)
    return Tuned(
        model=booster.model_to_string(),
        rounds=rounds,
        cross_validation=(_mean([each.base_ndcg for each in training]), validated),
        base=tuple(each.base_ndcg for each in held_out),
        tuned=tuple(_scores(booster, held_out)),
    )


def _choose_rounds(
    training: Sequence[Candidates], base_model: str, seed: int, check: Callable[[], None]
) -> tuple[int, float]:
    """The number of further trees with the best mean nDCG@10 over the folds, the fewest of equals; and that mean."""
    totals = dict.fromkeys(ROUNDS, 0.0)
    for fold in range(FOLDS):
        check()
        rest = [each for place, each in enumerate(training) if place % FOLDS != fold]
        left_out = training[fold::FOLDS]
        booster = _boost(rest, base_model, max(ROUNDS), seed)
        before = booster.num_trees() - max(ROUNDS)
        for rounds in ROUNDS:
            totals[rounds] += math.fsum(_scores(booster, left_out, trees=before + rounds))
    best = max(ROUNDS, key=lambda rounds: (totals[rounds], -rounds))
    return best, totals[best] / len(training)


def _boost(lists: Sequence[Candidates], base_model: str, rounds: int, seed: int) -> Any:
    import lightgbm

    dataset = lightgbm.Dataset(
        np.concatenate([each.features for each in lists]),
        label=np.concatenate([each.grades for each in lists]),
        group=[len(each.grades) for each in lists],
        feature_name=list(FEATURES),
        params={"verbose": -1},
        free_raw_data=False,
    )
    constraints = [1 if name in RISING else -1 if name in FALLING else 0 for name in FEATURES]
    parameters: Mapping[str, Any] = {
        **PARAMETERS,
        **SMALL,
        "seed": seed,
        "num_threads": 1,  # beside the requests
        "monotone_constraints": constraints,
    }
    base = lightgbm.Booster(model_str=base_model)
    return lightgbm.train(dict(parameters), dataset, num_boost_round=rounds, init_model=base)


def _scores(booster: Any, lists: Sequence[Candidates], trees: int | None = None) -> list[float]:
    """nDCG@10 of each list in the model's order; ties in first-stage order, as in service."""
    found: list[float] = []
    for each in lists:
        predicted = booster.predict(each.features, raw_score=True, num_threads=1, num_iteration=trees)
        found.append(each.ndcg(np.argsort(-predicted, kind="stable").tolist()))
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
