"""Sentences that answer without a marked answer: a reader marks them once, and they become passages."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from app.generation.reader import Reader
from app.training.behaviours.loading import load_behaviours
from app.training.own_questions import made_up_questions, own_questions
from app.training.reader import minilm_folder, special_ids
from app.training.reading_examples import ExampleBuilder, MixtureOptions
from app.training.reading_sets import ReadingQuestion
from app.training.sentence_pairs import SENTENCE_PAIRS, labelled_sentences, sentence_questions
from app.transformer.tokenizers import TextTokenizer
from app.types import Evidence, Prompt

RIVERS = ["Po", "Rhine", "Elbe", "Oder", "Ebro", "Tiber", "Seine", "Loire", "Don", "Volga"]


def write_pairs(folder: Path) -> Path:
    (folder / "pairs").mkdir()
    with gzip.open(folder / "pairs" / "squad_train_q_sentence.jsonl.gz", "wt", encoding="utf-8") as file:
        for n, river in enumerate(RIVERS):
            pair = {
                "question": f"Who built the {river} bridge?",
                "answer_sentence": f"Ada{n} built the {river} bridge.",
            }
            file.write(json.dumps(pair) + "\n")
    return folder


def reader_that(answer: Callable[[Prompt], tuple[str, float]], asked: list[str]) -> Reader:
    def generate(prompt: Prompt, _: object) -> Any:
        asked.append(prompt.question)
        text, logprob = answer(prompt)
        return SimpleNamespace(text=text, evidence=Evidence(answer_logprob=logprob, null_logprob=-9.0))

    return cast(Reader, SimpleNamespace(generate=generate))


def test_answers_are_marked_once_and_the_least_sure_left_out(tmp_path: Path) -> None:
    asked: list[str] = []

    def first_word(prompt: Prompt) -> tuple[str, float]:
        text = prompt.passages[0].text.split()[0]
        return text, -5.0 if text == "Ada3" else -0.1

    data, labels = write_pairs(tmp_path), tmp_path / "labels.jsonl"
    reader = reader_that(first_word, asked)
    kept = labelled_sentences(reader, data, labels)
    assert len(asked) == len(RIVERS)
    assert len(kept) == 9  # 85 % of ten, rounded up
    assert all(q.answers == (q.context.split()[0],) and q.role == "train" for q in kept)
    assert ("Ada3",) not in {q.answers for q in kept}
    assert labelled_sentences(reader, data, labels) == kept
    assert len(asked) == len(RIVERS)
    labels.write_text(labels.read_text(encoding="utf-8")[:-12], encoding="utf-8")  # the run ended in mid-line
    assert labelled_sentences(reader, data, labels) == kept
    assert len(asked) == len(RIVERS) + 1


def test_without_the_file_there_are_none(tmp_path: Path) -> None:
    assert sentence_questions(tmp_path) == []


def test_sentences_stand_among_others_of_their_kind_and_changed_questions_have_no_answer() -> None:
    tokenizer = TextTokenizer(minilm_folder() / "tokenizer.json")
    questions = [
        ReadingQuestion(
            f"s{n}", SENTENCE_PAIRS, "train", "", f"Who built the {r} bridge in 1931?", f"Ada{n} did.", (f"Ada{n}",)
        )
        for n, r in enumerate(RIVERS)
    ]
    plain = MixtureOptions(negative_share=0.0, perturbed_share=0.0, joined_sentences=(3,))
    for example in ExampleBuilder(questions, tokenizer, special_ids(tokenizer), plain).one_pass(random.Random(0)):
        copied = {
            tokenizer.decode([example.rows[row].ids[column] for row, column in span]) for span in example.candidates
        }
        assert len(copied) == 1
    changed = MixtureOptions(negative_share=0.0, perturbed_share=1.0)
    made = ExampleBuilder(questions, tokenizer, special_ids(tokenizer), changed).one_pass(random.Random(0))
    asked = {tokenizer.decode(list(e.rows[0].ids[1:12])) for e in made if not e.candidates}
    assert len(asked) >= len(RIVERS) // 2


def test_own_near_misses_have_no_answer_and_their_twins_have_one() -> None:
    questions = {q.id: q for q in own_questions(load_behaviours("train"))}
    rows = [one for one in load_behaviours("train", ["refusal"]) if one.id in questions]
    assert len(rows) > 50
    for one in rows:
        q = questions[one.id]
        assert bool(q.answers) == one.answerable
        assert all(answer in q.context for answer in q.answers)


def test_made_up_twins_ask_the_same_text() -> None:
    questions = made_up_questions(random.Random(0), 50)
    by_id = {q.id: q for q in questions}
    twins = [q for q in questions if q.id.endswith("-not")]
    assert 10 < len(twins) < 50
    for q in twins:
        answered = by_id[q.id.removesuffix("-not")]
        assert q.context == answered.context
        assert q.question != answered.question
        assert (q.answers, len(answered.answers)) == ((), 1)
