"""The command line as a person uses it: a server with its worker, and the home directly where none runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.cli import root
from app.cli.home import living, read_record, record_path
from app.index.catalog import Catalog
from app.index.jobs import JobQueue

pytestmark = pytest.mark.timeout(600)
PATIENCE_S = 240.0

# The reader is another room's; the sentence selector answers here, so that the test does not wait for weights.
ENVIRONMENT = {"ATTEST_GENERATION__GENERATOR": "sentences", "ATTEST_RERANK__ENABLED": "false"}


def eventually(question: str, answer: Any) -> Any:
    """The first true value of `answer()`; fails with `question` when there is none for long."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        value = answer()
        if value:
            return value
        threading.Event().wait(0.05)
    raise AssertionError(question)


def documents(folder: Path) -> Path:
    folder.mkdir()
    (folder / "penguins.md").write_text(
        "# Penguins\n\nThe emperor penguin is the tallest penguin.\n\n## Food\n\nPenguins eat fish and krill.\n"
    )
    (folder / "deep").mkdir()
    (folder / "deep" / "tea.html").write_text("<html><body><p>Green tea is brewed at eighty degrees.</p></body></html>")
    (folder / ".hidden.txt").write_text("nobody may see this")
    return folder


@dataclass
class Running:
    """An `attest serve` of a test's own home."""

    home: Path
    process: subprocess.Popen[str]
    url: str
    lines: list[str]

    def workers(self) -> list[str]:
        catalog = Catalog.open(f"sqlite:///{self.home / 'attest.db'}")
        try:
            return living(JobQueue(catalog).live_workers())
        finally:
            catalog.close()


def start(home: Path, *arguments: str) -> Running:
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--port", "0", "--home", str(home), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | ENVIRONMENT,
    )
    lines: list[str] = []

    def read() -> None:
        assert process.stdout is not None
        with process.stdout:
            lines.extend(process.stdout)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()

    def announced() -> str | None:
        assert process.poll() is None, "".join(lines)
        found = re.search(r"Attest answers at (http://127\.0\.0\.1:\d+) \(documents in (.+?);", "".join(lines))
        if found is None:
            return None
        assert found[2] == str(home)
        return found[1]

    try:
        url = eventually("the server says that it answers", announced)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return Running(home, process, url, lines)


def pids_of(workers: list[str]) -> list[int]:
    return [int(worker.split("-")[-2]) for worker in workers]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("served")
    running = start(home)
    yield running
    if running.process.poll() is None:
        running.process.terminate()
        running.process.wait(60)


@pytest.fixture
def at_home(server: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """The server's home in the environment: commands find the server by it."""
    monkeypatch.setenv("ATTEST_HOME", str(server.home))
    return server


def test_ready_when_it_says_so(server: Running) -> None:
    assert httpx.get(f"{server.url}/health/ready", trust_env=False).status_code == 200
    record = read_record(server.home)
    assert record is not None
    assert (record.url, record.pid) == (server.url, server.process.pid)


def test_ingest_through_the_server_then_ask_and_search(
    at_home: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = documents(tmp_path / "docs")
    assert root.run(["ingest", str(folder), "--wait", "--metadata", '{"year": 2024}']) == 0
    assert capsys.readouterr().out == "2 ingested\n"
    assert root.run(["ingest", str(folder), "--wait", "--metadata", '{"year": 2024}']) == 0
    assert capsys.readouterr().out == "0 ingested, 2 already there\n"

    assert root.run(["ask", "What do penguins eat?", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    for citation in answer["citations"]:
        text = httpx.get(f"{at_home.url}/v1/documents/{citation['document_id']}/text", trust_env=False).text
        assert text[citation["char_start"] : citation["char_end"]] == citation["quote"]
    assert {"answer", "abstained", "confidence", "citations", "timings_ms"} <= answer.keys()

    assert root.run(["search", "green tea", "--json"]) == 0
    hits = json.loads(capsys.readouterr().out)["hits"]
    assert hits[0]["text"] == "Green tea is brewed at eighty degrees."
    assert hits[0]["metadata"]["year"] == 2024
    assert root.run(["search", "green tea"]) == 0
    assert "Green tea is brewed" in capsys.readouterr().out


def test_a_bad_file_fails_by_name_and_the_others_go_through(
    at_home: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 but nothing else")
    (tmp_path / "good.txt").write_text("The walrus has tusks.")
    assert root.run(["ingest", str(tmp_path), "--wait", "-c", "animals"]) == 1
    out = capsys.readouterr().out
    assert "made the collection 'animals'" in out
    assert "failed: broken.pdf: the PDF" in out
    assert "1 ingested, 1 failed" in out


def test_errors_of_the_server_are_plain(at_home: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert root.run(["search", "anything", "-c", "no-such-collection"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("attest: error: the server answered 404")
    assert err.count("\n") == 1


def test_a_second_server_on_the_same_home_is_refused(at_home: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert root.run(["serve", "--port", "0"]) == 1
    assert at_home.url in capsys.readouterr().err


def test_status_names_server_workers_and_collections(at_home: Running, capsys: pytest.CaptureFixture[str]) -> None:
    eventually("a worker has started", at_home.workers)
    assert root.run(["status", "--json", "--check-worker"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert seen["server"] == at_home.url
    assert "default" in seen["collections"]
    assert root.run(["status"]) == 0
    assert at_home.url in capsys.readouterr().out


def test_a_killed_worker_is_started_again(server: Running) -> None:
    (before,) = pids_of(eventually("a worker has started", server.workers))
    os.kill(before, signal.SIGKILL)
    after = eventually(
        "another worker has started", lambda: [pid for pid in pids_of(server.workers()) if pid != before]
    )
    assert len(after) == 1
    assert any("SIGKILL; starting it again" in line for line in server.lines)


def test_a_terminated_server_takes_its_worker_along_and_leaves_no_record(server: Running) -> None:
    """The last test that uses the module's server."""
    end_together(server, signal.SIGTERM)
    assert server.process.returncode == 0
    assert not record_path(server.home).exists()
    assert not any("Traceback" in line for line in server.lines)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_server_and_worker_end_together(ending: signal.Signals, home: Path) -> None:
    running = start(home)
    end_together(running, ending)
    if ending == signal.SIGKILL:
        assert record_path(home).exists(), "nobody was left to remove it"
        assert root.run(["status", "--home", str(home)]) == 0
    else:
        assert running.process.returncode == 0
        assert not any("Traceback" in line for line in running.lines)
    assert not record_path(home).exists()


def end_together(running: Running, ending: signal.Signals) -> None:
    workers = pids_of(eventually("a worker has started", running.workers))
    running.process.send_signal(ending)
    running.process.wait(120)
    for worker in workers:
        eventually("the worker is gone too", lambda worker=worker: gone(worker))


def test_without_a_server_the_home_is_worked_on_directly(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    folder = documents(tmp_path / "docs")
    assert root.run(["ingest", str(folder)]) == 0
    assert capsys.readouterr().out == "2 queued\n"
    assert root.run(["ingest", str(folder), "--wait"]) == 0
    assert "2 already there" in capsys.readouterr().out
    assert root.run(["search", "green tea"]) == 0, "waited for although it had been queued before"
    assert "Green tea is brewed" in capsys.readouterr().out
    (folder / "new.txt").write_text("The narwhal has a tusk.")
    assert root.run(["ingest", str(folder), "--wait"]) == 0
    assert "1 ingested, 2 already there" in capsys.readouterr().out

    assert root.run(["search", "narwhal tusk", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hits"][0]["text"] == "The narwhal has a tusk."
    assert root.run(["ask", "What does the narwhal have?", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {"answer", "abstained", "confidence", "citations"} <= answer.keys()
    assert root.run(["ask", "   "]) == 2

    assert root.run(["compact"]) == 0
    assert "compact done" in capsys.readouterr().out
    assert root.run(["reindex"]) == 0
    assert "reindex done" in capsys.readouterr().out
    assert root.run(["search", "emperor penguin", "--json"]) == 0
    assert "emperor penguin" in json.loads(capsys.readouterr().out)["hits"][0]["text"]

    assert root.run(["doctor"]) in (0, 1)
    findings = capsys.readouterr().out
    assert re.search(r"^ok +index of 'default': generation \d+, \d+ chunks, sound$", findings, re.MULTILINE)
    assert re.search(r"^ok +encoder: ", findings, re.MULTILINE)
