"""Questions and what a document says in answer: the first sentences of answer passages, and full-sentence answers."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.generation.declarative import declarative
from app.index.analysis import sentence_spans
from app.training.reading_sets import ReadingQuestion, article_bucket
from app.training.writer.pairs import WritingPair, read_rows, role_of, tidy

_MOST_WORDS = 45
_HELD_OUT_DOMAIN = "writing"


def passage_pairs(data_dir: Path, rng: random.Random, *, per_set: int = 4000) -> Iterator[WritingPair]:
    """Yield questions with the first sentence of a passage that answers: SQuAD, BioASQ, MedQuAD, CLAP NQ, LFRQA.

    LFRQA's domain "writing" is held out whole; the others by question.
    """
    sources: list[tuple[str, list[tuple[str, str, str]]]] = [
        (
            "squad",
            [
                (row["question"], row["answer_sentence"], row["answer_sentence"])
                for row in read_rows(data_dir, "pairs/squad_train_q_sentence")
            ],
        ),
        (
            "bioasq",
            [
                (row["question"], row["answer_passage"], row["question"])
                for row in read_rows(data_dir, "pairs/bioasq_train_q_answer")
            ],
        ),
        (
            "clapnq",
            [
                (row["question"], answer, row["question"])
                for row in read_rows(data_dir, "qa/clapnq_train_questions")
                for answer in row["answers"][:1]
            ],
        ),
    ]
    medquad = [(row["question"], row["text"], row["question"]) for row in read_rows(data_dir, "ir/medquad/qa_pairs")]
    sources.append(("medquad", medquad))
    for name, rows in sources:
        for question, answer, key in rng.sample(rows, min(per_set, len(rows))):
            first = first_sentence(answer)
            if first is not None:
                yield WritingPair("hyde", name, role_of(key), tidy(question), first)
    long_answers = list(read_rows(data_dir, "qa/lfrqa_longform"))
    for row in rng.sample(long_answers, min(per_set, len(long_answers))):
        first = first_sentence(row["answer"])
        if first is not None:
            role = "heldout" if row["domain"] == _HELD_OUT_DOMAIN else role_of(row["question"])
            role = role if role != "heldout" or row["domain"] == _HELD_OUT_DOMAIN else "dev"
            yield WritingPair("hyde", "lfrqa", role, tidy(row["question"]), first)


def first_sentence(text: str) -> str | None:
    """Return the first sentence, cut to 45 words; None where there are fewer than five."""
    one_line = tidy(text.replace("``", '"').replace("''", '"'))
    for start, end in sentence_spans(one_line):
        words = one_line[start:end].split()
        if len(words) >= 5 and not words[-1].endswith("?"):
            return " ".join(words[:_MOST_WORDS])
    return None


def sentence_pairs(questions: Sequence[ReadingQuestion]) -> Iterator[WritingPair]:
    """Yield statements that the rules make of question and answer, with the sentence that the answer stands in.

    Only such whose every word is of the question, the answer or the source, or a verb form that the rules made.
    """
    for q in questions:
        if not q.answers or q.parts or q.collection == "policyqa":
            continue
        answer = q.answers[0].strip()
        if not 1 <= len(answer.split()) <= 12 or not re.match(r"[\w\"$€£¥(]", answer):
            continue
        source = sentence_with(q.context, answer, q.question)
        statement = declarative(q.question, answer, source)
        if statement is None:
            continue
        role = q.role
        if q.collection == "qamr_sentence":
            bucket = article_bucket(q.context)
            role = "heldout" if bucket < 8 else "dev" if bucket < 14 else "train"
        yield WritingPair("sentence", q.collection, role, q.question, tidy(statement), answer, source)


@functools.lru_cache(maxsize=4096)
def _spans(context: str) -> tuple[tuple[int, int], ...]:
    return tuple(sentence_spans(context))


def sentence_with(context: str, answer: str, question: str) -> str:
    """Return the sentence of `context` that holds `answer` and most words of `question`."""
    asked = set(re.findall(r"\w+", question.lower()))
    best, score = context[:400], -1
    for start, end in _spans(context):
        text = context[start:end]
        if answer in text:
            shared = len(asked & set(re.findall(r"\w+", text.lower())))
            if shared > score:
                best, score = text, shared
    return " ".join(best.split())[:600]
