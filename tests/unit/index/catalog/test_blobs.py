from __future__ import annotations

import hashlib
import io
import os
import signal
from pathlib import Path

import pytest

from app.errors import IntegrityError, InvalidInput, NotFound, TooLarge
from app.index.blobs import BlobStore
from tests.unit.index.catalog.house import start_python

CONTENT = b"0123456789" * 300_000  # more than one piece
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def files(blobs: BlobStore) -> list[Path]:
    return [path for path in blobs.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("wrap", [bytes, io.BytesIO, lambda content: iter([content[:7], content[7:]])])
def test_any_source_gives_the_same_blob(blobs: BlobStore, wrap: object) -> None:
    assert blobs.put(wrap(CONTENT), len(CONTENT)) == (DIGEST, len(CONTENT))  # type: ignore[operator]
    assert files(blobs) == [blobs.root / DIGEST[:2] / DIGEST]
    with blobs.open(DIGEST) as file:
        assert file.read() == CONTENT
    assert blobs.read(DIGEST) == CONTENT
    assert blobs.exists(DIGEST)


def test_an_empty_blob(blobs: BlobStore) -> None:
    digest, size = blobs.put(b"", 0)
    assert (digest, size, blobs.read(digest)) == (hashlib.sha256(b"").hexdigest(), 0, b"")


def test_the_same_bytes_are_kept_once_and_count_as_used(blobs: BlobStore) -> None:
    blobs.put(CONTENT, len(CONTENT))
    path = blobs.path(DIGEST)
    inode = path.stat().st_ino
    os.utime(path, (0, 0))
    assert list(blobs.sha256s(unused_for_s=3600)) == [DIGEST]
    blobs.put(CONTENT, len(CONTENT))
    assert path.stat().st_ino == inode
    assert list(blobs.sha256s(unused_for_s=3600)) == []
    assert list(blobs.sha256s()) == [DIGEST]
    assert files(blobs) == [path]


def test_over_the_limit_leaves_nothing(blobs: BlobStore) -> None:
    with pytest.raises(TooLarge, match=f"{len(CONTENT) - 1} bytes"):
        blobs.put(io.BytesIO(CONTENT), len(CONTENT) - 1)
    assert files(blobs) == []


def test_a_source_that_breaks_leaves_nothing(blobs: BlobStore) -> None:
    def broken() -> object:
        yield CONTENT
        raise ConnectionError("the client went away")

    with pytest.raises(ConnectionError):
        blobs.put(broken(), 10**9)  # type: ignore[arg-type]
    assert files(blobs) == []


def test_a_killed_upload_leaves_no_blob_and_is_swept(blobs: BlobStore) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from app.index.blobs import BlobStore
def pieces():
    yield b"half"
    os.kill(os.getpid(), signal.SIGKILL)
BlobStore(Path(sys.argv[1])).put(pieces(), 100)
"""
    process = start_python(script, str(blobs.root))
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert list(blobs.sha256s()) == []
    assert len(files(blobs)) == 1
    assert blobs.discard_unfinished() == 0  # it could still be under way
    assert blobs.discard_unfinished(older_than_s=0) == 1
    assert files(blobs) == []


def test_damage_is_found(blobs: BlobStore) -> None:
    blobs.put(CONTENT, len(CONTENT))
    blobs.path(DIGEST).write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(IntegrityError, match=DIGEST):
        blobs.read(DIGEST)
    blobs.path(DIGEST).write_bytes(CONTENT[:10])
    blobs.put(CONTENT, len(CONTENT))  # uploading again repairs a cut file
    assert blobs.read(DIGEST) == CONTENT


def test_deletion(blobs: BlobStore) -> None:
    blobs.put(CONTENT, len(CONTENT))
    blobs.delete(DIGEST)
    blobs.delete(DIGEST)
    assert not blobs.exists(DIGEST)
    with pytest.raises(NotFound, match="upload the document again"):
        blobs.open(DIGEST)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", DIGEST.upper(), DIGEST + "\n", DIGEST[:-1]])
def test_only_digests_are_names(blobs: BlobStore, name: str) -> None:
    for call in (blobs.open, blobs.path, blobs.exists, blobs.delete):
        with pytest.raises(InvalidInput, match="not a digest"):
            call(name)  # type: ignore[operator]
