"""Questions of several hops at once, by `auto`, and always in steps: evidence recall@10, answer F1, milliseconds.

    python -m benchmarks.multihop --data DIR [--half held-out] [--limit 100] [--offset 0] [--show 0]

DIR (or ATTEST_DATA_DIR) holds `multihop/train.jsonl.gz`, which is not part of this repository. The questions are split
in two by a hash of their ids: the rules of `app/query/step_plan.py` were written looking at the half `tune` only. The
paragraphs of all picked questions together are the collection, so each question's ten to twenty stand among those of
the others. All ways run on the same pipeline (bundled models), question by question in turn; recall is the share of a
question's supporting paragraphs among the ten best-ranked chunks' paragraphs; answers are asked for with
`abstain: "never"`. The interval of a difference is from 2,000 paired bootstrap samples.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import hashlib
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.bootstrap import Services, build_services
from app.evaluation.metrics import f1
from app.index.records import NewDocument
from app.settings import Settings
from app.telemetry import Trace, configure_logging
from app.types import Answer, AskRequest
from ingestion.bootstrap import build_worker

WAYS: dict[str, str | tuple[str, ...]] = {"plain": (), "auto": "auto", "decompose": ("decompose",)}
MEASURES = ("recall@10", "F1", "ms")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"), help="holds multihop/")
    parser.add_argument("--half", choices=("held-out", "tune"), default="held-out")
    parser.add_argument("--limit", type=int, default=100, help="questions, sampled")
    parser.add_argument("--offset", type=int, default=0, help="of the sample, to go on where an earlier run ended")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--show", type=int, default=0, help="questions to print (not of the held-out half, if you tune)"
    )
    parser.add_argument("--json", type=Path, help="write each question's figures there, too")
    arguments = parser.parse_args()
    path = Path(arguments.data or "") / "multihop" / "train.jsonl.gz"
    if not path.is_file():
        sys.stderr.write(f"--data {arguments.data}: no multihop/train.jsonl.gz in it\n")
        return 2
    configure_logging("WARNING")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if half(row["id"]) == arguments.half]
    random.Random(arguments.seed).shuffle(rows)
    picked = rows[arguments.offset : arguments.offset + arguments.limit]
    measured: list[dict[str, Any]] = []
    with TemporaryDirectory(prefix="attest-multihop-") as home:
        services, keys = indexed(Path(home), picked)
        print(f"{len(picked)} of {len(rows)} questions ({arguments.half}); {len(keys)} paragraphs", flush=True)
        try:
            for number, row in enumerate(picked):
                measured.append(measure(services, row, keys, number, show=number < arguments.show))
        finally:
            services.close()
    report(measured, seed=arguments.seed)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(measured), encoding="utf-8")
    return 0


def half(question_id: str) -> str:
    """Which half a question belongs to."""
    return "held-out" if int(hashlib.sha256(question_id.encode()).hexdigest(), 16) % 2 else "tune"


def indexed(home: Path, rows: Sequence[dict[str, Any]]) -> tuple[Services, dict[tuple[str, str], str]]:
    """A home with the paragraphs of all questions, each once, and (title, text) → document id."""
    services = build_services(Settings(home=home))
    keys: dict[tuple[str, str], str] = {}
    documents = []
    for row in rows:
        for paragraph in row["paragraphs"]:
            key = (paragraph["title"], paragraph["text"])
            if key in keys or not paragraph["text"].strip():
                continue
            keys[key] = f"p{len(keys)}"
            sha256, size = services.blobs.put(f"{paragraph['text']}\n".encode(), 2**20)
            documents.append(
                NewDocument(
                    sha256=sha256,
                    bytes=size,
                    media_type="text/plain",
                    filename=None,
                    title=paragraph["title"],
                    source_url=None,
                    metadata={},
                    document_id=keys[key],
                )
            )
    for start in range(0, len(documents), 1_000):
        services.catalog.submit("default", documents[start : start + 1_000])
    with build_worker(Settings(home=home), encoder=services.encoder) as worker:
        while worker.run_once():
            pass
    return services, keys


def measure(
    services: Services, row: dict[str, Any], keys: dict[tuple[str, str], str], number: int, *, show: bool
) -> dict[str, Any]:
    """All ways on one question, forwards and backwards in turn."""
    gold = {
        keys[p["title"], p["text"]] for p in row["paragraphs"] if p["supporting"] and (p["title"], p["text"]) in keys
    }
    found: dict[str, Any] = {"id": row["id"], "set": row["id"].split("-")[0]}
    for name in sorted(WAYS, reverse=bool(number % 2)):
        trace = Trace()
        started = time.perf_counter()
        answer = services.pipeline.answer(AskRequest(row["question"], translate=WAYS[name], abstain="never"), trace)
        ms = 1_000 * (time.perf_counter() - started)
        ranked = list(dict.fromkeys(hit.chunk.document_id for hit in answer.candidates[:10]))
        recall = len(gold.intersection(ranked)) / max(1, len(gold))
        found[name] = {"recall@10": recall, "F1": f1(answer.short_answer, row["answers"]), "ms": ms}
        if name == "decompose":
            found["planned"] = any(stage.stage == "decompose" and stage.detail.get("steps") for stage in trace.stages())
        if show:
            shown(name, row, answer, trace)
    return found


def shown(name: str, row: dict[str, Any], answer: Answer, trace: Trace) -> None:
    print(f"{name}: {row['question']} → {row['answers']}; got {answer.short_answer!r} ({answer.confidence:.2f})")
    for stage in trace.stages():
        for step in stage.detail.get("steps", ()) if stage.stage == "decompose" else ():
            print(f"   {step['question']} → {step['answer']!r} / {step['guess']!r} ({step['confidence']:.2f})")


def report(measured: Sequence[dict[str, Any]], *, seed: int) -> None:
    """Means by set, and of the questions that a plan was found for; the difference of all with its 95 % interval."""
    groups: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for row in measured:
        groups["all"].append(row)
        groups[row["set"]].append(row)
        groups["with a plan" if row["planned"] else "without a plan"].append(row)
    print(f"{'':16}{'n':>5}" + "".join(f"{f'{way} {measure}':>22}" for way in WAYS for measure in MEASURES))
    for name, rows in groups.items():
        cells = []
        for way in WAYS:
            for kind in MEASURES:
                values = [row[way][kind] for row in rows]
                mean = statistics.median(values) if kind == "ms" else 100 * statistics.fmean(values)
                cells.append(f"{mean:>22.1f}")
        print(f"{name:16}{len(rows):>5}" + "".join(cells))
    rng = random.Random(seed)
    for kind in ("recall@10", "F1"):
        for way in [way for way in WAYS if way != "plain"]:
            differences = [row[way][kind] - row["plain"][kind] for row in measured]
            means = sorted(statistics.fmean(rng.choices(differences, k=len(differences))) for _ in range(2_000))
            low, high = 100 * means[50], 100 * means[-51]
            print(f"{kind}: {way} − plain {100 * statistics.fmean(differences):+.1f} points [{low:+.1f}, {high:+.1f}]")


if __name__ == "__main__":
    sys.exit(main())
