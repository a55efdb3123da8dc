"""`attest generate` and `attest models` over a tiny model with random weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from app.cli import root
from tests.tiny_llama import save_tiny_llama


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    save_tiny_llama(folder)
    return folder


@pytest.fixture(autouse=True)
def _logging_undone() -> Iterator[None]:
    yield
    structlog.reset_defaults()  # commands point it at this test's standard error, which is closed afterwards


def generate(*arguments: str) -> int:
    return root.run(["generate", *arguments, "--max-tokens", "8"])


def test_json_has_the_text_its_tokens_and_both_speeds(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--model", str(tiny), "--prompt", "The bridge", "--dtype", "fp32", "--temperature", "0", "--json")
    assert generate(*arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) >= {
        "text", "token_ids", "prompt_tokens", "completion_tokens", "prefill_tokens_per_s", "decode_tokens_per_s"
    }  # fmt: skip
    assert len(found["token_ids"]) == found["completion_tokens"] == 8
    assert found["prompt_tokens"] > 0
    assert found["prefill_tokens_per_s"] > 0
    assert found["decode_tokens_per_s"] > 0
    assert generate(*arguments) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["text"], again["token_ids"]) == (found["text"], found["token_ids"])


def test_text_goes_to_standard_output_and_speed_to_the_other(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("--model", str(tiny), "--prompt", "The bridge", "--dtype", "fp32", "--json") == 0
    text = json.loads(capsys.readouterr().out)["text"]
    assert generate("--model", str(tiny), "--prompt", "The bridge", "--dtype", "fp32") == 0
    streamed = capsys.readouterr()
    assert streamed.out.rstrip("\n") == text.rstrip("\n")
    assert "written at" in streamed.err
    assert "/s" in streamed.err


def test_seeds_reproduce(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for seed in ("1", "1", "2"):
        common = ("--model", str(tiny), "--prompt", "The bridge", "--temperature", "1.5", "--seed", seed, "--json")
        assert generate(*common) == 0
        texts.append(json.loads(capsys.readouterr().out)["token_ids"])
    assert texts[0] == texts[1] != texts[2]


def test_a_chat_prompt_goes_through_the_template(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, chat = [], []
    for into, more in ((plain, ()), (chat, ("--chat",))):
        assert generate("--model", str(tiny), "--prompt", "Hi", "--json", *more) == 0
        into.append(json.loads(capsys.readouterr().out)["prompt_tokens"])
    assert chat[0] == plain[0] + 3  # <|user|> … <|end|> <|assistant|>


def test_the_makers_limits_hold_unless_the_caller_says_otherwise(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "said"
    shutil.copytree(tiny, folder)

    def tokens(*more: str) -> tuple[list[int], str]:
        common = ("--model", str(folder), "--prompt", "The bridge", "--dtype", "fp32", "--json")
        assert generate(*common, *more) == 0
        told = capsys.readouterr()
        return json.loads(told.out)["token_ids"], told.err

    free, silent = tokens()
    assert "do nothing here" not in silent
    said = {"suppress_tokens": free[:2], "typical_p": 0.9, "temperature": 0.7, "no_repeat_ngram_size": 1}
    (folder / "generation_config.json").write_text(json.dumps(said), encoding="utf-8")
    held, told = tokens()
    assert not set(held) & set(free[:2])
    assert len(set(held)) == len(held)  # no token twice
    assert "settings of said that do nothing here: typical_p=0.9" in told
    assert "temperature" not in told
    (folder / "generation_config.json").unlink()
    assert tokens("--no-repeat-ngram-size", "1")[0] != free or len(set(free)) == len(free)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "./nowhere", "--prompt", "x"), "no such folder"),
        (("--model", "TINY", "--prompt", ""), "the prompt holds no token"),
        (("--model", "TINY", "--prompt", "word " * 3000), "takes 2048"),
        (("--model", "TINY", "--prompt", "x", "--top-p", "0"), "top_p=0"),
    ],
)
def test_a_wrong_argument_is_one_plain_line(
    tiny: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate(*(str(tiny) if part == "TINY" else part for part in arguments)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_models_says_what_runs_and_which_part_does_not(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    strange = home / "models" / "strange"
    strange.mkdir(parents=True)
    (strange / "config.json").write_text(json.dumps({"model_type": "quantum-llm"}))
    assert root.run(["models", str(tiny), "--home", str(home), "--json"]) == 0
    by_name = {found["name"]: found for found in json.loads(capsys.readouterr().out)}
    assert by_name["tiny-llama"]["runs"] == "generate"
    assert by_name["tiny-llama"]["family"] == "llama"
    assert by_name["tiny-llama"]["parameters"] > 100_000
    assert by_name["tiny-llama"]["context_tokens"] == 2048
    assert by_name["strange"]["runs"] == "no"
    assert "quantum-llm" in by_name["strange"]["reason"]

    assert root.run(["models", str(tiny), "--home", str(home)]) == 0
    listed = capsys.readouterr().out
    assert f"ATTEST_GENERATION__MODEL=local:{tiny}" in listed
    assert "does not run" in listed


def test_models_without_any_says_what_a_model_folder_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "none"
    assert root.run(["models", "--home", str(home)]) == 0
    assert "config.json" in capsys.readouterr().out
    assert not home.exists(), "looking makes no home"
    assert root.run(["models", str(tmp_path / "missing")]) == 2
