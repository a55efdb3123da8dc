"""A pair that the writer learns from, the rows it comes from, and its role: train, dev or held out."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import Unavailable
from app.training.reading_sets import Role

_HELD_OUT, _DEV = range(12), range(12, 20)


@dataclass(frozen=True, slots=True)
class WritingPair:
    """`target` is what is written for `question`; `heading` and `passage` are what else the source row holds.

    `task` is of `app.transformer.writer_checkpoints.TASKS`; `origin` names the set.
    """

    task: str
    origin: str
    role: Role
    question: str
    target: str
    heading: str = ""
    passage: str = ""


def role_of(key: str) -> Role:
    """Return the role of all pairs that share `key` (an article, a template, a question): 12% held out, 8% dev."""
    bucket = int.from_bytes(hashlib.sha256(f"writer:{key.strip().lower()}".encode()).digest()[:4], "big") % 100
    return "heldout" if bucket in _HELD_OUT else "dev" if bucket in _DEV else "train"


def read_rows(data_dir: Path, name: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of `data_dir/{name}.jsonl.gz`.

    Raises:
        Unavailable: the file is not there.
    """
    path = data_dir / f"{name}.jsonl.gz"
    if not path.is_file():
        raise Unavailable(f"data file {path} is missing: give the directory that holds {name}.jsonl.gz with --data")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def tidy(text: str) -> str:
    """Return the text in one line, with no space before its punctuation."""
    one_line = " ".join(text.split())
    return re.sub(r"\s+([?.,!;:])", r"\1", one_line)


def distinct(pairs: Iterable[WritingPair]) -> list[WritingPair]:
    """Return the pairs whose target says something other than an earlier pair of the same source, in order."""
    seen: set[tuple[str, str, str, str]] = set()
    kept = []
    for pair in pairs:
        key = (pair.task, pair.question.lower(), pair.heading.lower(), pair.target.lower())
        if key not in seen:
            seen.add(key)
            kept.append(pair)
    return kept
