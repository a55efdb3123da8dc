"""The home directory as commands see it: writable or a plain error; server.json only while it is true."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from app.cli.home import check_writable, find_server, read_record, record_path, recorded
from app.errors import Unavailable


class Alive(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/live" else 404)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def alive_url():  # type: ignore[no-untyped-def]
    server = HTTPServer(("127.0.0.1", 0), Alive)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_server_is_found_while_it_runs_and_not_after(home: Path, alive_url: str) -> None:
    with recorded(home, alive_url):
        assert find_server(home) == alive_url
    assert find_server(home) is None
    assert not record_path(home).exists()


def test_a_record_of_a_dead_process_is_removed(home: Path, alive_url: str) -> None:
    own = {"url": alive_url, "pid": ended_pid(), "machine": socket.gethostname()}
    record_path(home).write_text(json.dumps(own))
    assert find_server(home) is None
    assert not record_path(home).exists()


def test_a_record_of_another_machine_is_judged_by_its_answer(home: Path, alive_url: str) -> None:
    record_path(home).write_text(json.dumps({"url": alive_url, "pid": ended_pid(), "machine": "another"}))
    assert find_server(home) == alive_url


def test_a_process_that_does_not_answer_is_no_server(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        record_path(home).write_text(json.dumps({"url": url, "pid": os.getpid(), "machine": socket.gethostname()}))
        assert find_server(home) is None
    assert record_path(home).exists(), "it may be starting"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"url": 1}', '{"url": "x", "pid": "y", "machine": "z"}'])
def test_a_damaged_record_is_no_server(home: Path, content: str) -> None:
    record_path(home).write_text(content)
    assert read_record(home) is None
    assert find_server(home) is None


def test_the_record_of_a_later_server_is_left_alone(home: Path) -> None:
    with recorded(home, "http://127.0.0.1:1"):
        later = {"url": "http://127.0.0.1:2", "pid": 1, "machine": "another"}
        record_path(home).write_text(json.dumps(later))
    assert json.loads(record_path(home).read_text()) == later


def test_a_new_home_is_its_owners_only(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_home_that_can_not_be_made_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="--home or ATTEST_HOME"):
        check_writable(tmp_path / "file" / "home")
