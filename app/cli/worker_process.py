"""The worker child of `attest serve`: watched, started again a bounded number of times, never left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

REFUSED = 2
"""Exit code of a worker that has said why it can not start: starting it again would change nothing."""


class WorkerProcess:
    """One worker child. When it dies it is started again after growing pauses; after `max_deaths` within `quiet_s` of
    one another it is not, and `death` says why.

    The child's standard input is a pipe from this process: when this process is gone, however it went, the pipe closes
    and the child stops by itself. It has a session of its own, so that Ctrl-C reaches it through `stop` only.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        backoff_s: float = 0.5,
        max_deaths: int = 5,
        quiet_s: float = 60.0,
        stop_s: float = 20.0,
    ) -> None:
        self._command = list(command)
        self._backoff_s = backoff_s
        self._max_deaths = max_deaths
        self._quiet_s = quiet_s
        self._stop_s = stop_s
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._watcher: threading.Thread | None = None
        self.death: str | None = None
        """Why it will not be started again, once that is so."""
        self.starts = 0

    def start(self, on_dead: Callable[[], None]) -> None:
        """Starts the child; `on_dead` is called, in another thread, once it will not be started again."""
        self._watcher = threading.Thread(target=self._watch, args=(on_dead,), name="worker-watch", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """Asks the child to finish its step, waits `stop_s`, then kills it. Safe to call twice."""
        self._stopping.set()
        with self._starting:
            process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(self._stop_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join(self._stop_s)

    def _watch(self, on_dead: Callable[[], None]) -> None:
        deaths = 0
        while True:
            started_s = time.monotonic()
            with self._starting:
                if self._stopping.is_set():
                    return
                self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, start_new_session=True)
                self.starts += 1
            code = self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            if self._stopping.is_set():
                return
            if code == REFUSED:
                self.death = "the worker can not start; its reason stands above"
                break
            deaths = 1 if time.monotonic() - started_s > self._quiet_s else deaths + 1
            if deaths >= self._max_deaths:
                self.death = (
                    f"the worker died {deaths} times in a row, the last time by {_cause(code)}; nothing is lost, its "
                    "work goes on when a worker runs again. Its last words stand above; see also `attest doctor`"
                )
                break
            pause_s = self._backoff_s * 2 ** (deaths - 1)
            print(f"attest: the worker ended by {_cause(code)}; starting it again in {pause_s:g} s", file=sys.stderr)
            if self._stopping.wait(pause_s):
                return
        on_dead()


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
