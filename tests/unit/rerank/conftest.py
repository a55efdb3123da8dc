"""Hits by hand, statistics by hand, and a tiny judged data directory."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.types import Hit, StoredChunk


@dataclass
class Statistics:
    """idf 1 for every term that is not in `weights`."""

    avgdl: float = 8.0
    weights: dict[str, float] = field(default_factory=dict)

    def idf(self, terms: Sequence[str]) -> dict[str, float]:
        return {term: self.weights.get(term, 1.0) for term in terms}


def hit(
    text: str, *, cosine: float | None = 0.5, title: str = "", headings: tuple[str, ...] = (), number: int = 0
) -> Hit:
    chunk = StoredChunk(
        f"1-{number}", 1, number, "doc", 1, "default", title, None, "text/plain", text, 0, len(text), None, headings, {}
    )
    return Hit(chunk, {} if cosine is None else {"cosine": cosine})


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Three collections of 24 invented documents; the relevant one names the query's colour and animal."""
    colours = ("red", "green", "violet", "amber")
    animals = ("otter", "heron", "badger", "lynx", "marten", "stoat")
    places = {"rivers": "river bank", "woods": "pine wood", "towns": "town square"}
    for name, place in places.items():
        folder = tmp_path / "ir" / name
        folder.mkdir(parents=True)
        pairs = [(colour, animal) for colour in colours for animal in animals]
        corpus = [
            {
                "id": f"{name}-{n}",
                "title": f"{animal} notes",
                "text": f"A {colour} {animal} crossed the {place} in 19{n:02d}.",
            }
            for n, (colour, animal) in enumerate(pairs)
        ]
        queries = [
            {"id": n, "question": f"When did the {colour} {animal} cross?", "relevant_ids": [f"{name}-{n}"]}
            for n, (colour, animal) in enumerate(pairs)
        ]
        _write(folder / "corpus.jsonl", corpus)
        with gzip.open(folder / "queries.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in queries)
    return tmp_path


def _write(path: Path, rows: Sequence[object]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def same() -> Callable[[float, float], bool]:
    """Equality in which NaN equals NaN."""
    return lambda a, b: (math.isnan(a) and math.isnan(b)) or a == pytest.approx(b, abs=1e-6)
