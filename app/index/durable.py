"""Writes that survive a crash, checksums, and locks between processes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import Conflict

_POLL_S = 0.005


def fsync_directory(path: Path) -> None:
    """Makes renames and new names inside `path` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_fsynced(path: Path, content: bytes) -> None:
    """Writes `content` to `path` and through to the disk; the name itself is durable after `fsync_directory`."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes) -> None:
    """`path` holds either what it held before or all of `content`, whatever happens meanwhile."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    write_fsynced(temporary, content)
    temporary.rename(path)
    fsync_directory(path.parent)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def file_lock(path: Path, *, wait_s: float | None = None) -> Iterator[None]:
    """Holds `flock` on `path`, against other processes and other threads alike; a dead holder's lock is free.

    Args:
        path: the lock file, created where missing, never removed.
        wait_s: give up after so many seconds; None waits for ever, 0 does not wait.

    Raises:
        Conflict: the lock is still held after `wait_s`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if wait_s is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            deadline = time.monotonic() + wait_s
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise Conflict(
                            f"{path.name} is held by another process or thread; try again when its work is done"
                        ) from None
                    time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)
