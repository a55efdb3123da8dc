"""All pairs that the writer learns from and is measured on."""

from __future__ import annotations

import random
from pathlib import Path

from app.training.reading_sets import ReadingQuestion, load_reading_questions
from app.training.writer.decompositions import decomposition_pairs
from app.training.writer.follow_ups import follow_up_pairs
from app.training.writer.own_examples import own_pairs
from app.training.writer.pairs import WritingPair, distinct
from app.training.writer.passages import passage_pairs, sentence_pairs
from app.training.writer.wordings import broader_pairs, what_about_pairs, wording_pairs

_WHAT_ABOUT = 4000


def load_pairs(data_dir: Path, seed: int = 0) -> tuple[list[WritingPair], list[ReadingQuestion]]:
    """Return the pairs of all tasks and roles, the same for the same data and seed, and the reading questions.

    Raises:
        Unavailable: a data file is missing.
    """
    questions = load_reading_questions(data_dir)
    rng = random.Random(seed)
    pairs = [
        *own_pairs(),
        *sentence_pairs(questions),
        *follow_up_pairs(questions, rng),
        *what_about_pairs(data_dir, rng, _WHAT_ABOUT),
        *decomposition_pairs(data_dir, questions, rng),
        *wording_pairs(data_dir, questions, rng),
        *broader_pairs(data_dir, rng),
        *passage_pairs(data_dir, rng),
    ]
    return distinct(pairs), questions
