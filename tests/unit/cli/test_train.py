"""`attest train`: what the commands hand to the recipes, and what they say when something is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cli import root


def test_help_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert root.run(["train", "--help"]) == 0
    out = capsys.readouterr().out
    for command in ("reranker", "policy", "reader", "language-model", "tokenizer", "curves"):
        assert f"\n  {command} " in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reader", "--data", "none"], "--data none is no folder"),
        (["reader", "--data", ".", "--language", "fr"], "--language fr must be en or zh"),
        (["reader", "--data", ".", "--language", "zh"], "--language zh needs --text"),
        (["language-model", "--data", "none", "--out", "run"], "holds no .txt"),
        (["language-model", "--data", ".", "--out", "run", "--objective", "gan"], "must be one of mlm"),
        (["language-model", "--data", ".", "--out", "run", "--objective", "next-token"], "needs --from FOLDER"),
        (["curves", "none"], "log.jsonl is missing"),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert root.run(["train", *arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("attest: error:")
    assert message in error
    assert not (tmp_path / "run").exists()


def test_a_recipe_gets_the_options_that_were_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def record(arguments: list[str]) -> int:
        seen.append(arguments)
        return 0

    monkeypatch.setattr("app.training.bilingual.command.main", record)
    monkeypatch.setattr("app.training.pretraining.command.main", record)
    monkeypatch.setattr("app.training.policy.main", record)
    data = str(tmp_path)
    root.run(["train", "reader", "--data", data, "--language", "zh", "--text", data, "--minutes", "3"])
    root.run(["train", "language-model", "--data", data, "--data", "b", "--out", "run", "--next-sentence"])
    assert seen[0] == ["--data", data, "--minutes", "3.0", "--text", data]
    root.run(["train", "policy", "--data", data, "--cache", "kept", "--hold-out", "adi", "--hold-out", "npl"])
    assert seen[2] == ["--data", data, "--cache", "kept", "--hold-out", "adi", "npl"]
    assert seen[1][:4] == ["--data", data, "--data", "b"]
    assert seen[1][-1] == "--next-sentence"
    assert "--max-steps" not in seen[1]


@pytest.mark.parametrize(
    ("command", "module", "given"),
    [
        ("reader", "reader", ["--rate", "0.5", "--group-sizes", "3", "4"]),
        ("reader", "bilingual.further", ["--language", "zh", "--start", "a", "--rate", "0.5"]),
        ("verifier", "verifier.command", ["--average-with", "a"]),
        ("writer", "writer.command", ["--seed", "7"]),
    ],
)
def test_options_that_a_command_does_not_name_reach_its_recipe(
    command: str, module: str, given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(f"app.training.{module}.main", lambda arguments: seen.extend(arguments))
    assert root.run(["train", command, "--data", str(tmp_path), *given]) == 0
    assert given[-1] in seen
    assert given[-2] in seen


def test_an_option_that_nothing_knows_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert root.run(["train", "reader", "--data", str(tmp_path), "--nonsense", "2"]) == 2
    assert "--nonsense" in capsys.readouterr().err


def test_curves_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = {"kind": "train", "step": 20, "minutes": 0.5, "loss": 2.5}
    (tmp_path / "log.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    target = tmp_path / "c.svg"
    assert root.run(["train", "curves", str(tmp_path), "--out", str(target)]) == 0
    assert target.is_file()
    assert capsys.readouterr().out.strip() == str(target)
