"""The watched worker child: started again, given up, stopped, and never left behind."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app.cli.worker_process import WorkerProcess


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def run_until_dead(process: WorkerProcess) -> None:
    dead = threading.Event()
    process.start(on_dead=dead.set)
    assert dead.wait(60)
    process.stop()


def test_a_dying_worker_is_started_again_and_then_given_up(capfd: pytest.CaptureFixture[str]) -> None:
    process = WorkerProcess(python("import sys; sys.exit(7)"), backoff_s=0.01, max_deaths=3)
    run_until_dead(process)
    assert process.starts == 3
    assert process.death is not None
    assert "exit code 7" in process.death
    assert "nothing is lost" in process.death
    assert capfd.readouterr().err.count("starting it again") == 2


def test_a_killed_worker_is_named_by_its_signal() -> None:
    process = WorkerProcess(python("import os; os.kill(os.getpid(), 9)"), backoff_s=0.01, max_deaths=2)
    run_until_dead(process)
    assert "SIGKILL" in (process.death or "")


def test_a_worker_that_refuses_is_not_started_again() -> None:
    process = WorkerProcess(python("import sys; sys.exit(2)"), backoff_s=0.01)
    run_until_dead(process)
    assert process.starts == 1
    assert "reason stands above" in (process.death or "")


def waiting_child(tmp_path: Path, code: str = "sys.stdin.read()") -> tuple[list[str], Path]:
    started = tmp_path / "started"
    return python(f"import sys, pathlib, signal\npathlib.Path({str(started)!r}).touch()\n{code}"), started


def wait_for(path: Path) -> None:
    for _ in range(3000):
        if path.exists():
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{path} did not appear")


def test_stop_ends_the_child_and_is_no_death(tmp_path: Path) -> None:
    command, started = waiting_child(tmp_path)
    process = WorkerProcess(command)
    died: list[bool] = []
    process.start(on_dead=lambda: died.append(True))
    wait_for(started)
    process.stop()
    process.stop()
    assert process.death is None
    assert died == []
    assert process.starts == 1


def test_a_child_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\npathlib.Path(sys.argv[1]).touch()\nsignal.pause()"
    ready = tmp_path / "ready"
    command, _ = waiting_child(tmp_path, stubborn)
    process = WorkerProcess([*command, str(ready)], stop_s=0.2)
    process.start(on_dead=lambda: None)
    wait_for(ready)
    process.stop()
    assert process.death is None


def test_the_child_learns_of_a_killed_parent_by_its_standard_input(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    child, started = waiting_child(tmp_path, f"sys.stdin.read(); pathlib.Path({str(gone)!r}).touch()")
    parent = subprocess.Popen(
        python(
            "import time\nfrom app.cli.worker_process import WorkerProcess\n"
            f"WorkerProcess({child!r}).start(on_dead=lambda: None)\ntime.sleep(60)"
        )
    )
    wait_for(started)
    parent.kill()
    parent.wait()
    wait_for(gone)
