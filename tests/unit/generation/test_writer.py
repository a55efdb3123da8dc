from __future__ import annotations

import shutil
import threading
from functools import cache
from pathlib import Path

import pytest

from app.errors import Cancelled, IntegrityError, InvalidInput, Unavailable
from app.generation.writer import BundledWriter, bundled_writer, bundled_writer_folder, has_writer
from app.generation.writer_checks import sentence_is_faithful
from app.transformer.writer_checkpoints import TASKS

SOURCE = "The Salford bridge was opened in 1889 by Ada Byron, who had paid for it."


@cache
def writer() -> BundledWriter:
    return BundledWriter()


def test_the_writer_ships() -> None:
    assert has_writer()
    assert bundled_writer() is bundled_writer() is not None
    assert writer().name == "attest-writer-1"


@pytest.mark.parametrize("task", TASKS)
def test_every_task_writes_the_same_text_each_time(task: str) -> None:
    question = "Who is the mother of the director of the film Ran?"
    first = writer().write(task, question, heading="Akira Kurosawa", passage=SOURCE, most=3)
    assert first == writer().write(task, question, heading="Akira Kurosawa", passage=SOURCE, most=3)
    assert len(first) == len(set(first))
    assert all(text[:1].isupper() or not text[:1].isalpha() for text in first)


def test_a_plain_statement_is_written_and_faithful() -> None:
    found = writer().write("sentence", "Who opened the bridge?", heading="Ada Byron", passage=SOURCE)
    assert found
    assert all(sentence_is_faithful(text, "Who opened the bridge?", "Ada Byron", SOURCE) for text in found)
    assert "Ada Byron" in found[0]


def test_the_rules_statement_comes_first() -> None:
    assert writer().sentence("When was the Salford bridge opened?", "1889", SOURCE) == (
        "The Salford bridge was opened in 1889."
    )


def test_other_scripts_unknown_tasks_and_empty_questions() -> None:
    assert writer().write("hyde", "公司的注册资本是多少？") == []
    assert writer().write("paraphrase", "Где находится мост?") == []
    assert writer().write("paraphrase", "  ") == []
    with pytest.raises(InvalidInput, match="poem"):
        writer().write("poem", "Who?")


def test_a_long_question_is_cut_and_not_refused() -> None:
    assert isinstance(writer().write("paraphrase", "Who built the bridge? " * 500), list)


def test_writing_can_be_cancelled() -> None:
    with pytest.raises(Cancelled):
        writer().write("hyde", "Who opened the bridge?", cancelled=lambda: True)


def test_threads_share_one_model_and_agree() -> None:
    fresh, found = BundledWriter(), []
    threads = [
        threading.Thread(target=lambda: found.append(fresh.texts("hyde", "Who opened the Salford bridge?")))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert found[0] == found[1] == found[2]


def test_missing_and_damaged_files_are_told_and_an_answer_goes_without_its_sentence(tmp_path: Path) -> None:
    missing = BundledWriter(tmp_path / "nothing")
    with pytest.raises(Unavailable, match="SHA256SUMS is missing"):
        missing.write("hyde", "Who opened the bridge?")
    assert missing.sentence("What had Ada Byron done?", "paid for it", SOURCE) is None
    folder = tmp_path / "writer"
    shutil.copytree(bundled_writer_folder(), folder)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"config\.json"):
        BundledWriter(folder).write("hyde", "Who opened the bridge?")
