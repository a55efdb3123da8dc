"""The bilingual reader's second course: one step from the reader that ships, and the mean that is exported."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import pytest
import torch

from app.errors import InvalidInput, Unavailable
from app.generation.reader import bilingual_folder, bundled_folder, load_reader
from app.training import everyday
from app.training.bilingual import further, reading
from app.training.bilingual.further import MODEL_NAME, export_further, main
from app.training.everyday import EVERYDAY_ZH, Language, everyday_questions
from app.training.reader import minilm_folder
from app.training.reading_sets import ReadingQuestion
from app.transformer.pointer_checkpoints import load_pointer_reader, read_manifest
from app.types import GenerationOptions
from tests.unit.generation.test_reader import prompt
from tests.unit.training.reading_rows import DEV_TITLE, TRAIN_TITLE
from tests.unit.training.test_bilingual_reader import chinese, write_chinese

WORDS = 30522


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few of the everyday questions, so that a pass is short."""

    def some(kinds: Collection[str] = ("Q",), language: Language = "en") -> list[ReadingQuestion]:
        return everyday_questions(kinds, language)[::200]

    for module in (everyday, reading, further):
        monkeypatch.setattr(module, "everyday_questions", some)


def test_a_step_from_the_bundled_reader_changes_chinese_words_alone_and_the_result_answers(
    tmp_path: Path, few: None, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_chinese(tmp_path, cmrc2018=[chinese(n, title=TRAIN_TITLE if n < 6 else DEV_TITLE) for n in range(8)])
    threads = str(torch.get_num_threads())
    given = ["--data", str(data), "--out", str(tmp_path / "run"), "--minutes", "30", "--threads", threads]
    assert main([*given, "--max-steps", "1"]) == 0
    assert str(tmp_path / "run" / "reader") in capsys.readouterr().out
    before, manifest = load_pointer_reader(bilingual_folder(), minilm_folder())
    after = load_pointer_reader(tmp_path / "run" / "reader", minilm_folder())[0]
    ours, theirs = (one.encoder.embeddings.word.weight for one in (after, before))
    assert torch.equal(ours[:WORDS], theirs[:WORDS])
    assert not torch.equal(ours[WORDS:], theirs[WORDS:])
    settings = read_manifest(tmp_path / "run" / "reader").settings
    assert settings == {**manifest.settings, "name": MODEL_NAME}
    generated = load_reader(tmp_path / "run" / "reader").generate(
        prompt("谁修建了黄河上的桥？", "黄河上的桥，由王小明于1931年修建。"), GenerationOptions()
    )
    assert "王小明" in generated.text
    scores = json.loads((tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert {"cmrc2018_f1", f"{EVERYDAY_ZH}_f1"} <= set(scores)


def test_the_exported_mean_lies_halfway_between_two_readers(tmp_path: Path) -> None:
    start, manifest = load_pointer_reader(bilingual_folder(), minilm_folder())
    torch.save({"model": {name: tensor + 1 for name, tensor in start.state_dict().items()}}, tmp_path / "one.pt")
    torch.save({"model": {name: tensor - 1 for name, tensor in start.state_dict().items()}}, tmp_path / "other.pt")
    export_further(tmp_path / "one.pt", bilingual_folder(), tmp_path / "plus")
    export_further(tmp_path / "other.pt", bilingual_folder(), tmp_path / "mean", [tmp_path / "plus"])
    mean = load_pointer_reader(tmp_path / "mean", minilm_folder())[0].state_dict()
    for name, tensor in start.state_dict().items():
        assert torch.allclose(mean[name], tensor, rtol=0.01, atol=0.02), name
    assert manifest.settings["rank_weights"] == read_manifest(tmp_path / "mean").settings["rank_weights"]


def test_what_is_missing_is_named_and_a_rate_of_nothing_refused(
    tmp_path: Path, few: None, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--data", str(tmp_path), "--out", str(tmp_path / "run")]
    with pytest.raises(Unavailable, match="cmrc2018"):
        main(given)
    with pytest.raises(SystemExit):
        main([*given, "--rate", "0"])
    assert "give a share above 0" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--start", "--average-with"])
def test_a_folder_of_another_reader_or_of_none_is_refused_before_the_training(option: str, tmp_path: Path) -> None:
    given = ["--data", str(tmp_path), "--out", str(tmp_path / "run"), option]
    with pytest.raises(InvalidInput, match="is no bilingual reader"):
        main([*given, str(bundled_folder())])
    with pytest.raises(InvalidInput, match="holds no reader"):
        main([*given, str(tmp_path)])
    assert not (tmp_path / "run").exists()
