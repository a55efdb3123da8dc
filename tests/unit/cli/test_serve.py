"""What `attest serve` settles before any model is loaded: the address, the port, the keys."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from app.cli import root
from app.cli.serve import address, listen
from app.errors import InvalidInput, Unavailable


def test_a_free_port_is_found_and_named() -> None:
    with listen("127.0.0.1", 0) as bound:
        assert address(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_the_address_of_a_wildcard_is_one_that_can_be_reached() -> None:
    with listen("0.0.0.0", 0) as bound:
        assert address(bound).startswith("http://127.0.0.1:")


def test_a_taken_port_is_a_plain_error_with_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"port {port}.*--port"):
            listen("127.0.0.1", port)


def test_an_address_of_nobody_is_refused() -> None:
    with pytest.raises((InvalidInput, Unavailable), match=r"192\.0\.2\.1"):
        listen("192.0.2.1", 0)  # reserved for documentation: no machine has it


def test_a_public_address_without_keys_is_refused_before_anything_starts(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert root.run(["serve", "--host", "0.0.0.0", "--port", "0", "--home", str(home)]) == 2
    assert "ATTEST_API_KEYS" in capsys.readouterr().err


def test_a_home_that_is_a_file_is_a_plain_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert root.run(["serve", "--home", str(tmp_path / "file")]) == 1
    err = capsys.readouterr().err
    assert err.startswith("attest: error: the home directory")
    assert err.count("\n") == 1
