"""What the bundled writer writes beside what the rules write, on held-out pairs, and what it brings to retrieval.

    python -m benchmarks.writer_quality --data DIR [--role heldout] [--limit 150] [--writer FOLDER] [--tasks NAME …]

DIR (or ATTEST_DATA_DIR) holds the training data, which is not part of this repository; roles are those of training:
by article, by template, by question (`app/training/writer`). Per task and set of pairs: how often each has
something to offer, and of that exact match, token F1 and F1 of word pairs against the nearest accepted text (case
and punctuation aside); "asked" is the question itself, unchanged. F1 over all pairs counts the question itself
where one has nothing to offer. The statements of "sentence" that are no own examples were made by the rules, so
only the share that the writer makes again can be read there. Follow-ups are also searched: recall@10 of the passage
that the standalone question is about, among all passages of its role, by RRF over BM25 and dense ranks.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from app.embedding.loading import load_encoder
from app.evaluation.metrics import answer_tokens, exact_match, f1
from app.generation.writer import BundledWriter, bundled_writer_folder
from app.index.generations import IndexStore, PreparedVersion
from app.query.rewriting import standing_alone
from app.training.reading_sets import normalised_question
from app.training.writer.certainty import accepted, by_rules, quality
from app.training.writer.corpus import load_pairs
from app.training.writer.pairs import WritingPair
from app.transformer.writer_checkpoints import TASKS
from benchmarks.query_translation import CUT, fused, rankings

WAYS = ("asked", "rules", "writer", "writer, else rules")
Write = Callable[[WritingPair], str | None]


@dataclass(frozen=True, slots=True)
class Case:
    """One source with all its accepted texts; the steps of a decomposition stand alone and in one line."""

    pair: WritingPair
    targets: tuple[str, ...]

    @property
    def accepted(self) -> tuple[str, ...]:
        return tuple(accepted(replace(self.pair, target=target)) for target in self.targets)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"), help="folder with the data")
    parser.add_argument("--role", choices=("dev", "heldout"), default="heldout")
    parser.add_argument("--limit", type=int, default=150, help="sources of each task and set")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--writer", type=Path, default=bundled_writer_folder())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0, help="texts to print of each task and set")
    parser.add_argument("--follow-ups", type=int, default=150, help="follow-ups to search; 0: none")
    arguments = parser.parse_args()
    if arguments.data is None or not Path(arguments.data).is_dir():
        sys.stderr.write(f"--data {arguments.data}: no such folder; name the one that training takes\n")
        return 2
    pairs, questions = load_pairs(Path(arguments.data))
    held = [pair for pair in pairs if pair.role == arguments.role and pair.task in arguments.tasks]
    writer = BundledWriter(arguments.writer)
    took: list[float] = []

    def by_writer(pair: WritingPair) -> str | None:
        started = time.perf_counter()
        texts = writer.write(pair.task, pair.question, heading=pair.heading, passage=pair.passage)
        took.append(1_000 * (time.perf_counter() - started))
        return _one_line(pair.task, texts)

    print(f"{'task':12}{'set':26}{'n':>5}  " + "".join(f"{name:>34}" for name in WAYS))
    print(f"{'':45}" + f"{'offers exact    F1  pairs F1/all':>34}" * len(WAYS))
    for (task, origin), cases in sorted(_cases(held, arguments.limit, arguments.seed).items()):
        written = {id(case.pair): by_writer(case.pair) for case in cases}
        ways: dict[str, Write] = {
            "asked": lambda pair: pair.question,
            "rules": by_rules,
            "writer": lambda pair, known=written: known[id(pair)],  # type: ignore[misc]
            "writer, else rules": lambda pair, known=written: known[id(pair)] or by_rules(pair),  # type: ignore[misc]
        }
        cells = [_cell([(case, way(case.pair)) for case in cases]) for way in ways.values()]
        print(f"{task:12}{origin:26}{len(cases):5}  " + "".join(f"{cell:>34}" for cell in cells), flush=True)
        for case in cases[: arguments.show]:
            print(f"    {case.pair.question} [{case.pair.heading}]\n      = {case.accepted[0]}")
            print(f"      r {by_rules(case.pair)}\n      w {by_writer(case.pair)}")
    if took:
        late = sorted(took)[int(0.95 * len(took))]
        print(f"one text: {statistics.median(took):.0f} ms at the median, {late:.0f} at the 95th percentile")
    if arguments.follow_ups and "standalone" in arguments.tasks:
        contexts = {normalised_question(q.question): q.context for q in questions if q.role == arguments.role}
        searched = [pair for pair in held if pair.task == "standalone" and pair.origin.startswith("pronoun")]
        searched = [pair for pair in searched if normalised_question(pair.target) in contexts]
        chosen = random.Random(arguments.seed).sample(searched, min(arguments.follow_ups, len(searched)))
        _search(chosen, contexts, by_writer)
    return 0


def _one_line(task: str, texts: Sequence[str]) -> str | None:
    if not texts:
        return None
    return " ".join(standing_alone(texts)) if task == "decompose" else texts[0]


def _cases(pairs: Sequence[WritingPair], limit: int, seed: int) -> dict[tuple[str, str], list[Case]]:
    """Per task and set up to `limit` sources, each with all its accepted texts."""
    grouped: defaultdict[tuple[str, str], dict[tuple[str, str, str], list[WritingPair]]] = defaultdict(dict)
    for pair in pairs:
        key = (pair.question, pair.heading, pair.passage)
        grouped[pair.task, pair.origin].setdefault(key, []).append(pair)
    found = {}
    for place, sources in grouped.items():
        members = list(sources.values())
        members = random.Random(seed).sample(members, min(limit, len(members)))
        found[place] = [Case(group[0], tuple(pair.target for pair in group)) for group in members]
    return found


def _cell(written: Sequence[tuple[Case, str | None]]) -> str:
    """Share with an offer; exact, F1 and pair F1 of the offers; F1 over all. "No steps" is right where none are due."""
    offered = [(case, text) for case, text in written if text is not None]
    everywhere = [
        max(quality(replace(case.pair, target=gold), text) for gold in case.targets) for case, text in written
    ]
    share = len(offered) / len(written)
    if not offered:
        return f"{100 * share:6.0f}%    –     –     –{100 * statistics.fmean(everywhere):7.1f}"
    exact = statistics.fmean(exact_match(text, case.accepted) for case, text in offered)
    single = statistics.fmean(f1(text, case.accepted) for case, text in offered)
    double = statistics.fmean(max(_pair_f1(text, gold) for gold in case.accepted) for case, text in offered)
    return (
        f"{100 * share:6.0f}%{100 * exact:6.1f}{100 * single:6.1f}{100 * double:6.1f}"
        f"{100 * statistics.fmean(everywhere):7.1f}"
    )


def _pair_f1(text: str, gold: str) -> float:
    one, two = (Counter(pairwise(tokens)) for tokens in (answer_tokens(text), answer_tokens(gold)))
    shared = sum((one & two).values())
    return 2 * shared / (one.total() + two.total()) if shared else 0.0


def _search(pairs: Sequence[WritingPair], contexts: dict[str, str], by_writer: Write) -> None:
    """Print recall@10 of the passage for the follow-up as asked, made standalone by each way, and as it was meant."""
    texts = sorted(set(contexts.values()))
    places = {text: ordinal for ordinal, text in enumerate(texts)}
    ways: dict[str, Write] = {
        "asked": lambda pair: pair.question,
        "rules": by_rules,
        "writer": by_writer,
        "writer, else rules": lambda pair: by_writer(pair) or by_rules(pair),
        "meant": lambda pair: pair.target,
    }
    encoder = load_encoder()
    with TemporaryDirectory(prefix="attest-follow-ups-") as folder:
        store = IndexStore(
            Path(folder), encoder_name=encoder.name, embed_dim=encoder.embed_dim, exact_below=len(texts) + 1
        )
        index = store.collection(1)
        index.publish(
            [PreparedVersion(1, "passages", texts, encoder.encode_passages(texts))], valid_from=datetime.now(UTC)
        )
        snapshot = index.snapshot()
        found: dict[str, list[int]] = {name: [] for name in ways}
        for pair in pairs:
            place = places[contexts[normalised_question(pair.target)]]
            for name, way in ways.items():
                best = fused(rankings(snapshot, encoder, [way(pair) or pair.question]))[:CUT]
                ranking = [ordinal for _, ordinal in snapshot.locate(best)]
                found[name].append(ranking.index(place) + 1 if place in ranking else CUT + 1)
    print(f"{len(pairs)} follow-ups searched among {len(texts)} passages: recall@1, recall@{CUT}, MRR@{CUT}")
    for name, ranks in found.items():
        first, held = (100 * statistics.fmean(rank <= cut for rank in ranks) for cut in (1, CUT))
        reciprocal = statistics.fmean(1 / rank if rank <= CUT else 0.0 for rank in ranks)
        print(f"  {name:20}{first:6.1f}{held:6.1f}{reciprocal:7.3f}")


if __name__ == "__main__":
    raise SystemExit(main())
