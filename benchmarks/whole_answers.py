"""Whole answers: retrieve, rerank, assemble, read, cite; median and 95th percentile by stage.

    python -m benchmarks.whole_answers --data DIR [--passages 2500] [--questions 150]

The corpus is the passages of `ir/nq_oracle` (real search questions with their gold passages); each is ingested as a
document by the worker itself. The answer quality printed beside the times is of questions that the bundled reader may
have seen in training (see its card): it is a check that the whole line works, not a held-out figure.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

from app.bootstrap import build_services
from app.index.records import NewDocument
from app.settings import Settings
from app.telemetry import Trace, configure_logging
from app.types import AskRequest
from ingestion.bootstrap import build_worker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"))
    parser.add_argument("--passages", type=int, default=2_500)
    parser.add_argument("--questions", type=int, default=150)
    args = parser.parse_args()
    if args.data is None or not (args.data / "ir" / "nq_oracle").is_dir():
        parser.error("--data DIR must hold ir/nq_oracle; set it or ATTEST_DATA_DIR")
    configure_logging("WARNING")
    corpus = _rows(args.data / "ir" / "nq_oracle" / "corpus.jsonl.gz")[: args.passages]
    kept = {row["id"] for row in corpus}
    asked = [
        row for row in _rows(args.data / "ir" / "nq_oracle" / "queries.jsonl.gz") if set(row["relevant_ids"]) & kept
    ][: args.questions]

    with tempfile.TemporaryDirectory() as home:
        services = build_services(Settings(home=Path(home)))
        documents = []
        for row in corpus:
            sha256, size = services.blobs.put(row["text"].encode(), 2**20)
            documents.append(
                NewDocument(
                    sha256=sha256,
                    bytes=size,
                    media_type="text/plain",
                    filename=None,
                    title=row["title"],
                    source_url=None,
                    metadata={},
                    document_id=row["id"],
                )
            )
        for start in range(0, len(documents), 1_000):
            services.catalog.submit("default", documents[start : start + 1_000])
        worker = build_worker(Settings(home=Path(home)))
        while worker.run_once():
            pass

        times: dict[str, list[float]] = defaultdict(list)
        abstained = right = cited_gold = 0
        for question in asked:
            answer = services.pipeline.answer(AskRequest(question["question"]), Trace())
            for stage, ms in answer.timings_ms.items():
                times[stage].append(ms)
            abstained += answer.abstained
            right += any(gold.lower() in answer.short_answer.lower() for gold in question["answers"])
            cited_gold += any(c.document_id in question["relevant_ids"] for c in answer.citations)
        services.close()

    print(f"{'stage':<12}{'p50 ms':>10}{'p95 ms':>10}")
    for stage, values in times.items():
        print(f"{stage:<12}{statistics.median(values):>10.1f}{statistics.quantiles(values, n=20)[-1]:>10.1f}")
    total = len(asked)
    print(f"{total} questions: {abstained} abstained; gold string in the short answer {right / total:.3f};", end=" ")
    print(f"gold document cited {cited_gold / total:.3f}")


def _rows(path: Path) -> list[dict[str, list[str]]]:  # fields are strings or lists of strings
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
