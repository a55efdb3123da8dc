from pathlib import Path

import pytest
from pydantic import ValidationError

from app.errors import InvalidInput
from app.settings import Settings, load_settings


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


@pytest.mark.parametrize("model", ["", "gpt-5", "local:", "remote: ", "bundled:x", "http://x"])
def test_a_model_of_no_known_kind_is_refused(model: str) -> None:
    with pytest.raises(InvalidInput, match="must be bundled, local:FOLDER_OR_HUB_NAME or remote:MODEL"):
        load_settings({}, generation={"model": model})


def test_a_remote_model_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTEST_GENERATION__MODEL", "remote:tiny")
    monkeypatch.setenv("ATTEST_GENERATION__REMOTE__API_KEY", "sk-very-secret")
    with pytest.raises(InvalidInput, match="ATTEST_GENERATION__REMOTE__BASE_URL") as caught:
        load_settings()
    assert "sk-very-secret" not in str(caught.value)
    monkeypatch.setenv("ATTEST_GENERATION__REMOTE__BASE_URL", "http://127.0.0.1:8080/v1/chat/completions")
    settings = load_settings()
    assert settings.generation.remote.base_url == "http://127.0.0.1:8080/v1"
    assert "sk-very-secret" not in repr(settings) + str(settings.redacted())


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8080", "ftp://x", "https://me:hunter2@models.example/v1", "http://x/v1?key=hunter2"]
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"generation\.remote\.base_url") as caught:
        load_settings({}, generation={"model": "remote:tiny", "remote": {"base_url": url}})
    assert "hunter2" not in str(caught.value)


def test_a_key_of_the_wrong_kind_is_not_repeated() -> None:
    with pytest.raises(InvalidInput, match="api_key") as caught:
        load_settings({}, generation={"remote": {"api_key": 123456789}})
    assert "123456789" not in str(caught.value)
    with pytest.raises(ValidationError) as raw:
        Settings(generation={"model": "nonsense", "remote": {"api_key": "hunter2"}})  # type: ignore[arg-type]
    assert "hunter2" not in str(raw.value)


@pytest.mark.parametrize(
    ("server", "generation", "threads"),
    [
        ({}, {}, 1),
        ({}, {"model": "remote:x", "remote": {"base_url": "http://x/v1"}}, 16),
        ({}, {"model": "local:x", "local": {"max_batch": 5}}, 5),
        ({"model_threads": 3}, {"model": "local:x"}, 3),
    ],
)
def test_as_many_requests_at_once_as_the_model_takes(
    server: dict[str, int], generation: dict[str, object], threads: int
) -> None:
    assert load_settings({}, server=server, generation=generation).model_threads == threads
