"""When to say "the documents don't say": a calibrated probability that the answer is right, and the threshold for it.

The probability is a logistic (Platt) regression over the generator's evidence,

    confidence = σ(w₀ + Σᵢ wᵢ · (xᵢ − meanᵢ) / scaleᵢ),

fitted on development questions over a mixed corpus from which a third of the paragraphs was left out. What a generator
does not know about its answer counts as average.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

from app.errors import Unavailable
from app.types import Evidence

FEATURES = (
    "answer_logprob",
    "null_logit",
    "top_mass",
    "rival_gap",
    "coverage",
    "span_over_null",
    "retrieval_agreement",
    "kind_fit",
    "verification",
)
"""What a calibration may be fitted on; it names those that it uses."""
_FIRST_WORD_ID = 1996  # BERT's vocabulary: specials and single characters come before, words after by frequency
_SMALLEST = 1e-6
_SUREST = 10.0
_OTHER_YEARS = 1.5
"""Log-odds that an answer from other years than the one asked about loses: of 55 such guesses over training passages 11
were right, of 365 others 194, unanswerable questions among both."""
_NAMED_CELL_RIGHT = 0.8
"""Share of right answers among table cells that questions name by row and column: 75 of 90 on the questions that the
rule was made on, 249 of 309 on others, the right table at hand (WikiTableQuestions)."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted logistic regression. `weights`, `means` and `scales` follow `features`.

    `coverage_bias` and `coverage_weight` serve a generator that reports no probabilities of its own.
    """

    features: tuple[str, ...]
    bias: float
    weights: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    coverage_bias: float
    coverage_weight: float
    threshold: float


def calibrated_confidence(evidence: Evidence, calibration: Calibration | None = None) -> float:
    """Return the probability in [0, 1] that the answer is right.

    Args:
        evidence: of the generator; without log-probabilities only the question's coverage counts.
        calibration: by default the one bundled with the reader.

    Source: Platt 1999, section 2.1; features after Kamath, Jia & Liang 2020, section 4.
    """
    fitted = bundled_calibration() if calibration is None else calibration
    if evidence.answer_logprob is None or evidence.null_logprob is None:
        coverage = 0.0 if evidence.question_coverage is None else evidence.question_coverage
        return sigmoid(fitted.coverage_bias + fitted.coverage_weight * coverage)
    values = evidence_features(evidence)
    terms = zip(fitted.features, fitted.weights, fitted.means, fitted.scales, strict=True)
    logit = fitted.bias + sum(
        weight * (values[name] - mean) / scale for name, weight, mean, scale in terms if not math.isnan(values[name])
    )
    if evidence.other_years:
        logit -= _OTHER_YEARS
    if evidence.named_cell:  # the reader was trained on running text: its doubts about a cell say little
        return max(sigmoid(logit), _NAMED_CELL_RIGHT * (evidence.question_coverage or 0.0))
    return sigmoid(logit)


def abstention_threshold(calibration: Calibration | None = None) -> float:
    """Return the confidence below which "auto" abstains, by default the bundled reader's."""
    return (bundled_calibration() if calibration is None else calibration).threshold


def evidence_features(evidence: Evidence) -> dict[str, float]:
    """Return the numbers that `FEATURES` names, NaN where the evidence has none.

    `null_logit = ln p(no answer) − ln(1 − p(no answer))`; `top_mass` is the start mass of the most promising passage;
    `rival_gap` is the log-odds of the answer over the runner-up, at most 10; `coverage` is 0 where it is unknown;
    `span_over_null` is in logits, within ±20, and `verification` within ±10.
    """
    answer = max(evidence.answer_logprob or 0.0, -20.0)
    null = min(max(math.exp(evidence.null_logprob or 0.0), _SMALLEST), 1 - _SMALLEST)
    rival = evidence.runner_up_logprob
    gap = 10.0 if rival is None else min(10.0, max(-10.0, answer - rival))
    top = max(evidence.passage_mass, default=0.0)
    span = min(20.0, max(-20.0, evidence.span_over_null or 0.0))
    agreement, fit, verified = evidence.retrieval_agreement, evidence.kind_fit, evidence.verification
    numbers = (
        answer,
        math.log(null) - math.log1p(-null),
        top,
        gap,
        evidence.question_coverage or 0.0,
        span,
        math.nan if agreement is None else agreement,
        math.nan if fit is None else fit,
        math.nan if verified is None else min(_SUREST, max(-_SUREST, verified)),
    )
    return dict(zip(FEATURES, numbers, strict=True))


def question_coverage(question_ids: Sequence[int], passage_ids: Set[int], stems: Sequence[str]) -> float:
    """Return the share in [0, 1] of the question's terms that the passages hold, each weighted by its rarity.

    The weight of word piece i is `ln(1 + i − 1996)`: BERT's vocabulary is sorted by frequency, so by Zipf's law the
    logarithm of the rank grows as an inverse document frequency does, and no corpus statistics are needed.

    Args:
        question_ids: word pieces of the question.
        passage_ids: word pieces of all passages.
        stems: `word_stem` of every entry of the vocabulary; pieces with equal stems count as one term.
    """
    held = {stems[i] for i in passage_ids}
    weights = {stems[i]: math.log(1 + i - _FIRST_WORD_ID) for i in question_ids if i > _FIRST_WORD_ID}
    whole = sum(weights.values())
    return sum(weight for stem, weight in weights.items() if stem in held) / whole if whole else 0.0


def word_stem(token: str) -> str:
    """Return the first five characters without a plural s: "returned" and "return", "items" and "item" agree."""
    return (token[:-1] if len(token) > 3 and token.endswith("s") else token)[:5]


def sigmoid(x: float) -> float:
    """Return `1 / (1 + e^−x)` without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def load_calibration(path: Path) -> Calibration:
    """Return the calibration of a JSON file.

    Raises:
        Unavailable: the file is missing.
        ValueError: it was fitted on other features than this version computes.
    """
    if not path.is_file():
        raise Unavailable(f"calibration file {path} is missing: reinstall Attest")
    return calibration_from(json.loads(path.read_text(encoding="utf-8")))


def calibration_from(stored: Mapping[str, object]) -> Calibration:
    """Return the calibration that `stored` (parsed JSON) describes.

    Raises:
        ValueError: it was fitted on other features than this version computes.
    """
    features = tuple(_strings(stored["features"]))
    unknown = [name for name in features if name not in FEATURES]
    if unknown or not features:
        raise ValueError(f"calibration features={features}, this version computes {FEATURES}: fit it again")
    return Calibration(
        features=features,
        bias=_number(stored["bias"]),
        weights=_numbers(stored["weights"]),
        means=_numbers(stored["means"]),
        scales=_numbers(stored["scales"]),
        coverage_bias=_number(stored["coverage_bias"]),
        coverage_weight=_number(stored["coverage_weight"]),
        threshold=_number(stored["threshold"]),
    )


@lru_cache(maxsize=1)
def bundled_calibration() -> Calibration:
    """Return the calibration that ships with the bundled reader."""
    return load_calibration(Path(str(resources.files("app.bundled"))) / "reader" / "calibration.json")


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise ValueError(f"calibration value {value!r} is not a number: fit it again")
    return float(value)


def _numbers(values: object) -> tuple[float, ...]:
    if not isinstance(values, list):
        raise ValueError(f"calibration value {values!r} is not a list: fit it again")
    return tuple(_number(value) for value in values)


def _strings(values: object) -> list[str]:
    return [str(value) for value in values] if isinstance(values, list) else []
