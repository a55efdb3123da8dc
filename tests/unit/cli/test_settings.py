"""Loading settings: unknown names and bad values are refused with their name and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import InvalidInput
from app.settings import load_settings


def test_overrides_win_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTEST_HOME", str(tmp_path / "environment"))
    assert load_settings().home == tmp_path / "environment"
    assert load_settings(home=tmp_path / "option").home == tmp_path / "option"
    assert load_settings(home=None).home == tmp_path / "environment"


def test_names_of_tests_and_compose_are_no_settings() -> None:
    load_settings({"ATTEST_FORBID_SKIPS": "1", "ATTEST_DATA_DIR": "x", "ATTEST_PUBLISH": "8000", "PATH": "x"})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ATTEST_HOEM", "x", "did you mean ATTEST_HOME"),
        ("ATTEST_SERVERS__PORT", "1", "ATTEST_SERVERS__PORT"),
        ("ATTEST_SERVER__PORTS", "1", "server.ports"),
        ("ATTEST_SERVER__PORT", "99999", "server.port"),
        ("ATTEST_WORKER", "no json", "worker"),
    ],
)
def test_a_bad_setting_is_named(name: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput, match=expected):
        load_settings()


def test_a_key_never_stands_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTEST_API_KEYS", "secret-key")
    monkeypatch.setenv("ATTEST_SERVER__PORT", "x")
    with pytest.raises(InvalidInput) as caught:
        load_settings()
    assert "secret-key" not in caught.value.message
