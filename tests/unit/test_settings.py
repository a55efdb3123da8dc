from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings


def test_nested_environment_variables_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ATTEST_HOME", str(tmp_path))
    monkeypatch.setenv("ATTEST_SERVER__PORT", "9")
    settings = Settings()
    assert (settings.home, settings.server.port) == (tmp_path, 9)
    assert settings.database_url == f"sqlite:///{tmp_path}/attest.db"


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "attest.toml").write_text("[retrieval]\ntop_k = 7\nrrf_k = 8\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATTEST_RETRIEVAL__RRF_K", "9")
    assert (Settings().retrieval.top_k, Settings().retrieval.rrf_k) == (7, 9)


@pytest.mark.parametrize("text", ["colour = 1", "[retrieval]\ntopk = 7", "[server]\nport = 70000"])
def test_unknown_keys_and_values_out_of_range_fail(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "attest.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValidationError):
        Settings()


def test_keys_are_split_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTEST_API_KEYS", "alpha:read, beta ,")
    settings = Settings()
    assert isinstance(settings.api_keys, tuple)
    assert [key.get_secret_value() for key in settings.api_keys] == ["alpha:read", "beta"]
    assert "alpha" not in repr(settings) + str(settings.redacted())
