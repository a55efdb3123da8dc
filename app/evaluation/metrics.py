"""Measures of rankings, answers and confidences. Pure functions over plain sequences; every rate is in [0, 1]."""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from app.errors import InvalidInput

K = TypeVar("K", bound=Hashable)
Float64 = npt.NDArray[np.float64]


# --- rankings: `ranking` is best first, `grades[key] > 0` means relevant ---------------------------------------------


def recall_at_k(ranking: Sequence[K], grades: Mapping[K, float], k: int) -> float:
    """Share of the relevant keys among the first `k`; 0 when nothing is relevant."""
    relevant = {key for key, grade in grades.items() if grade > 0}
    return len(relevant.intersection(_first(ranking, k))) / len(relevant) if relevant else 0.0


def mrr_at_k(ranking: Sequence[K], grades: Mapping[K, float], k: int = 10) -> float:
    """`1 / rank` of the first relevant key among the first `k`, 0 when there is none."""
    for rank, key in enumerate(_first(ranking, k), start=1):
        if grades.get(key, 0) > 0:
            return 1 / rank
    return 0.0


def ndcg_at_k(
    ranking: Sequence[K], grades: Mapping[K, float], k: int = 10, *, gain: Literal["linear", "exponential"] = "linear"
) -> float:
    """Discounted cumulative gain over that of the ideal ranking; 0 when nothing is relevant.

    `DCG@k = Σ_{i ≤ k} g(grade_i) / log2(i + 1)`, with `g(x) = x` (trec_eval, ir-measures' nDCG) or `2^x − 1`.

    Source: Järvelin and Kekäläinen, TOIS 20(4), 2002.
    """
    gains = [_gain(grades.get(key, 0), gain) for key in _first(ranking, k)]
    ideal = sorted((_gain(grade, gain) for grade in grades.values()), reverse=True)[:k]
    best = _dcg(ideal)
    return _dcg(gains) / best if best > 0 else 0.0


def _first(ranking: Sequence[K], k: int) -> Sequence[K]:
    if k < 1:
        raise InvalidInput(f"k is {k}: it must be at least 1")
    if len(set(ranking)) != len(ranking):
        raise InvalidInput("ranking repeats a key: each key may stand in it once")
    return ranking[:k]


def _gain(grade: float, gain: Literal["linear", "exponential"]) -> float:
    positive = max(grade, 0.0)
    return positive if gain == "linear" else 2.0**positive - 1.0


def _dcg(gains: Sequence[float]) -> float:
    return math.fsum(value / math.log2(rank + 1) for rank, value in enumerate(gains, start=1))


# --- answers ---------------------------------------------------------------------------------------------------------

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_CJK = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")


def normalize_answer(text: str) -> str:
    """SQuAD's form of an answer: lower case, no punctuation of any script, no English articles, single spaces."""
    folded = unicodedata.normalize("NFKC", text).lower()
    bare = "".join(c for c in folded if c not in string.punctuation and not unicodedata.category(c).startswith("P"))
    return " ".join(_ARTICLES.sub(" ", bare).split())


def answer_tokens(text: str) -> list[str]:
    """Words of the normalised answer; each Chinese or Japanese character is a token, as in CMRC 2018's script."""
    return _CJK.sub(r" \1 ", normalize_answer(text)).split()


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1 when the normalised prediction equals an answer; without answers, 1 for an empty prediction (unanswerable)."""
    found = "".join(answer_tokens(prediction))
    return float(any(found == "".join(answer_tokens(answer)) for answer in answers or ("",)))


def f1(prediction: str, answers: Sequence[str]) -> float:
    """Best harmonic mean of token precision and recall over the answers; empty against empty is 1.

    Source: Rajpurkar et al., EMNLP 2016, the official evaluation script.
    """
    return max(_token_f1(answer_tokens(prediction), answer_tokens(answer)) for answer in answers or ("",))


def _token_f1(predicted: Sequence[str], gold: Sequence[str]) -> float:
    if not predicted or not gold:
        return float(not predicted and not gold)
    same = sum((Counter(predicted) & Counter(gold)).values())
    return 2 * same / (len(predicted) + len(gold))


# --- confidences -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """`risk[i]` is the error rate among the `coverage[i]` most confident; `area` is the mean risk, lower is better.

    Coverage rises along the curve; between its points no threshold can cut, since those cases are equally confident.
    """

    coverage: Float64
    risk: Float64
    area: float

    def coverage_at(self, risk: float) -> float:
        """The largest share of the cases that can be answered with an error rate of at most `risk`; 0 for none.

        Raises:
            InvalidInput: `risk` is not in [0, 1].
        """
        if not 0 <= risk <= 1:
            raise InvalidInput(f"risk is {risk}: it must lie in [0, 1]")
        allowed = self.coverage[self.risk <= risk + 1e-12]
        return float(allowed[-1]) if len(allowed) else 0.0


def auroc(confidences: Sequence[float], correct: Sequence[bool]) -> float:
    """Probability that a correct case is more confident than a wrong one, ties half; NaN without both kinds.

    Source: the Mann–Whitney statistic; Hanley and McNeil, Radiology 143, 1982.
    """
    scores, labels = _paired(confidences, correct)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return math.nan
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(mean_ranks[inverse][labels].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def expected_calibration_error(confidences: Sequence[float], correct: Sequence[bool], bins: int = 10) -> float:
    """`Σ_b |b| / n · |accuracy(b) − mean confidence(b)|` over equal-width bins of [0, 1].

    Raises:
        InvalidInput: a confidence lies outside [0, 1].

    Source: Guo et al., ICML 2017, section 2.
    """
    scores, labels = _paired(confidences, correct)
    if bins < 1 or scores.min() < 0 or scores.max() > 1:
        raise InvalidInput(
            f"confidences must lie in [0, 1] (found {scores.min()} to {scores.max()}), bins be at least 1"
        )
    places = np.minimum((scores * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(places, weights=labels.astype(np.float64) - scores, minlength=bins)
    return float(np.abs(gaps).sum() / len(scores))


def risk_coverage(confidences: Sequence[float], correct: Sequence[bool]) -> RiskCoverage:
    """The error rate kept when only the most confident cases are answered, at every cut between distinct confidences.

    Source: Geifman and El-Yaniv, NIPS 2017; `area` weighs each case once, as in their AURC.
    """
    scores, labels = _paired(confidences, correct)
    order = np.argsort(-scores, kind="stable")
    errors = np.cumsum(~labels[order])
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    coverage = (ends + 1) / len(scores)
    risk = errors[ends] / (ends + 1)
    area = float(np.sum(np.diff(coverage, prepend=0.0) * risk))
    return RiskCoverage(coverage, risk, area)


def _paired(confidences: Sequence[float], correct: Sequence[bool]) -> tuple[Float64, npt.NDArray[np.bool_]]:
    scores, labels = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=np.bool_)
    if scores.shape != labels.shape or scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise InvalidInput(
            f"confidences ({scores.shape}) and correct ({labels.shape}) must be equally long, not empty, and finite"
        )
    return scores, labels


# --- comparisons -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of `b − a` over the pairs with its percentile interval; `significant` when the interval leaves out 0."""

    mean: float
    low: float
    high: float

    @property
    def significant(self) -> bool:
        return self.low > 0 or self.high < 0


def paired_bootstrap(
    a: Sequence[float],
    b: Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    statistic: Callable[[Float64], Float64] | None = None,
) -> Difference:
    """The difference `b − a` of two systems over the same cases, with a bootstrap percentile interval.

    Args:
        a: one score a case.
        b: the other system's score of the same case.
        confidence: of the interval, in (0, 1).
        resamples: of the cases, with replacement.
        seed: of the resampling.
        statistic: `[r, n] → [r]` over resampled differences; their mean when None.

    Raises:
        InvalidInput: the sequences differ in length or are empty, or `confidence` is out of range.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13; Sakai, SIGIR 2006.
    """
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1 or not len(left):
        raise InvalidInput(
            f"a ({left.shape}) and b ({right.shape}) must be equally long and not empty: one score a case"
        )
    if not 0 < confidence < 1 or resamples < 1:
        raise InvalidInput(f"confidence ({confidence}) must lie in (0, 1) and resamples ({resamples}) be at least 1")
    differences = right - left
    measure = statistic or _row_means
    generator = np.random.default_rng(seed)
    drawn: list[Float64] = []
    rows = max(1, 2_000_000 // len(differences))  # bounds the memory of one draw at 16 MB
    for start in range(0, resamples, rows):
        picks = generator.integers(0, len(differences), size=(min(rows, resamples - start), len(differences)))
        drawn.append(measure(differences[picks]))
    low, high = np.quantile(np.concatenate(drawn), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Difference(float(measure(differences[None, :])[0]), float(low), float(high))


def _row_means(values: Float64) -> Float64:
    means: Float64 = values.mean(axis=1)
    return means
