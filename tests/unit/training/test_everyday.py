"""Everyday questions: the format, what is wrong in it, roles by document, and what ships."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.training.distractors import find_distractors
from app.training.everyday import (
    EVERYDAY,
    EVERYDAY_YES_NO,
    EVERYDAY_ZH,
    EVERYDAY_ZH_YES_NO,
    Language,
    all_reading_questions,
    document_of,
    everyday_passages,
    everyday_questions,
    parse,
)
from app.training.reading_sets import ReadingQuestion, load_reading_questions
from tests.unit.training.reading_rows import row, write_sets

LEASE = """== Lease | Rent
3. Rent. The monthly rent is EUR 1,480.
key: value

Q How much is the rent?
A EUR 1,480
A 1,480
Q Is heating included?
N
B Is the rent paid monthly?
A The monthly rent is EUR 1,480.

== Lease | Pets
Cats are permitted.
Q Which pets may I have?
A Cats
"""


def test_passages_questions_and_alternatives_are_read() -> None:
    rent, pets = parse(LEASE)
    assert (rent.document, rent.heading, pets.heading) == ("Lease", "Rent", "Pets")
    assert rent.text == "3. Rent. The monthly rent is EUR 1,480.\nkey: value"
    assert [(one.kind, one.answers) for one in rent.questions] == [
        ("Q", ("EUR 1,480", "1,480")),
        ("Q", ()),
        ("B", ("The monthly rent is EUR 1,480.",)),
    ]
    assert pets.questions[0].question == "Which pets may I have?"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Stray.\n" + LEASE, "line 1: a passage must begin"),
        (LEASE.replace("A Cats", "A Dogs"), "line 16: 'A Dogs' is no question, no N, and no answer"),
        (LEASE.replace("\nN\n", "\n"), "needs either A lines or N"),
        (LEASE.replace("A Cats", "A Cats\nN"), "needs either A lines or N"),
        (LEASE.replace("A Cats", "A Cats\nSome remark"), "is no question, no N"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse(text, "lease.txt")
    assert str(caught.value).startswith("lease.txt, ")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_question_that_ships_has_its_answer_in_its_passage_and_none_is_held_out_and_trained_on(
    language: Language,
) -> None:
    questions = everyday_questions(kinds=("Q", "B"), language=language)
    by_role = {role: [q for q in questions if q.role == role] for role in ("train", "dev", "heldout")}
    assert all(len(members) > 200 for members in by_role.values())
    assert all(answer in q.context for q in questions for answer in q.answers)
    assert len({q.id for q in questions}) == len(questions)
    documents = {role: {document_of(q) for q in members} for role, members in by_role.items()}
    assert not documents["train"] & documents["dev"]
    assert not documents["heldout"] & (documents["train"] | documents["dev"])
    contexts = {role: {q.context for q in members} for role, members in by_role.items()}
    assert not contexts["heldout"] & (contexts["train"] | contexts["dev"])
    unanswered = sum(not q.answers for q in questions) / len(questions)
    assert 0.1 < unanswered < 0.4


def test_kinds_are_collections_of_their_own_and_titles_show_the_heading() -> None:
    assert {q.collection for q in everyday_questions()} == {EVERYDAY}
    assert {q.collection for q in everyday_questions(kinds=("B",))} == {EVERYDAY_YES_NO}
    assert {q.id for q in everyday_questions()}.isdisjoint(q.id for q in everyday_questions(kinds=("B",)))
    assert {q.collection for q in everyday_questions(language="zh")} == {EVERYDAY_ZH}
    assert {q.collection for q in everyday_questions(kinds=("B",), language="zh")} == {EVERYDAY_ZH_YES_NO}
    assert all(re.search("[\u4e00-\u9fff]", q.context) for q in everyday_questions(language="zh"))
    passage = everyday_passages("train")[0][1]
    asked = next(q for q in everyday_questions() if q.context == passage.text)
    assert asked.title == f"{passage.document} › {passage.heading}"
    assert document_of(asked) == passage.document


def test_all_questions_are_those_of_the_sets_and_these(tmp_path: Path) -> None:
    folder = write_sets(tmp_path, {"nq_oracle": [row(1)]})
    of_sets = load_reading_questions(folder)
    assert all_reading_questions(folder) == [*of_sets, *everyday_questions()]


def test_distractors_come_from_the_same_document_alone() -> None:
    def of(document: str, text: str, answer: str) -> ReadingQuestion:
        return ReadingQuestion(f"{document}-{text}", EVERYDAY, "train", f"{document} › x", "Which?", text, (answer,))

    members = [of("Lease", "cats may stay", "cats"), of("Lease", "no dogs", "dogs"), of("Menu", "hot dogs", "hot")]
    found = find_distractors(members, lambda text: [hash(word) for word in text.split()])
    assert found["Lease-cats may stay"] == ["no dogs"]
    assert found["Menu-hot dogs"] == []
