"""`attest ask --style`: what reaches the server, and what is refused before it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli.root import cli

ANSWER = {"answer": "No.", "citations": [], "abstained": False, "confidence": 0.9, "model": "m", "timings_ms": {}}


class Server:
    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path == "/v1/ask"
        self.bodies.append(body)
        return ANSWER


def test_the_style_is_sent_and_left_out_where_none_is_given(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    monkeypatch.setattr("app.cli.client.connect", lambda settings: Connected(server))
    for arguments in (["--style", "paragraph"], []):
        result = CliRunner().invoke(cli, ["ask", "Tell me about Acme", "--home", str(home), *arguments])
        assert result.exit_code == 0, result.output
    assert [body.get("generation") for body in server.bodies] == [{"style": "paragraph"}, None]


def test_an_unknown_style_is_refused_with_those_there_are(home: Path) -> None:
    result = CliRunner().invoke(cli, ["ask", "Why?", "--home", str(home), "--style", "poem"])
    assert result.exit_code == 2
    assert "paragraph" in result.output


class Connected(nullcontext[Any]):
    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.post = server.post
