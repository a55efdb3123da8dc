"""Fit the bilingual reader's abstention: `python -m app.training.bilingual.calibrate --data DIR`."""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from app.evaluation.metrics import auroc, expected_calibration_error, f1
from app.generation.abstention import FEATURES, Calibration, calibrated_confidence
from app.generation.reader import bilingual_folder, load_reader
from app.training.bilingual.reading import all_chinese_questions
from app.training.everyday import EVERYDAY_ZH
from app.training.reader_calibration import (
    LEFT_OUT,
    PRIOR_WEIGHTS,
    RISK,
    VERIFY_WEIGHTS,
    Answered,
    answers_by_weights,
    fit_calibration,
)
from app.training.reading_sets import CROSS_LINGUAL_SET, ReadingQuestion
from app.training.verifier.perturb_zh import content_words, names_of, perturbed_zh
from app.transformer.pointer_checkpoints import write_sums

Weights = tuple[float, float]

_NEAR = "_near"
"""Ends the collection of questions that were changed until their passage does not answer them."""
_NEAR_SHARE = 0.125
_WEIGHTED = {EVERYDAY_ZH: 2.0, CROSS_LINGUAL_SET: 1 / 3}
"""Questions of a set, as a multiple of the limit: people ask of their own documents, and seldom in another language."""
_WITHOUT_VERIFIER = tuple(name for name in FEATURES if name != "verification")


def calibrate(data_dir: Path, folder: Path, limit: int = 200) -> dict[str, object]:
    """Write `folder/calibration.json` and the ranking's weights, chosen on Chinese dev questions; return figures.

    Each question is asked of what retrieval finds in a corpus of all their paragraphs, a share of which is left out.
    Chinese sets have no unanswerable questions, so some of theirs are asked a second time, changed by rule. The prior's
    and the verifier's weights are those with the best F1 where the paragraph was found; without a verifier its weight
    is 0.

    Args:
        data_dir: directory that holds `rc/`.
        folder: of the reader.
        limit: questions per set; twice as many about everyday documents, a third across the languages.

    Raises:
        Unavailable: a data file or the reader is missing.
    """
    reader = load_reader(folder)
    questions = [q for q in all_chinese_questions(data_dir) if q.role == "dev"]
    pairs = list(itertools.product(PRIOR_WEIGHTS, VERIFY_WEIGHTS))
    changed = near_misses(questions, round(_NEAR_SHARE * limit))
    limits = {name: round(times * limit) for name, times in _WEIGHTED.items()}
    by_weights = answers_by_weights(reader, [*questions, *changed], pairs, limit_per_set=limit, limits=limits)
    best = best_weights(by_weights)
    answered = by_weights[best]
    fitted = fitted_on(answered, FEATURES)
    told = (
        f"{len(answered)} Chinese dev questions over a mixed corpus, {LEFT_OUT:.0%} of its paragraphs left out, "
        f"{len(changed)} of them changed until nothing answers them; threshold for {RISK:.0%} wrong"
    )
    stored = {**asdict(fitted), "fitted_on": told}
    (folder / "calibration.json").write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    described["settings"]["prior_weight"], described["settings"]["verify_weight"] = best
    (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    write_sums(folder)
    unverified = by_weights[max((pair for pair in pairs if pair[1] == 0), key=lambda pair: found_f1(by_weights[pair]))]
    return {
        "questions": len(answered),
        "f1_by_weights": {f"{p:g}, {v:g}": round(found_f1(by_weights[p, v]), 4) for p, v in pairs},
        "weights": best,
        "without_verifier": figures(unverified, _WITHOUT_VERIFIER),
        "with_verifier": figures(answered, FEATURES),
    }


def near_misses(questions: Sequence[ReadingQuestion], most_per_set: int, seed: int = 0) -> list[ReadingQuestion]:
    """Return questions changed by rule, without an answer, over the same passages.

    Args:
        questions: of one role; those across the languages are left out.
        most_per_set: drawn of each set.
        seed: of the draw.
    """
    rng = random.Random(seed)
    own = [q for q in questions if q.collection != CROSS_LINGUAL_SET]
    words = [word for q in own for word in content_words(q.question)]
    names = sorted({name for q in own for name in names_of(q.question)})
    made = []
    for collection in sorted({q.collection for q in own}):
        members = sorted((q for q in own if q.collection == collection), key=lambda q: q.id)
        for q in rng.sample(members, min(len(members), most_per_set)):
            some = rng.sample(names, min(4, len(names)))
            changed = perturbed_zh(q.question, q.context, rng, names=some, words=words)
            if changed is not None:
                made.append(replace(q, id=q.id + _NEAR, collection=collection + _NEAR, question=changed, answers=()))
    return made


def best_weights(by_weights: Mapping[Weights, Sequence[Answered]]) -> Weights:
    """Return the prior's and the verifier's weight with the highest `found_f1`, of equals the smallest."""
    return max(by_weights, key=lambda pair: (found_f1(by_weights[pair]), -sum(pair)))


def found_f1(answered: Sequence[Answered]) -> float:
    """Return the mean F1 in [0, 1] of the questions whose paragraph was found; each family of sets counts the same."""
    scores: dict[str, list[float]] = {}
    for one in answered:
        if one.found:
            score = f1(one.generated.text, one.question.answers)
            scores.setdefault(_family(one.question.collection), []).append(score)
    return sum(sum(each) / len(each) for each in scores.values()) / max(1, len(scores))


def fitted_on(answered: Sequence[Answered], features: Sequence[str]) -> Calibration:
    """Return the calibrator of some answers by some of `FEATURES`."""
    return fit_calibration(
        [one.generated.evidence for one in answered],
        [one.right for one in answered],
        [_family(one.question.collection) for one in answered],
        features=features,
    )


def figures(answered: Sequence[Answered], features: Sequence[str]) -> dict[str, float]:
    """Return how well confidences tell right answers, each family of sets judged by a fit on the others."""
    groups = [_family(one.question.collection) for one in answered]
    confidences = [0.0] * len(answered)
    for group in set(groups):
        others = fitted_on([one for one, of in zip(answered, groups, strict=True) if of != group], features)
        for place, one in enumerate(answered):
            if groups[place] == group:
                confidences[place] = calibrated_confidence(one.generated.evidence, others)
    right = [one.right for one in answered]
    threshold = fitted_on(answered, features).threshold
    given = [place for place, confidence in enumerate(confidences) if confidence >= threshold]
    return {
        "right": round(sum(right) / len(right), 3),
        "auroc": round(auroc(confidences, right), 3),
        "ece": round(expected_calibration_error(confidences, right), 3),
        "threshold": round(threshold, 3),
        "answered": len(given),
        "answered_right": sum(right[place] for place in given),
    }


def _family(collection: str) -> str:
    """Sets that share articles are one."""
    return "xquad" if collection.startswith("xquad") else collection.removesuffix(_NEAR)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: calibrate, print the figures, and return 0."""
    parser = argparse.ArgumentParser(prog="python -m app.training.bilingual.calibrate", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds rc/*.jsonl.gz")
    parser.add_argument("--folder", type=Path, default=None, help="of the reader; by default the bundled one")
    parser.add_argument("--limit", type=int, default=200, help="questions per set")
    arguments = parser.parse_args(argv)
    found = calibrate(arguments.data, arguments.folder or bilingual_folder(), arguments.limit)
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
