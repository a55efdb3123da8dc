"""Fit the abstention calibrator of the sentence selector: `python -m app.training.sentence_calibration --data DIR`.

Chinese questions, since that is where the selector answers: fitted on `rc/cmrc2018` (split "trial"), reported on
`rc/drcd`, a collection of its own in Traditional characters. Half of the questions lose the passage that answers them;
an answer is right when the chosen sentence holds an accepted answer.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from app.evaluation.metrics import auroc, expected_calibration_error
from app.generation.sentences import SentenceConfidence, SentenceSelector, bundled_confidence_file
from app.index.analysis import analyze
from app.training.reader_calibration import fit_logistic, prompt_of
from app.types import Generated, GenerationOptions

PASSAGES = 5
Cases = list[tuple[Generated, bool]]


def main(argv: Sequence[str] | None = None) -> int:
    """Fits, writes `calibration.json`, and prints one JSON line with the held-out figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=bundled_confidence_file())
    parser.add_argument("--limit", type=int, default=400, help="questions of each collection")
    args = parser.parse_args(argv)
    fitting = answer_cases(_rows(args.data / "rc" / "cmrc2018.jsonl.gz", "trial"), args.limit)
    held_out = answer_cases(_rows(args.data / "rc" / "drcd.jsonl.gz", "dev"), args.limit)

    features = np.array([[made.evidence.question_coverage or 0.0, made.evidence.margin or 0.0] for made, _ in fitting])
    bias, weights = fit_logistic(features, np.array([right for _, right in fitting], dtype=np.float64), l2=0.01)
    fitted = SentenceConfidence(bias, float(weights[0]), float(weights[1]), threshold=0.5)
    args.out.write_text(json.dumps(asdict(fitted), indent=2) + "\n", encoding="utf-8")
    figures = {name: report(cases, fitted) for name, cases in (("cmrc2018", fitting), ("drcd", held_out))}
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


def report(cases: Cases, fitted: SentenceConfidence) -> dict[str, float]:
    """Shares in [0, 1] over the cases, and AUROC and expected calibration error of the confidence."""
    confidences = [fitted.confidence(made.evidence) for made, _ in cases]
    right = [correct for _, correct in cases]
    answered = [
        correct for confidence, correct in zip(confidences, right, strict=True) if confidence >= fitted.threshold
    ]
    return {
        "cases": len(cases),
        "right": round(sum(right) / len(right), 3),
        "answered": round(len(answered) / len(cases), 3),
        "right_of_answered": round(sum(answered) / max(1, len(answered)), 3),
        "auroc": round(auroc(confidences, right), 3),
        "ece": round(expected_calibration_error(confidences, right), 3),
    }


def answer_cases(rows: Sequence[dict[str, Any]], limit: int, seed: int = 0) -> Cases:
    """What the selector says to each question over `PASSAGES` lexically near passages, and whether it is right."""
    rng = random.Random(seed)
    contexts = list(dict.fromkeys(row["context"] for row in rows))
    terms = {context: set(analyze(context)) for context in contexts}
    frequency = Counter(term for found in terms.values() for term in found)

    def near(question: str) -> list[str]:
        asked = set(analyze(question))
        score = {
            context: sum(math.log(1 + len(contexts) / frequency[term]) for term in asked & terms[context])
            for context in contexts
        }
        return sorted(contexts, key=lambda context: -score[context])[: PASSAGES + 1]

    cases: Cases = []
    for row in rng.sample(list(rows), min(limit, len(rows))):
        others = [context for context in near(row["question"]) if context != row["context"]]
        keep = rng.random() < 0.5
        passages = [row["context"], *others[: PASSAGES - 1]] if keep else others[:PASSAGES]
        rng.shuffle(passages)
        made = SentenceSelector().generate(prompt_of(row["question"], passages), GenerationOptions())
        cases.append((made, keep and any(answer in made.text for answer in row["answers"])))
    return cases


def _rows(path: Path, split: str) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [row for row in map(json.loads, lines) if row["split"] == split]


if __name__ == "__main__":
    raise SystemExit(main())
