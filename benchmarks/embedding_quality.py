"""What each precision of the passages costs in nDCG@10 and gains in speed, dense retrieval alone, same model.

    python -m benchmarks.embedding_quality --data DIR [--collections NAME …] [--documents 1000] [--queries 200]

The queries are encoded as a server on this machine encodes them. A corpus is cut to the documents that the sampled
queries judge, filled up with others to `--documents`. Rates are in tokens a second of wall and of processor time; the
precisions take turns batch by batch, so that a machine with other work disturbs them alike.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.embedding.loading import load_encoder
from app.evaluation.metrics import ndcg_at_k
from app.protocols import Encoder, Float32
from app.rerank.collections import Collection, load_collections

PRECISIONS = ("float32", "bfloat16", "int8")
SLICE_TEXTS = 128


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"), help="folder with ir/NAME/")
    parser.add_argument("--collections", nargs="+", default=["adi", "bioasq", "cisi", "cranfield", "medline", "npl"])
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--documents", type=int, default=1_000, help="of each collection; 0: all")
    parser.add_argument("--queries", type=int, default=200, help="of each collection")
    args = parser.parse_args(argv)
    if args.data is None or not args.data.is_dir():
        parser.error("--data DIR is needed: a folder that holds ir/NAME/ collections")
    encoders = {dtype: load_encoder(dtype=dtype, engine="core") for dtype in args.precisions}
    asking = load_encoder()
    spent = dict.fromkeys(encoders, (0.0, 0.0))
    tokens = 0
    scores: dict[str, list[float]] = {dtype: [] for dtype in encoders}
    nearness: dict[str, list[Float32]] = {dtype: [] for dtype in encoders}
    print(f"{'nDCG@10':<14}{'documents':>10}{'queries':>9}" + "".join(f"{dtype:>11}" for dtype in encoders))
    for collection in load_collections(args.data, args.collections, max_queries=args.queries):
        kept = _kept(collection, args.documents)
        texts = [collection.documents[place].embedding_text for place in kept]
        tokens += sum(min(count + 2, asking.max_tokens) for count in asking.count_tokens(texts))
        vectors = _in_turn(encoders, texts, spent)
        asked = asking.encode_queries([text for _, text in collection.queries])
        ids = [collection.documents[place].id for place in kept]
        for dtype, found in vectors.items():
            scores[dtype].append(_mean_ndcg(collection, ids, asked @ found.T))
            nearness[dtype].append(np.einsum("nd,nd->n", found, vectors[args.precisions[0]]))
        cells = "".join(f"{scores[dtype][-1]:>11.4f}" for dtype in encoders)
        print(f"{collection.name:<14}{len(kept):>10,}{len(collection.queries):>9,}{cells}", flush=True)
    print(f"{'mean':<33}" + "".join(f"{np.mean(scores[dtype]):>11.4f}" for dtype in encoders))
    for name, of in (("mean", np.mean), ("lowest", np.min)):
        print(f"{f'cosine to {args.precisions[0]}, {name}':<33}", end="")
        print("".join(f"{of(np.concatenate(nearness[dtype])):>11.4f}" for dtype in encoders))
    for name, place in (("tokens/s", 0), ("tokens per processor second", 1)):
        print(f"{name:<33}" + "".join(f"{tokens / spent[dtype][place]:>11,.0f}" for dtype in encoders))


def _kept(collection: Collection, limit: int) -> list[int]:
    """Places of the documents that a query judges, and a seeded sample of the others up to `limit`."""
    judged = {document_id for grades in collection.qrels.values() for document_id in grades}
    order = np.random.default_rng(0).permutation(len(collection.documents)).tolist()
    order.sort(key=lambda place: collection.documents[place].id not in judged)
    needed = sum(document.id in judged for document in collection.documents)
    return sorted(order[: max(limit, needed)] if limit else order)


def _in_turn(
    encoders: dict[str, Encoder], texts: Sequence[str], spent: dict[str, tuple[float, float]]
) -> dict[str, Float32]:
    found: dict[str, list[Float32]] = {dtype: [] for dtype in encoders}
    for encoder in encoders.values():
        encoder.encode_passages(texts[:1])  # makes its layers
    for start in range(0, len(texts), SLICE_TEXTS):
        for dtype, encoder in encoders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            found[dtype].append(encoder.encode_passages(texts[start : start + SLICE_TEXTS]))
            before = spent[dtype]
            spent[dtype] = before[0] + time.perf_counter() - wall, before[1] + time.process_time() - cpu
    return {dtype: np.concatenate(parts) for dtype, parts in found.items()}


def _mean_ndcg(collection: Collection, ids: Sequence[str], scores: Float32) -> float:
    best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    return float(
        np.mean(
            [
                ndcg_at_k([ids[place] for place in row], collection.qrels[query_id])
                for row, (query_id, _) in zip(best, collection.queries, strict=True)
            ]
        )
    )


if __name__ == "__main__":
    main()
