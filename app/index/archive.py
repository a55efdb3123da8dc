"""The backup archive: a gzipped tar whose last member, `manifest.json`, states every file's size and SHA-256.

The manifest comes last, so that an archive can be written while it is sent, and one that was cut off has none.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Protocol, cast

from app.errors import IntegrityError, Unavailable

FORMAT = 1
MANIFEST = "manifest.json"
CATALOG = "attest.db"
_PIECE_BYTES = 1 << 20
_COMPRESSION = 1  # vectors and PDFs hardly shrink; the catalog's text does at any level
_MANIFEST_BYTES = 1 << 30
# whatever is not one of these names is not written, wherever its path may lead
_NAMES = re.compile(
    r"attest\.db"
    r"|blobs/[0-9a-f]{2}/[0-9a-f]{64}"
    r"|index/[0-9]{1,18}/(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/){0,2}\.?[A-Za-z0-9_-][A-Za-z0-9._-]*"
    r"|models/rerankers/[a-z0-9_]+/[A-Za-z0-9_-][A-Za-z0-9._-]*"
)


class Writable(Protocol):
    """What an archive is written to: a file, or a stream that somebody reads."""

    def write(self, content: bytes, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Archived:
    """What an archive says of itself; `damaged` are stored files that were not what their own name says."""

    created_at: str
    schema: str
    counts: Mapping[str, int]
    files: Mapping[str, tuple[int, str]]
    damaged: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def total_bytes(self) -> int:
        return sum(size for size, _ in self.files.values())

    def to_json(self) -> bytes:
        files = {name: {"bytes": size, "sha256": digest} for name, (size, digest) in self.files.items()}
        body = {
            "format": FORMAT,
            "created_at": self.created_at,
            "schema": self.schema,
            "counts": dict(self.counts),
            "damaged": list(self.damaged),
            "missing": list(self.missing),
            "files": files,
        }
        return json.dumps(body, ensure_ascii=False, indent=1).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Archived:
        """Raises IntegrityError for what is no manifest, Unavailable for one of another version."""
        try:
            body = json.loads(content)
            if body["format"] != FORMAT:
                raise Unavailable(
                    f"the archive has format {body['format']!r}, this version of Attest reads {FORMAT}: "
                    "restore it with the version that wrote it"
                )
            files = {str(name): (int(one["bytes"]), str(one["sha256"])) for name, one in body["files"].items()}
            return cls(
                str(body["created_at"]),
                str(body["schema"]),
                {str(name): int(count) for name, count in body["counts"].items()},
                files,
                tuple(map(str, body["damaged"])),
                tuple(map(str, body["missing"])),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(f"the archive's manifest can not be read ({type(error).__name__}: {error})") from error


def write_archive(
    folder: Path,
    out: Writable,
    *,
    created_at: str,
    schema: str,
    counts: Mapping[str, int],
    missing: tuple[str, ...] = (),
    check: Callable[[], None] = lambda: None,
) -> Archived:
    """Writes every file below `folder` and the manifest; returns what the manifest says.

    Args:
        folder: files that nobody changes meanwhile.
        out: receives the gzipped tar; it need not be seekable.
        created_at: RFC 3339.
        schema: the catalog's revision.
        counts: for people, such as how many documents.
        missing: blobs that were gone already.
        check: called between pieces; what it raises ends the writing.
    """
    files: dict[str, tuple[int, str]] = {}
    damaged: list[str] = []
    target = cast(IO[bytes], out)
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=target, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            with path.open("rb") as file:
                hashed = _Hashed(file, check)
                tar.addfile(_member(name, path.stat().st_size), hashed)
            files[name] = (hashed.size, hashed.digest.hexdigest())
            if name.startswith("blobs/") and path.name != files[name][1]:
                damaged.append(name)
        archived = Archived(created_at, schema, counts, files, tuple(damaged), missing)
        content = archived.to_json()
        tar.addfile(_member(MANIFEST, len(content)), BytesIO(content))
    return archived


def read_archive(path: Path, store: Callable[[str, Iterator[bytes]], None] | None = None) -> Archived:
    """Reads the whole archive, checks every file against the manifest and returns it.

    Args:
        path: of the archive.
        store: takes each file's name, which is a safe relative path, and its pieces, before they have been checked.

    Raises:
        IntegrityError: cut off, damaged, or holding what no backup of ours holds.
        Unavailable: it can not be read, or another version wrote it.
    """
    found: dict[str, tuple[int, str]] = {}
    archived: Archived | None = None
    with _reading(path) as tar:
        for member in tar:
            if archived is not None:
                raise IntegrityError(f"the archive {path.name} goes on after its manifest")
            stream = tar.extractfile(member) if member.isreg() else None
            if stream is None:
                raise IntegrityError(f"the archive {path.name} holds {member.name[:200]!r}, which is no plain file")
            if member.name == MANIFEST:
                if member.size > _MANIFEST_BYTES:
                    raise IntegrityError(f"the manifest of {path.name} says that it has {member.size} bytes")
                archived = Archived.from_json(stream.read())
                continue
            if not _NAMES.fullmatch(member.name) or ".." in member.name or member.name in found:
                raise IntegrityError(
                    f"the archive {path.name} holds {member.name[:200]!r}, which no backup of Attest's does, or twice"
                )
            hashed = _Hashed(stream, lambda: None)
            pieces = hashed.pieces()
            if store is not None:
                store(member.name, pieces)
            for _ in pieces:
                pass
            found[member.name] = (hashed.size, hashed.digest.hexdigest())
    if archived is None:
        raise IntegrityError(f"the archive {path.name} has no manifest: it was cut off, or is no backup of Attest's")
    _compare(path, archived, found)
    return archived


def _compare(path: Path, archived: Archived, found: Mapping[str, tuple[int, str]]) -> None:
    wrong = [name for name in archived.files if found.get(name) != archived.files[name]]
    unstated = [name for name in found if name not in archived.files]
    if wrong or unstated:
        name = (wrong or unstated)[0]
        what = "is missing" if name not in found else "is not stated" if unstated else "does not have its checksum"
        raise IntegrityError(
            f"the archive {path.name} is damaged: {name} {what} ({len(wrong) + len(unstated)} files in all); "
            "use another backup"
        )
    if CATALOG not in found:
        raise IntegrityError(f"the archive {path.name} holds no catalog")


@contextmanager
def _reading(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise Unavailable(f"the archive {path} can not be read: {error.strerror}") from None
    with file:
        try:
            with gzip.GzipFile(fileobj=file, mode="rb") as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
                yield tar
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise IntegrityError(
                f"the archive {path.name} is damaged or cut off ({type(error).__name__}: {error}); use another backup"
            ) from error


class _Hashed:
    """A stream that hashes what is read from it."""

    def __init__(self, file: IO[bytes], check: Callable[[], None]) -> None:
        self._file = file
        self._check = check
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        self._check()
        piece = self._file.read(size)
        self.digest.update(piece)
        self.size += len(piece)
        return piece

    def pieces(self) -> Iterator[bytes]:
        while piece := self.read(_PIECE_BYTES):
            yield piece


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o600
    return member
