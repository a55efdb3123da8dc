"""`attest eval`, `attest backup` and `attest restore` as a person uses them: through a server, and without one."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from app.cli import root
from app.index.archive import read_archive
from tests.e2e.test_cli import ENVIRONMENT, documents, start

pytestmark = pytest.mark.timeout(600)

GOLDEN = [
    {"question": "What do penguins eat?", "answers": ["fish and krill"]},
    {"question": "At how many degrees is green tea brewed?", "answers": ["eighty degrees"]},
    {"question": "Who painted the Mona Lisa?", "answerable": False},
]


def test_measure_back_up_and_restore_with_and_without_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    home, other = tmp_path / "home", tmp_path / "other"
    golden, settings = tmp_path / "golden.jsonl", tmp_path / "settings.json"
    golden.write_text("\n".join(json.dumps(row) for row in GOLDEN), encoding="utf-8")
    settings.write_text('[{"name": "both"}, {"name": "words", "retrieval": {"dense": false}}]', encoding="utf-8")
    folder = documents(tmp_path / "docs")

    def said(*argv: object, code: int = 0) -> str:
        assert root.run([str(part) for part in argv]) == code, capsys.readouterr().err
        return capsys.readouterr().out

    running = start(home)
    try:
        said("ingest", folder, "--wait", "--home", home)
        table = said("eval", golden, "--settings", settings, "--home", home)
        assert "words minus both, 95 % interval" in table
        assert "recall@10: no question names relevant_document_ids" in table
        through = json.loads(said("eval", golden, "--json", "--home", home))
        assert through["status"] == "succeeded"
        assert "documents in 1 collections" in said("backup", tmp_path / "b.tar.gz", "--home", home)
        assert root.run(["restore", str(tmp_path / "b.tar.gz"), "--home", str(home), "--force"]) == 1
        assert "a server runs on" in capsys.readouterr().err
    finally:
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(120)

    assert read_archive(tmp_path / "b.tar.gz").counts["documents"] == 2
    assert "2 documents" in said("restore", tmp_path / "b.tar.gz", "--home", other)
    direct = json.loads(said("eval", golden, "--json", "--home", other))
    assert direct["status"] == "succeeded"
    (here,), (there,) = direct["settings"], through["settings"]
    for name in ("exact_match", "f1", "citation_precision"):
        assert here[name] == there[name], "the restored home answers as the old one did"
    assert here["abstention"] == there["abstention"]
