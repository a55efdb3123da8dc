"""A small library of one-chunk documents in a real catalog and a real index."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from app.index.catalog import Catalog
from app.index.generations import IndexStore, PreparedVersion
from app.index.publishing import publish
from app.index.records import NewDocument
from app.types import Chunk, LoadedDocument
from tests.fakes import FakeEncoder


class Library:
    def __init__(self, home: Path) -> None:
        self.encoder = FakeEncoder()
        self.catalog = Catalog.open(f"sqlite:///{home / 'attest.db'}")
        self.store = IndexStore(home / "index", encoder_name=self.encoder.name, embed_dim=self.encoder.embed_dim)

    def add(
        self,
        document_id: str,
        text: str,
        *,
        collection: str = "default",
        metadata: Mapping[str, Any] | None = None,
        valid_from: datetime | None = None,
    ) -> int:
        """Publishes one document of one chunk; a known id becomes a new version. Returns the version id."""
        new = NewDocument(
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            bytes=len(text),
            media_type="text/plain",
            filename=None,
            title=None,
            source_url=None,
            metadata=dict(metadata or {}),
            document_id=document_id,
        )
        _, submitted = self.catalog.submit(collection, [new])
        version_id = submitted[0].version_id
        chunk = Chunk(ordinal=0, text=text, char_start=0, char_end=len(text))
        self.catalog.store_text(version_id, LoadedDocument(text, "text/plain"), "", [chunk])
        prepared = PreparedVersion(version_id, document_id, [text], self.encoder.encode_passages([text]))
        collection_id = self.catalog.get_collection(collection).id
        publish(self.catalog, self.store, collection_id, [prepared], valid_from=valid_from)
        return version_id


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    made = Library(tmp_path)
    yield made
    made.catalog.close()
