"""Publication and deletion across catalog and index: the only module that touches both.

The index's manifest is the moment of truth. A crash between it and the catalog's own transaction is finished by the
repeated job, or by `recover` at the start of a worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

from app.errors import InvalidInput
from app.index.blobs import BlobStore
from app.index.catalog import Catalog
from app.index.generations import IndexStore, PreparedVersion, Snapshot, TextsOf
from app.index.graph_files import GraphFiles
from app.index.records import CollectionRecord
from app.types import DocumentStatus

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNFINISHED: tuple[DocumentStatus, ...] = ("queued", "loading", "chunking", "embedding", "indexing")


def texts_of(catalog: Catalog) -> TextsOf:
    """What BM25 sees of each chunk, from the catalog: for compactions and deletions."""

    def texts(version_ids: list[int]) -> Mapping[tuple[int, int], str]:
        return catalog.embedding_texts(version_ids)

    return texts


def publish(
    catalog: Catalog,
    store: IndexStore,
    collection_id: int,
    versions: Sequence[PreparedVersion],
    *,
    valid_from: datetime | None = None,
) -> int:
    """Makes the versions searchable and the catalog say so; returns the generation. Repeating it is harmless.

    Versions deleted, cancelled or superseded meanwhile are left out. What a version replaces is asked of the catalog
    under the lock, so that two versions of a document published at once follow one another.

    Raises:
        InvalidInput: no versions; vectors of another shape, or not of unit length.
        Unavailable: the index was built by another encoder: `attest reindex`.
    """
    if not versions:
        raise InvalidInput("versions is empty; pass at least one prepared version")
    index = store.collection(collection_id)

    def replaced_by(current: Snapshot, version_ids: list[int]) -> Mapping[int, tuple[int, ...]]:
        _finish_interrupted(catalog, collection_id, current)  # else the catalog would name the version before it
        return catalog.replaced_by(version_ids)

    def finish(_generation: int, version_ids: list[int]) -> None:
        _finish(catalog, collection_id, index.snapshot(), version_ids)

    return index.publish(
        versions,
        valid_from=valid_from or catalog.clock(),
        still_wanted=catalog.is_wanted,
        replaced_by=replaced_by,
        on_published=finish,
    )


def _finish(catalog: Catalog, collection_id: int, snapshot: Snapshot, version_ids: Sequence[int]) -> None:
    """Step 6 for versions that the snapshot holds, in slot order: each with the time that the index gives it."""
    rows = [row for version_id in version_ids if (row := snapshot.find_version(version_id)) is not None]
    for valid_from, group in groupby(sorted(rows, key=lambda row: row.slot_start), key=lambda row: row.valid_from):
        moment = _EPOCH + timedelta(microseconds=valid_from)
        catalog.finish_publication(collection_id, [row.version_id for row in group], moment, snapshot.generation)


def _finish_interrupted(catalog: Catalog, collection_id: int, snapshot: Snapshot) -> list[int]:
    """Step 6 for every version that the manifest names and the catalog still calls unfinished; returns their ids."""
    interrupted = [
        version_id
        for version_id in catalog.version_ids(collection_id, _UNFINISHED)
        if (row := snapshot.find_version(version_id)) is not None and not row.deleted
    ]
    _finish(catalog, collection_id, snapshot, interrupted)
    return interrupted


def recover(catalog: Catalog, store: IndexStore) -> int:
    """Brings catalog and index together after a crash; returns how many versions had to be looked after.

    A version that the manifest names but the catalog calls unfinished becomes ready; one that the catalog calls deleted
    leaves the index.
    """
    count = 0
    for collection in catalog.list_collections():
        index = store.collection(collection.id)
        index.recover()
        snapshot = index.snapshot()
        count += len(_finish_interrupted(catalog, collection.id, snapshot))
        deleted = [
            version_id
            for version_id in catalog.deleted_versions(collection.id)
            if (row := snapshot.find_version(version_id)) is not None and not row.deleted
        ]
        if deleted:
            index.delete(deleted, texts_of(catalog))
            count += len(deleted)
    return count


def delete_document(catalog: Catalog, store: IndexStore, blobs: BlobStore, document_id: str) -> dict[str, int]:
    """Deletes every version of the document from catalog, index and blob store; returns what is left, counted.

    `{vectors, postings, chunks, derived}`, all zero when nothing is. The catalog goes first: a publication in progress
    then finds the versions unwanted. Repeating it after a crash finishes it.

    Raises:
        NotFound: no such document.
    """
    collection = catalog.get_collection(catalog.get_document(document_id).collection)
    records = catalog.remove_document_rows(document_id)
    version_ids = [record.id for record in records]
    index = store.collection(collection.id)
    residual = index.delete(version_ids, texts_of(catalog))
    store.tell_deletion(collection.name)
    in_graph = GraphFiles(index.layout.root).forget(version_ids)
    blobs_left = [record.sha256 for record in records if record.sha256]
    released = catalog.release_blobs(blobs_left, blobs.delete)
    rows = catalog.residual_rows(document_id)
    return {
        "vectors": residual.vectors,
        "postings": residual.postings,
        "chunks": rows["chunks"],
        "derived": rows["derived"] + sum(blobs.exists(sha256) for sha256 in released) + in_graph,
    }


def delete_collection(catalog: Catalog, store: IndexStore, blobs: BlobStore, name: str) -> CollectionRecord:
    """Deletes the collection with its documents, index and blobs; returns what it was.

    Raises:
        InvalidInput: `name` is "default".
        NotFound: no such collection.
    """
    sha256s = catalog.collection_blobs(name)
    record = catalog.delete_collection(name)
    store.drop(record.id)
    store.tell_deletion(name)
    catalog.release_blobs(sha256s, blobs.delete)
    return record
