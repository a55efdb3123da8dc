"""A made-up data directory in the shape of the reading-comprehension sets."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from app.training.reading_sets import HELD_OUT_SETS, TRAINING_SETS, article_bucket

TITLES = [f"Article {number}" for number in range(400)]


def title_in(buckets: range) -> str:
    """A title whose bucket lies in `buckets`."""
    return next(title for title in TITLES if article_bucket(title) in buckets)


TRAIN_TITLE, DEV_TITLE, HELD_OUT_TITLE = title_in(range(50, 60)), title_in(range(28, 34)), title_in(range(20))


def row(number: int, **changed: Any) -> dict[str, Any]:
    """One question; its passage names its own number, so every passage differs."""
    plain = {
        "id": f"q{number}",
        "question": f"Who built bridge number {number}?",
        "context": f"Bridge number {number} crosses a river. It was built by Ada Smith{number} in 1931.",
        "title": TRAIN_TITLE,
        "answers": [f"Ada Smith{number}"],
        "answerable": True,
        "lang": "en",
        "split": "dev",
        "type": "span",
    }
    return plain | changed


def write_sets(folder: Path, rows_by_set: dict[str, list[dict[str, Any]]]) -> Path:
    """Write every set that the loader wants; those not given get one row each."""
    (folder / "rc").mkdir(parents=True)
    for number, name in enumerate((*TRAINING_SETS, *HELD_OUT_SETS)):
        rows = rows_by_set.get(name, [row(1000 + number, title=f"Alone {number}")])
        with gzip.open(folder / "rc" / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(one) + "\n" for one in rows)
    if not (folder / "ir" / "bioasq").is_dir():
        write_biomedical(folder, {}, [])
    return folder


def write_biomedical(folder: Path, abstracts: dict[str, str], queries: list[dict[str, Any]]) -> None:
    """Write the set of questions over abstracts, `abstracts` by id."""
    (folder / "ir" / "bioasq").mkdir(parents=True)
    corpus = [{"id": name, "title": "", "text": text} for name, text in abstracts.items()]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        with gzip.open(folder / "ir" / "bioasq" / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(one) + "\n" for one in rows)
