"""Fit the abstention calibrator of the bundled reader: `python -m app.training.reader_calibration --data DIR`.

Cases imitate retrieval: the passage that answers among distractors of the same collection, or distractors alone.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.evaluation.metrics import f1
from app.generation.abstention import FEATURES, Calibration, calibrated_confidence, evidence_features
from app.generation.reader import Reader, bundled_folder, load_reader
from app.training.distractors import find_distractors
from app.training.reading_sets import ReadingQuestion, Role, load_reading_questions
from app.transformer.pointer_checkpoints import write_sums
from app.types import Evidence, Generated, GenerationOptions, Hit, Passage, Prompt, StoredChunk

Float64 = npt.NDArray[np.float64]
_RIGHT_F1 = 0.5
SIGNS = (1, -1, 1, 1, 1, 1)
"""Which way each of `FEATURES` may move the confidence."""


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
        chunk = StoredChunk(
            chunk_id=f"1-{number}",
            version_id=1,
            ordinal=number,
            document_id="case",
            version=1,
            collection="case",
            title="",
            source_url=None,
            media_type="text/plain",
            text=text,
            char_start=0,
            char_end=len(text),
            page=None,
            heading_path=(),
            metadata={},
        )
        built.append(Passage(number, Hit(chunk), text, 0, len(text)))
    return Prompt(question, tuple(built), "\n\n".join(passages), 0)


def is_right(generated: Generated, case: Case) -> bool:
    """Return whether the best guess has F1 of one half or more with an accepted answer; never for a goldless case."""
    return bool(case.answers) and f1(generated.text, case.answers) >= _RIGHT_F1


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


def fit_calibration(evidence: Sequence[Evidence], right: Sequence[bool], gains: Sequence[float]) -> Calibration:
    """Return the calibrator of `right` given `evidence`, its threshold chosen by `best_threshold` over `gains`."""
    raw = np.array([evidence_features(e) for e in evidence])
    labels = np.array(right, dtype=np.float64)
    means, scales = raw.mean(axis=0), np.maximum(raw.std(axis=0), 1e-3)
    bias, weights = fit_signed((raw - means) / scales, labels, SIGNS)
    coverage = FEATURES.index("coverage")
    coverage_bias, coverage_weights = fit_logistic(raw[:, coverage : coverage + 1], labels)
    fitted = Calibration(
        features=FEATURES,
        bias=bias,
        weights=tuple(map(float, weights)),
        means=tuple(map(float, means)),
        scales=tuple(map(float, scales)),
        coverage_bias=coverage_bias,
        coverage_weight=float(coverage_weights[0]),
        threshold=0.5,
    )
    confidences = [calibrated_confidence(e, fitted) for e in evidence]
    return Calibration(**{**asdict(fitted), "threshold": best_threshold(confidences, gains)})


def answer_cases(reader: Reader, cases: Sequence[Case]) -> list[Generated]:
    """Return the reader's answer to every case, in order."""
    return [reader.generate(case.prompt, GenerationOptions()) for case in cases]


def answering_gain(generated: Generated, case: Case) -> float:
    """Return what answering is worth over abstaining: F1 where the passages answer, else −1."""
    return f1(generated.text, case.answers) if case.answers else -1.0


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: fit on the dev questions, write `calibration.json` beside the weights, and return 0."""
    parser = argparse.ArgumentParser(prog="python -m app.training.reader_calibration", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds rc/*.jsonl.gz")
    parser.add_argument("--folder", type=Path, default=None, help="of the reader; by default the bundled one")
    parser.add_argument("--limit", type=int, default=300, help="questions per set")
    arguments = parser.parse_args(argv)
    folder = bundled_folder() if arguments.folder is None else arguments.folder
    reader = load_reader(folder)
    questions = load_reading_questions(arguments.data)
    cases = retrieval_cases(questions, "dev", reader.token_ids, answerable_only=True, limit_per_set=arguments.limit)
    answers = answer_cases(reader, cases)
    fitted = fit_calibration(
        [generated.evidence for generated in answers],
        [is_right(generated, case) for generated, case in zip(answers, cases, strict=True)],
        [answering_gain(generated, case) for generated, case in zip(answers, cases, strict=True)],
    )
    stored = {**asdict(fitted), "fitted_on": f"{len(cases)} dev cases of 5 passages, half without the answer"}
    (folder / "calibration.json").write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
    write_sums(folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
