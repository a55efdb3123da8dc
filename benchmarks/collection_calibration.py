"""How many ratings a collection's own calibration needs: simulated collections whose truth is known.

Each line is one kind of collection and one number of rated answers: how often the correction is promoted, and what
that does to the expected log loss of all the collection's answers (negative: better), on average and in the worst
twentieth of the runs. `biased` collections have every second right answer rated as often as a wrong one.

    python -m benchmarks.collection_calibration [--runs 200]

With `--data` the bundled reader answers held-out questions over one mixed corpus, and every given answer is rated by
its F1 with the accepted answers (right: one half or more): what five-fold cross-validation says of each collection.

    python -m benchmarks.collection_calibration --data DIR [--limit 150]
"""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import dataclass
from pathlib import Path

from app.evaluation.metrics import expected_calibration_error, paired_bootstrap
from app.generation.abstention import abstention_threshold, calibrated_confidence, sigmoid
from app.generation.calibration_job import judged
from app.generation.collection_calibration import MIN_EACH, Rated, fit_correction, held_out

SIZES = (30, 60, 120, 240)
CENTRE = 1.0
POPULATION = 2_000


@dataclass(frozen=True, slots=True)
class World:
    """A collection: how its truth differs from the shipped confidence, who rates, and how many answers go unrated."""

    name: str
    shift: float
    slope: float
    bias: float = 1.0  # how many times as likely a wrong answer is to be rated as a right one
    unrated: int = 1_000


WORLDS = (
    World("as shipped", 0.0, 1.0),
    World("as shipped, all rated", 0.0, 1.0, unrated=0),
    World("as shipped, wrong ones rated twice as often", 0.0, 1.0, bias=2.0),
    World("much worse than shipped", -1.5, 1.0),
    World("worse, all rated", -0.8, 1.0, unrated=0),
    World("better, all rated", 0.8, 1.0, unrated=0),
    World("confidence says half as much", 0.0, 0.4),
)


def drawn(world: World, chosen: random.Random) -> tuple[float, bool]:
    """(shipped confidence of a given answer, whether it is right)."""
    while True:
        logit = chosen.gauss(CENTRE, 1.2)
        if logit > -0.5:  # below stand refusals
            return sigmoid(logit), chosen.random() < sigmoid(CENTRE + world.shift + world.slope * (logit - CENTRE))


def rated_answers(world: World, count: int, chosen: random.Random) -> list[Rated]:
    rated: list[Rated] = []
    while len(rated) < count:
        confidence, right = drawn(world, chosen)
        if not right or chosen.random() < 1 / world.bias:
            rated.append(Rated(f"question {len(rated)} {chosen.random()}", confidence, right))
    return rated


def one_run(world: World, count: int, chosen: random.Random) -> tuple[bool, float]:
    """(promoted, change of the expected log loss over all answers)."""
    rated = rated_answers(world, count, chosen)
    if min(sum(each.right for each in rated), sum(not each.right for each in rated)) < min(MIN_EACH, count // 4):
        return False, 0.0

    def compare(a, b, *, confidence: float, seed: int):  # type: ignore[no-untyped-def]
        return paired_bootstrap(a, b, confidence=confidence, seed=seed, resamples=1_000)

    if not judged(held_out(rated, world.unrated, None), compare).promote:
        return False, 0.0
    correction = fit_correction(rated, world.unrated, "simulated")
    change = 0.0
    for _ in range(POPULATION):
        confidence, _right = drawn(world, chosen)
        logit = math.log(confidence / (1 - confidence))
        truth = sigmoid(CENTRE + world.shift + world.slope * (logit - CENTRE))
        for p, sign in ((correction.applied(confidence), 1), (confidence, -1)):
            change += sign * -(truth * math.log(p) + (1 - truth) * math.log(1 - p))
    return True, change / POPULATION


def annotated(data: Path, limit: int) -> None:
    """Print what corrections make of held-out log loss and calibration error, collection by collection."""
    from app.generation.reader import load_reader
    from app.training.reader_calibration import answer_from_corpus
    from app.training.reading_sets import load_reading_questions

    questions = [question for question in load_reading_questions(data) if question.role == "heldout"]
    threshold = abstention_threshold()
    rated: dict[str, list[Rated]] = {}
    for one in answer_from_corpus(load_reader(), questions, limit_per_set=limit):
        confidence = calibrated_confidence(one.generated.evidence)
        if confidence >= threshold:
            rated.setdefault(one.question.collection, []).append(Rated(one.question.question, confidence, one.right))
    for name, cases in sorted(rated.items()):
        right = [each.right for each in cases]
        print(f"{name}: {len(cases)} given answers, {sum(right)} right")
        if len(set(right)) < 2:
            continue
        held = held_out(cases, 0, None)
        truth = [each.right for each, _, _ in held]
        before = expected_calibration_error([serving for _, serving, _ in held], truth)
        after = expected_calibration_error([own for _, _, own in held], truth)
        print(f"  {judged(held, paired_bootstrap).reason}; ECE {before:.3f} → {after:.3f}")
        print(f"  {fit_correction(cases, 0, 'annotated')}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--data", type=Path, help="directory that holds rc/*.jsonl.gz")
    parser.add_argument("--limit", type=int, default=150, help="questions of each set")
    args = parser.parse_args()
    if args.data is not None:
        annotated(args.data, args.limit)
        return
    runs = args.runs
    print(f"{'collection':46} {'rated':>5} {'promoted':>8} {'log loss':>9} {'worst 5%':>9}")
    for world in WORLDS:
        for count in SIZES:
            chosen = random.Random(f"{world.name} {count}")
            outcomes = [one_run(world, count, chosen) for _ in range(runs)]
            changes = sorted(change for _, change in outcomes)
            promoted = sum(promoted for promoted, _ in outcomes) / runs
            print(
                f"{world.name:46} {count:5} {promoted:8.0%} {sum(changes) / runs:+9.4f} "
                f"{changes[int(0.95 * runs)]:+9.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
