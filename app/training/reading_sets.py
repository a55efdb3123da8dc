"""Reading-comprehension sets from a directory, with every question's role: train, dev or held out.

Roles go by article (title), never by question, and are the same in every set that shares SQuAD's articles.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from app.errors import Unavailable

Role = Literal["train", "dev", "heldout"]

SQUAD_FAMILY = ("squad2_dev_half", "xquad_en_zh")
TRAINING_SETS = (*SQUAD_FAMILY, "nq_oracle", "fairytaleqa", "tatqa", "policyqa", "qamr_sentence")
HELD_OUT_SETS = ("qed_extra",)
BIOMEDICAL_SET = "bioasq"
CHINESE_SETS = ("cmrc2018", "drcd")
CROSS_LINGUAL_SET = "xquad_cross_en_zh"
_HELD_OUT_BUCKETS, _DEV_BUCKETS = range(20), range(28, 34)
_CHINESE_HELD_OUT_BUCKETS = range(12)


@dataclass(frozen=True, slots=True)
class ReadingQuestion:
    """A question over one passage; `answers` are the accepted strings, empty when the passage does not answer it.

    `parts` is true when all of `answers` together make the answer (a list), not each of them alone.
    """

    id: str
    collection: str
    role: Role
    title: str
    question: str
    context: str
    answers: tuple[str, ...]
    parts: bool = False


def article_bucket(title: str) -> int:
    """Return 0..99, the same for one article title in every set, on every machine."""
    digest = hashlib.sha256(title.strip().lower().encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100


def normalised_question(question: str) -> str:
    """Return the question in lower case with letters and digits only, single-spaced: the key for finding repeats."""
    return " ".join(re.findall(r"\w+", question.lower()))


def load_reading_set(data_dir: Path, name: str, languages: Collection[str] = ("en",)) -> list[ReadingQuestion]:
    """Return the questions of `data_dir/rc/{name}.jsonl.gz` that are unanswerable or literally answered.

    Args:
        data_dir: directory that holds `rc/`.
        name: of the set.
        languages: that its rows may have; English by default.

    Raises:
        Unavailable: the file is not there.
    """
    questions: list[ReadingQuestion] = []
    for row in _rows(data_dir, name):
        if row["lang"] not in languages:
            continue
        answers = tuple(answer for answer in row["answers"] if answer and answer in row["context"])
        if row["answerable"] and not answers:
            continue
        parts = bool(row.get("multi_answer_is_list")) and len(row["answers"]) > 1
        if parts and len(answers) < len(row["answers"]):
            continue
        if name == "tatqa" and row["type"] not in {"span", "multi-span"}:
            continue
        questions.append(
            ReadingQuestion(
                id=row["id"],
                collection=name,
                role=_role(name, row),
                title=row.get("title") or "",
                question=row["question"].strip(),
                context=row["context"],
                answers=answers,
                parts=parts,
            )
        )
    return questions


def load_reading_questions(data_dir: Path) -> list[ReadingQuestion]:
    """Return all questions of the training and held-out sets without leaks between roles.

    Dropped: XQuAD questions that SQuAD holds too; Natural Questions rows whose question or article occurs in the
    held-out QED set, or whose article is a held-out SQuAD one. PolicyQA's roles go by policy, although most of its
    questions are asked of several.
    """
    by_set = {name: load_reading_set(data_dir, name) for name in (*TRAINING_SETS, *HELD_OUT_SETS)}
    asked = {normalised_question(q.question) for q in by_set["squad2_dev_half"]}
    by_set["xquad_en_zh"] = [q for q in by_set["xquad_en_zh"] if normalised_question(q.question) not in asked]
    qed_questions = {normalised_question(q.question) for q in by_set["qed_extra"]}
    closed_titles = {q.title.lower() for q in by_set["qed_extra"]}
    closed_titles |= {q.title.lower() for name in SQUAD_FAMILY for q in by_set[name] if q.role == "heldout"}
    by_set["nq_oracle"] = [
        q
        for q in by_set["nq_oracle"]
        if normalised_question(q.question) not in qed_questions and q.title.lower() not in closed_titles
    ]
    by_set[BIOMEDICAL_SET] = load_biomedical_questions(data_dir)
    return [q for questions in by_set.values() for q in questions]


def load_biomedical_questions(data_dir: Path) -> list[ReadingQuestion]:
    """Return BioASQ's factoid and list questions over the first gold abstract that holds the whole answer literally.

    Roles go by question, and by abstract where two questions share one.

    Raises:
        Unavailable: a file of `data_dir/ir/bioasq` is not there.
    """
    abstracts = {row["id"]: row["text"] for row in _lines(data_dir / "ir" / BIOMEDICAL_SET / "corpus.jsonl.gz")}
    questions: list[ReadingQuestion] = []
    closed: dict[str, Role] = {}
    for row in _lines(data_dir / "ir" / BIOMEDICAL_SET / "queries.jsonl.gz"):
        # A factoid's answers are one thing's names; a list has a list of names for each of its items.
        items = [row["answers"]] if row["type"] == "factoid" else row["exact_answer"]
        if row["type"] not in {"factoid", "list"} or not all(isinstance(names, list) and names for names in items):
            continue
        for document in row["relevant_ids"]:
            text = abstracts.get(document, "")
            found = [[name for name in names if name and name in text] for names in items]
            if not text or not all(found):
                continue
            parts = len(found) > 1
            role = closed.setdefault(document, _by_bucket(row["question"]))
            answers = tuple(names[0] for names in found) if parts else tuple(found[0])
            questions.append(
                ReadingQuestion(row["id"], BIOMEDICAL_SET, role, "", row["question"].strip(), text, answers, parts)
            )
            break
    return questions


def _role(name: str, row: dict[str, Any]) -> Role:
    if name in HELD_OUT_SETS or (name == "fairytaleqa" and row["split"] == "val"):
        return "heldout"
    if name in {"tatqa", "qamr_sentence"}:
        return "train"
    bucket = article_bucket(row.get("title") or row["context"])
    if name in (*SQUAD_FAMILY, CROSS_LINGUAL_SET, "policyqa") and bucket in _HELD_OUT_BUCKETS:
        return "heldout"
    if name in CHINESE_SETS and bucket in _CHINESE_HELD_OUT_BUCKETS:
        return "heldout"
    return "dev" if bucket in _DEV_BUCKETS else "train"


def _by_bucket(key: str) -> Role:
    bucket = article_bucket(key)
    return "heldout" if bucket in _HELD_OUT_BUCKETS else "dev" if bucket in _DEV_BUCKETS else "train"


def _rows(data_dir: Path, name: str) -> Iterator[dict[str, Any]]:
    return _lines(data_dir / "rc" / f"{name}.jsonl.gz")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise Unavailable(
            f"data file {path} is missing: give the directory that holds {'/'.join(path.parts[-2:])} with --data"
        )
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
