"""Trees that predict what each kind of translation gains, the rule that spends on them, and what both are worth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from app.errors import InvalidInput
from app.query.policy.features import FEATURES
from app.query.policy.model import NEVER, RULES, Cost, Policy, Prediction, Rule, decide
from app.query.translation import KINDS
from app.training.policy_measuring import NONE, Measured

LEARNED: tuple[str, ...] = tuple(kind for kind in KINDS if kind != "decompose")
"""Kinds that the policy predicts: which questions are answered in steps is a rule's to say (app/query/steps.py)."""
ROUNDS = 60
PARAMETERS: Mapping[str, Any] = {
    "objective": "regression",
    "learning_rate": 0.05,
    "num_leaves": 4,
    "min_data_in_leaf": 40,
    "lambda_l2": 20.0,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 31,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
RULE_GRID: tuple[Rule, ...] = tuple(
    Rule(caution, margin, most) for caution, margin, most in product((0.0, 1.0, 2.0), (0.0, 0.005, 0.01, 0.02), (1, 2))
)
WORST = -0.005
"""No collection may lose more than this against no translation, in recall@10 or in nDCG@10."""
_MIN_ROWS, _MIN_COLLECTIONS = 40, 2
_SAMPLES = 2_000

Groups = Mapping[str, Sequence[Measured]]
"""Questions by collection."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one way on one collection, against the question alone: mean gain of recall@10, of nDCG@10, and of both."""

    recall: float
    ndcg: float

    @property
    def utility(self) -> float:
        return (self.recall + self.ndcg) / 2


@dataclass(frozen=True, slots=True)
class Selected:
    """The rule that did best on collections that its trees had not seen; `outcomes` by collection."""

    rule: Rule
    outcomes: Mapping[str, Outcome]

    @property
    def mean(self) -> float:
        return mean_gain(self.outcomes)


def fit_kind(kind: str, groups: Groups, *, rounds: int, seed: int) -> Any | None:
    """A booster for the gain of one kind, each collection weighing the same; None with too little to learn from.

    Questions to which the kind adds nothing gain nothing for certain, and teach nothing.
    """
    import lightgbm

    written = {name: [row for row in rows if row.texts.get(kind)] for name, rows in groups.items()}
    written = {name: rows for name, rows in written.items() if rows}
    rows = [row for group in written.values() for row in group]
    if len(rows) < _MIN_ROWS or len(written) < _MIN_COLLECTIONS:
        return None
    gains = np.array([row.utility(kind) - row.utility(NONE) for row in rows])
    # a collection of which few questions are translated should not speak through three of them as loudly as others
    weights = np.concatenate([np.full(len(group), 1 / max(20, len(group))) for group in written.values()])
    dataset = lightgbm.Dataset(
        np.array([row.features for row in rows], dtype=np.float32),
        label=gains,
        weight=weights / weights.mean(),
        feature_name=list(FEATURES),
        params={"verbose": -1, "max_bin": PARAMETERS["max_bin"]},
    )
    return lightgbm.train({**PARAMETERS, "seed": seed, "num_threads": 1}, dataset, num_boost_round=rounds)


def fit_policy(
    groups: Groups, *, rule: Rule = NEVER, writer: str = RULES, rounds: int = ROUNDS, seed: int = 0
) -> Policy:
    """An ensemble for each kind, of boosters that leave out one collection each: their spread says how far a gain holds
    elsewhere.

    Raises:
        InvalidInput: there are fewer than three collections.
    """
    if len(groups) < 3:
        raise InvalidInput(
            f"{len(groups)} training collections: at least three are needed, as each is left out in its turn"
        )
    boosters: dict[str, list[Any]] = {}
    for kind in LEARNED:
        fitted = [
            fit_kind(kind, {name: rows for name, rows in groups.items() if name != out}, rounds=rounds, seed=seed)
            for out in groups
        ]
        if all(booster is not None for booster in fitted):
            boosters[kind] = fitted
    return Policy(boosters, costs(groups), rule, writer)


def costs(groups: Groups) -> dict[str, Cost]:
    """Medians over all questions that a kind added to."""
    found: dict[str, Cost] = {}
    for kind in KINDS:
        rows = [row for group in groups.values() for row in group if row.texts.get(kind)]
        found[kind] = Cost(
            round(statistics.median(row.ms[kind][0] for row in rows), 2) if rows else 0.0,
            round(statistics.median(row.ms[kind][1] / max(row.look_ms, 1e-6) for row in rows), 3) if rows else 1.0,
        )
    return found


def select_rule(groups: Groups, *, rounds: int = ROUNDS, seed: int = 0) -> Selected:
    """The rule of `RULE_GRID` with the best mean gain over collections held out in turn, none losing past `WORST`.

    `NEVER` where no rule gains. At least four collections: the trees of each turn leave out another one each.

    Raises:
        InvalidInput: there are fewer than four collections.
    """
    if len(groups) < 4:
        raise InvalidInput(f"{len(groups)} training collections: at least four are needed to choose the rule")
    predicted = {
        name: predictions(
            fit_policy({other: rows for other, rows in groups.items() if other != name}, rounds=rounds, seed=seed), held
        )
        for name, held in groups.items()
    }
    best = Selected(NEVER, {name: Outcome(0.0, 0.0) for name in groups})
    for rule in RULE_GRID:
        outcomes = {name: outcome(held, choices(rule, predicted[name])) for name, held in groups.items()}
        worst = min(min(each.recall, each.ndcg) for each in outcomes.values())
        if worst >= WORST and mean_gain(outcomes) > best.mean:
            best = Selected(rule, outcomes)
    return best


def predictions(policy: Policy, rows: Sequence[Measured]) -> list[dict[str, Prediction]]:
    """What the policy expects of each question."""
    return policy.predict(np.array([row.features for row in rows], dtype=np.float32))


def choices(
    rule: Rule,
    predicted: Sequence[Mapping[str, Prediction]],
    cost_ms: Sequence[Mapping[str, float]] | None = None,
    budget_ms: float = math.inf,
) -> list[str]:
    """The choice, as in `CHOICES`, that the rule makes for each question; without costs the budget binds nothing."""
    made = []
    for place, each in enumerate(predicted):
        ms = cost_ms[place] if cost_ms is not None else dict.fromkeys(each, 0.0)
        made.append("+".join(sorted(decide(rule, each, ms, budget_ms).kinds, key=KINDS.index)))
    return made


def outcome(rows: Sequence[Measured], chosen: Sequence[str], *, stepped: bool = False) -> Outcome:
    """Mean gains against the question alone; with `stepped`, questions with a plan also have their steps merged in."""
    recall, gain = zip(*gains(rows, chosen, stepped=stepped), strict=True)
    return Outcome(statistics.fmean(recall), statistics.fmean(gain))


def gains(rows: Sequence[Measured], chosen: Sequence[str], *, stepped: bool = False) -> Iterator[tuple[float, float]]:
    """(of recall@10, of nDCG@10) by question."""
    for row, choice in zip(rows, chosen, strict=True):
        scores = row.stepped if stepped and row.stepped is not None else row.scores
        yield scores[choice][0] - row.scores[NONE][0], scores[choice][1] - row.scores[NONE][1]


def mean_gain(outcomes: Mapping[str, Outcome]) -> float:
    """Over the collections, each weighing the same."""
    return statistics.fmean(each.utility for each in outcomes.values())


def interval(
    groups: Groups,
    choose: Callable[[str], Sequence[str]],
    *,
    stepped: bool = False,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % interval of the mean gain over these collections, by a bootstrap of the questions within each."""
    rng = np.random.default_rng(seed)
    means = np.zeros(_SAMPLES)
    for name, rows in groups.items():
        values = np.array([sum(pair) / 2 for pair in gains(rows, choose(name), stepped=stepped)])
        means += values[rng.integers(0, len(values), (_SAMPLES, len(values)))].mean(axis=1) / len(groups)
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    return low, high
