"""A home whose default collection has a knowledge graph, for tests of the graph and of questions to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.index.blobs import BlobStore
from app.index.catalog import Catalog
from app.index.generations import IndexStore, PreparedVersion
from app.index.graph_engine import GraphDatabase
from app.index.graph_files import GraphFiles, current_versions
from app.index.publishing import publish
from app.index.records import NewDocument
from app.types import Chunk, LoadedDocument
from ingestion.graph import GraphBuilder

TEXT = (
    "Paris is the capital of France. Acme Corporation was founded by Ada Byron and Karl Weiss. "
    "Acme Corporation moved to Paris.\n\nCity: Lyon; People: 5\nCity: Nice; People: 3"
)


@dataclass
class House:
    """`root` is `ATTEST_HOME`; documents are one chunk each and have a vector that says nothing."""

    root: Path

    def __post_init__(self) -> None:
        self.catalog = Catalog.open(f"sqlite:///{self.root / 'attest.db'}")
        self.blobs = BlobStore(self.root / "blobs")
        self.index = IndexStore(self.root / "index", encoder_name="e", embed_dim=4)
        self.builder = GraphBuilder(self.catalog, self.index)
        self.catalog.update_collection("default", {"graph.enabled": True})

    def add(self, text: str, document_id: str | None = None, title: str = "Title", **metadata: Any) -> str:
        """Publishes the text; returns the document's id."""
        sha256, size = self.blobs.put(text.encode(), 10_000)
        new = NewDocument(sha256, size, None, "a.txt", title, None, metadata, document_id)
        _, (document,) = self.catalog.submit("default", [new])
        chunk = Chunk(0, text, 0, len(text), heading_path=("Cities", "Facts"))
        self.catalog.store_text(document.version_id, LoadedDocument(text, "text/plain"), title, [chunk])
        prepared = PreparedVersion(document.version_id, document.id, [text], np.eye(1, 4, dtype=np.float32))
        publish(self.catalog, self.index, self.record.id, [prepared])
        return document.id

    @property
    def record(self) -> Any:
        return self.catalog.get_collection("default")

    @property
    def files(self) -> GraphFiles:
        return GraphFiles(self.index.collection(self.record.id).layout.root)

    def ask(self, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        versions = current_versions(self.index.collection(self.record.id).snapshot())
        with GraphDatabase(self.files.database(versions)) as database:
            return list(database.run(statement, parameters, row_limit=100, time_limit_ms=60_000).rows)
