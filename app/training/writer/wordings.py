"""Two wordings of one request, and a request with some of its conditions: what people asked of one database.

Two questions with the same SQL are paraphrases; one whose conditions are a part of the other's is the more general one;
two that differ in one value are a question and its follow-up ("What about Boston?").
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from app.training.reading_sets import ReadingQuestion, normalised_question
from app.training.writer.pairs import WritingPair, read_rows, role_of, tidy

_WHERE = re.compile(r"\sWHERE\s(?P<where>.*?)(?:\s(?:GROUP BY|ORDER BY|LIMIT)\b.*)?;?\s*$")
_VALUE = re.compile(r"\"[^\"]*\"|(?<![\w.])\d[\d.,]*")
_OPEN_DATABASES = ("advising", None)  # those of text2sql under CC BY 4.0; WikiSQL names none
_MOST_COMPARED = 80
_STOP = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "is",
        "are",
        "was",
        "were",
        "do",
        "does",
        "did",
        "what",
        "which",
        "who",
        "when",
        "where",
        "how",
        "many",
        "much",
        "me",
    ]
)


@dataclass(frozen=True, slots=True)
class _Request:
    question: str
    place: str
    selected: str
    conditions: frozenset[str]
    role_key: str
    sql: str


def wording_pairs(
    data_dir: Path, questions: Sequence[ReadingQuestion], rng: random.Random, *, per_question: int = 2
) -> Iterator[WritingPair]:
    """Yield paraphrases of text-to-SQL questions, of STS-B sentences and of QAMR questions with one answer."""
    by_sql: defaultdict[tuple[str, str], list[_Request]] = defaultdict(list)
    for request in _requests(data_dir, "sql/text2sql_8dbs"):
        by_sql[request.place, request.sql].append(request)
    for group in by_sql.values():
        members = rng.sample(group, min(_MOST_COMPARED, len(group)))
        for one in members:
            others = [o for o in members if normalised_question(o.question) != normalised_question(one.question)]
            for other in rng.sample(others, min(per_question, len(others))):
                yield WritingPair("paraphrase", "text2sql", role_of(one.role_key), one.question, other.question)
    for row in read_rows(data_dir, "pairs/stsb_en"):
        if row["label"] >= 4 and normalised_question(row["a"]) != normalised_question(row["b"]):
            role = {"train": "train", "dev": "dev"}.get(row["split"], "heldout")
            yield WritingPair("paraphrase", "stsb", role, row["a"], row["b"])  # type: ignore[arg-type]
    by_answer: defaultdict[tuple[str, str], list[ReadingQuestion]] = defaultdict(list)
    for q in questions:
        if q.collection == "qamr_sentence" and q.answers:
            by_answer[q.context, normalised_question(q.answers[0])].append(q)
    for members_q in by_answer.values():
        for one_q in members_q:
            near = [o.question for o in members_q if 0.5 <= overlap(o.question, one_q.question) < 1.0]
            for text in near[:1]:
                yield WritingPair("paraphrase", "qamr", role_of(one_q.context), one_q.question, text)


def broader_pairs(data_dir: Path, rng: random.Random, *, per_question: int = 2) -> Iterator[WritingPair]:
    """Yield questions and questions of the same thing with fewer conditions, of text-to-SQL and WikiSQL."""
    for name in ("sql/text2sql_8dbs", "sql/wikisql"):
        by_selected: defaultdict[tuple[str, str], list[_Request]] = defaultdict(list)
        for request in _requests(data_dir, name):
            by_selected[request.place, request.selected].append(request)
        for group in by_selected.values():
            members = rng.sample(group, min(_MOST_COMPARED, len(group)))  # all pairs of it are looked at
            for one in members:
                wider = [
                    o for o in members if o.conditions < one.conditions and len(o.question) < len(one.question) + 10
                ]
                for other in rng.sample(wider, min(per_question, len(wider))):
                    yield WritingPair(
                        "step_back", name.partition("/")[2], role_of(one.place), one.question, other.question
                    )


def what_about_pairs(data_dir: Path, rng: random.Random, limit: int) -> Iterator[WritingPair]:
    """Yield follow-ups that name only a new value, with the question before them as heading."""
    found = []
    for name in ("sql/text2sql_8dbs", "sql/wikisql"):
        by_shape: defaultdict[tuple[str, str], list[_Request]] = defaultdict(list)
        for request in _requests(data_dir, name):
            by_shape[request.place, _VALUE.sub("?", request.sql)].append(request)
        for members in by_shape.values():
            rng.shuffle(members)
            for one, other in pairwise(members):
                new = _changed(one.question, other.question)
                if new is not None:
                    lead = rng.choice(("What about {}?", "And {}?", "How about {}?", "what about {}", "And for {}?"))
                    found.append(
                        WritingPair(
                            "standalone",
                            "what-about",
                            role_of(one.role_key),
                            lead.format(new),
                            other.question,
                            heading=one.question,
                        )
                    )
    yield from rng.sample(found, min(limit, len(found)))


def overlap(a: str, b: str) -> float:
    """Return the Jaccard similarity of the content words of two questions."""
    one, two = (set(normalised_question(text).split()) - _STOP for text in (a, b))
    return len(one & two) / max(1, len(one | two))


def _requests(data_dir: Path, name: str) -> Iterator[_Request]:
    for row in read_rows(data_dir, name):
        if row.get("db") not in _OPEN_DATABASES:
            continue
        sql = row["sql"]
        question = tidy(row["question"])
        if not 12 <= len(question) <= 220:
            continue
        found = _WHERE.search(sql)
        conditions = frozenset(part.strip(" ;") for part in found["where"].split(" AND ")) if found else frozenset()
        place = row.get("db") or row["table"]
        key = f"{place}-{row['template']}" if "template" in row else place
        yield _Request(question, place, sql.split(" WHERE ")[0].strip(" ;"), conditions, key, sql)


def _changed(before: str, after: str) -> str | None:
    """The words of `after` between what both begin and what both end with; None where more than one place differs."""
    a, b = before.rstrip("?. ").split(), after.rstrip("?. ").split()
    start = 0
    while start < min(len(a), len(b)) and a[start].lower() == b[start].lower():
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end].lower() == b[-1 - end].lower():
        end += 1
    new, old = b[start : len(b) - end], a[start : len(a) - end]
    if not new or not old or len(new) > 5 or len(old) > 5 or start + end < 3:
        return None
    return " ".join(new)
