"""`multipart/form-data` read as a stream: every file goes to a temporary file on disk, under a limit, as it arrives."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from app.api.errors import invalid_field
from app.errors import InvalidInput, TooLarge

_WRITE_BYTES = 1 << 20
_HEADER_BYTES = 32 * 1024


@dataclass
class UploadedFile:
    """One file part; `stream` is positioned at its start. `media_type` and `filename` are the client's claims."""

    field_name: str
    filename: str | None
    media_type: str | None
    stream: IO[bytes]
    size_bytes: int = 0


@dataclass
class Form:
    """The parts of one form; `close` removes the temporary files."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[UploadedFile] = field(default_factory=list)

    def close(self) -> None:
        for file in self.files:
            file.stream.close()


class _Parts:
    """The parser's callbacks. What arrives for files is gathered in `pending` and written off the event loop."""

    def __init__(self, directory: Path, *, file_bytes: int, field_bytes: int, max_files: int, max_fields: int) -> None:
        self.form = Form()
        self.pending: list[tuple[UploadedFile, bytes]] = []
        self.pending_bytes = 0
        self.ended = False
        self._directory = directory
        self._file_bytes = file_bytes
        self._field_bytes = field_bytes
        self._max_files = max_files
        self._max_fields = max_fields
        self._header_name = b""
        self._header_value = b""
        self._headers: dict[str, bytes] = {}
        self._file: UploadedFile | None = None
        self._name = ""
        self._value = bytearray()

    def on_part_begin(self) -> None:
        self._headers = {}
        self._header_name = self._header_value = b""
        self._file = None
        self._value = bytearray()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]
        self._check_header()

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]
        self._check_header()

    def on_header_end(self) -> None:
        self._headers[self._header_name.decode("latin-1").lower()] = self._header_value
        self._header_name = self._header_value = b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", b""))
        if b"name" not in options:
            raise InvalidInput('a part of the form has no `Content-Disposition: form-data; name="…"` header')
        self._name = options[b"name"].decode("utf-8", "replace")
        if b"filename" not in options:
            if len(self.form.fields) >= self._max_fields:
                raise InvalidInput(f"the form has more than {self._max_fields} fields: send fewer")
            return
        if len(self.form.files) >= self._max_files:
            raise invalid_field(("body", self._name), f"must be at most {self._max_files} files", "too_long")
        media_type = self._headers.get("content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        self._file = UploadedFile(
            field_name=self._name,
            filename=options[b"filename"].decode("utf-8", "replace"),
            media_type=media_type or None,
            stream=tempfile.TemporaryFile(dir=self._directory),  # noqa: SIM115 - closed by Form.close
        )
        self.form.files.append(self._file)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        piece = data[start:end]
        if self._file is None:
            if len(self._value) + len(piece) > self._field_bytes:
                raise TooLarge(f"the form field {self._name[:100]!r} is larger than {self._field_bytes} bytes")
            self._value += piece
            return
        self._file.size_bytes += len(piece)
        if self._file.size_bytes > self._file_bytes:
            raise TooLarge(
                f"the file {(self._file.filename or '')[:100]!r} is larger than {self._file_bytes} bytes: split it, "
                "or raise ATTEST_LIMITS__UPLOAD_BYTES"
            )
        self.pending.append((self._file, piece))
        self.pending_bytes += len(piece)

    def on_part_end(self) -> None:
        if self._file is None:
            if self._name in self.form.fields:
                raise invalid_field(("body", self._name[:100]), "must be given once", "repeated")
            try:
                self.form.fields[self._name] = self._value.decode("utf-8")
            except UnicodeDecodeError:
                raise invalid_field(("body", self._name[:100]), "must be UTF-8 text", "encoding") from None

    def on_end(self) -> None:
        self.ended = True

    def write_pending(self) -> None:
        """Writes what has arrived; runs on a thread."""
        for file, piece in self.pending:
            file.stream.write(piece)
        self.pending.clear()
        self.pending_bytes = 0

    def _check_header(self) -> None:
        if len(self._header_name) + len(self._header_value) > _HEADER_BYTES:
            raise InvalidInput(f"a header of a form part is longer than {_HEADER_BYTES} bytes")


async def read_form(
    request: Request,
    directory: Path,
    *,
    file_bytes: int,
    form_bytes: int,
    field_bytes: int,
    max_files: int,
    max_fields: int = 20,
) -> Form:
    """The form in the request's body; the caller closes it. Temporary files have no name, so a crash leaves none.

    Args:
        request: a request whose body has not been read.
        directory: where temporary files go.
        file_bytes: limit of each file.
        form_bytes: limit of the whole body: many files under their limit can fill a disk too.
        field_bytes: limit of each field that is no file.
        max_files: limit of files in the form.
        max_fields: limit of fields that are no files.

    Raises:
        InvalidInput: not a well-formed form, or too many parts. TooLarge: a part or the whole is over its limit.
    """
    _, options = parse_options_header(request.headers.get("content-type", "").encode("latin-1", "replace"))
    boundary = options.get(b"boundary")
    if not boundary:
        raise InvalidInput("the Content-Type multipart/form-data must name its boundary")
    parts = _Parts(
        directory, file_bytes=file_bytes, field_bytes=field_bytes, max_files=max_files, max_fields=max_fields
    )
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.on_part_begin,
                "on_header_field": parts.on_header_field,
                "on_header_value": parts.on_header_value,
                "on_header_end": parts.on_header_end,
                "on_headers_finished": parts.on_headers_finished,
                "on_part_data": parts.on_part_data,
                "on_part_end": parts.on_part_end,
                "on_end": parts.on_end,
            },
        )
        received_bytes = 0
        async for piece in request.stream():
            received_bytes += len(piece)
            if received_bytes > form_bytes:
                raise TooLarge(
                    f"the form is larger than {form_bytes} bytes: send its files in several requests, or raise "
                    "ATTEST_LIMITS__FORM_BYTES"
                )
            parser.write(piece)
            if parts.pending_bytes >= _WRITE_BYTES:
                await asyncio.to_thread(parts.write_pending)
        await asyncio.to_thread(parts.write_pending)
        if not parts.ended:
            raise InvalidInput("the form ends before its closing boundary: it was cut off; send it again")
        for file in parts.form.files:
            file.stream.seek(0)
    except FormParserError as error:
        parts.form.close()
        raise InvalidInput(f"the form is not well-formed multipart/form-data: {error}") from error
    except BaseException:
        parts.form.close()
        raise
    return parts.form
