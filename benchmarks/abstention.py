"""When the bundled reader abstains: held-out questions over one mixed corpus, a third of its paragraphs left out.

    python -m benchmarks.abstention --data DIR [--limit 100] [--before calibration.json] [--svg FILE]

The corpus is every held-out paragraph of SQuAD, XQuAD, FairytaleQA, QED, PolicyQA and BioASQ; each question gets the
six passages that retrieval and reranking find. An answer is right when its F1 with an accepted answer is one half or
more; so a question whose paragraph was left out, or was not found, is answered wrong whenever it is answered at all.
The calibrator that ships is compared with that of `--before`, with the reader's bare probability and with the
verifier's. `--svg` draws their risk over coverage: the share of wrong answers among those given, surest first,
against the share of questions answered.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.evaluation.metrics import auroc, expected_calibration_error, f1, normalize_answer, risk_coverage
from app.generation.abstention import bundled_calibration, calibrated_confidence, load_calibration, sigmoid
from app.generation.reader import load_reader
from app.training.reader_calibration import Answered, answer_from_corpus
from app.training.reading_sets import SQUAD_FAMILY, load_reading_questions

ALL_BUT_POLICIES = "all but policyqa"
"""A corpus of many firms' policies, whose questions do not say whose: another firm's answer counts as wrong."""
RISKS = (0.1, 0.2, 0.25, 0.3)


@dataclass(frozen=True, slots=True)
class System:
    """One way to be sure: its confidence in each answer, and where it abstains (nowhere: 0)."""

    name: str
    confidences: list[float]
    threshold: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"))
    parser.add_argument("--limit", type=int, default=100, help="questions of each set")
    parser.add_argument("--before", type=Path, help="another calibration.json to compare with")
    parser.add_argument("--wrong", type=int, default=0, help="show as many of the surest wrong answers")
    parser.add_argument("--svg", type=Path, help="where to draw risk over coverage")
    args = parser.parse_args()
    if args.data is None or not (Path(args.data) / "rc").is_dir():
        parser.error("--data DIR must hold rc/*.jsonl.gz; set it or ATTEST_DATA_DIR")
    questions = [q for q in load_reading_questions(Path(args.data)) if q.role == "heldout"]
    answered = answer_from_corpus(load_reader(), questions, limit_per_set=args.limit)
    systems = compared(answered, args.before)
    families = sorted({family(one) for one in answered})
    for name in [*families, ALL_BUT_POLICIES, "all"]:
        rows = [place for place, one in enumerate(answered) if counts_in(name, one)]
        show(name, [answered[place] for place in rows], [picked(system, rows) for system in systems])
    show_risks("right as above", systems, [one.right for one in answered], answered)
    show_risks("right, or one holds the other", systems, [one.right or contained(one) for one in answered], answered)
    show_surest_wrong(answered, systems[-1], args.wrong)
    if args.svg is not None:
        draw(args.svg, systems, [one.right for one in answered])


def family(one: Answered) -> str:
    return "squad+xquad" if one.question.collection in SQUAD_FAMILY else one.question.collection


def counts_in(name: str, one: Answered) -> bool:
    return name in (family(one), "all") or (name == ALL_BUT_POLICIES and one.question.collection != "policyqa")


def contained(one: Answered) -> bool:
    """Whether the answer lies within an accepted one, or one within it, word for word: "2020", "the 2020 season"."""
    said = f" {normalize_answer(one.generated.text)} "
    accepted = [f" {normalize_answer(answer)} " for answer in one.question.answers]
    return bool(said.strip()) and any(answer.strip() and (answer in said or said in answer) for answer in accepted)


def show_risks(name: str, systems: Sequence[System], right: Sequence[bool], answered: Sequence[Answered]) -> None:
    """The share of the answerable that is answered at each risk, counting `right` answers as right."""
    found = [one.found for one in answered]
    print(f"\n{name}: {sum(right)} of {len(right)}")
    for system in systems:
        shares = [100 * answerable_at(system.confidences, right, found, risk) for risk in RISKS]
        print(
            f"  {system.name:<18}AUROC {auroc(system.confidences, right):.3f}"
            + "".join(f"{f'{share:.1f} at {100 * risk:.0f} %':>16}" for share, risk in zip(shares, RISKS, strict=True))
        )


def show_surest_wrong(answered: Sequence[Answered], system: System, most: int) -> None:
    wrong = [place for place in range(len(answered)) if not answered[place].right]
    for place in sorted(wrong, key=lambda place: -system.confidences[place])[:most]:
        one, asked = answered[place], answered[place].question
        print(
            f"{system.confidences[place]:.2f} {asked.collection} {'found' if one.found else 'not there'}: "
            f"{asked.question!r} -> {one.generated.text[:80]!r}, accepted {list(asked.answers[:2])}"
        )


def compared(answered: Sequence[Answered], before: Path | None) -> list[System]:
    evidence = [one.generated.evidence for one in answered]
    systems = [System("bare probability", [math.exp(e.answer_logprob or -math.inf) for e in evidence], 0.5)]
    if before is not None:
        old = load_calibration(before)
        systems.append(System("before", [calibrated_confidence(e, old) for e in evidence], old.threshold))
    verified = [-99.0 if e.verification is None else e.verification for e in evidence]
    if max(verified) > min(verified):
        systems.append(System("verifier alone", [sigmoid(logit) for logit in verified], 0.5))
    new = bundled_calibration()
    return [*systems, System("shipped", [calibrated_confidence(e, new) for e in evidence], new.threshold)]


def picked(system: System, rows: Sequence[int]) -> System:
    return System(system.name, [system.confidences[row] for row in rows], system.threshold)


def show(name: str, answered: Sequence[Answered], systems: Sequence[System]) -> None:
    """Percentages; `at R %` is the share of the answerable that is answered when R % of all answers are wrong."""
    right = [one.right for one in answered]
    found = [one.found for one in answered]
    print(
        f"\n{name}: {len(answered)} questions, {sum(found)} with their paragraph among the passages "
        f"(F1 of these, all answered, {percent([f1_of(one) for one in answered if one.found]):.1f}), {sum(right)} right"
    )
    print(
        f"  {'confidence':<18}{'AUROC right':>12}{'answerable':>11}{'ECE':>7}{'answered':>10}{'declined':>10}"
        f"{'wrong':>7}" + "".join(f"{f'at {100 * risk:.0f} %':>9}" for risk in RISKS)
    )
    for system in systems:
        given = [confidence >= system.threshold for confidence in system.confidences]
        print(
            f"  {system.name:<18}{auroc(system.confidences, right):>12.3f}{auroc(system.confidences, found):>11.3f}"
            f"{expected_calibration_error(system.confidences, right):>7.3f}"
            f"{percent([float(g) for g, f in zip(given, found, strict=True) if f]):>10.1f}"
            f"{percent([float(not g) for g, f in zip(given, found, strict=True) if not f]):>10.1f}"
            f"{percent([float(not r) for g, r in zip(given, right, strict=True) if g]):>7.1f}"
            + "".join(f"{100 * answerable_at(system.confidences, right, found, risk):>9.1f}" for risk in RISKS)
        )


def answerable_at(confidences: Sequence[float], right: Sequence[bool], found: Sequence[bool], risk: float) -> float:
    """Share of the answerable questions among those answered, surest first, while at most `risk` of these are wrong."""
    count = round(risk_coverage(confidences, right).coverage_at(risk) * len(confidences))
    surest = sorted(range(len(confidences)), key=lambda place: -confidences[place])[:count]
    return sum(found[place] for place in surest) / max(1, sum(found))


def f1_of(one: Answered) -> float:
    return f1(one.generated.text, one.question.answers)


def percent(values: Sequence[float]) -> float:
    return 100 * sum(values) / len(values) if values else math.nan


def draw(path: Path, systems: Sequence[System], right: Sequence[bool]) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "attest"  # the same picture, the same bytes
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.6))
    for system in systems:
        curve = risk_coverage(system.confidences, right)
        axes.plot([100 * c for c in curve.coverage], [100 * r for r in curve.risk], label=system.name)
    axes.set_xlabel("questions answered, surest first (%)")
    axes.set_ylabel("wrong among them (%)")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, None)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
