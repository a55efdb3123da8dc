"""`python -m tests.e2e.screens` (`make screens`): the pictures in docs/screens, of the page on a real server."""

from __future__ import annotations

import io
import random
import sys
import tempfile
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from app.bootstrap.generators import calibration_id
from app.generation.abstention import sigmoid
from app.index.catalog import Catalog
from app.settings import load_settings
from tests.e2e.conftest import ROOT, attest_serve, chromium
from tests.e2e.papers import MARKDOWN, QUESTION, write_handbook

FOLDER = ROOT / "docs" / "screens"
MAX_BYTES = 150_000
COLORS = 192
DEVICES = {"desktop": (1280, 800), "phone": (390, 844)}
THEMES = ("light", "dark")
TIMEOUT_MS = 60_000
OTHER = "minutes"  # not the collection that is asked: its confidence stays as it is shipped
RATED = 140
COMPARED = [
    {"name": "both, reranked"},
    {"name": "words only", "retrieval": {"dense": False}, "rerank": False, "context_chunks": 1},
    {"name": "meaning only", "retrieval": {"lexical": False}, "rerank": False, "context_chunks": 1},
]
GOLDEN = [
    {"question": QUESTION, "answers": ["84 days"]},
    {"question": "By when are receipts handed in?", "answers": ["within thirty days", "thirty days"]},
    {"question": "How long is the probation period?", "answers": ["four months"]},
    {"question": "How many days of holiday are there each year?", "answers": ["28 days", "28"]},
    {"question": "What does a lost key cost?", "answers": ["35 euros"]},
    {"question": "When are laptops replaced?", "answers": ["after four years", "four years"]},
    {"question": "Who leads the Optics group?", "answers": ["Marta Feld"]},
    {"question": "How many hours has the working week?", "answers": ["38 hours", "38"]},
    {"question": "Up to what journey time does one go by train?", "answers": ["six hours", "under six hours"]},
    {"question": "Who won the chess championship in 1972?", "answerable": False},
    {"question": "Who painted the Mona Lisa?", "answerable": False},
    {"question": "What is the capital of Australia?", "answerable": False},
]


def shoot(page: Page, name: str) -> None:
    """Writes one picture, with few colours so that it is small; fails when it is not."""
    page.wait_for_timeout(250)
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    path = FOLDER / f"{name}.png"
    picture.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
    if (size := path.stat().st_size) > MAX_BYTES:
        raise SystemExit(f"{path.name} has {size} bytes, the limit is {MAX_BYTES}: show less in it")


def start(browser: Browser, address: str, theme: str, device: str) -> None:
    """The page before the first document."""
    context = browser.new_context(
        viewport=dict(zip(("width", "height"), DEVICES[device], strict=True)), color_scheme=theme, locale="en-US"
    )
    page = context.new_page()
    page.goto(address)
    expect(page.get_by_text("Drop your first document")).to_be_visible()
    shoot(page, f"start-{device}-{theme}")
    context.close()


def tour(browser: Browser, address: str, theme: str, device: str) -> None:
    """Every view once there are documents."""
    context = browser.new_context(
        viewport=dict(zip(("width", "height"), DEVICES[device], strict=True)), color_scheme=theme, locale="en-US"
    )
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.goto(address)
    page.get_by_label("Your question").fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator(".answer-foot")).to_be_visible()
    shoot(page, f"ask-{device}-{theme}")
    page.locator("button.cite").first.click()
    expect(page.locator(".paper")).to_have_attribute("data-state", "found")
    shoot(page, f"source-{device}-{theme}")
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Settings").click()
    shoot(page, f"settings-{device}-{theme}")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Why this answer").click()
    expect(page.locator("svg.ranks")).to_be_visible()
    page.locator("svg.ranks").scroll_into_view_if_needed()
    shoot(page, f"trace-{device}-{theme}")
    page.goto(f"{address}/#/collections/{OTHER}")
    expect(page.locator(".plot")).to_have_count(2)
    shoot(page, f"confidence-{device}-{theme}")
    page.locator(".plot").first.scroll_into_view_if_needed()
    shoot(page, f"confidence-plots-{device}-{theme}")
    for view, mark in (("Documents", ".document"), ("Collections", ".card"), ("Evaluations", ".plot")):
        page.get_by_role("link", name=view, exact=True).click()
        expect(page.locator(mark).first).to_be_visible()
        shoot(page, f"{view.lower()}-{device}-{theme}")
    context.close()


def fill(browser: Browser, address: str, papers: Path) -> None:
    """Adds the documents through the page."""
    write_handbook(papers / "Employee handbook.pdf")
    (papers / "travel.md").write_text(MARKDOWN, encoding="utf-8")
    (papers / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing of the kind")
    context = browser.new_context(locale="en-US")
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.goto(f"{address}/#/documents")
    page.locator("input[type=file]").set_input_files([str(path) for path in sorted(papers.iterdir())])
    expect(page.locator(".upload.is-ready")).to_have_count(2, timeout=TIMEOUT_MS)
    expect(page.locator(".upload.is-failed")).to_have_count(1, timeout=TIMEOUT_MS)
    context.close()


def measure(address: str) -> None:
    """An evaluation of three settings on questions about the documents, with their answers."""
    with httpx.Client(base_url=address, timeout=TIMEOUT_MS / 1000) as client:
        started = (
            client.post("/v1/evaluations", json={"golden": GOLDEN, "settings": COMPARED}).raise_for_status().json()
        )
        with client.stream("GET", f"/v1/jobs/{started['id']}/events", timeout=600) as events:
            for _ in events.iter_lines():
                pass
        done = client.get(f"/v1/evaluations/{started['id']}").json()
    if done["status"] != "succeeded":
        raise SystemExit(f"the evaluation {done['status']}: {done['error']}")


def rate(home: Path, address: str) -> None:
    """Rates made-up answers of another collection, which promise too much, in the catalog, and fits to them."""
    settings = load_settings(home=home)
    shipped, drawn = calibration_id(settings), random.Random(1)
    catalog = Catalog.open(settings.database_url)
    for number in range(160):
        logit = max(-0.8, drawn.gauss(1.0, 1.2))
        body = {
            "collection_generation": {OTHER: 1},
            "abstained": False,
            "confidence_kind": "calibrated",
            "threshold": 0.3,
            "global_confidence": sigmoid(logit),
            "calibration": shipped,
        }
        catalog.save_answer(f"ans_made_up_{number}", f"made-up question {number}", body)
        if number < RATED:
            catalog.add_feedback(f"ans_made_up_{number}", 1 if drawn.random() < sigmoid(logit - 1.3) else -1)
    catalog.close()
    with httpx.Client(base_url=address, timeout=TIMEOUT_MS / 1000) as client:
        client.post("/v1/collections", json={"name": OTHER}).raise_for_status()
        started = client.post("/v1/calibrations/train", json={"collection": OTHER}).raise_for_status().json()
        client.get(f"/v1/jobs/{started['id']}/events").raise_for_status()  # to its end
        if not client.get("/v1/calibrations").json()["data"][0]["active"]:
            raise SystemExit("the calibration was not promoted: nothing to show")


def main() -> int:
    """Writes all pictures. Returns the exit status."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    looks = [(theme, device) for theme in THEMES for device in DEVICES]
    with (
        tempfile.TemporaryDirectory() as home,
        tempfile.TemporaryDirectory() as papers,
        attest_serve(Path(home)) as address,
        chromium() as browser,
    ):
        for theme, device in looks:
            start(browser, address, theme, device)
        fill(browser, address, Path(papers))
        measure(address)
        rate(Path(home) / "attest", address)
        for theme, device in looks:
            tour(browser, address, theme, device)
    return 0


if __name__ == "__main__":
    sys.exit(main())
