"""Running text from disk as token rows of one length, each source with its share."""

from __future__ import annotations

import gzip
import json
import lzma
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import InvalidInput
from app.transformer.tokenizers import TextTokenizer

_HAN = re.compile("[\u4e00-\u9fff]")
_SHORTEST_LINE = 20


@dataclass(frozen=True, slots=True)
class TextSource:
    """One file (`.txt`, `.md`, `.jsonl`, also `.gz` or `.xz`) and how many characters to draw from it, at most."""

    path: Path
    max_chars: int


def text_sources(paths: Sequence[Path], max_chars: int) -> list[TextSource]:
    """Return the files under `paths`, sharing `max_chars` so that no file has more than a fair part.

    A file that has less than its part leaves the rest to the others; sizes on disk stand for sizes in characters.

    Raises:
        InvalidInput: no text file is there.
    """
    files = sorted({f for p in paths for f in (p.rglob("*") if p.is_dir() else [p]) if f.is_file() and _readable(f)})
    if not files:
        raise InvalidInput(f"--data {[str(p) for p in paths]} holds no .txt, .md or .jsonl (.gz, .xz) file")
    left, found = float(max_chars), []
    for rank, file in enumerate(sorted(files, key=lambda f: f.stat().st_size)):
        part = min(left / (len(files) - rank), 4.0 * file.stat().st_size)
        found.append(TextSource(file, int(part)))
        left -= part
    return found


def documents(source: TextSource, rng: random.Random) -> list[str]:
    """Return documents of the source in random order, up to its number of characters, without lines of code."""
    texts = [_prose(text) for text in _texts(source.path)]
    rng.shuffle(texts)
    chosen: list[str] = []
    room = source.max_chars
    for text in texts:
        if room <= 0:
            break
        if text:
            chosen.append(text[:room])
            room -= len(text)
    return chosen


def token_rows(texts: Sequence[str], tokenizer: TextTokenizer, length: int) -> list[list[int]]:
    """Return rows of exactly `length` ids, each from one text; what is left over at its end is dropped."""
    rows = []
    for tokens in tokenizer.encode(texts):
        rows += [tokens.ids[at : at + length] for at in range(0, len(tokens.ids) - length + 1, length)]
    return rows


def _readable(path: Path) -> bool:
    return bool({".txt", ".md", ".jsonl"}.intersection(path.suffixes)) and path.name.lower() != "readme.md"


def _texts(path: Path) -> Iterator[str]:
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    with opener(path, "rt", encoding="utf-8") as file:  # type: ignore[operator]
        if ".jsonl" not in path.suffixes:
            yield file.read()
            return
        for line in file:
            row = json.loads(line)
            yield str(row.get("text") or row.get("context") or "")


def _prose(text: str) -> str:
    """Lines that read as prose: long enough, and of letters mostly."""
    kept = []
    for line in text.split("\n"):
        letters = sum(c.isalpha() for c in line)
        if len(_HAN.findall(line)) * 2 + letters >= _SHORTEST_LINE and letters > 0.6 * len(line.replace(" ", "")):
            kept.append(line.strip())
    return "\n".join(kept)
