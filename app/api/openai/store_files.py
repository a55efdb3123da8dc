"""What a file is in a vector store: a document of the collection, under an id that leads back to the file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from app.api.keys import Principal
from app.errors import NotFound
from app.index.records import DocumentRecord, FileRecord

if TYPE_CHECKING:
    from app.bootstrap import Services

_OF_FILE = re.compile(r"(file_[0-9a-f]{24})\..+")
_STATUS = {"ready": "completed", "failed": "failed"}


def document_id_in(services: Services, file_id: str, collection: str) -> str:
    """The id that the file's document has, or would get, in the collection: the file's own in the first one that it
    is attached to, with the collection's name behind it in any other."""
    try:
        elsewhere = services.catalog.get_document(file_id)
    except NotFound:
        return file_id
    taken = elsewhere.collection != collection and elsewhere.status != "deleted"
    return f"{file_id}.{collection}" if taken else file_id


def file_id_of(document_id: str) -> str:
    """The file's id that a document's id leads back to; other documents are files under their own id."""
    found = _OF_FILE.fullmatch(document_id)
    return found[1] if found else document_id


def find_in_store(services: Services, collection: str, file_id: str) -> DocumentRecord:
    """The document that the file is in the collection: by its id, or by its bytes where they were there before.

    Raises:
        NotFound: the file is not attached to the store.
    """
    for document_id in (file_id, f"{file_id}.{collection}"):
        record = _living(services, document_id)
        if record is not None and record.collection == collection:
            return record
    try:
        same = services.catalog.document_with_bytes(collection, services.catalog.get_file(file_id).sha256)
    except NotFound:
        same = None
    record = _living(services, same) if same is not None else None
    if record is None:
        raise NotFound(f"file {file_id[:200]!r} is not attached to the vector store {collection!r}")
    return record


def documents_of_file(services: Services, caller: Principal, file: FileRecord) -> list[str]:
    """The ids of the documents that were made of the file, in collections that the caller may touch."""
    found = []
    for collection in services.catalog.list_collections():
        if not caller.may_touch(collection.name):
            continue
        for document_id in (file.id, f"{file.id}.{collection.name}"):
            record = _living(services, document_id)
            if record is not None and record.collection == collection.name and document_id not in found:
                found.append(document_id)
    return found


def store_file(record: DocumentRecord, file_id: str | None = None) -> dict[str, Any]:
    """A document as a vector store's file."""
    status = _STATUS.get(record.status, "in_progress")
    error = {"code": _error_code(record.error_code), "message": record.error} if status == "failed" else None
    return {
        "id": file_id or file_id_of(record.id),
        "object": "vector_store.file",
        "created_at": int(record.created_at.timestamp()),
        "usage_bytes": record.bytes,
        "vector_store_id": record.collection,
        "status": status,
        "last_error": error,
        "attributes": attributes_of(record.metadata),
        "chunking_strategy": {"type": "other"},
    }


def file_names(services: Services, document_ids: Iterable[str]) -> dict[str, str]:
    """The name under which each document was uploaded; its title where it had none."""
    names = {}
    for document_id in dict.fromkeys(document_ids):
        record = _living(services, document_id)
        if record is not None:
            names[document_id] = record.filename or record.title
    return names


def attributes_of(metadata: Any) -> dict[str, Any]:
    """Metadata as OpenAI's attributes, which hold only strings, numbers and booleans."""
    return {
        name: value if isinstance(value, str | int | float | bool) else ", ".join(map(str, value))
        for name, value in metadata.items()
        if isinstance(value, str | int | float | bool | list | tuple)
    }


def _living(services: Services, document_id: str) -> DocumentRecord | None:
    try:
        record: DocumentRecord = services.catalog.get_document(document_id)
    except NotFound:
        return None
    return None if record.status == "deleted" else record


def _error_code(code: str | None) -> str:
    return "unsupported_file" if code == "unsupported_media" else "invalid_file" if code else "server_error"
