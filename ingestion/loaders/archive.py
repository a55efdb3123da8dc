"""Zip containers, opened only after their members were measured: sizes in the headers are claims, not facts."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from app.errors import UnreadableDocument
from ingestion.loaders.limits import LoadLimits

_STEP = 256 * 1024
_XML_NAMES = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx", ".vml", ".svg")
_ENTITY = re.compile(rb"<!ENTITY", re.IGNORECASE)
_LOCAL_HEADER = struct.Struct("<4s22xHH")


class Archive:
    """A measured zip file. `read` returns a member's bytes; missing members are `None`, not an exception."""

    def __init__(self, path: Path, format_name: str, limits: LoadLimits) -> None:
        """Opens and measures every member.

        Raises:
            UnreadableDocument: `corrupt` (no directory, damaged member), `encrypted` (a member needs a password),
                `zip_bomb` (too much unpacked, or XML that declares entities).
        """
        self._format = format_name
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise self._corrupt(str(error)) from error
        try:
            self._measure(path, limits)
        except BaseException:
            self._zip.close()
            raise
        self._names = set(self._zip.namelist())
        self._folded = {name.lower(): name for name in self._names}

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    @property
    def names(self) -> list[str]:
        return self._zip.namelist()

    def read(self, name: str) -> bytes | None:
        """The member's bytes, or `None` when there is none of that name (case aside, as Office does)."""
        actual = name if name in self._names else self._folded.get(name.lower())
        if actual is None:
            return None
        try:
            return self._zip.read(actual)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise self._corrupt(f"member {actual!r}: {error}") from error

    def _measure(self, path: Path, limits: LoadLimits) -> None:
        members = self._zip.infolist()
        if len(members) > limits.archive_members:
            raise self._bomb(f"{len(members):,} members, more than {limits.archive_members:,}")
        packed = max(1, path.stat().st_size)
        allowed = min(limits.archive_bytes, max(limits.archive_floor_bytes, limits.archive_ratio * packed))
        claimed = sum(member.file_size for member in members)
        if claimed > allowed:
            raise self._bomb(f"{claimed:,} bytes unpacked from {packed:,}")
        if any(member.flag_bits & 0x1 for member in members):
            raise UnreadableDocument(
                f"the {self._format} file is protected by a password; remove the protection and upload it again",
                code="encrypted",
            )
        total = 0
        with path.open("rb") as stream:
            for member in members:
                total += self._measure_member(stream, member, allowed - total)

    def _measure_member(self, stream: BinaryIO, member: zipfile.ZipInfo, allowed: int) -> int:
        """Bytes that the member really unpacks to; inflated in bounded steps and thrown away."""
        stream.seek(member.header_offset)
        header = stream.read(30)
        if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
            raise self._corrupt(f"member {member.filename!r} has no header")
        _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
        stream.seek(name_bytes + extra_bytes, 1)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self._corrupt(f"member {member.filename!r} is packed by method {member.compress_type}")
        if member.compress_type == zipfile.ZIP_STORED and member.compress_size != member.file_size:
            raise self._corrupt(f"member {member.filename!r} is stored with two sizes")
        inflate = zlib.decompressobj(-15) if member.compress_type == zipfile.ZIP_DEFLATED else None
        is_xml = member.filename.lower().endswith(_XML_NAMES)
        left, size, tail = member.compress_size, 0, b""
        pending = b""
        while left > 0 or pending:
            if not pending:
                pending = stream.read(min(_STEP, left))
                if not pending:
                    raise self._corrupt(f"member {member.filename!r} is cut short")
                left -= len(pending)
            if inflate is None:
                piece, pending = pending, b""
            else:
                try:
                    piece = inflate.decompress(pending, 4 * _STEP)
                except zlib.error as error:
                    raise self._corrupt(f"member {member.filename!r}: {error}") from error
                pending = inflate.unconsumed_tail
            size += len(piece)
            if size > member.file_size or size > allowed:
                raise self._bomb(f"member {member.filename!r} unpacks to more than its header says")
            if is_xml:
                self._refuse_entities(member.filename, tail + piece)
                tail = piece[-32:]
        if size != member.file_size:
            raise self._corrupt(f"member {member.filename!r} unpacks to {size:,} bytes, not {member.file_size:,}")
        return size

    def _refuse_entities(self, name: str, piece: bytes) -> None:
        narrow = piece.replace(b"\0", b"") if b"\0" in piece else piece  # UTF-16
        if _ENTITY.search(narrow):
            raise self._bomb(f"member {name!r} declares XML entities, as an XML bomb does")

    def _bomb(self, seen: str) -> UnreadableDocument:
        return UnreadableDocument(
            f"the {self._format} file was refused as a zip bomb ({seen}); save it again from its application, or raise "
            "limits.archive_ratio if you trust it",
            code="zip_bomb",
        )

    def _corrupt(self, seen: str) -> UnreadableDocument:
        return UnreadableDocument(
            f"the {self._format} file is damaged ({seen}); open it in its application, save it again, and upload that",
            code="corrupt",
        )
