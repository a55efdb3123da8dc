from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from app.errors import Unavailable
from app.training.reading_sets import ReadingQuestion
from app.training.writer.decompositions import as_question, decomposition_pairs, description
from app.training.writer.follow_ups import follow_up_pairs
from app.training.writer.own_examples import OWN, history_parts, own_pairs
from app.training.writer.pairs import WritingPair, distinct, read_rows, role_of, tidy
from app.training.writer.passages import first_sentence, sentence_pairs, sentence_with
from app.training.writer.wordings import broader_pairs, what_about_pairs, wording_pairs
from app.transformer.writer_checkpoints import STEP_BREAK

CONTEXT = "Ada Byron founded Acme in 1843. Acme sells engines. Ada Byron was born in London."


def question(number: int, text: str, answer: str, collection: str = "squad2_dev_half") -> ReadingQuestion:
    return ReadingQuestion(str(number), collection, "train", "Acme", text, CONTEXT, (answer,))


def put(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    path = folder / f"{name}.jsonl.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("step", "asked"),
    [
        ("who directed Ran", "Who directed Ran?"),
        ("the actor of #1", "Who is the actor of #1?"),
        ("movie with crew member Ada", "What is the movie with crew member Ada?"),
        ("#1 that has 1979 undergrads", "Which #1 has 1979 undergrads?"),
        ("#1 with red hair", "Which #1 has red hair?"),
        ("#2 in Ohio", "Which #2 is in Ohio?"),
        ("if Ada was born in Indiana", "Was Ada born in Indiana?"),
        ("number of bridges", "How many bridges?"),
        ("number of #2", "What is the number of #2?"),
        ("Grey 's Anatomy", "What is Grey's Anatomy?"),
        ("difference of #1 and #2", None),
        ("if both #1 and #2 are true", None),
        ("#1", None),
        ("", None),
    ],
)
def test_a_step_becomes_a_question(step: str, asked: str | None) -> None:
    assert as_question(step) == asked


def test_what_a_question_asks_for_can_be_described() -> None:
    assert description("Who founded Acme?") == "the person who founded Acme"
    assert description("What is the capital of Ohio?") == "the capital of Ohio"
    assert description("What company was sold?") == "the company that was sold"
    assert description("Why did Ada leave?") is None


def test_decompositions_come_from_the_sets_and_from_two_questions_of_a_passage(tmp_path: Path) -> None:
    steps = ["return movie with crew member Ada", "return who played Bo in #1"]
    put(
        tmp_path,
        "decomp/break_high_level_dev",
        [
            {"id": "CWQ_dev_1_a", "question": "Who played Bo in Ada's movie?", "steps": steps},
            {"id": "CWQ_dev_2_a", "question": "Who is Bo?", "steps": ["return who is Bo"]},
            {"id": "CWQ_dev_3_a", "question": "How far?", "steps": ["return x", "return difference of #1 and 3"]},
        ],
    )
    put(
        tmp_path,
        "decomp/musique_steps",
        [{"question": "Who leads Ran's land?", "steps": ["Ran >> country", "Who leads #1 ?"]}],
    )
    questions = [question(1, "Who founded Acme?", "Ada Byron"), question(2, "Where was Ada Byron born?", "London")]
    pairs = list(decomposition_pairs(tmp_path, questions, random.Random(0), simple=1))
    found = {pair.question: pair.target for pair in pairs}
    assert (
        found["Who played Bo in Ada's movie?"]
        == f"What is the movie with crew member Ada?{STEP_BREAK}Who played Bo in #1?"
    )
    assert found["Who leads Ran's land?"] == f"What is the country of Ran?{STEP_BREAK}Who leads #1?"
    composed = "Where was the person who founded Acme born?"
    assert found[composed] == f"Who founded Acme?{STEP_BREAK}Where was #1 born?"
    assert found["Who is Bo?"] == ""
    assert "How far?" not in found  # it calculates
    assert sum(pair.origin.startswith("simple") and pair.target == "" for pair in pairs) == 1


def sql(text: str, query: str) -> dict[str, Any]:
    return {"db": "advising", "question": text, "sql": query, "template": 1}


def test_wordings_of_one_query_and_with_fewer_conditions(tmp_path: Path) -> None:
    one = 'SELECT NAME FROM COURSE WHERE LEVEL = 400 AND AREA = "AI" ;'
    wide = "SELECT NAME FROM COURSE WHERE LEVEL = 400 ;"
    other = 'SELECT NAME FROM COURSE WHERE LEVEL = 400 AND AREA = "vision" ;'
    put(
        tmp_path,
        "sql/text2sql_8dbs",
        [
            sql("Which 400 level courses are on AI ?", one),
            sql("What AI classes have level 400 ?", one),
            sql("Which 400 level courses are on vision ?", other),
            sql("Which 400 level courses are there ?", wide),
            sql("Which flights leave Boston at nine ?", one) | {"db": "atis"},  # not under an open licence
        ],
    )
    put(tmp_path, "sql/wikisql", [])
    put(
        tmp_path,
        "pairs/stsb_en",
        [
            {"a": "A man sings.", "b": "A man is singing.", "label": 4.8, "split": "test"},
            {"a": "A man sings.", "b": "A dog barks.", "label": 0.2, "split": "train"},
        ],
    )
    pairs = list(wording_pairs(tmp_path, [], random.Random(0)))
    assert {(pair.question, pair.target) for pair in pairs} == {
        ("Which 400 level courses are on AI?", "What AI classes have level 400?"),
        ("What AI classes have level 400?", "Which 400 level courses are on AI?"),
        ("A man sings.", "A man is singing."),
    }
    assert [pair.role for pair in pairs if pair.origin == "stsb"] == ["heldout"]
    broader = {(pair.question, pair.target) for pair in broader_pairs(tmp_path, random.Random(0))}
    assert ("Which 400 level courses are on AI?", "Which 400 level courses are there?") in broader
    assert all(target == "Which 400 level courses are there?" for _, target in broader)
    follow = list(what_about_pairs(tmp_path, random.Random(1), 10))
    for pair in follow:
        assert pair.heading.startswith("Which 400 level courses are on")
        assert pair.question.rstrip("?").split()[-1] == pair.target.rstrip("?").split()[-1]


def test_a_follow_up_has_a_pronoun_where_the_name_stood() -> None:
    questions = [
        question(1, "Who founded Acme in 1843?", "Ada Byron"),
        question(2, "Where was Ada Byron born?", "London"),
        question(3, "What does Acme sell?", "engines"),
    ]
    pairs = [pair for seed in range(6) for pair in follow_up_pairs(questions, random.Random(seed), kept_share=1.0)]
    found = {(pair.question, pair.target) for pair in pairs if pair.origin.startswith("pronoun")}
    assert ("Where was it born?", "Where was Ada Byron born?") in found  # the passage calls her nothing else
    assert all(pair.heading for pair in pairs)
    standing = [pair for pair in pairs if pair.origin == "standing"]
    assert standing
    assert all(pair.question == pair.target for pair in standing)


def test_statements_come_with_the_sentence_of_their_answer() -> None:
    pairs = list(
        sentence_pairs([question(1, "When did Ada Byron found Acme?", "1843"), question(2, "Why?", "engines")])
    )
    assert [(pair.target, pair.heading, pair.passage) for pair in pairs] == [
        ("Ada Byron founded Acme in 1843.", "1843", "Ada Byron founded Acme in 1843.")
    ]
    assert sentence_with(CONTEXT, "Ada Byron", "Where was Ada born?") == "Ada Byron was born in London."


def test_the_first_sentence_of_an_answer() -> None:
    assert (
        first_sentence("Yes. The engine of Acme is made of brass. It is heavy.")
        == "The engine of Acme is made of brass."
    )
    assert (
        first_sentence("What are the signs of the illness? There are no signs at all.") == "There are no signs at all."
    )
    assert first_sentence("Too short.") is None


def test_our_own_examples_keep_their_parts_and_leave_chinese_out() -> None:
    pairs = list(own_pairs())
    assert {pair.role for pair in pairs} == {"train", "heldout"}
    assert {pair.task for pair in pairs} == {"sentence", "standalone", "step_back", "paraphrase"}
    assert all(pair.origin == OWN and pair.target.isascii() for pair in pairs if pair.task == "standalone")
    held = {pair.question for pair in pairs if pair.role == "heldout" and pair.task == "sentence"}
    assert not held & {pair.question for pair in pairs if pair.role == "train" and pair.task == "sentence"}
    assert history_parts(("Who is it?", "Ada.", "And when?")) == ("And when?", "")
    assert history_parts(("Who is it?", "Ada.")) == ("Who is it?", "Ada.")


def test_roles_are_the_same_everywhere_and_repeats_are_dropped() -> None:
    roles = [role_of(f"key {number}") for number in range(1_000)]
    assert 80 <= roles.count("heldout") <= 160
    assert 50 <= roles.count("dev") <= 110
    assert role_of(" KEY 7 ") == role_of("key 7")
    pair = WritingPair("hyde", "x", "train", "Who?", "Ada.")
    assert distinct([pair, WritingPair("hyde", "y", "dev", "who?", "ada.")]) == [pair]
    assert tidy("who  is it ?") == "who is it?"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="decomp/musique_steps"):
        list(read_rows(tmp_path, "decomp/musique_steps"))
