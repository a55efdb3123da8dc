"""The error boundary of the command line: plain lines, the right exit codes, no traceback, fast help."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli import root
from app.errors import InvalidInput, Unavailable


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert root.run(["--help"]) == 0
    out = capsys.readouterr().out
    asking = ("serve", "worker", "ingest", "ask", "search", "reindex", "compact", "status")
    for command in (*asking, "doctor", "train", "calibrations", "rerankers"):
        assert f"\n  {command} " in out


def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert root.run(["no-such-command"]) == 2
    assert root.run(["serve", "--port", "99999"]) == 2
    assert root.run(["search"]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(InvalidInput("bad"), 2), (Unavailable("gone"), 1)])
def test_our_errors_are_one_plain_line(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(root, "cli", fail)
    assert root.run([]) == code
    assert capsys.readouterr().err == f"attest: error: {error}\n"


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(root, "cli", interrupt)
    assert root.run([]) == 130


def test_an_unknown_setting_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATTEST_HOEM", "x")
    assert root.run(["status"]) == 2
    err = capsys.readouterr().err
    assert "ATTEST_HOEM" in err
    assert "ATTEST_HOME" in err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert root.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("attest")
