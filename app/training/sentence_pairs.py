"""SQuAD's training questions that come with the sentence that answers them, and no answer: a reader marks the span.

Self-training as in Lewis et al. 2019 ("Unsupervised Question Answering by Cloze Translation") and the pseudo-labels of
Lee 2013, made safer by what is known: the sentence does answer, so only the place within it is guessed.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from app.generation.reader import Reader
from app.training.reader_calibration import prompt_of
from app.training.reading_sets import ReadingQuestion
from app.types import GenerationOptions

SENTENCE_PAIRS = "squad_sentences"
LABELS_NAME = "sentence_labels.jsonl"
_SURE_SHARE = 0.85
_REPORT_EVERY = 1000


def sentence_questions(data_dir: Path) -> list[ReadingQuestion]:
    """Return the questions of `data_dir/pairs`, each over its sentence, without an answer; none without the file."""
    path = data_dir / "pairs" / "squad_train_q_sentence.jsonl.gz"
    if not path.is_file():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        ReadingQuestion(
            f"sentence-{number}", SENTENCE_PAIRS, "train", "", row["question"].strip(), row["answer_sentence"], ()
        )
        for number, row in enumerate(rows)
    ]


def labelled_sentences(
    reader: Reader, data_dir: Path, path: Path, *, report: Callable[[str], None] = lambda _: None
) -> list[ReadingQuestion]:
    """Return the questions with the reader's own answer from their sentence, the surest 85 % of them.

    Args:
        reader: that marks the answers.
        data_dir: holds `pairs/`.
        path: keeps the answers; what is there is not asked again.
        report: called now and then.
    """
    questions = sentence_questions(data_dir)
    told: dict[str, tuple[str, float]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # the run ended while it was written: asked again
                continue
            told[row["id"]] = (row["answer"], row["logprob"])
    options = GenerationOptions()
    with path.open("a", encoding="utf-8") as file:
        for number, q in enumerate(questions):
            if q.id in told:
                continue
            generated = reader.generate(prompt_of(q.question, [q.context]), options)
            evidence = generated.evidence
            sure = -math.inf if evidence.answer_logprob is None else evidence.answer_logprob
            # Given that the sentence answers: what the reader leaves to "no answer" is shared out again.
            sure -= math.log(max(1e-6, 1 - math.exp(min(0.0, evidence.null_logprob or -math.inf))))
            told[q.id] = (generated.text, round(sure, 4))  # as it is read again
            file.write(json.dumps({"id": q.id, "answer": generated.text, "logprob": told[q.id][1]}) + "\n")
            if number % _REPORT_EVERY == 0:
                report(f"sentences answered: {number} of {len(questions)}")
    ranked = sorted((q for q in questions if told[q.id][0]), key=lambda q: -told[q.id][1])
    kept = ranked[: math.ceil(_SURE_SHARE * len(ranked))]
    return [replace(q, answers=(told[q.id][0],)) for q in kept]
