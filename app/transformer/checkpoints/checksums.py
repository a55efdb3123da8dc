"""Checksums of model files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from app.errors import IntegrityError, Unavailable


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_sha256(path: Path, expected: str, remedy: str) -> None:
    """Return nothing if the file's SHA-256 is `expected`.

    Raises:
        Unavailable: the file is not there.
        IntegrityError: its checksum differs; both messages end with `remedy`.
    """
    if not path.is_file():
        raise Unavailable(f"model file {path} is missing: {remedy}")
    actual = sha256_of(path)
    if actual != expected:
        raise IntegrityError(f"model file {path} has sha256 {actual}, expected {expected}: {remedy}")
