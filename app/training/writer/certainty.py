"""How sure the writer must be before its text is offered: a least mean log-probability for each task, from dev pairs.

    python -m app.training.writer.certainty --data DIR --folder FOLDER

For follow-ups and decompositions it is the one at which the writer's texts, with those of the rules where it offers
none, come nearest to the accepted ones. A statement is offered where the rules are silent, so there the measure is how
often the writer says what the rules say where they do speak.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.evaluation.metrics import exact_match, f1
from app.generation.declarative import declarative
from app.generation.writer import BundledWriter
from app.query.conversation import condense
from app.query.decomposition import decompose
from app.query.rewriting import standing_alone
from app.query.step_back import step_back
from app.training.writer.corpus import load_pairs
from app.training.writer.pairs import WritingPair
from app.transformer.pointer_checkpoints import write_sums
from app.transformer.writer_checkpoints import STEP_BREAK
from app.types import Message

STATEMENT_PRECISION = 0.85
_SAMPLE = 60  # dev pairs of each task and set
_RULES_TASKS = ("standalone", "decompose")
NEVER = 1.0  # no log-probability reaches it


@dataclass(frozen=True, slots=True)
class Offer:
    """The writer's log-probability (None: no offer), how good its text is, and how good it is without the writer."""

    logprob: float | None
    quality: float
    otherwise: float


def least_for_gain(offers: Sequence[Offer]) -> float:
    """Return the least log-probability at which the mean quality of all is highest; `NEVER` if that is without any."""
    best, chosen = statistics.fmean(offer.otherwise for offer in offers), NEVER
    for least in sorted({offer.logprob for offer in offers if offer.logprob is not None}, reverse=True):
        used = [o.quality if o.logprob is not None and o.logprob >= least else o.otherwise for o in offers]
        if statistics.fmean(used) > best:
            best, chosen = statistics.fmean(used), least
    return chosen


def least_for_precision(offers: Sequence[Offer], precision: float) -> float:
    """Return the least log-probability above which a share of `precision` is good; `NEVER` if none is."""
    sure = sorted((o for o in offers if o.logprob is not None), key=lambda o: o.logprob or 0.0, reverse=True)
    chosen, good = NEVER, 0.0
    for number, offer in enumerate(sure, start=1):
        good += offer.quality
        if good / number >= precision and offer.logprob is not None:
            chosen = offer.logprob
    return chosen


def by_rules(pair: WritingPair) -> str | None:
    """Return what the rules write for a pair, steps in one line; None where they have nothing to offer."""
    if pair.task == "sentence":
        return declarative(pair.question, pair.heading, pair.passage)
    if pair.task == "standalone":
        history = [Message("user", pair.heading)] + ([Message("assistant", pair.passage)] if pair.passage else [])
        done = condense(pair.question, history)
        return done.text if done.changed else None
    if pair.task == "decompose":
        return " ".join(decompose(pair.question)) or None
    return step_back(pair.question) if pair.task == "step_back" else None


def accepted(pair: WritingPair) -> str:
    """Return the target; of a decomposition its steps in one line, each standing alone."""
    steps = [step for step in pair.target.split(STEP_BREAK) if step]
    return " ".join(standing_alone(steps)) if pair.task == "decompose" else pair.target


def quality(pair: WritingPair, text: str | None) -> float:
    """Return the token F1; with no text that of the question as it stands, and 1 for "no steps" where none are due."""
    gold = accepted(pair)
    if text is None and pair.task == "decompose":
        return float(not gold)
    return f1(text or pair.question, [gold]) if gold else 0.0


def offer_of(pair: WritingPair, writer: BundledWriter) -> Offer:
    """Return what the writer's best offer for a pair is worth."""
    offers = writer.offers(pair.task, pair.question, heading=pair.heading, passage=pair.passage)
    if not offers:
        return Offer(None, 0.0, quality(pair, by_rules(pair)))
    texts, logprob = offers[0]
    text = " ".join(standing_alone(texts))
    if pair.task == "sentence":
        return Offer(logprob, exact_match(text, [pair.target]), 0.0)
    return Offer(logprob, quality(pair, text), quality(pair, by_rules(pair)))


def choose(writer: BundledWriter, pairs: Sequence[WritingPair], seed: int = 0) -> dict[str, float]:
    """Return the least log-probabilities by task, from a sample of the dev pairs among `pairs`."""
    found = {}
    for task in (*_RULES_TASKS, "sentence"):
        by_set: dict[str, list[WritingPair]] = {}
        for pair in pairs:
            if pair.task == task and pair.role == "dev":
                by_set.setdefault(pair.origin, []).append(pair)
        rng = random.Random(seed)
        sample = [pair for members in by_set.values() for pair in rng.sample(members, min(_SAMPLE, len(members)))]
        if not sample:
            continue
        offers = [offer_of(pair, writer) for pair in sample]
        least = least_for_precision(offers, STATEMENT_PRECISION) if task == "sentence" else least_for_gain(offers)
        found[task] = round(least, 4)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: choose, write `least_logprob` into the folder's config.json and its checksums, and return 0."""
    parser = argparse.ArgumentParser(prog="python -m app.training.writer.certainty", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args(argv)
    pairs, _ = load_pairs(arguments.data)
    least = choose(BundledWriter(arguments.folder), pairs)
    path = arguments.folder / "config.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    described["settings"]["least_logprob"] = least
    path.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    write_sums(arguments.folder)
    sys.stdout.write(f"least mean log-probabilities: {least}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
