"""How well the check behind a language model's citations tells a carried claim from one that is not.

    python -m benchmarks.claim_support --data DIR [--limit 400]

Question sets (`rc/`): "answer" takes the annotated answer as the claim, "statement" the question's words with the
answer behind them; "wrong" puts the answer of another question in its place; "other passage" asks a passage of another
question. Sentence pairs (STS-B, `pairs/`): graded 0 to 5 by people. Printed is the share that the check lets pass.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.generation.support import Source, support
from app.types import Hit, Passage, StoredChunk

Case = tuple[str, str, str]  # claim, passage, question
SETS = {"SQuAD (English)": "squad2_dev_half", "policies (English)": "policyqa", "CMRC (Chinese)": "cmrc2018"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"), help="or ATTEST_DATA_DIR")
    parser.add_argument("--limit", type=int, default=400, help="questions or pairs of each kind")
    args = parser.parse_args()
    if args.data is None or not (Path(args.data) / "rc").is_dir():
        parser.error("--data DIR is needed: a folder with rc/ and pairs/")
    for title, name in SETS.items():
        _questions(title, _rows(Path(args.data) / "rc" / f"{name}.jsonl.gz"), args.limit)
    _pairs(_rows(Path(args.data) / "pairs" / "stsb_en.jsonl.gz"), args.limit)


def _questions(title: str, rows: list[dict[str, Any]], limit: int) -> None:
    asked = [row for row in rows if row["answerable"] and row["answers"]]
    random.Random(0).shuffle(asked)
    asked = asked[:limit]
    others = asked[1:] + asked[:1]
    pairs = [(row, other) for row, other in zip(asked, others, strict=True) if row["context"] != other["context"]]
    space = "" if title.endswith("(Chinese)") else " "

    def statement(row: dict[str, Any], answer: str) -> str:
        return f"{row['question'].rstrip('?？')}{space}{answer}"

    kinds: dict[str, list[Case]] = {
        "answer": [(row["answers"][0], row["context"], row["question"]) for row, _ in pairs],
        "statement": [(statement(row, row["answers"][0]), row["context"], row["question"]) for row, _ in pairs],
        "wrong answer": [(other["answers"][0], row["context"], row["question"]) for row, other in pairs],
        "wrong statement": [
            (statement(row, other["answers"][0]), row["context"], row["question"]) for row, other in pairs
        ],
        "other passage": [(row["answers"][0], other["context"], row["question"]) for row, other in pairs],
    }
    print(f"\n{title}: {len(pairs)} questions")
    for kind, cases in kinds.items():
        share, milliseconds = _passing(cases)
        print(f"  {kind:<16} {share:6.1%}   {milliseconds:.1f} ms a claim")
    found = [support(claim, _source(text), question) for claim, text, question in kinds["statement"]]
    quoted = [
        row["answers"][0] in row["context"][each.char_start : each.char_end]
        for (row, _), each in zip(pairs, found, strict=True)
        if each.holds
    ]
    print(f"  quotes of carried statements that hold the answer: {statistics.fmean(quoted):.1%}")


def _pairs(rows: list[dict[str, Any]], limit: int) -> None:
    random.Random(0).shuffle(rows)
    print("\nSTS-B sentence pairs by the grade that people gave")
    for low, high in ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5.01)):
        cases = [(row["a"], row["b"], "") for row in rows if low <= float(row["label"]) < high][:limit]
        print(f"  {low} to {min(high, 5):g}           {_passing(cases)[0]:6.1%}")


def _passing(cases: Sequence[Case]) -> tuple[float, float]:
    """Share that passes, median milliseconds."""
    held, milliseconds = [], []
    for claim, text, question in cases:
        started = time.perf_counter()
        held.append(support(claim, _source(text), question).holds)
        milliseconds.append((time.perf_counter() - started) * 1000)
    return statistics.fmean(held), statistics.median(milliseconds)


def _source(text: str) -> Source:
    chunk = StoredChunk("1-0", 1, 0, "doc", 1, "default", "", None, "text/plain", text, 0, len(text), None, (), {})
    return Source(Passage(1, Hit(chunk), text, 0, len(text)))


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
