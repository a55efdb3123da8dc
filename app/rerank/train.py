"""Training of the LambdaMART reranker, judged on collections that it has not seen."""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import InvalidInput
from app.protocols import Encoder
from app.rerank.candidates import JudgedList, judged_lists, ndcg
from app.rerank.card import write_card
from app.rerank.collections import load_collections
from app.rerank.features import FEATURES
from app.rerank.ranker import BUNDLED, CHECKSUMS

SYSTEMS = ("bm25", "dense", "rrf", "reranked")
ROUNDS = 120

# More of these never means less relevant, all else equal; without them the trees fit the collections' accidents.
RISING = frozenset(
    {
        "bm25", "bm25_share", "bm25_z", "bm25_to_top", "cosine", "cosine_z", "cosine_to_top", "rrf", "rrf_to_top",
        "coverage", "coverage_to_top", "window_coverage", "pair_coverage", "expansion_z", "expansion_to_top",
    }
)  # fmt: skip
FALLING = frozenset({"bm25_rank", "cosine_rank"})

PARAMETERS: Mapping[str, Any] = {
    "objective": "lambdarank",
    "lambdarank_truncation_level": 20,
    "label_gain": [0, 1, 2, 3, 4],
    "learning_rate": 0.05,
    "num_leaves": 8,
    "min_data_in_leaf": 200,
    "lambda_l2": 10.0,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 63,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}

JudgedLists = Mapping[str, Sequence[JudgedList]]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Mean nDCG@10 of each of `SYSTEMS` on one collection, its reranker trained on all the others."""

    collection: str
    queries: int
    ndcg: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What was trained and how it did on held-out collections; `mean` is over them, in the order of `SYSTEMS`."""

    model: Path
    held_out: tuple[HeldOut, ...]
    mean: tuple[float, ...]

    def table(self) -> str:
        """The leave-one-collection-out table in Markdown."""
        return markdown_table(self.held_out)


def _ignore(message: str) -> None:
    """Nobody watches."""


def train_reranker(
    data_dir: Path,
    out_dir: Path,
    *,
    encoder: Encoder,
    collections: Sequence[str] | None = None,
    max_queries: int = 400,
    rounds: int = ROUNDS,
    seed: int = 0,
    threads: int = 2,
    cache_dir: Path | None = None,
    progress: Callable[[str], None] = _ignore,
) -> TrainingReport:
    """Trains on every collection, evaluates by leaving out one at a time, writes model, card and checksum.

    The same data, seed and library versions give the same model.

    Args:
        data_dir: holds `ir/NAME/` collections (see `app.rerank.collections`).
        out_dir: receives `model.txt`, `README.md` and `SHA256SUMS`.
        encoder: the one that will serve.
        collections: names; every complete one but the cross-lingual ones when None.
        max_queries: sampled of each collection.
        rounds: trees.
        seed: of the samples and the trees.
        threads: of LightGBM.
        cache_dir: keeps embeddings between runs.
        progress: told what is being done.

    Raises:
        InvalidInput: fewer than two collections, which leaves nothing to hold out.
    """
    lists = gather(
        data_dir, encoder, collections=collections, max_queries=max_queries, seed=seed, cache_dir=cache_dir,
        progress=progress,
    )  # fmt: skip
    held_out = leave_one_out(lists, rounds=rounds, seed=seed, threads=threads, progress=progress)
    progress("training on every collection")
    booster = fit(list(lists.values()), rounds=rounds, seed=seed, threads=threads)
    out_dir.mkdir(parents=True, exist_ok=True)
    model = out_dir / "model.txt"
    _write(model, booster.model_to_string())
    _write(out_dir / "README.md", write_card(lists, encoder.name, markdown_table(held_out), importances(booster)))
    _write(out_dir / CHECKSUMS, f"{hashlib.sha256(model.read_bytes()).hexdigest()}  {model.name}\n")
    return TrainingReport(model, tuple(held_out), mean_ndcg(held_out))


def gather(
    data_dir: Path,
    encoder: Encoder,
    *,
    collections: Sequence[str] | None = None,
    max_queries: int = 400,
    seed: int = 0,
    cache_dir: Path | None = None,
    progress: Callable[[str], None] = _ignore,
) -> dict[str, list[JudgedList]]:
    """The judged candidate lists of each collection, by name.

    Cross-lingual collections (`*_enq_*`, `*_zhq_*`) are left out unless named: BM25 finds nothing there.
    """
    lists: dict[str, list[JudgedList]] = {}
    for collection in load_collections(data_dir, collections, max_queries=max_queries, seed=seed):
        if collections is None and ("_enq_" in collection.name or "_zhq_" in collection.name):
            continue
        progress(f"{collection.name}: {len(collection.documents)} documents, {len(collection.queries)} queries")
        lists[collection.name] = judged_lists(collection, encoder, cache_dir=cache_dir)
    return lists


def fit(groups: Sequence[Sequence[JudgedList]], *, rounds: int, seed: int, threads: int) -> Any:
    """A LightGBM booster over the lists of several collections, each collection weighing the same.

    Source: Burges, "From RankNet to LambdaRank to LambdaMART", MSR-TR-2010-82.
    """
    import lightgbm

    # A list without a relevant candidate has no pair to learn from.
    useful = [[judged for judged in group if judged.grades.any()] for group in groups]
    rows = [judged for group in useful for judged in group]
    if not rows:
        raise InvalidInput(
            "no training query has a relevant document among its candidates: check ids in the judgements"
        )
    weights = np.concatenate([np.full(len(judged.grades), 1 / len(group)) for group in useful for judged in group])
    dataset = lightgbm.Dataset(
        np.concatenate([judged.features for judged in rows]),
        label=np.minimum(np.concatenate([judged.grades for judged in rows]), len(PARAMETERS["label_gain"]) - 1),
        group=[len(judged.grades) for judged in rows],
        weight=weights / weights.mean(),
        feature_name=list(FEATURES),
        params={"verbose": -1},
    )
    constraints = [1 if name in RISING else -1 if name in FALLING else 0 for name in FEATURES]
    parameters = {**PARAMETERS, "seed": seed, "num_threads": threads, "monotone_constraints": constraints}
    return lightgbm.train(parameters, dataset, num_boost_round=rounds)


def leave_one_out(
    lists: JudgedLists,
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
    threads: int = 2,
    progress: Callable[[str], None] = _ignore,
) -> list[HeldOut]:
    """nDCG@10 of every system on every collection, the reranker trained on the others.

    Raises:
        InvalidInput: there are fewer than two collections.
    """
    if len(lists) < 2:
        raise InvalidInput(f"{len(lists)} collection: at least two are needed, to train on one and hold out the other")
    held_out = []
    for name, judged in lists.items():
        progress(f"holding out {name}")
        booster = fit(
            [group for other, group in lists.items() if other != name], rounds=rounds, seed=seed, threads=threads
        )
        held_out.append(HeldOut(name, len(judged), evaluate(booster, judged, threads=threads)))
    return held_out


def evaluate(booster: Any, lists: Sequence[JudgedList], *, threads: int = 2) -> tuple[float, ...]:
    """Mean nDCG@10 of each of `SYSTEMS` over the lists."""
    scores = booster.predict(np.concatenate([judged.features for judged in lists]), raw_score=True, num_threads=threads)
    ends = np.cumsum([len(judged.grades) for judged in lists])[:-1]
    rows = [
        (*judged.first_stage, ndcg(judged.grades[np.argsort(-predicted, kind="stable")], judged.ideal))
        for judged, predicted in zip(lists, np.split(scores, ends), strict=True)
    ]
    return tuple(np.mean(rows, axis=0).tolist())


def mean_ndcg(held_out: Sequence[HeldOut]) -> tuple[float, ...]:
    """Mean of each system over the collections, each weighing the same."""
    return tuple(math.fsum(column) / len(held_out) for column in zip(*(row.ndcg for row in held_out), strict=True))


def markdown_table(held_out: Sequence[HeldOut]) -> str:
    """The rows and their mean, four decimals."""
    lines = ["| held out | queries | BM25 | dense | RRF | reranked |", "|---|---:|---:|---:|---:|---:|"]
    lines += [f"| {row.collection} | {row.queries} | {_cells(row.ndcg)} |" for row in held_out]
    return "\n".join([*lines, f"| **mean** | {sum(row.queries for row in held_out)} | {_cells(mean_ndcg(held_out))} |"])


def importances(booster: Any) -> list[tuple[str, float]]:
    """Features by their share of the total gain, falling."""
    gains = booster.feature_importance("gain")
    shares = zip(FEATURES, (gains / gains.sum()).tolist(), strict=True)
    return sorted(shares, key=lambda item: (-item[1], item[0]))


def _cells(values: Sequence[float]) -> str:
    return " | ".join(f"{value:.4f}" for value in values)


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def main(argv: Sequence[str] | None = None) -> int:
    """`attest train reranker`: trains, prints the held-out table, and says where the model lies."""
    parser = argparse.ArgumentParser(prog="attest train reranker", description="Train the LambdaMART reranker.")
    parser.add_argument("--data", type=Path, required=True, help="folder with ir/NAME/ collections")
    parser.add_argument("--out", type=Path, default=BUNDLED.parent, help="receives model.txt, README.md, SHA256SUMS")
    parser.add_argument("--collections", nargs="+", help="names; every complete monolingual one when left out")
    parser.add_argument("--max-queries", type=int, default=400, help="sampled of each collection")
    parser.add_argument("--cache", type=Path, help="keeps embeddings between runs")
    parser.add_argument("--model", help="embedding model: a folder or a hub name; the packaged one when left out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)

    from app.embedding.loading import load_encoder

    report = train_reranker(
        arguments.data,
        arguments.out,
        encoder=load_encoder(arguments.model),
        collections=arguments.collections,
        max_queries=arguments.max_queries,
        seed=arguments.seed,
        threads=arguments.threads,
        cache_dir=arguments.cache,
        progress=lambda message: _say(sys.stderr, message),
    )
    _say(sys.stdout, f"{report.table()}\n\n{report.model}")
    return 0


def _say(stream: Any, message: str) -> None:
    stream.write(message + "\n")
    stream.flush()
