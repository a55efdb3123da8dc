"""Fit the abstention calibrator of the bundled reader: `python -m app.training.reader_calibration --data DIR`.

The reader answers dev questions from what retrieval finds in one corpus of all their paragraphs, a third of which is
left out. `retrieval_cases` are for benchmarks: the passage that answers among distractors of the same collection, or
distractors alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.embedding.loading import load_encoder
from app.evaluation.metrics import auroc, expected_calibration_error, f1, risk_coverage
from app.generation.abstention import FEATURES, Calibration, calibrated_confidence, evidence_features
from app.generation.reader import Reader, bundled_folder, load_reader
from app.rerank.ranker import Ranker
from app.training.distractors import find_distractors
from app.training.everyday import EVERYDAY, all_reading_questions
from app.training.mixed_corpus import left_out, mixed_corpus
from app.training.reading_sets import SQUAD_FAMILY, ReadingQuestion, Role
from app.transformer.pointer_checkpoints import write_sums
from app.types import Evidence, Generated, GenerationOptions, Hit, Passage, Prompt, StoredChunk

Float64 = npt.NDArray[np.float64]
_RIGHT_F1 = 0.5
SIGNS = {name: -1 if name == "null_logit" else 1 for name in FEATURES}
"""Which way each of `FEATURES` may move the confidence."""
LEFT_OUT = 0.35
PRIOR_WEIGHTS, VERIFY_WEIGHTS = (0.35, 1.0, 2.0), (0.0, 0.4, 0.8, 1.2)
WEIGHTED = {EVERYDAY: 2.5, "policyqa": 1 / 3}
"""Questions of a set, as a multiple of the limit: people ask of documents such as the everyday ones; policies of many
firms in one corpus, whose questions do not say whose is meant, are a case of their own."""
RISK = 0.4
"""Share of wrong answers among those given, at the shipped threshold, on the dev questions."""


@dataclass(frozen=True, slots=True)
class Case:
    """A question over passages; `answers` is empty when none of them answers it."""

    question: ReadingQuestion
    prompt: Prompt
    answers: tuple[str, ...]


def retrieval_cases(
    questions: Sequence[ReadingQuestion],
    role: Role,
    token_ids: Callable[[str], Sequence[int]],
    *,
    passages: int = 5,
    goldless_share: float = 0.5,
    answerable_only: bool = False,
    limit_per_set: int = 600,
    seed: int = 0,
) -> list[Case]:
    """Return cases of `passages` passages each, the answering one at a random place or, for a share, left out.

    Args:
        questions: all; those of `role` and their passages are used.
        role: "dev" to fit, "heldout" to report.
        token_ids: the tokens of a text, for choosing distractors.
        passages: per case; fewer where a collection has no more distractors.
        goldless_share: of the answerable questions lose the passage that answers; unanswerable ones keep theirs.
        answerable_only: leave the unanswerable ones out.
        limit_per_set: questions drawn per collection.
        seed: of the draw.
    """
    rng = random.Random(seed)
    members = [q for q in questions if q.role == role and (q.answers or not answerable_only)]
    distractors = find_distractors(members, token_ids)
    cases = []
    for collection in sorted({q.collection for q in members}):
        pool = [q for q in members if q.collection == collection and distractors[q.id]]
        for q in rng.sample(pool, min(len(pool), limit_per_set)):
            goldless = bool(q.answers) and rng.random() < goldless_share
            texts = rng.sample(distractors[q.id], min(len(distractors[q.id]), passages if goldless else passages - 1))
            if not goldless:
                texts.insert(rng.randrange(len(texts) + 1), q.context)
            cases.append(Case(q, prompt_of(q.question, texts), () if goldless else q.answers))
    return cases


def prompt_of(question: str, passages: Sequence[str]) -> Prompt:
    """Return a prompt over passages that come from no index and have no title."""
    built = []
    for number, text in enumerate(passages, start=1):
        chunk = StoredChunk.of_text(text, f"case-{number}", collection="case")
        built.append(Passage(number, Hit(chunk), text, 0, len(text)))
    return Prompt(question, tuple(built), "\n\n".join(passages), 0)


def fit_logistic(features: Float64, labels: Float64, l2: float = 1.0) -> tuple[float, Float64]:
    """Return `(bias, weights)` that minimise the logistic loss plus `l2 / 2 · |weights|²`, by Newton's method.

    Args:
        features: `[n, k]`, standardised.
        labels: `[n]`, 0 or 1.
        l2: penalty; the bias has none.

    Raises:
        ValueError: all labels are the same.
    """
    if labels.min() == labels.max():
        raise ValueError("labels are all the same: draw more cases, both right and wrong answers are needed")
    design = np.hstack([np.ones((len(features), 1)), features])
    penalty = np.diag([1e-9, *[l2] * features.shape[1]])
    theta = np.zeros(design.shape[1])
    for _ in range(50):
        probability = 1 / (1 + np.exp(-np.clip(design @ theta, -30, 30)))
        gradient = design.T @ (probability - labels) + penalty @ theta
        hessian = (design * (probability * (1 - probability))[:, None]).T @ design + penalty
        step = np.linalg.solve(hessian, gradient)
        theta = theta - step
        if np.abs(step).max() < 1e-9:
            break
    return float(theta[0]), theta[1:]


def fit_signed(features: Float64, labels: Float64, signs: Sequence[int], l2: float = 1.0) -> tuple[float, Float64]:
    """Return `(bias, weights)` as `fit_logistic`, where no weight has the wrong sign: such a feature gets 0.

    Features that say nearly the same otherwise share one weight out as a large positive and a large negative one, which
    fits the collections at hand and turns against the answer on others.

    Args:
        features: `[n, k]`, standardised.
        labels: `[n]`, 0 or 1.
        signs: 1 or −1 for each feature.
        l2: penalty; the bias has none.

    Raises:
        ValueError: all labels are the same.
    """
    kept = list(range(features.shape[1]))
    while True:
        bias, fitted = fit_logistic(features[:, kept], labels, l2)
        wrong = [place for place, feature in enumerate(kept) if fitted[place] * signs[feature] < 0]
        if not wrong:
            weights = np.zeros(features.shape[1])
            weights[kept] = fitted
            return bias, weights
        kept.pop(max(wrong, key=lambda place: abs(fitted[place])))


def best_threshold(confidences: Sequence[float], gains: Sequence[float]) -> float:
    """Return the confidence at and above which answering maximises the summed gain.

    Args:
        confidences: of the cases.
        gains: of answering instead of abstaining: F1 for an answerable case, −1 for one without an answer.
    """
    order = np.argsort(-np.asarray(confidences), kind="stable")
    sorted_confidences = np.asarray(confidences)[order]
    total = np.concatenate([[0.0], np.cumsum(np.asarray(gains)[order])])
    count = int(total.argmax())
    if count == 0:
        return 1.0
    if count == len(order):
        return float(sorted_confidences[-1])
    return float((sorted_confidences[count - 1] + sorted_confidences[count]) / 2)


def threshold_at_risk(confidences: Sequence[float], right: Sequence[bool], risk: float) -> float:
    """Return the lowest confidence at and above which at most the share `risk` of the answers is wrong.

    It lies halfway to the surest answer that is then left out; above all of them where no prefix is good enough.

    Source: selective classification at a stated risk: Geifman & El-Yaniv 2017, section 3 (without their bound).
    """
    surest = sorted(confidences, reverse=True)
    count = round(risk_coverage(confidences, right).coverage_at(risk) * len(surest))
    if count == 0:
        return float(np.nextafter(surest[0], 2.0))
    return (surest[count - 1] + surest[count]) / 2 if count < len(surest) else surest[-1]


def fit_calibration(
    evidence: Sequence[Evidence],
    right: Sequence[bool],
    groups: Sequence[str],
    *,
    features: Sequence[str] = FEATURES,
    risk: float = RISK,
) -> Calibration:
    """Return the calibrator of `right` given `evidence`, and the threshold at which the share `risk` is wrong.

    Args:
        evidence: of the answers, each a best guess.
        right: whether each is right.
        groups: the collection of each: the threshold is chosen on confidences that a fit on the other collections gave,
            for a fit is surer of the answers that it has seen.
        features: of `FEATURES`; those that no evidence has are left out.
        risk: of the threshold.
    """
    labels, named = np.array(right, dtype=np.float64), np.array(groups)
    fitted = _fitted(evidence, labels, features)
    confidences = np.array([calibrated_confidence(e, fitted) for e in evidence])
    parts = [named == group for group in dict.fromkeys(groups)]
    if len(parts) > 1 and all(0 < labels[~part].mean() < 1 for part in parts):
        for part in parts:
            others = _fitted([e for e, out in zip(evidence, part, strict=True) if not out], labels[~part], features)
            confidences[part] = [
                calibrated_confidence(e, others) for e, inside in zip(evidence, part, strict=True) if inside
            ]
    threshold = threshold_at_risk(confidences.tolist(), right, risk)
    return Calibration(**{**asdict(fitted), "threshold": threshold})


def _fitted(evidence: Sequence[Evidence], labels: Float64, features: Sequence[str]) -> Calibration:
    found = [evidence_features(e) for e in evidence]
    known = tuple(name for name in features if not all(math.isnan(numbers[name]) for numbers in found))
    raw = np.array([[numbers[name] for name in known] for numbers in found])
    means, scales = np.nanmean(raw, axis=0), np.maximum(np.nanstd(raw, axis=0), 1e-3)
    standardised = np.nan_to_num((raw - means) / scales, nan=0.0)
    bias, weights = fit_signed(standardised, labels, [SIGNS[name] for name in known])
    coverage = np.array([[numbers["coverage"]] for numbers in found])
    coverage_bias, coverage_weights = fit_logistic(coverage, labels)
    return Calibration(
        features=known,
        bias=bias,
        weights=tuple(map(float, weights)),
        means=tuple(map(float, means)),
        scales=tuple(map(float, scales)),
        coverage_bias=coverage_bias,
        coverage_weight=float(coverage_weights[0]),
        threshold=0.5,
    )


@dataclass(frozen=True, slots=True)
class Answered:
    """A question, what retrieval found for it, and what the reader made of that; `found`: the answering paragraph."""

    question: ReadingQuestion
    prompt: Prompt
    generated: Generated
    found: bool

    @property
    def right(self) -> bool:
        """Whether the best guess has F1 of one half or more with an accepted answer."""
        return f1(self.generated.text, self.question.answers) >= _RIGHT_F1 if self.question.answers else False


def answer_from_corpus(
    reader: Reader,
    questions: Sequence[ReadingQuestion],
    *,
    limit_per_set: int,
    share_left_out: float = LEFT_OUT,
    seed: int = 0,
) -> list[Answered]:
    """Return the reader's answers from a corpus of all the questions' paragraphs but a share, collections mixed.

    Args:
        reader: that answers.
        questions: of one role.
        limit_per_set: questions drawn of each collection.
        share_left_out: of the paragraphs, so that some questions have no answer in the corpus.
        seed: of the draw.
    """
    (answered,) = answers_by_weights(
        reader, questions, [reader.weights], limit_per_set=limit_per_set, share_left_out=share_left_out, seed=seed
    ).values()
    return answered


def answers_by_weights(
    reader: Reader,
    questions: Sequence[ReadingQuestion],
    weights: Sequence[tuple[float, float]],
    *,
    limit_per_set: int,
    limits: Mapping[str, int] | None = None,
    share_left_out: float = LEFT_OUT,
    seed: int = 0,
) -> dict[tuple[float, float], list[Answered]]:
    """Return what `answer_from_corpus` does for each of `Reader.weights`; every prompt is read and searched once.

    `limits` are other numbers of questions for some collections.
    """
    rng = random.Random(seed)
    texts = sorted({q.context for q in questions if not left_out(q.context, share_left_out)})
    asked: list[ReadingQuestion] = []
    for collection in sorted({q.collection for q in questions}):
        members = sorted((q for q in questions if q.collection == collection), key=lambda q: q.id)
        asked += rng.sample(members, min(len(members), (limits or {}).get(collection, limit_per_set)))
    answered: dict[tuple[float, float], list[Answered]] = {pair: [] for pair in weights}
    readers = {pair: reader.with_weights(*pair) for pair in weights}
    options = GenerationOptions()
    with mixed_corpus(texts, load_encoder(), Ranker.load()) as corpus:
        for q in asked:
            prompt = corpus.prompt(q.question)
            is_found = bool(q.answers) and any(passage.text == q.context for passage in prompt.passages)
            read = reader.read(prompt)
            found = reader.search(read, options)
            for pair, weighted in readers.items():
                answered[pair].append(Answered(q, prompt, weighted.answer(read, found, options), is_found))
    return answered


def mean_f1(answered: Sequence[Answered]) -> float:
    """Return the F1 in [0, 1] of the questions whose paragraph was found, each collection counting the same."""
    by_family: dict[str, list[float]] = {}
    for one in answered:
        if one.found:
            scores = by_family.setdefault(family(one.question.collection), [])
            scores.append(f1(one.generated.text, one.question.answers))
    return sum(sum(scores) / len(scores) for scores in by_family.values()) / max(1, len(by_family))


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: choose the ranking's weights and fit, on the dev questions; write both to the folder, return 0."""
    parser = argparse.ArgumentParser(prog="python -m app.training.reader_calibration", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds rc/*.jsonl.gz")
    parser.add_argument("--folder", type=Path, default=None, help="of the reader; by default the bundled one")
    parser.add_argument("--limit", type=int, default=300, help="questions per set; of some more or fewer")
    parser.add_argument(
        "--prior-weights", type=float, nargs="+", default=PRIOR_WEIGHTS, help="of ln p(passage | question), to try"
    )
    parser.add_argument(
        "--verify-weights", type=float, nargs="+", default=VERIFY_WEIGHTS, help="of the verifier's log-odds, to try"
    )
    arguments = parser.parse_args(argv)
    folder = bundled_folder() if arguments.folder is None else arguments.folder
    reader = load_reader(folder)
    questions = [q for q in all_reading_questions(arguments.data) if q.role == "dev"]
    pairs = list(itertools.product(arguments.prior_weights, arguments.verify_weights))
    limits = {name: round(times * arguments.limit) for name, times in WEIGHTED.items()}
    by_weights = answers_by_weights(reader, questions, pairs, limit_per_set=arguments.limit, limits=limits)
    scores = {pair: mean_f1(answered) for pair, answered in by_weights.items()}
    best = max(pairs, key=lambda pair: (scores[pair], -sum(pair)))
    answered = by_weights[best]
    evidence = [one.generated.evidence for one in answered]
    right = [one.right for one in answered]
    fitted = fit_calibration(evidence, right, [family(one.question.collection) for one in answered])
    confidences = [calibrated_confidence(e, fitted) for e in evidence]
    figures = {
        "questions": len(answered),
        "f1_by_weights": {f"{prior:g}, {verify:g}": round(score, 4) for (prior, verify), score in scores.items()},
        "weights": best,
        "right": round(sum(right) / len(right), 3),
        "auroc": round(auroc(confidences, right), 3),
        "ece": round(expected_calibration_error(confidences, right), 3),
        "threshold": round(fitted.threshold, 3),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    stored = {
        **asdict(fitted),
        "fitted_on": f"{len(answered)} dev questions over a mixed corpus, {LEFT_OUT:.0%} of its paragraphs left out; "
        f"threshold for {RISK:.0%} wrong",
    }
    (folder / "calibration.json").write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    described["settings"]["prior_weight"], described["settings"]["verify_weight"] = best
    (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    write_sums(folder)
    return 0


def family(collection: str) -> str:
    """Return the name under which a collection counts: sets that share articles are one."""
    return "squad" if collection in SQUAD_FAMILY else collection


if __name__ == "__main__":
    raise SystemExit(main())
