"""The knowledge graph of a corpus: how fast texts are read, how long the graph takes to build, and how fast it answers.

    python benchmarks/graph_build.py --data DIR [--corpus reqa_squad] [--limit N] [--show N]

DIR (or ATTEST_DATA_DIR) holds `ir/NAME/corpus.jsonl.gz`, which is not part of this repository. Reading is what
ingestion does once for each version; building is what it does for each generation, from what was read. `--show` prints
relations with their sentences, drawn at random, so that a person can judge them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from app.index.graph_engine import GraphDatabase, build_database
from app.index.graph_facts import VersionFacts
from ingestion.graph import connections_of
from ingestion.outline import find_tables

_QUERIES = {
    "documents that mention": "MATCH (d:Document)-[m:MENTIONS]->(e:Entity {id: $id}) RETURN d.id, count(m) AS n "
    "ORDER BY n DESC LIMIT 100",
    "relations of": "MATCH (e:Entity {id: $id})-[r:RELATION]->(x:Entity) RETURN r.name, x.name LIMIT 100",
    "two steps of co-occurrence": "MATCH (e:Entity {id: $id})-[:CO_OCCURS]-(x:Entity)-[:CO_OCCURS]-(y:Entity) "
    "RETURN y.name, count(*) AS n ORDER BY n DESC LIMIT 100",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"), help="holds ir/")
    parser.add_argument("--corpus", default="reqa_squad")
    parser.add_argument("--limit", type=int, default=5_000, help="documents, the first")
    parser.add_argument("--show", type=int, default=0, help="print so many relations")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    path = arguments.data / "ir" / arguments.corpus / "corpus.jsonl.gz" if arguments.data else None
    if path is None or not path.is_file():
        print("give --data DIR (or ATTEST_DATA_DIR) with ir/NAME/corpus.jsonl.gz")
        return 2
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for _, line in zip(range(arguments.limit), lines, strict=False)]
    connections_of("Ann Lee met 张三 in Paris.")  # dictionaries are read at the first text
    started = time.perf_counter()
    facts = [_facts(n, text) for n, text in enumerate(texts)]
    seconds = time.perf_counter() - started
    size_mb = sum(len(text) for text in texts) / 1e6
    print(f"{arguments.corpus}: {len(texts)} documents, {size_mb:.1f} million characters")
    print(f"read in {seconds:.1f} s: {size_mb / seconds:.2f} million characters a second")
    mentions = sum(len(each.mentions) for each in facts)
    entities = len({mention.key for each in facts for mention in each.mentions})
    pairs = sum(len(each.co_occurrences) for each in facts)
    relations = [(edge, texts[n]) for n, each in enumerate(facts) for edge in each.relations]
    print(f"{mentions} mentions of {entities} entities, {pairs} pairs, {len(relations)} relations")
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        database = build_database(Path(folder), facts)
        print(f"built in {time.perf_counter() - started:.2f} s, {database.stat().st_size / 1e6:.1f} MB")
        _ask(database, facts, random.Random(arguments.seed))
    for edge, text in random.Random(arguments.seed).sample(relations, min(arguments.show, len(relations))):
        sentence = " ".join(text[edge.char_start : edge.char_end].split())
        print(f"\n{edge.subject} | {edge.name} | {edge.object}\n    {sentence[:300]}")
    return 0


def _facts(n: int, text: str) -> VersionFacts:
    mentions, together, relations = connections_of(text)
    return VersionFacts(
        n, f"d{n}", 1, f"d{n}", "text/plain", "", len(text), (), (), tuple(find_tables(text, ())),
        tuple(mentions), tuple(together), tuple(relations),
    )  # fmt: skip


def _ask(path: Path, facts: list[VersionFacts], rng: random.Random) -> None:
    keys = [mention.key for each in facts for mention in each.mentions]
    chosen = [rng.choice(keys) for _ in range(50)]
    for name, statement in _QUERIES.items():
        times = []
        for key in chosen:
            started = time.perf_counter()
            with GraphDatabase(path) as database:
                database.run(statement, {"id": key}, row_limit=100, time_limit_ms=60_000)
            times.append((time.perf_counter() - started) * 1e3)
        print(f"{name}: median {statistics.median(times):.1f} ms, worst of 50 {max(times):.1f} ms (opening included)")


if __name__ == "__main__":
    sys.exit(main())
