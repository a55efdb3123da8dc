"""What `translate: "auto"` does to ordinary questions that its rule takes apart: recall@10 and F1, with and without.

    python -m benchmarks.auto_steps --data DIR [--each 20] [--show 0]

DIR (or ATTEST_DATA_DIR) holds `rc/NAME.jsonl.gz` reading sets, which are not part of this repository: questions that
people asked about one passage, not made of hops. Those for which `app/query/step_plan.py` finds a plan are few; up to
`--each` of every set are asked both ways on the whole pipeline (bundled models, `abstain: "never"`), each one's passage
among others of its set. The rules were written without these questions; every one is held out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.query.step_plan import plan_steps
from app.telemetry import configure_logging
from benchmarks.multihop import indexed, measure, report

NAMES = ("fairytaleqa", "nq_oracle", "qamr_sentence", "squad2_dev_half", "tatqa")
_OTHERS, _CHARS = 5, 3_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"), help="holds rc/")
    parser.add_argument("--sets", nargs="+", default=list(NAMES))
    parser.add_argument("--each", type=int, default=20, help="questions of a set, sampled")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0, help="questions to print with their steps")
    arguments = parser.parse_args()
    missing = [
        name for name in arguments.sets if not (Path(arguments.data or "") / "rc" / f"{name}.jsonl.gz").is_file()
    ]
    if missing:
        sys.stderr.write(f"--data {arguments.data}: no rc/{missing[0]}.jsonl.gz in it\n")
        return 2
    configure_logging("WARNING")
    picked: list[dict[str, Any]] = []
    for name in arguments.sets:
        rows, asked = planned(Path(arguments.data) / "rc" / f"{name}.jsonl.gz", name, arguments.each, arguments.seed)
        print(f"{name}: a plan for {asked[0]} of {asked[1]} questions", flush=True)
        picked += rows
    with TemporaryDirectory(prefix="attest-steps-") as home:
        services, keys = indexed(Path(home), picked)
        try:
            measured = [
                measure(services, row, keys, number, show=number < arguments.show) for number, row in enumerate(picked)
            ]
        finally:
            services.close()
    report(measured, seed=arguments.seed)
    return 0


def planned(path: Path, name: str, each: int, seed: int) -> tuple[list[dict[str, Any]], tuple[int, int]]:
    """(questions of a set that have a plan, sampled, as multi-hop rows; how many have one, of how many)."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row.get("answers") and row.get("context")]
    found = [row for row in rows if plan_steps(row["question"]) is not None]
    rng = random.Random(seed)
    contexts = sorted({row["context"][:_CHARS] for row in rows})
    result = []
    for row in found if len(found) <= each else rng.sample(found, each):
        own = row["context"][:_CHARS]
        others = [text for text in rng.sample(contexts, min(_OTHERS + 1, len(contexts))) if text != own][:_OTHERS]
        paragraphs = [{"title": "", "text": own, "supporting": True}]
        paragraphs += [{"title": "", "text": text, "supporting": False} for text in others]
        told = {"id": f"{name}-{row['id']}", "question": row["question"], "answers": row["answers"]}
        result.append({**told, "paragraphs": paragraphs})
    return result, (len(found), len(rows))


if __name__ == "__main__":
    raise SystemExit(main())
