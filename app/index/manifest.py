"""The manifest: everything that a reader needs to open exactly one generation of one collection."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from app.errors import IntegrityError, Unavailable
from app.index.durable import replace_file

FORMAT = 1
CURRENT = "CURRENT"


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file's size, and its SHA-256 unless its content is checked piece by piece (vectors: a CRC per version)."""

    bytes: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class SegmentRef:
    """An immutable segment. Its slots lie in `[slot_start, slot_end)`; segments are ordered and do not overlap."""

    name: str
    rows: int
    slot_start: int
    slot_end: int
    files: Mapping[str, FileRef]


@dataclass(frozen=True, slots=True)
class RetiredRef:
    """A file of versions retired or deleted since the last compaction; `count` entries."""

    name: str
    count: int
    file: FileRef


@dataclass(frozen=True, slots=True)
class LexiconRef:
    """The BM25 directory: `rows` chunks of `terms` terms are in this generation; `erasable` deleted ones may still have
    bytes in it (unreachable) until the next compaction."""

    engine: str
    name: str
    rows: int = 0
    terms: int = 0
    erasable: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """One generation. `purge` are deleted versions whose erasure the next publisher makes sure of."""

    generation: int
    encoder_name: str
    embed_dim: int
    analyser: str
    slot_end: int = 0
    segments: tuple[SegmentRef, ...] = ()
    retired: tuple[RetiredRef, ...] = ()
    lexicon: LexiconRef | None = None
    purge: tuple[int, ...] = ()
    created_at: str = ""
    format: int = field(default=FORMAT)

    @property
    def file_name(self) -> str:
        return f"generation-{self.generation:08d}.json"

    def next(self, **changes: Any) -> Manifest:
        """The following generation with `changes`."""
        return replace(self, generation=self.generation + 1, **changes)

    def to_json(self) -> bytes:
        body = asdict(self)
        body["sha256"] = _digest(body)
        return json.dumps(body, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, content: bytes, name: str) -> Manifest:
        """The manifest in `content`.

        Raises:
            IntegrityError: not JSON, or not what its checksum says.
            Unavailable: written by another version of Attest.
        """
        try:
            body = json.loads(content)
            stated = body.pop("sha256")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise IntegrityError(f"manifest {name} is damaged ({error}); restore it from a backup") from error
        if body.get("format") != FORMAT:
            raise Unavailable(
                f"manifest {name} has format {body.get('format')}, this version reads {FORMAT}; run `attest reindex`"
            )
        if stated != _digest(body):
            raise IntegrityError(f"manifest {name} does not match its checksum; restore it from a backup")
        body["segments"] = tuple(
            SegmentRef(**{**s, "files": {n: FileRef(**f) for n, f in s["files"].items()}}) for s in body["segments"]
        )
        body["retired"] = tuple(RetiredRef(**{**r, "file": FileRef(**r["file"])}) for r in body["retired"])
        body["lexicon"] = LexiconRef(**body["lexicon"]) if body["lexicon"] else None
        body["purge"] = tuple(body["purge"])
        return cls(**body)


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def current_name(root: Path) -> str | None:
    """The file name of the published manifest in the collection's directory; None for the empty generation 0."""
    try:
        name = (root / CURRENT).read_text("ascii").strip()
    except FileNotFoundError:
        return None
    if not (name.startswith("generation-") and name.endswith(".json") and "/" not in name):
        raise IntegrityError(f"{CURRENT} holds {name[:80]!r}, which is no manifest's name; restore it from a backup")
    return name


def read_manifest(root: Path, name: str) -> Manifest:
    """The manifest `name`. Raises FileNotFoundError where it has been pruned, else as `Manifest.from_json`."""
    return Manifest.from_json((root / name).read_bytes(), name)


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Makes the manifest durable under its own name. Nothing is published by that."""
    replace_file(root / manifest.file_name, manifest.to_json())


def publish_manifest(root: Path, manifest: Manifest) -> None:
    """Points CURRENT at the manifest: the moment of publication."""
    replace_file(root / CURRENT, f"{manifest.file_name}\n".encode("ascii"))
