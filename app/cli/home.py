"""The home directory as commands see it: settings, whether it can be written, and whether a server runs on it."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import Unavailable

if TYPE_CHECKING:
    from app.index.records import WorkerRecord
    from app.settings import Settings


@dataclass(frozen=True, slots=True)
class RunningServer:
    """What `attest serve` writes into `server.json` while it runs."""

    url: str
    pid: int
    machine: str


def prepare(home: Path | None = None, *, serving: bool = False) -> Settings:
    """Settings of this command, logging set up, and a home directory that can be written.

    A command that is not `serving` says what it has to say itself: only warnings are logged, unless a level was set.

    Raises:
        InvalidInput: a setting is unknown or out of range.
        Unavailable: the home directory can not be made or written.
    """
    settings = quiet_settings(home, serving=serving)
    check_writable(settings.home)
    return settings


def quiet_settings(home: Path | None = None, *, serving: bool = False) -> Settings:
    """As `prepare`, for commands that write nothing: the home need not exist. Raises `InvalidInput` as it does."""
    from app.settings import load_settings
    from app.telemetry import configure_logging

    settings = load_settings(home=home)
    quiet = not serving and "log_level" not in settings.model_fields_set
    configure_logging("WARNING" if quiet else settings.log_level, settings.log_json)
    return settings


def check_writable(home: Path) -> None:
    """Makes `home`, readable by its owner only where it is new, and writes one byte there to be sure.

    Raises:
        Unavailable: with the operating system's reason and the remedy.
    """
    try:
        if not home.exists():
            home.mkdir(parents=True, mode=0o700)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"\0")
    except OSError as error:
        raise Unavailable(
            f"the home directory {home} can not be written ({error.strerror or error}); "
            "give another with --home or ATTEST_HOME, or change its owner or permissions"
        ) from None


def record_path(home: Path) -> Path:
    return home / "server.json"


@contextmanager
def recorded(home: Path, url: str) -> Iterator[None]:
    """While the block runs, `server.json` tells other commands where this home is served."""
    path = record_path(home)
    own = RunningServer(url, os.getpid(), socket.gethostname())
    temporary = path.with_name(f".server-{os.getpid()}.json")
    temporary.write_text(json.dumps(asdict(own)), encoding="utf-8")
    temporary.replace(path)
    try:
        yield
    finally:
        if read_record(home) == own:
            path.unlink(missing_ok=True)


def read_record(home: Path) -> RunningServer | None:
    """What `server.json` says, or None where there is none or it can not be read."""
    try:
        values = json.loads(record_path(home).read_text(encoding="utf-8"))
        return RunningServer(str(values["url"]), int(values["pid"]), str(values["machine"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_server(home: Path) -> str | None:
    """Address of the server that runs on `home`, or None; a record whose process is gone is removed."""
    record = read_record(home)
    if record is None:
        return None
    if record.machine == socket.gethostname() and not _alive(record.pid):
        if read_record(home) == record:
            record_path(home).unlink(missing_ok=True)
        return None
    import httpx

    try:
        with httpx.Client(trust_env=False, timeout=2.0) as http:
            answered = http.get(f"{record.url}/health/live").status_code == 200
    except httpx.HTTPError:
        return None
    return record.url if answered else None


def living(workers: Iterable[WorkerRecord]) -> list[str]:
    """Ids of those that live: seen lately and, where they are this machine's, with their process."""
    found: list[str] = []
    for worker in workers:
        machine, _, rest = worker.id.rpartition("-")[0].rpartition("-")
        if machine != socket.gethostname() or not rest.isdecimal() or _alive(int(rest)):
            found.append(worker.id)
    return found


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except OverflowError:
        return False
    return True
