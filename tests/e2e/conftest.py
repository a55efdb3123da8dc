"""A real browser on the real page: Debian's Chromium, driven by Playwright; nothing is downloaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "app" / "web" / "node_modules" / "axe-core" / "axe.min.js"
TIMEOUT_MS = 60_000
needs_chromium = pytest.mark.system_package("chromium", "chromium")


@contextmanager
def attest_serve(home: Path) -> Iterator[str]:
    """The address of `attest serve` with its worker, the bundled models and a home of its own."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ATTEST_")}
    environ |= {"HOME": str(home), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "app", "serve", "--home", str(home / "attest"), "--port", "0"]
    log = home / "server.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, cwd=home, env=environ, stdout=subprocess.PIPE, stderr=errors, text=True) as server,
    ):
        assert server.stdout is not None
        try:
            for line in server.stdout:
                if line.startswith("Attest answers at "):
                    yield line.split()[3]
                    break
            else:
                raise AssertionError(f"the server did not start:\n{log.read_text(encoding='utf-8')[-4_000:]}")
        finally:
            server.terminate()
            server.wait(60)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--disable-dev-shm-usage", "--disable-gpu", "--force-color-profile=srgb"],
        )
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for a module, closed at its end: Playwright's event loop must be gone before asyncio tests run."""
    with chromium() as running:
        yield running


class Visit:
    """A page in a context of its own, with everything that its console complained of."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def forgive(self, status: str) -> None:
        """Drops the browser's own line for answers with this status, which the test asked for."""
        own = f"the server responded with a status of {status}"
        assert any(own in complaint for complaint in self.complaints), self.complaints
        self.complaints[:] = [complaint for complaint in self.complaints if own not in complaint]

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; by the debugger, because the page's policy forbids eval."""
        session = self.context.new_cdp_session(self.page)
        try:
            answer = session.send(
                "Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True}
            )
        finally:
            session.detach()
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def serious_findings(self) -> list[str]:
        """What axe-core finds that keeps people out: its "serious" and "critical" violations."""
        found = self.evaluate("axe.run(document).then(result => JSON.stringify(result.violations))")
        return [
            f"{rule['id']} ({rule['impact']}): {node['html'][:160]} {node['failureSummary']}"
            for rule in json.loads(found)
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """`visit(url, **context)` opens the page; at the end nothing may have complained in its console."""
    visits: list[Visit] = []

    def open_page(url: str, *, axe: bool = False, **options: Any) -> Visit:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 840}, "locale": "en-US"} | options)
        context.set_default_timeout(TIMEOUT_MS)
        if axe:
            context.add_init_script(path=AXE)
        visits.append(Visit(context))
        visits[-1].page.goto(url)
        return visits[-1]

    yield open_page
    complaints = [complaint for one in visits for complaint in one.complaints]
    for one in visits:
        one.context.close()
    assert complaints == []


def need_axe() -> None:
    """Skips, or fails where skips are forbidden, without npm's axe-core."""
    if AXE.is_file():
        return
    reason = "needs axe-core: `make web` installs it (Node and npm)"
    if os.environ.get("ATTEST_FORBID_SKIPS") == "1":
        pytest.fail(f"{reason} (ATTEST_FORBID_SKIPS=1 forbids the skip)", pytrace=False)
    pytest.skip(reason)


def until(event: threading.Event) -> None:
    assert event.wait(TIMEOUT_MS / 1000)
