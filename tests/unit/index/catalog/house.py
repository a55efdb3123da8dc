"""What the catalog's tests share: a clock to turn by hand, documents to submit, a worker's steps in one call."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.index.catalog import Catalog
from app.index.records import NewDocument, SubmittedDocument
from app.types import Chunk, LoadedDocument, PageSpan

ROOT = Path(__file__).parents[4]


class Clock:
    """Stands still until `advance`."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def new(text: str, document_id: str | None = None, **given: Any) -> NewDocument:
    fields: dict[str, Any] = {"media_type": "text/plain", "filename": None, "title": None, "source_url": None}
    return NewDocument(sha256=digest(text), bytes=len(text.encode()), document_id=document_id, **(fields | given))


def submit_one(catalog: Catalog, text: str, document_id: str | None = None, **given: Any) -> SubmittedDocument:
    return catalog.submit("default", [new(text, document_id, **given)])[1][0]


def sentences(text: str) -> list[Chunk]:
    """One chunk per sentence, which ends with a full stop."""
    chunks: list[Chunk] = []
    start = 0
    for part in text.split("."):
        end = start + len(part)
        if part.strip():
            chunks.append(Chunk(len(chunks), text[start:end], start, end, page=1, heading_path=("H",), tokens=3))
        start = end + 1
    return chunks


def store(catalog: Catalog, version_id: int, text: str, title: str = "Title", **metadata: Any) -> None:
    loaded = LoadedDocument(text, "text/plain", pages=(PageSpan(1, 0, len(text)),), metadata=metadata)
    catalog.store_text(version_id, loaded, title, sentences(text))


def publish(catalog: Catalog, *version_ids: int, generation: int = 1) -> None:
    item = catalog.get_version_records(version_ids)[version_ids[0]]
    name = catalog.get_document(item.document_id).collection
    catalog.finish_publication(catalog.get_collection(name).id, version_ids, catalog.clock(), generation)


def add(catalog: Catalog, text: str, document_id: str | None = None, collection: str = "default", **given: Any) -> str:
    """The id of a document that was submitted, stored and published."""
    title = given.get("title") or "Title"
    _, [submitted] = catalog.submit(collection, [new(text, document_id, **given)])
    if not submitted.duplicate:
        store(catalog, submitted.version_id, text, title)
        publish(catalog, submitted.version_id)
    return submitted.id


def start_python(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Another process running `script`; the caller waits for it."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
