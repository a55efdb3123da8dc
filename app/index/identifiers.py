"""Ids, names and list cursors: made here, checked here."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import time

from app.errors import InvalidInput

DEFAULT_COLLECTION = "default"
_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u
_DOCUMENT_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~:@-]{0,127}")
_COLLECTION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def new_id(prefix: str) -> str:
    """`prefix_` and 26 characters: 48 bits of milliseconds, 80 random bits, so ids sort by time (a lower-case ULID)."""
    value = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return prefix + "_" + "".join(_BASE32[value >> shift & 31] for shift in range(125, -1, -5))


def check_document_id(document_id: str) -> str:
    """The id itself. Raises InvalidInput where it could not stand in a URL path."""
    if not _DOCUMENT_ID.fullmatch(document_id):
        raise InvalidInput(
            f"id {document_id[:200]!r} is not a document id: use 1 to 128 of A-Z a-z 0-9 . _ ~ : @ -, "
            "starting with a letter, a digit or _; or leave it out to have one made"
        )
    return document_id


def check_collection_name(name: str) -> str:
    """The name itself. Raises InvalidInput; a colon is refused because chat front-ends write `collection:model`."""
    if not _COLLECTION.fullmatch(name):
        raise InvalidInput(
            f"name {name[:200]!r} is not a collection name: use 1 to 64 of A-Z a-z 0-9 . _ -, "
            "starting with a letter, a digit or _"
        )
    return name


def check_sha256(sha256: str) -> str:
    """The digest itself. Raises InvalidInput unless it is 64 lower-case hexadecimal digits."""
    if not _SHA256.fullmatch(sha256):
        raise InvalidInput(f"sha256 {sha256[:80]!r} is not a digest: use 64 lower-case hexadecimal digits")
    return sha256


def check_limit(limit: int, most: int = 1_000) -> int:
    if not 1 <= limit <= most:
        raise InvalidInput(f"limit {limit} is out of range: use 1 to {most} and follow next_cursor for more")
    return limit


def encode_cursor(seq: int) -> str:
    """An opaque cursor that continues after row `seq`; rows that come later do not move it."""
    return base64.urlsafe_b64encode(f"s{seq}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """The row that `cursor` stands for. Raises InvalidInput for a string that `encode_cursor` did not make."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raw = ""
    if not re.fullmatch(r"s[0-9]{1,18}", raw, re.ASCII):
        raise InvalidInput(f"cursor {cursor[:80]!r} is not one of ours: pass next_cursor of the page before, or none")
    return int(raw[1:])
