"""Choose how the decoder's and the extractive heads' opinions are weighed: `python -m app.training.bilingual.ranking`.

Every dev question is read once; the candidates are then ranked under every combination of weights.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import torch

from app.evaluation.metrics import f1
from app.generation.reader import Reader, bilingual_folder, load_reader
from app.generation.reader_spans import locate
from app.training.bilingual.reading import all_chinese_questions
from app.training.reader_calibration import prompt_of
from app.training.reading_sets import ReadingQuestion
from app.transformer.pointer_checkpoints import write_sums
from app.transformer.pointer_search import RankWeights, search

GRID = tuple(RankWeights(*values) for values in product((0.0, 0.5, 1.0), (0.5, 1.0, 1.5), (0.0, 0.5, 1.0, 1.5)))


@dataclass(frozen=True, slots=True)
class Option:
    """A candidate's F1 with the accepted answers, and what its rank is made of (natural logarithms)."""

    f1: float
    logprob: float
    start: float
    end: float
    length: float


def options_of(reader: Reader, question: ReadingQuestion) -> list[Option]:
    """Return the candidates that the reader finds for a question over its own passage."""
    read = reader.read(prompt_of(question.question, [question.context]))
    memory = read.memory
    if memory is None:
        return []
    starts, ends = (
        torch.log_softmax(logits.masked_fill(~memory.copyable, -1e9), dim=1)[0]
        for logits in (memory.start_logits, memory.end_logits)
    )
    length = memory.readable.shape[1] // len(read.rows)
    found = search(reader.pointer, memory, num_beams=6, weights=RankWeights())
    return [
        Option(
            f1(locate(sequence, read.rows, length, read.prompt.passages).text, question.answers),
            sequence.logprob,
            float(starts[sequence.positions[0]]),
            float(ends[sequence.positions[-1]]),
            math.log(len(sequence.positions)),
        )
        for sequence in found.sequences
    ]


def mean_f1(questions: Sequence[Sequence[Option]], weights: RankWeights) -> float:
    """Return the mean F1 of each question's best-ranked candidate, 0 where there is none."""

    def rank(option: Option) -> float:
        return option.logprob + weights.start * option.start + weights.end * option.end + weights.length * option.length

    return sum(max(options, key=rank).f1 if options else 0.0 for options in questions) / len(questions)


def best_weights(questions: Sequence[Sequence[Option]], grid: Iterable[RankWeights] = GRID) -> RankWeights:
    """Return the weights of the grid with the highest mean F1; the first of equals."""
    return max(grid, key=lambda weights: mean_f1(questions, weights))


def choose_weights(data_dir: Path, folder: Path, limit: int = 100) -> tuple[RankWeights, float, float]:
    """Write the best weights on the dev questions to `folder/config.json`; return them, F1 before and after.

    Before means the decoder's own probability, without any of the weights.

    Args:
        data_dir: directory that holds `rc/`.
        folder: of the reader.
        limit: questions per set.

    Raises:
        Unavailable: a data file or the reader is missing.
    """
    reader, rng = load_reader(folder), random.Random(0)
    questions = [q for q in all_chinese_questions(data_dir) if q.role == "dev"]
    drawn: list[ReadingQuestion] = []
    for name in sorted({q.collection for q in questions}):
        members = [q for q in questions if q.collection == name]
        drawn += rng.sample(members, min(len(members), limit))
    options = [options_of(reader, q) for q in drawn]
    chosen = best_weights(options)
    path = folder / "config.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    described["settings"]["rank_weights"] = asdict(chosen)
    path.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    write_sums(folder)
    return chosen, mean_f1(options, RankWeights()), mean_f1(options, chosen)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: choose on the dev questions, write the weights to the reader's config.json, and return 0."""
    parser = argparse.ArgumentParser(prog="python -m app.training.bilingual.ranking", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds rc/*.jsonl.gz")
    parser.add_argument("--folder", type=Path, default=None, help="of the reader; by default the bundled one")
    parser.add_argument("--limit", type=int, default=100, help="questions per set")
    arguments = parser.parse_args(argv)
    chosen, before, after = choose_weights(arguments.data, arguments.folder or bilingual_folder(), arguments.limit)
    sys.stdout.write(f"dev F1 {before:.4f} → {after:.4f} with {chosen}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
