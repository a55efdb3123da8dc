"""Roles go by article in every set, and nothing held out leaks into training."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import Unavailable
from app.training.reading_sets import load_biomedical_questions, load_reading_questions, load_reading_set
from tests.unit.training.reading_rows import DEV_TITLE, HELD_OUT_TITLE, TRAIN_TITLE, row, write_biomedical, write_sets


def test_an_article_has_one_role_in_all_squad_sets(tmp_path: Path) -> None:
    titles = [TRAIN_TITLE, DEV_TITLE, HELD_OUT_TITLE]
    folder = write_sets(
        tmp_path,
        {
            "squad2_dev_half": [row(n, title=title) for n, title in enumerate(titles)],
            "xquad_en_zh": [row(10 + n, title=title) for n, title in enumerate(titles)],
        },
    )
    questions = load_reading_questions(folder)
    roles = {q.id: q.role for q in questions}
    assert [roles[f"q{n}"] for n in (0, 1, 2)] == ["train", "dev", "heldout"]
    assert [roles[f"q{n}"] for n in (10, 11, 12)] == ["train", "dev", "heldout"]
    trained = {q.title for q in questions if q.role == "train"}
    assert HELD_OUT_TITLE not in trained


def test_whole_collections_splits_and_policies_are_held_out(tmp_path: Path) -> None:
    folder = write_sets(
        tmp_path,
        {
            "policyqa": [row(1, title=HELD_OUT_TITLE), row(5, title=TRAIN_TITLE)],
            "qed_extra": [row(2)],
            "fairytaleqa": [row(3, split="val"), row(4, split="train")],
        },
    )
    roles = {q.id: q.role for q in load_reading_questions(folder)}
    assert [roles[f"q{n}"] for n in (1, 2, 3)] == ["heldout"] * 3
    assert (roles["q4"], roles["q5"]) == ("train", "train")


def test_biomedical_answers_are_found_in_their_abstracts(tmp_path: Path) -> None:
    both = ["9", "8"]
    write_biomedical(
        tmp_path,
        {"7": "Nothing of it.", "8": "Weber and Ohm found it in rats.", "9": "Ohm again."},
        [
            {"id": "a", "type": "factoid", "answers": ["W.", "Weber"], "question": "Who?", "relevant_ids": ["7", "8"]},
            {
                "id": "b",
                "type": "list",
                "exact_answer": [["Ohm"], ["Weber"]],
                "question": "Both?",
                "relevant_ids": both,
            },
            {"id": "c", "type": "list", "exact_answer": [["Ohm"], ["Volta"]], "question": "All?", "relevant_ids": both},
            {"id": "d", "type": "yesno", "exact_answer": "yes", "question": "Does it?", "relevant_ids": both},
        ],
    )
    first, second = load_biomedical_questions(tmp_path)
    assert (first.id, first.answers, first.parts) == ("a", ("Weber",), False)
    assert first.context == second.context == "Weber and Ohm found it in rats."
    assert (second.id, second.answers, second.parts) == ("b", ("Ohm", "Weber"), True)
    assert first.role == second.role  # one abstract, one role


def test_repeats_and_leaks_are_dropped(tmp_path: Path) -> None:
    folder = write_sets(
        tmp_path,
        {
            "squad2_dev_half": [row(1), row(2, title=HELD_OUT_TITLE)],
            "xquad_en_zh": [row(3, question="who built BRIDGE number 1"), row(4)],
            "qed_extra": [row(5, title="Kestrel")],
            "nq_oracle": [
                row(6, question="who built bridge number 5", title="Other"),
                row(7, title="kestrel"),
                row(8, title=HELD_OUT_TITLE.upper()),
                row(9, title="Kept"),
            ],
        },
    )
    kept = {q.id for q in load_reading_questions(folder)}
    assert {"q1", "q2", "q4", "q5", "q9"} <= kept
    assert kept.isdisjoint({"q3", "q6", "q7", "q8"})


def test_only_literal_english_spans_and_true_unanswerables_are_read(tmp_path: Path) -> None:
    rows = [
        row(1, answers=["not in the text"]),
        row(2, answers=[], answerable=False),
        row(3, lang="zh"),
        row(4, answers=["not there", "1931"]),
    ]
    found = load_reading_set(write_sets(tmp_path, {"nq_oracle": rows}), "nq_oracle")
    assert [(q.id, q.answers) for q in found] == [("q2", ()), ("q4", ("1931",))]


def test_lists_need_all_their_parts(tmp_path: Path) -> None:
    both, one = ["Ada Smith1", "1931"], ["Ada Smith2", "1066"]
    rows = [
        row(1, answers=both, type="multi-span", multi_answer_is_list=True),
        row(2, answers=one, type="multi-span", multi_answer_is_list=True),
        row(3, type="arithmetic"),
    ]
    found = load_reading_set(write_sets(tmp_path, {"tatqa": rows}), "tatqa")
    assert [(q.id, q.parts) for q in found] == [("q1", True)]


def test_a_missing_file_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"policyqa\.jsonl\.gz is missing: .*--data"):
        load_reading_set(tmp_path, "policyqa")
