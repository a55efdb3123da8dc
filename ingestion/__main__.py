"""`python -m ingestion`: one worker process. Exit codes: 0 stopped, 2 it can not start (the reason is printed)."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from app.errors import AttestError
from app.settings import Settings, load_settings
from app.telemetry import configure_logging

REFUSED = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a worker with the settings of the environment until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m ingestion", description="An Attest ingestion worker.")
    parser.add_argument("--home", type=Path, help="where everything that must survive lives (ATTEST_HOME)")
    parser.add_argument(
        "--until-stdin-closes",
        action="store_true",
        help="stop with the process that holds standard input",
    )
    given = parser.parse_args(argv)
    try:
        settings = load_settings(home=given.home)
    except AttestError as error:
        return _refuse(error)
    configure_logging(settings.log_level, settings.log_json)
    return run(settings, until_stdin_closes=given.until_stdin_closes)


def run(settings: Settings, *, until_stdin_closes: bool = False) -> int:
    """Exit code of a worker that ran until it was told to stop; signals are taken over, so only in the main thread.

    The first SIGTERM or SIGINT lets the current step finish; the second ends the process as usual.
    """
    stop = threading.Event()

    def ask_to_stop(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    if until_stdin_closes:
        threading.Thread(target=_stop_with_stdin, args=(stop,), name="stdin", daemon=True).start()
    try:
        from ingestion.bootstrap import build_worker  # here, so that a signal during the slow imports is not lost

        with build_worker(settings) as worker:
            worker.run_forever(stop)
    except AttestError as error:
        return _refuse(error)
    return 0


def _stop_with_stdin(stop: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stop.set()


def _refuse(error: AttestError) -> int:
    print(f"attest worker: error: {error.message}", file=sys.stderr, flush=True)  # noqa: T201 - a command line
    return REFUSED


if __name__ == "__main__":
    sys.exit(main())
