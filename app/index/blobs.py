"""The uploaded bytes, one file per content: `root/ab/abcdef…`, named by sha256, complete or absent, never half."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from app.errors import IntegrityError, NotFound, TooLarge
from app.index.identifiers import check_sha256

_PIECE_BYTES = 1 << 20
_INCOMING = "incoming"


class BlobStore:
    """Files under `root`, shared by any number of processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = root / _INCOMING
        self._incoming.mkdir(parents=True, exist_ok=True)

    def put(self, content: bytes | BinaryIO | Iterable[bytes], limit_bytes: int) -> tuple[str, int]:
        """(sha256, size in bytes) once the bytes are on disk under their final name; the same bytes are kept once.

        Args:
            content: the bytes, a binary file, or pieces.
            limit_bytes: most bytes that are taken.

        Raises:
            TooLarge: there are more; nothing is kept.
        """
        digest = hashlib.sha256()
        size = 0
        descriptor, name = tempfile.mkstemp(dir=self._incoming)
        try:
            with open(descriptor, "wb") as file:
                for piece in _pieces(content):
                    size += len(piece)
                    if size > limit_bytes:
                        raise TooLarge(f"upload is over the limit of {limit_bytes} bytes: split it, or raise the limit")
                    digest.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            self._keep(Path(name), digest.hexdigest(), size)
        finally:
            Path(name).unlink(missing_ok=True)
        return digest.hexdigest(), size

    def open(self, sha256: str) -> BinaryIO:
        """The blob, opened for reading. Raises NotFound."""
        try:
            return open(self.path(sha256), "rb")
        except FileNotFoundError as error:
            raise NotFound(f"blob {sha256} does not exist: upload the document again") from error

    def read(self, sha256: str) -> bytes:
        """The blob's bytes, checked. Raises NotFound, IntegrityError when they are not what the name says."""
        with self.open(sha256) as file:
            content = file.read()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise IntegrityError(
                f"blob {sha256} does not have that checksum: restore it from a backup or upload it again"
            )
        return content

    def path(self, sha256: str) -> Path:
        """Where the blob is or would be. Raises InvalidInput for anything but a digest."""
        check_sha256(sha256)
        return self.root / sha256[:2] / sha256

    def exists(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def delete(self, sha256: str) -> None:
        """Remove the blob; absent is fine. Go through `Catalog.release_blobs`, which knows what is still needed."""
        path = self.path(sha256)
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            _sync_directory(path.parent)

    def sha256s(self, unused_for_s: float = 0.0) -> Iterator[str]:
        """Every blob that was not uploaded (again) in the last `unused_for_s` seconds."""
        latest = time.time() - unused_for_s
        for path in sorted(self.root.glob("[0-9a-f][0-9a-f]/*")):
            with contextlib.suppress(FileNotFoundError):
                if unused_for_s <= 0 or path.stat().st_mtime < latest:
                    yield path.name

    def discard_unfinished(self, older_than_s: float = 86_400.0) -> int:
        """How many half-written uploads of killed processes were removed."""
        removed = 0
        for path in self._incoming.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime <= time.time() - older_than_s:
                    path.unlink()
                    removed += 1
        return removed

    def _keep(self, written: Path, sha256: str, size: int) -> None:
        path = self.path(sha256)
        try:
            if path.stat().st_size == size:
                os.utime(path)  # wanted again: sweepers of unused blobs pass it by
                return
        except FileNotFoundError:
            pass
        if not path.parent.is_dir():
            path.parent.mkdir(exist_ok=True)
            _sync_directory(self.root)
        os.replace(written, path)
        _sync_directory(path.parent)


def _pieces(content: bytes | BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    if isinstance(content, bytes | bytearray | memoryview):
        yield bytes(content)
    elif hasattr(content, "read"):
        while piece := content.read(_PIECE_BYTES):
            yield piece
    else:
        yield from content


def _sync_directory(path: Path) -> None:
    """Make names in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
