"""Judged test collections on disk: the corpora, queries and relevance grades that the reranker learns from.

A collection is a folder with `corpus.jsonl` (`{id, title, text}`), `queries.jsonl` (`{id, question, relevant_ids?}`)
and, where relevance is graded, `qrels.jsonl` (`{qid | query_id, did | doc_id, grade}`); each may be gzipped (`.gz`).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Document:
    id: str
    title: str
    text: str

    @property
    def embedding_text(self) -> str:
        """What the embedder and BM25 see, as `app.types.Chunk.embedding_text` makes it."""
        return f"{self.title}\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Collection:
    """`qrels[query_id][document_id]` is a positive grade; documents that are not listed count as irrelevant."""

    name: str
    documents: Sequence[Document]
    queries: Sequence[tuple[str, str]]
    qrels: Mapping[str, Mapping[str, float]]


def load_collection(folder: Path, *, max_queries: int, seed: int) -> Collection:
    """The collection in `folder` with a seeded sample of at most `max_queries` judged queries, in file order.

    Raises:
        InvalidInput: a file is missing or a row lacks a field; the message names file and line.
    """
    documents = [
        Document(str(row["id"]), str(row.get("title") or ""), str(row["text"]))
        for row in _rows(folder, "corpus", required=("id", "text"))
    ]
    known = {document.id for document in documents}
    rows = list(_rows(folder, "queries", required=("id", "question")))
    grades: dict[str, dict[str, float]] = {}
    if _find(folder, "qrels") is not None:
        for row in _rows(folder, "qrels", required=("grade",)):
            query_id, document_id = row.get("qid", row.get("query_id")), row.get("did", row.get("doc_id"))
            grades.setdefault(str(query_id), {})[str(document_id)] = float(row["grade"])
    else:
        for row in rows:
            grades[str(row["id"])] = {str(document_id): 1.0 for document_id in row.get("relevant_ids") or ()}
    qrels = {
        query_id: {document_id: grade for document_id, grade in judged.items() if grade > 0 and document_id in known}
        for query_id, judged in grades.items()
    }
    judged_rows = [row for row in rows if qrels.get(str(row["id"]))]
    if len(judged_rows) > max_queries:
        keep = np.random.default_rng(seed).choice(len(judged_rows), size=max_queries, replace=False)
        judged_rows = [judged_rows[index] for index in sorted(keep.tolist())]
    queries = [(str(row["id"]), str(row["question"])) for row in judged_rows]
    return Collection(folder.name, documents, queries, {query_id: qrels[query_id] for query_id, _ in queries})


def load_collections(
    data_dir: Path, names: Sequence[str] | None = None, *, max_queries: int = 400, seed: int = 0
) -> list[Collection]:
    """The collections under `data_dir/ir` (or under `data_dir` itself), by name; all that are complete when None.

    Raises:
        InvalidInput: there is none, or a named one is missing.
    """
    root = data_dir / "ir" if (data_dir / "ir").is_dir() else data_dir
    complete = sorted(
        folder.name
        for folder in (root.iterdir() if root.is_dir() else ())
        if folder.is_dir() and _find(folder, "corpus") and _find(folder, "queries")
    )
    chosen = complete if names is None else list(names)
    missing = sorted(set(chosen) - set(complete))
    if missing or not chosen:
        raise InvalidInput(
            f"data directory {data_dir}: "
            + (f"no complete collection named {', '.join(missing)}" if missing else "no judged collection")
            + "; each is a folder with corpus.jsonl(.gz) and queries.jsonl(.gz); "
            + f"found: {', '.join(complete) or 'none'}"
        )
    return [load_collection(root / name, max_queries=max_queries, seed=seed) for name in chosen]


def _find(folder: Path, stem: str) -> Path | None:
    for name in (f"{stem}.jsonl.gz", f"{stem}.jsonl"):
        if (folder / name).is_file():
            return folder / name
    return None


def _rows(folder: Path, stem: str, *, required: Sequence[str]) -> Iterator[dict[str, Any]]:
    path = _find(folder, stem)
    if path is None:
        raise InvalidInput(f"collection {folder.name}: {stem}.jsonl(.gz) is missing from {folder}")
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InvalidInput(f"{path}:{number}: not JSON ({error}); each line must hold one object") from error
            lacking = [name for name in required if row.get(name) is None]
            if lacking:
                raise InvalidInput(f"{path}:{number}: field {', '.join(lacking)} is missing")
            yield row
