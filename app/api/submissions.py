"""A request body, in any of its three forms, → checked items whose bytes are in the blob store."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from app.api.errors import FieldProblem, InvalidFields, field_problems, invalid_field, printable
from app.api.multipart import Form, UploadedFile
from app.api.wire import CollectionName, Metadata, Text, WireRequest
from app.errors import AttestError, InvalidInput, TooLarge
from app.settings import LimitSettings

Body = TypeVar("Body", bound=WireRequest)
FILENAME_CHARS = 255
Title = Annotated[Text, Field(max_length=1_000)]
SourceUrl = Annotated[Text, Field(max_length=4_000)]
MediaType = Annotated[Text, Field(max_length=200, pattern=r"^[\w.+-]+/[\w.+-]+( *;.*)?$")]
DocumentId = Annotated[Text, Field(min_length=1, max_length=128)]


class DocumentBody(WireRequest):
    """One document as JSON."""

    text: str = Field(examples=["# Contract\n\nThe notice period is 30 days."])
    title: Title | None = None
    media_type: MediaType | None = Field(None, description="default text/plain", examples=["text/markdown"])
    metadata: Metadata | None = Field(None, max_length=200, examples=[{"year": 2024, "tags": ["legal"]}])
    source_url: SourceUrl | None = None
    id: DocumentId | None = Field(None, description="your own id; one is made where it is left out")


class SingleBody(DocumentBody):
    collection: CollectionName | None = None


def _is_list(value: Any) -> Any:
    if not isinstance(value, list):
        raise ValueError("must be a list of documents")
    return value


class BatchBody(WireRequest):
    """Many documents as JSON; each is checked on its own, so one that is wrong does not hold back the others."""

    documents: Annotated[list[Any], BeforeValidator(_is_list)]
    collection: CollectionName | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One document to store: `content` bytes, or an open file."""

    content: bytes | IO[bytes]
    media_type: str | None
    filename: str | None
    title: str | None
    source_url: str | None
    metadata: Mapping[str, Any]
    document_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """One document of a batch that cannot be taken, with the reason that the caller is told."""

    document_id: str | None
    error: AttestError


@dataclass(frozen=True, slots=True)
class Submission:
    """`items` are in the order given. `batch` says that they succeed or fail one by one."""

    items: tuple[Item | Rejected, ...]
    collection: str | None
    batch: bool = False


_FORM_FIELDS = frozenset({"file", "collection", "metadata", "title", "source_url"})
_METADATA: TypeAdapter[dict[str, Any]] = TypeAdapter(Metadata)


def parse_json(raw: bytes) -> Any:
    """The JSON value of a body. Raises `InvalidInput` for anything that is not ordinary UTF-8 JSON."""
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the body is not UTF-8 at byte {error.start}: send JSON as UTF-8") from None
    except RecursionError:
        raise InvalidInput("the body is nested too deeply to be read: send flat documents") from None
    except ValueError as error:
        raise InvalidInput(f"the body is not JSON: {str(error)[:200]}") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def from_json(value: Any, limits: LimitSettings, *, single: bool = False) -> Submission:
    """The submission in a JSON body; `single` refuses the many-at-once form.

    Raises:
        InvalidFields: a field is missing, unknown, or of the wrong type. TooLarge: a text over its limit.
    """
    if not isinstance(value, dict):
        raise invalid_field(("body",), 'must be an object, {"text": …} or {"documents": […]}', "dict_type")
    if "documents" not in value or single:
        body = _validated(SingleBody, value, ("body",))
        return Submission((_item(body, limits, ("body",)),), body.collection)
    batch = _validated(BatchBody, value, ("body",))
    if not 1 <= len(batch.documents) <= limits.batch_documents:
        raise invalid_field(
            ("body", "documents"),
            f"must hold 1 to {limits.batch_documents} documents, holds {len(batch.documents)}",
            "too_long",
        )
    items = tuple(_item_or_reason(entry, index, limits) for index, entry in enumerate(batch.documents))
    rejected = [item for item in items if isinstance(item, Rejected)]
    if len(rejected) == len(items):
        raise InvalidFields([problem for item in rejected for problem in problems_of(item.error)])
    return Submission(items, batch.collection, batch=True)


def from_form(form: Form, limits: LimitSettings, *, single: bool = False) -> Submission:
    """The submission in a form; its `title`, `source_url` and `metadata` hold for every file in it.

    Raises:
        InvalidFields: no file, an unknown field, or metadata that is not a JSON object.
    """
    problems = [
        _form_problem(name, "is not a field of this form: use file, collection, title, source_url, metadata")
        for name in (*form.fields, *(file.field_name for file in form.files))
        if name not in _FORM_FIELDS
    ]
    if not form.files or "file" in form.fields:
        problems.append(_form_problem("file", "must be a file, with a filename"))
    if single and len(form.files) > 1:
        problems.append(_form_problem("file", "must be one file: a version has one"))
    if problems:
        raise InvalidFields(problems)
    described = {name: form.fields[name] for name in ("collection", "title", "source_url") if form.fields.get(name)}
    checked = _validated(SingleBody, {"text": "", **described}, ("body",))
    metadata = _form_metadata(form.fields.get("metadata", ""), limits)
    items = tuple(_file_item(file, checked, metadata) for file in form.files)
    return Submission(items, checked.collection)


def safe_filename(name: str | None) -> str | None:
    """The last component of a client's file name, normalised, without control characters, at most 255 characters.

    It is only ever shown and used to guess a media type: files are stored under their digest.
    """
    base = re.split(r"[/\\]", unicodedata.normalize("NFC", name or ""))[-1]
    shown = "".join(char for char in base if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn")).strip()
    if not shown.strip("."):
        return None
    if len(shown) > FILENAME_CHARS:
        stem, dot, extension = shown.rpartition(".")
        keep = dot + extension if stem and len(extension) <= 16 else ""
        shown = shown[: FILENAME_CHARS - len(keep)] + keep
    return shown


def _validated(model: type[Body], value: Any, loc: tuple[str | int, ...]) -> Body:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = field_problems(error.errors(include_url=False, include_input=False, include_context=False))
        raise InvalidFields([item.model_copy(update={"loc": [*loc, *item.loc]}) for item in found]) from None
    except RecursionError:
        raise invalid_field(loc, "is nested too deeply", "recursion") from None


def _item(body: DocumentBody, limits: LimitSettings, loc: tuple[str | int, ...]) -> Item:
    _check_metadata_size(body.metadata, limits, loc)
    try:
        content = body.text.encode("utf-8")
    except UnicodeEncodeError:
        raise invalid_field((*loc, "text"), "must be valid Unicode: it holds a lone surrogate", "encoding") from None
    if len(content) > limits.upload_bytes:
        raise TooLarge(
            f"{'.'.join(str(part) for part in (*loc, 'text'))} has {len(content)} bytes; the limit is "
            f"{limits.upload_bytes}: split it, or raise ATTEST_LIMITS__UPLOAD_BYTES"
        )
    return Item(
        content=content,
        media_type=(body.media_type or "text/plain").partition(";")[0].strip().lower(),
        filename=None,
        title=body.title,
        source_url=body.source_url,
        metadata=body.metadata or {},
        document_id=body.id,
    )


def _item_or_reason(entry: Any, index: int, limits: LimitSettings) -> Item | Rejected:
    loc = ("body", "documents", index)
    try:
        return _item(_validated(DocumentBody, entry, loc), limits, loc)
    except AttestError as error:
        given = entry.get("id") if isinstance(entry, dict) else None
        shown = printable(given, 128) if isinstance(given, str) else None
        return Rejected(shown, error)


def problems_of(error: AttestError) -> list[FieldProblem]:
    """Where and why an item was refused."""
    if isinstance(error, InvalidFields):
        return error.errors
    return [FieldProblem(loc=["body"], msg=error.message, type=error.code)]


def _form_problem(name: str, msg: str) -> FieldProblem:
    return FieldProblem(loc=["body", printable(name, 100)], msg=msg, type="form")


def _form_metadata(text: str, limits: LimitSettings) -> dict[str, Any]:
    if not text.strip():
        return {}
    loc = ("body", "metadata")
    try:
        value = parse_json(text.encode("utf-8"))
    except InvalidInput as error:
        raise invalid_field(loc, error.message.replace("the body", "it"), "json_invalid") from None
    try:
        metadata = _METADATA.validate_python(value, strict=True)
    except ValidationError as error:
        found = field_problems(error.errors(include_url=False, include_input=False, include_context=False))
        raise InvalidFields([item.model_copy(update={"loc": [*loc, *item.loc]}) for item in found]) from None
    _check_metadata_size(metadata, limits, ("body",))
    return metadata


def _check_metadata_size(metadata: Mapping[str, Any] | None, limits: LimitSettings, loc: tuple[str | int, ...]) -> None:
    size_bytes = len(json.dumps(metadata or {}, ensure_ascii=False).encode("utf-8", "replace"))
    if size_bytes > limits.metadata_bytes:
        raise invalid_field(
            (*loc, "metadata"),
            f"must be at most {limits.metadata_bytes} bytes of JSON (ATTEST_LIMITS__METADATA_BYTES), is {size_bytes}",
            "too_long",
        )


def _file_item(file: UploadedFile, described: SingleBody, metadata: Mapping[str, Any]) -> Item:
    return Item(
        content=file.stream,
        media_type=file.media_type if file.media_type != "application/octet-stream" else None,
        filename=safe_filename(file.filename),
        title=described.title,
        source_url=described.source_url,
        metadata=metadata,
    )
