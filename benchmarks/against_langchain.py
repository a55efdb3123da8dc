"""Ingestion and hybrid search, side by side with LangChain, same corpus, same MiniLM weights, one machine, one run.

    python -m benchmarks.against_langchain --data DIR [--sizes 5000 100000] [--ingest 1500] [--queries 200]

Each measurement runs in a process of its own, so that peak memory is that system's alone. LangChain is used as its
documentation shows it: `EnsembleRetriever` over `BM25Retriever` and the `FAISS` vector store, `HuggingFaceEmbeddings`
with the default options.

Ingestion is measured against both ways of using it: "split" by its own splitter to the token budget and overlap of our
chunker, so that both systems embed every word of the corpus, and "unsplit", where the model cuts each abstract after
256 tokens and the rest can not be found. Our files are uploaded while the worker takes the first of them in, as with a
server.

For search, both systems index the same vectors, computed once and cached (the rate of computing them is the ingestion
figure); query embedding is inside the measured time on both sides. Needs the `bench` extra.
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
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

WORDS_PER_CHUNK = 40
TOP_K = 50
UPLOAD_DOCUMENTS = 250
CORPORA = ("bioasq", "reqa_squad", "nq_oracle", "npl", "cisi", "cranfield", "medline")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[5_000, 100_000])
    parser.add_argument("--ingest", type=int, default=1_500, help="abstracts to ingest, embedding included; 0: none")
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
    for name in ("split", "unsplit") if args.ingest else ():
        ours, theirs = _run(args, "attest-ingest", args.ingest), _run(args, f"langchain-ingest-{name}", args.ingest)
        _row(
            f"ingest {args.ingest} ({name}), abstracts/s", ours["documents_per_s"], theirs["documents_per_s"], more=True
        )
        _row("  chunks/s", ours["chunks_per_s"], theirs["chunks_per_s"], more=True)
        _row("  tokens embedded/s", ours["tokens_per_s"], theirs["tokens_per_s"], more=True)
        _row("  tokens embedded per abstract", ours["tokens"] / args.ingest, theirs["tokens"] / args.ingest, more=True)
        _row("  peak memory, MiB", ours["peak_mib"], theirs["peak_mib"])
    for size in args.sizes:
        ours, theirs = _run(args, "attest-search", size), _run(args, "langchain-search", size)
        _row(f"search {size:,} chunks, p50 ms", ours["p50_ms"], theirs["p50_ms"])
        _row("  p95 ms", ours["p95_ms"], theirs["p95_ms"])
        _row("  peak memory, MiB", ours["peak_mib"], theirs["peak_mib"])
        print(f"{'  recall@10 against exact search':<34}{ours['recall']:>14.4f}", flush=True)


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


def _row(name: str, ours: float, theirs: float, *, more: bool = False) -> None:
    ratio = ours / theirs if more else theirs / ours
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
    from app.embedding.loading import load_encoder

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
        uploaded = threading.Event()

        def work() -> None:
            while not uploaded.is_set():
                if not worker.run_once():
                    uploaded.wait(settings.worker.poll_s)
            while worker.run_once():
                pass

        working = threading.Thread(target=work)
        working.start()
        for start in range(0, len(texts), UPLOAD_DOCUMENTS):
            documents = []
            for number, text in enumerate(texts[start : start + UPLOAD_DOCUMENTS], start):
                sha256, size = blobs.put(text.encode(), 2**20)
                documents.append(NewDocument(sha256, size, "text/plain", f"{number}.txt", None, None))
            catalog.submit("default", documents)
        uploaded.set()
        working.join()
        elapsed_s = time.perf_counter() - started
        peak_mib = _peak_mib()
        version_ids = catalog.version_ids(catalog.get_collection("default").id, ("ready",))
        pieces = list(catalog.embedding_texts(version_ids).values())
        if len(version_ids) != len(set(texts)):
            raise SystemExit(f"{len(set(texts)) - len(version_ids)} abstracts were not ingested")
        return _ingested(pieces, len(texts), elapsed_s, peak_mib)


def langchain_ingest_split(args: argparse.Namespace) -> dict[str, float]:
    """Split to our token budget and overlap, then to both retrievers in memory (LangChain persists nothing here)."""
    from langchain_text_splitters import RecursiveCharacterTextSplitter
    from transformers import AutoTokenizer

    from app.settings import ChunkingSettings

    budget = ChunkingSettings()
    splitter = RecursiveCharacterTextSplitter.from_huggingface_tokenizer(
        AutoTokenizer.from_pretrained(str(_minilm_folder())),
        chunk_size=budget.max_tokens,
        chunk_overlap=budget.overlap_tokens,
    )
    return _langchain_ingest(args, splitter.split_text)


def langchain_ingest_unsplit(args: argparse.Namespace) -> dict[str, float]:
    """One abstract is one chunk; the model sees its first 256 tokens."""
    return _langchain_ingest(args, lambda text: [text])


def _langchain_ingest(args: argparse.Namespace, split: Callable[[str], list[str]]) -> dict[str, float]:
    from langchain_community.retrievers import BM25Retriever
    from langchain_community.vectorstores import FAISS

    texts = abstracts(args.data, args.size)
    embeddings = _langchain_embeddings()
    embeddings.embed_documents(texts[:8])
    started = time.perf_counter()
    pieces = [piece for text in texts for piece in split(text)]
    FAISS.from_texts(pieces, embeddings)
    BM25Retriever.from_texts(pieces)
    elapsed_s = time.perf_counter() - started
    return _ingested(pieces, len(texts), elapsed_s, _peak_mib())


def _ingested(pieces: list[str], documents: int, elapsed_s: float, peak_mib: float) -> dict[str, float]:
    """Rates; tokens are those that went through the model, its limit and special tokens counted alike for both."""
    from app.embedding.loading import load_encoder

    encoder = load_encoder()
    tokens = sum(min(count + 2, encoder.max_tokens) for count in encoder.count_tokens(pieces))
    return {
        "documents_per_s": documents / elapsed_s,
        "chunks_per_s": len(pieces) / elapsed_s,
        "tokens_per_s": tokens / elapsed_s,
        "tokens": tokens,
        "peak_mib": peak_mib,
    }


def attest_search(args: argparse.Namespace) -> dict[str, float]:
    from app.embedding.loading import load_encoder
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
        asked = queries(args.data, args.queries)
        recall = _recall(store.collection(catalog.get_collection("default").id), encoder.encode_queries(asked))

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

        return {**_percentiles(search, asked), "recall": recall}


def _recall(index: Any, vectors: np.ndarray[Any, np.dtype[np.float32]]) -> float:
    """Recall@10 of vector search against exact search over the same vectors."""
    from benchmarks.index_scale import exact_search, recall

    return recall(index.snapshot().search_dense(vectors, 10, None), exact_search(index, vectors, 10, None))


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
    from langchain_huggingface import HuggingFaceEmbeddings

    return HuggingFaceEmbeddings(model_name=str(_minilm_folder()), encode_kwargs={"normalize_embeddings": True})


def _minilm_folder() -> Path:
    from app.embedding.weights import packaged_folder

    return packaged_folder()


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
    "langchain-ingest-split": langchain_ingest_split,
    "langchain-ingest-unsplit": langchain_ingest_unsplit,
    "langchain-search": langchain_search,
}

if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
