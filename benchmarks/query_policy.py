"""What each kind of query translation, the learned policy and `auto` are worth on collections held out from the policy.

    python -m benchmarks.query_policy --data DIR --cache DIR [--writer [FOLDER] | --model NAME]

DIR (or ATTEST_DATA_DIR) holds `ir/`, `rc/` and `multihop/`, which are not part of this repository. Trains the policy on
the training collections of `app/training/policy_collections.py`, then prints recall@10, nDCG@10 and added milliseconds
of every kind on the others, and the differences from the question alone. Rankings are those of reciprocal rank fusion:
no reranking, whose shipped model was trained on these collections. The cache keeps embeddings and measured questions.

`steps` answers the parts of a question that has a plan (with the bundled reader) and merges what they were read from;
`auto` is the policy with steps where there is a plan, `auto as shipped` what the service does with the files in it.
`--writer [FOLDER]` has the bundled writer write the translations where it has any to offer, `--model remote:…` or
`local:…` a language model; without them the rules write.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app.bootstrap.generators import chat_model
from app.embedding.loading import load_encoder
from app.generation.reader import load_reader
from app.generation.text_model import ChatTextModel
from app.generation.writer import BundledWriter, bundled_writer_folder
from app.query.policy.auto import writer_name
from app.query.policy.model import Policy, has_bundled_policy
from app.query.rewriting import Rewriting
from app.query.translation import KINDS, Translator
from app.settings import Settings
from app.training.policy import BUDGET_MS, auto_choices, gather, judge, step_reader, train
from app.training.policy_collections import HELD_OUT, TRAIN
from app.training.policy_fit import Groups, interval
from app.training.policy_measuring import NONE, Measured

Choose = Callable[[str], Sequence[str]]
Way = tuple[Choose, bool]
"""(choices of a collection's questions, whether steps are answered)."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"))
    parser.add_argument("--cache", type=Path, help="keeps embeddings and measured questions between runs")
    parser.add_argument("--collections", nargs="+", default=list(TRAIN))
    parser.add_argument("--hold-out", nargs="+", default=list(HELD_OUT))
    parser.add_argument("--writer", type=Path, nargs="?", const=bundled_writer_folder(), help="a writer's folder")
    parser.add_argument("--model", help="as ATTEST_GENERATION__MODEL")
    parser.add_argument("--budget-ms", type=float, default=BUDGET_MS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.data is None or not Path(arguments.data).is_dir():
        sys.stderr.write(f"--data {arguments.data}: no such folder; name one that holds ir/, rc/ and multihop/\n")
        return 2
    encoder = load_encoder()
    chat = chat_model(Settings(), arguments.model) if arguments.model else None
    model = ChatTextModel(chat) if chat is not None else None
    rewriting = Rewriting(BundledWriter(arguments.writer), "writer") if arguments.writer else Rewriting()
    writer = writer_name(model, rewriting)
    groups, held_out = (
        gather(
            Path(arguments.data),
            names,
            encoder,
            Translator(model, rewriting=rewriting, budget_ms=60_000),
            writer=writer,
            read=step_reader(encoder, load_reader()),
            seed=arguments.seed,
            cache_dir=arguments.cache,
            progress=_note,
        )
        for names in (arguments.collections, arguments.hold_out)
    )
    policy, selected = train(groups, writer=writer, seed=arguments.seed)
    print(f"translations by {writer}; rule chosen on the training collections: {policy.rule}")
    print(f"there, each held out in its turn: {100 * selected.mean:+.2f} points\n")
    ways = the_ways(policy, held_out, arguments.budget_ms)
    table(held_out, ways)
    differences(held_out, ways, seed=arguments.seed)
    print(f"\nthe policy alone, {judge(policy, held_out, budget_ms=arguments.budget_ms, seed=arguments.seed).told()}")
    return 0


def the_ways(policy: Policy, held_out: Groups, budget_ms: float) -> dict[str, Way]:
    """Every way that is compared."""

    def fixed(choice: str) -> Choose:
        return lambda name: [choice] * len(held_out[name])

    def by(chooser: Policy) -> Choose:
        made = {name: auto_choices(chooser, rows, budget_ms=budget_ms) for name, rows in held_out.items()}
        return lambda name: made[name]

    ways: dict[str, Way] = {"none": (fixed(NONE), False)}
    ways |= {kind: (fixed(kind), False) for kind in KINDS}
    ways["all four"] = (fixed("+".join(KINDS)), False)
    ways["steps"] = (fixed(NONE), True)
    ways["policy"] = (by(policy), False)
    ways["auto (policy, steps)"] = (by(policy), True)
    ways["auto as shipped"] = (by(Policy.load()) if has_bundled_policy() else fixed(NONE), True)
    return ways


def table(held_out: Groups, ways: Mapping[str, Way]) -> None:
    """recall@10 and nDCG@10 by collection, their means, the share of questions with more than one query, added ms."""
    names = list(held_out)
    print("| | " + " | ".join(names) + " | mean | used | added ms |\n|---|" + "---:|" * (len(names) + 3))
    for way, (choose, stepped) in ways.items():
        cells, means = [], []
        used, ms = [], []
        for name in names:
            rows, chosen = held_out[name], choose(name)
            pairs = [scores(row, choice, stepped=stepped) for row, choice in zip(rows, chosen, strict=True)]
            recall, gain = (100 * statistics.fmean(column) for column in zip(*pairs, strict=True))
            cells.append(f"{recall:.1f} / {gain:.1f}")
            means.append((recall, gain))
            for row, choice in zip(rows, chosen, strict=True):
                took = added_ms(row, choice, stepped=stepped)
                used.append(took is not None)
                ms += [took] if took is not None else []
        recall, gain = (statistics.fmean(column) for column in zip(*means, strict=True))
        middle = f"{statistics.median(ms):.0f}" if ms else "0"
        print(f"| {way} | {' | '.join(cells)} | {recall:.1f} / {gain:.1f} | {statistics.fmean(used):.0%} | {middle} |")
    look = statistics.median(row.look_ms for rows in held_out.values() for row in rows)
    print(
        f"\nrecall@10 / nDCG@10; added ms: median over the questions that it is used for; a first look took {look:.0f}"
    )


def scores(row: Measured, choice: str, *, stepped: bool) -> tuple[float, float]:
    return (row.stepped if stepped and row.stepped is not None else row.scores)[choice]


def added_ms(row: Measured, choice: str, *, stepped: bool) -> float | None:
    """None where nothing was added to the question."""
    kinds = [kind for kind in choice.split("+") if choice and row.texts.get(kind)]
    steps = stepped and row.stepped is not None
    if not kinds and not steps:
        return None
    return sum(sum(row.ms[kind]) for kind in kinds) + (row.steps_ms if steps else 0.0)


def differences(held_out: Groups, ways: Mapping[str, Way], *, seed: int) -> None:
    """Of each way from none: points of (recall@10 + nDCG@10) / 2 with their interval, and the worst collection."""
    print("\n| against none | mean [95 %] | worst recall@10 | worst nDCG@10 |\n|---|---|---|---|")
    for way, (choose, stepped) in ways.items():
        if way == "none":
            continue
        by_name: dict[str, tuple[float, float]] = {}
        for name, rows in held_out.items():
            pairs = [
                [new - old for new, old in zip(scores(row, choice, stepped=stepped), row.scores[NONE], strict=True)]
                for row, choice in zip(rows, choose(name), strict=True)
            ]
            recall, gain = (100 * statistics.fmean(column) for column in zip(*pairs, strict=True))
            by_name[name] = (recall, gain)
        low, high = interval(held_out, choose, stepped=stepped, seed=seed)
        mean = statistics.fmean(sum(pair) / 2 for pair in by_name.values())
        worst = [min((pair[place], name) for name, pair in by_name.items()) for place in (0, 1)]
        cells = " | ".join(f"{value:+.1f} ({name})" for value, name in worst)
        print(f"| {way} | {mean:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}] | {cells} |")


def _note(message: str) -> None:
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    raise SystemExit(main())
