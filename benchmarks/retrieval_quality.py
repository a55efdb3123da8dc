"""nDCG@10 of BM25, dense, RRF and the reranker on judged collections, each held out from the reranker's training.

    python benchmarks/retrieval_quality.py --data DIR [--cache DIR] [--collections NAME …] [--shipped]

DIR (or ATTEST_DATA_DIR) holds `ir/NAME/` collections, which are not part of this repository. `--shipped` adds a line a
collection for the model in the package: it was trained on these very collections, so that line shows its fit, not its
quality; on collections of your own it shows its quality.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from app.embedding.loading import load_encoder
from app.rerank.ranker import BUNDLED
from app.rerank.train import evaluate, gather, leave_one_out, markdown_table, mean_ndcg


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"), help="folder with ir/NAME/")
    parser.add_argument("--cache", type=Path, help="keeps embeddings between runs")
    parser.add_argument("--collections", nargs="+", help="names; every complete monolingual one when left out")
    parser.add_argument("--max-queries", type=int, default=400, help="sampled of each collection")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shipped", action="store_true", help="also the model in the package (trained on these)")
    arguments = parser.parse_args()
    if arguments.data is None or not Path(arguments.data).is_dir():
        sys.stderr.write(f"--data {arguments.data}: no such folder; name one that holds ir/NAME/ collections\n")
        return 2
    started = time.perf_counter()
    encoder = load_encoder()
    lists = gather(
        Path(arguments.data),
        encoder,
        collections=arguments.collections,
        max_queries=arguments.max_queries,
        seed=arguments.seed,
        cache_dir=arguments.cache,
        progress=_note,
    )
    held_out = leave_one_out(lists, seed=arguments.seed, threads=arguments.threads, progress=_note)
    print(f"nDCG@10, encoder {encoder.name}, reranker trained on all other collections\n")
    print(markdown_table(held_out))
    bm25, dense, rrf, reranked = mean_ndcg(held_out)
    print(f"\nreranked − RRF {reranked - rrf:+.4f}, − BM25 {reranked - bm25:+.4f}, − dense {reranked - dense:+.4f}")
    worse = [row.collection for row in held_out if row.ndcg[3] < row.ndcg[2]]
    print(f"collections where reranking lowers RRF: {', '.join(worse) or 'none'}")
    if arguments.shipped:
        import lightgbm

        booster = lightgbm.Booster(model_file=str(BUNDLED))
        print("\nshipped model (seen in training):")
        for name, judged in lists.items():
            print(f"  {name:<16} {evaluate(booster, judged, threads=arguments.threads)[3]:.4f}")
    _note(f"{time.perf_counter() - started:.0f} s")
    return 0


def _note(message: str) -> None:
    sys.stderr.write(message + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
