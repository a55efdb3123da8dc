"""Fit the bilingual reader's abstention: `python -m app.training.bilingual.calibrate --data DIR`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from app.generation.reader import bilingual_folder, load_reader
from app.training.bilingual.reading import load_chinese_questions
from app.training.reader_calibration import LEFT_OUT, RISK, answer_from_corpus, fit_calibration
from app.transformer.pointer_checkpoints import write_sums


def calibrate(data_dir: Path, folder: Path, limit: int = 200) -> int:
    """Write `folder/calibration.json`, fitted on Chinese dev questions, and return their number.

    Each is asked of what retrieval finds in a corpus of all their paragraphs, a share of which is left out.

    Args:
        data_dir: directory that holds `rc/`.
        folder: of the reader.
        limit: questions per set.

    Raises:
        Unavailable: a data file or the reader is missing.
    """
    reader = load_reader(folder)
    questions = [q for q in load_chinese_questions(data_dir) if q.role == "dev"]
    answered = answer_from_corpus(reader, questions, limit_per_set=limit)
    fitted = fit_calibration(
        [one.generated.evidence for one in answered],
        [one.right for one in answered],
        [_family(one.question.collection) for one in answered],
    )
    fitted_on = (
        f"{len(answered)} Chinese dev questions over a mixed corpus, {LEFT_OUT:.0%} of its paragraphs left out; "
        f"threshold for {RISK:.0%} wrong"
    )
    stored = {**asdict(fitted), "fitted_on": fitted_on}
    (folder / "calibration.json").write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
    write_sums(folder)
    return len(answered)


def _family(collection: str) -> str:
    """Sets that share articles are one."""
    return "xquad" if collection.startswith("xquad") else collection


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: calibrate, and return 0."""
    parser = argparse.ArgumentParser(prog="python -m app.training.bilingual.calibrate", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds rc/*.jsonl.gz")
    parser.add_argument("--folder", type=Path, default=None, help="of the reader; by default the bundled one")
    parser.add_argument("--limit", type=int, default=200, help="questions per set")
    arguments = parser.parse_args(argv)
    calibrate(arguments.data, arguments.folder or bilingual_folder(), arguments.limit)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
