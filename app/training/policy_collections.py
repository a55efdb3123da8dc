"""The judged collections that the translation policy is trained and tested on, split by collection.

Which collection has which part was written down before any was measured for the policy. ReQA-SQuAD and XQuAD share
articles: one half of the articles (by a hash of the title) trains, the other is held out.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import InvalidInput
from app.rerank.collections import Collection, Document, load_collection

TRAIN = ("drcd_zh", "medline", "medquad", "multihop_tune", "npl", "nq_oracle", "reqa_squad")
HELD_OUT = (
    "adi", "bioasq", "cmrc2018_zh", "cranfield", "multihop_held_out", "xquad_enq_zhctx", "xquad_zhq_enctx",
)  # fmt: skip
DOCUMENT_CHARS = 800
"""Documents are cut here, about a chunk of the service: whole ones would cost their encoding and change little."""
_ALL = 10**9


def load_judged(data: Path, name: str, *, max_queries: int, max_documents: int, seed: int) -> Collection:
    """A sample of a collection: questions, their relevant documents, and others up to `max_documents`.

    Args:
        data: folder with `ir/`, `rc/` and `multihop/`, as far as the collection needs them.
        name: one of `TRAIN` and `HELD_OUT`, or any folder of `ir/`.
        max_queries: questions kept.
        max_documents: documents kept; the relevant ones always.
        seed: of both samples.

    Raises:
        InvalidInput: the collection's files are not there, or broken.
    """
    if name in _OWN:
        collection = _OWN[name](data)
    elif name.startswith("multihop_"):
        collection = _multihop(data, name.removeprefix("multihop_"), max_queries, seed)
    else:
        collection = load_collection(data / "ir" / name, max_queries=max_queries, seed=seed)
    if not collection.queries:
        raise InvalidInput(f"collection {name}: no judged question in it; each needs a relevant document")
    return _sampled(collection, max_queries, max_documents, seed)


def _sampled(collection: Collection, max_queries: int, max_documents: int, seed: int) -> Collection:
    queries = list(collection.queries)
    rng = np.random.default_rng(seed)
    if len(queries) > max_queries:
        queries = [queries[place] for place in sorted(rng.choice(len(queries), max_queries, replace=False).tolist())]
    qrels = {query_id: collection.qrels[query_id] for query_id, _ in queries}
    wanted = {document_id for judged in qrels.values() for document_id in judged}
    others = [document.id for document in collection.documents if document.id not in wanted]
    spare = max(0, max_documents - len(wanted))
    if len(others) > spare:
        others = [others[place] for place in rng.choice(len(others), spare, replace=False).tolist()]
    wanted.update(others)
    documents = [
        replace(document, text=document.text[:DOCUMENT_CHARS])
        for document in collection.documents
        if document.id in wanted and document.embedding_text.strip()
    ]
    return Collection(collection.name, documents, queries, qrels)


def article_half(title: str) -> str:
    """Which half of the SQuAD articles a title belongs to."""
    key = title.replace("_", " ").strip().casefold().encode()
    return "held_out" if int(hashlib.sha256(key).hexdigest(), 16) % 2 else "train"


def question_half(question_id: str) -> str:
    """Which half of the multi-hop questions: the split of benchmarks/multihop.py."""
    return "held_out" if int(hashlib.sha256(question_id.encode()).hexdigest(), 16) % 2 else "tune"


def _reqa_squad(data: Path) -> Collection:
    """Sentences of the training articles; one whose article is not known for certain is left out."""
    whole = load_collection(data / "ir" / "reqa_squad", max_queries=_ALL, seed=0)
    contexts: dict[str, list[str]] = {"train": [], "held_out": []}
    for path, field in (("ir/xquad_zhq_enctx/corpus", "text"), ("rc/squad2_dev_half", "context")):
        for row in _rows(data, path):
            contexts[article_half(str(row.get("title") or ""))].append(_plain(str(row[field])))
    joined = {half: "\n".join(dict.fromkeys(texts)) for half, texts in contexts.items()}
    kept = [
        document
        for document in whole.documents
        if len(text := _plain(document.text)) > 30 and text in joined["train"] and text not in joined["held_out"]
    ]
    return _over(whole, kept)


def _over(whole: Collection, documents: list[Document]) -> Collection:
    """The questions whose relevant documents are all among these."""
    known = {document.id for document in documents}
    queries = [query for query in whole.queries if whole.qrels[query[0]].keys() <= known]
    return Collection(whole.name, documents, queries, {query_id: whole.qrels[query_id] for query_id, _ in queries})


def _xquad(name: str) -> Callable[[Path], Collection]:
    """The held-out articles."""

    def load(data: Path) -> Collection:
        whole = load_collection(data / "ir" / name, max_queries=_ALL, seed=0)
        kept = [document for document in whole.documents if article_half(document.title) == "held_out"]
        return _over(whole, kept)

    return load


def _bioasq(data: Path) -> Collection:
    """The gold abstracts among abstracts of MEDLINE that no BioASQ question was asked of."""
    whole = load_collection(data / "ir" / "bioasq", max_queries=_ALL, seed=0)
    others = load_collection(data / "ir" / "medline", max_queries=1, seed=0).documents
    documents = [*whole.documents, *(replace(document, id=f"medline-{document.id}") for document in others)]
    return Collection(whole.name, documents, whole.queries, whole.qrels)


def _medquad(data: Path) -> Collection:
    rows = [row for row in _rows(data, "ir/medquad/qa_pairs") if str(row["text"]).strip()]
    documents = [Document(str(row["id"]), str(row.get("title") or ""), str(row["text"])) for row in rows]
    queries = [(str(row["id"]), str(row["question"])) for row in rows]
    return Collection("medquad", documents, queries, {query_id: {query_id: 1.0} for query_id, _ in queries})


def _drcd(data: Path) -> Collection:
    documents: dict[str, Document] = {}
    queries, qrels = [], {}
    for row in _rows(data, "rc/drcd"):
        text = str(row["context"])
        document = documents.setdefault(text, Document(f"drcd-{len(documents)}", str(row.get("title") or ""), text))
        queries.append((str(row["id"]), str(row["question"])))
        qrels[str(row["id"])] = {document.id: 1.0}
    return Collection("drcd_zh", list(documents.values()), queries, qrels)


def _multihop(data: Path, half: str, max_queries: int, seed: int) -> Collection:
    """The paragraphs of the chosen questions together: each question's stand among those of the others."""
    rows = [row for row in _rows(data, "multihop/train") if question_half(str(row["id"])) == half]
    order = np.random.default_rng(seed).permutation(len(rows))[:max_queries].tolist()
    documents: dict[tuple[str, str], Document] = {}
    queries, qrels = [], {}
    for row in (rows[place] for place in sorted(order)):
        grades: dict[str, float] = {}
        for paragraph in row["paragraphs"]:
            title, text = str(paragraph["title"]), str(paragraph["text"])
            if not text.strip():
                continue
            document = documents.setdefault((title, text), Document(f"p{len(documents)}", title, text))
            if paragraph["supporting"]:
                grades[document.id] = 1.0
        if grades:
            queries.append((str(row["id"]), str(row["question"])))
            qrels[str(row["id"])] = grades
    return Collection(f"multihop_{half}", list(documents.values()), queries, qrels)


_OWN: Mapping[str, Callable[[Path], Collection]] = {
    "bioasq": _bioasq,
    "drcd_zh": _drcd,
    "medquad": _medquad,
    "reqa_squad": _reqa_squad,
    "xquad_enq_zhctx": _xquad("xquad_enq_zhctx"),
    "xquad_zhq_enctx": _xquad("xquad_zhq_enctx"),
}


def _plain(text: str) -> str:
    return " ".join(text.split())


def _rows(data: Path, name: str) -> Iterator[dict[str, Any]]:
    path = data / f"{name}.jsonl.gz"
    if not path.is_file():
        raise InvalidInput(f"data directory {data}: {name}.jsonl.gz is missing; leave out the collection that needs it")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)
