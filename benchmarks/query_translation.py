"""What each kind of query translation is worth: recall@10, nDCG@10 of RRF over all its queries, and milliseconds.

    python -m benchmarks.query_translation --data DIR [--collections NAME …] [--max-queries 150] [--writer [FOLDER]]

DIR (or ATTEST_DATA_DIR) holds `ir/NAME/` collections, which are not part of this repository. No reranking: what is
measured is what the translations bring before the cut. Without a language model the rules write them or, in columns of
their own with `--writer`, the bundled writer (the rules where it has none to offer). The rules were made without
looking at these collections' judgements, so every collection is held out for them; whether "auto" asks the writer was
decided on `medline` and `multihop-dev` alone. The two `multihop-…` collections are the 2Wiki questions of `multihop/`,
halved by a hash of their ids, over the paragraphs of those that are asked.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from app.embedding.loading import load_encoder
from app.generation.writer import BundledWriter, bundled_writer_folder
from app.index.generations import IndexStore, PreparedVersion
from app.index.snapshot import Snapshot
from app.protocols import Encoder
from app.query.rewriting import Rewriting
from app.query.translation import KINDS, Translator
from app.rerank.candidates import ndcg
from app.rerank.collections import Collection, Document, load_collection
from app.types import ScoredSlot

Choices = Mapping[str, tuple[Translator, Sequence[str]]]
"""Column → who translates, and into which kinds."""
DEPTH, RRF_K, CUT, FEEDBACK = 50, 60, 10, 5
NAMES = ("medline", "cisi", "cranfield", "nq_oracle", "adi", "cmrc2018_zh")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"), help="folder with ir/NAME/")
    parser.add_argument("--collections", nargs="+", default=list(NAMES))
    parser.add_argument("--max-queries", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument(
        "--writer", type=Path, nargs="?", const=bundled_writer_folder(), help="columns for a writer's folder, too"
    )
    arguments = parser.parse_args()
    if arguments.data is None or not Path(arguments.data).is_dir():
        sys.stderr.write(f"--data {arguments.data}: no such folder; name one that holds ir/NAME/ collections\n")
        return 2
    encoder = load_encoder()
    kinds = tuple(arguments.kinds)
    rules = Translator()
    choices: dict[str, tuple[Translator, Sequence[str]]] = {
        "none": (rules, ()),
        **{kind: (rules, (kind,)) for kind in kinds},
        "all": (rules, kinds),
    }
    if arguments.writer is not None:
        writer = BundledWriter(arguments.writer)
        writing = Translator(rewriting=Rewriting(writer, "writer"))
        choices |= {f"{kind} (writer)": (writing, (kind,)) for kind in kinds}
    print(f"{'collection':14}" + "".join(f"{name:>26}" for name in choices))
    print(f"{'':14}" + f"{'recall nDCG  used    ms':>26}" * len(choices))
    means: dict[str, list[tuple[float, float]]] = {name: [] for name in choices}
    for name in arguments.collections:
        data = Path(arguments.data)
        collection = (
            multihop(data, name, arguments.max_queries, arguments.seed)
            if name.startswith("multihop")
            else load_collection(data / "ir" / name, max_queries=arguments.max_queries, seed=arguments.seed)
        )
        rows = measure(collection, encoder, choices)
        for choice, (recall, gain, _, _) in rows.items():
            means[choice].append((recall, gain))
        cells = (f"{100 * r:8.1f}{100 * g:6.1f}{100 * used:5.0f}%{ms:6.0f}" for r, g, used, ms in rows.values())
        print(f"{name:14}" + "".join(f"{cell:>26}" for cell in cells), flush=True)
    averages = ([100 * statistics.fmean(column) for column in zip(*pairs, strict=True)] for pairs in means.values())
    print(f"{'mean':14}" + "".join(f"{f'{recall:8.1f}{gain:6.1f}':>15}{'':11}" for recall, gain in averages))
    return 0


def multihop(data: Path, name: str, max_queries: int, seed: int) -> Collection:
    """2Wiki questions of half `name` over all their paragraphs; those that support an answer are relevant."""
    with gzip.open(data / "multihop" / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row["id"].startswith("2wiki")]
    half = [
        row for row in rows if (hashlib.sha256(row["id"].encode()).digest()[0] % 2 == 0) == (name == "multihop-dev")
    ]
    places: dict[tuple[str, str], str] = {}
    queries: list[tuple[str, str]] = []
    qrels: dict[str, dict[str, float]] = {}
    for row in random.Random(seed).sample(half, min(max_queries, len(half))):
        queries.append((row["id"], row["question"]))
        for paragraph in row["paragraphs"]:
            key = places.setdefault((paragraph["title"], paragraph["text"]), str(len(places)))
            if paragraph["supporting"]:
                qrels.setdefault(row["id"], {})[key] = 1.0
    documents = [Document(key, title, text) for (title, text), key in places.items()]
    return Collection(name, documents, [query for query in queries if query[0] in qrels], qrels)


def measure(collection: Collection, encoder: Encoder, choices: Choices) -> dict[str, tuple[float, float, float, float]]:
    """Per choice of kinds: mean recall@10, mean nDCG@10, share of questions with a translation, median added ms."""
    texts = [document.embedding_text for document in collection.documents]
    with TemporaryDirectory(prefix="attest-translation-") as folder:
        store = IndexStore(
            Path(folder), encoder_name=encoder.name, embed_dim=encoder.embed_dim, exact_below=len(texts) + 1
        )
        index = store.collection(1)
        prepared = PreparedVersion(1, collection.name, texts, encoder.encode_passages(texts))
        index.publish([prepared], valid_from=datetime.now(UTC))
        snapshot = index.snapshot()
        scores: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in choices}
        for query_id, question in collection.queries:
            first = rankings(snapshot, encoder, [question])
            feedback = [texts[ordinal] for _, ordinal in snapshot.locate(fused(first)[:FEEDBACK])]
            for name, (translator, kinds) in choices.items():
                started = time.perf_counter()
                done = translator.translate(question, kinds, feedback=feedback, statistics=snapshot)
                added = [query.text for query in done.queries[1:]]
                lists = first + (rankings(snapshot, encoder, added) if added else [])
                best = fused(lists)[:CUT]
                elapsed_ms = 1_000 * (time.perf_counter() - started)
                found = [collection.documents[ordinal].id for _, ordinal in snapshot.locate(best)]
                grades = collection.qrels[query_id]
                recall = len(set(found) & grades.keys()) / len(grades)
                gain = ndcg([grades.get(document, 0.0) for document in found], sorted(grades.values(), reverse=True))
                scores[name].append((recall, gain, float(bool(added)), elapsed_ms))
    return {
        name: (
            statistics.fmean(row[0] for row in rows),
            statistics.fmean(row[1] for row in rows),
            statistics.fmean(row[2] for row in rows),
            statistics.median(row[3] for row in rows),
        )
        for name, rows in scores.items()
    }


def rankings(snapshot: Snapshot, encoder: Encoder, queries: Sequence[str]) -> list[list[ScoredSlot]]:
    """Dense and BM25 rankings of every query."""
    dense = snapshot.search_dense(encoder.encode_queries(list(queries)), DEPTH)
    lexical = snapshot.search_lexical(list(queries), DEPTH)
    return [*map(list, dense), *map(list, lexical)]


def fused(lists: Sequence[Sequence[ScoredSlot]]) -> list[int]:
    """Slots by reciprocal rank fusion, ties by slot."""
    rrf: dict[int, float] = {}
    for ranking in lists:
        for rank, row in enumerate(ranking, start=1):
            rrf[row.slot] = rrf.get(row.slot, 0.0) + 1 / (RRF_K + rank)
    return sorted(rrf, key=lambda slot: (-rrf[slot], slot))


if __name__ == "__main__":
    raise SystemExit(main())
