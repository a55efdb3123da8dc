"""The evaluation view against a live server whose models are fakes: started, watched, drawn, stopped, removed."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import TIMEOUT_MS, need_axe, needs_chromium, until
from tests.e2e.test_api import Held, serving

pytestmark = [needs_chromium, pytest.mark.timeout(300)]
expect.set_options(timeout=TIMEOUT_MS)

TEXTS = {
    "fees": "The zebra fee is 30 euros.",
    "hours": "The giraffe house opens at nine.",
    "food": "Penguins eat herrings.",
}
GOLDEN = [
    {"question": "What is the zebra fee?", "answers": ["The zebra fee is 30 euros"], "relevant_document_ids": ["fees"]},
    {"question": "When does the giraffe house open?", "answers": ["nine"], "relevant_document_ids": ["hours"]},
    {"question": "What do penguins eat?", "answers": ["Penguins eat herrings"], "relevant_document_ids": ["food"]},
    {"question": "<img src=x onerror='window.pwned=1'>", "answerable": False},
]
LINES = "\n".join(json.dumps(row) for row in GOLDEN)
HOSTILE = "<script>window.pwned = 1</script>"
OWN = json.dumps([{"name": HOSTILE, "context_chunks": 1}])


@pytest.fixture
def zoo(tmp_path):
    """(server, client) with three documents."""
    with serving(tmp_path / "home") as (running, client):
        for name, text in TEXTS.items():
            client.post("/v1/documents", json={"text": text, "id": name, "title": name}).raise_for_status()
        running.work()
        yield running, client


def measure(page: Page, lines: str = LINES, own: str = OWN) -> None:
    page.get_by_label("Questions (JSON Lines)", exact=True).first.fill(lines)
    if own:
        page.get_by_text("Settings of your own").click()
        page.get_by_label("Settings (JSON list)").fill(own)
    page.get_by_role("button", name="Measure", exact=True).click()


def test_an_evaluation_is_started_drawn_found_again_and_removed(visit, zoo):
    running, client = zoo
    seen = visit(running.url + "/#/evaluations")
    page = seen.page
    expect(page.get_by_text("Nothing measured yet")).to_be_visible()
    with page.expect_request("**/v1/evaluations") as sent:
        measure(page)
    body = json.loads(sent.value.post_data or "{}")
    assert body["golden"] == GOLDEN
    assert [one["name"] for one in body["settings"]] == ["both, reranked", "both, fused", HOSTILE]

    titles = [
        "Quality",
        "Difference from “both, reranked”, paired, 95 % interval",
        "Errors among the answers given",
        "Time for an answer (ms)",
    ]
    expect(page.locator(".plot figcaption")).to_have_text(titles)
    quality, difference, risk, latency = (page.locator(".plot").nth(place) for place in range(4))
    for name in (
        "recall@1",
        "recall@10",
        "mrr@10",
        "ndcg@10",
        "exact_match",
        "f1",
        "citation_precision",
        "abstention auroc",
    ):
        expect(quality.locator("svg")).to_contain_text(name)
    expect(quality.locator("svg rect")).to_have_count(3 * 10)
    expect(quality.locator("svg .whisker")).to_have_count(3 * 9)  # all but the AUROC have an interval
    expect(difference.locator("svg rect")).to_have_count(2 * 9)  # for each setting but the first
    expect(difference.locator("svg")).to_contain_text("no difference")
    expect(risk.locator(".series-line")).to_have_count(3)
    expect(latency.locator("svg")).to_contain_text("p95")
    expect(difference.get_by_role("list")).to_contain_text(HOSTILE)
    quality.get_by_text("The same as a table").click()
    expect(quality.get_by_role("row", name="ndcg@10")).to_contain_text("1.000")
    difference.get_by_text("The same as a table").click()
    expect(difference.get_by_role("row", name="latency_ms")).to_contain_text(" to ")

    (run,) = client.get("/v1/evaluations").json()["data"]
    assert page.url.endswith(run["id"])
    page.reload()
    expect(page.locator(".plot")).to_have_count(4)  # from the server, not from this browser's memory
    expect(page.get_by_label("Earlier measurements")).to_contain_text("default · 4 questions")
    assert seen.evaluate("typeof window.pwned") == "undefined"
    assert page.locator("main script, main img").count() == 0

    page.get_by_role("button", name="Remove this measurement").click()
    expect(page.get_by_text("Nothing measured yet")).to_be_visible()
    assert client.get("/v1/evaluations").json()["data"] == []


def test_what_is_wrong_is_said_before_and_after_sending(visit, zoo):
    running, _ = zoo
    seen = visit(running.url + "/#/evaluations")
    page = seen.page
    questions = page.get_by_label("Questions (JSON Lines)", exact=True).first
    run = page.get_by_role("button", name="Measure", exact=True)
    expect(run).to_be_disabled()
    questions.fill(LINES + '\n{"answers": []}')
    expect(page.get_by_role("alert")).to_contain_text("Line 5")
    expect(run).to_be_disabled()
    measure_disabled_by = page.get_by_text("Settings of your own")
    questions.fill('{"question": "q", "relevant_document_ids": ["gone"]}')
    measure_disabled_by.click()
    page.get_by_label("Settings (JSON list)").fill("{}")
    expect(page.get_by_role("alert")).to_contain_text("no JSON list")
    expect(run).to_be_disabled()
    page.get_by_label("Settings (JSON list)").fill("")
    run.click()
    expect(page.get_by_role("alert")).to_contain_text("golden.0.relevant_document_ids")
    expect(page.get_by_role("alert")).to_contain_text("'gone' is not in the collection")
    seen.forgive("422")


def test_progress_is_shown_and_measuring_can_be_stopped(visit, zoo):
    running, _ = zoo
    held = running.generator.on_generate = Held()
    page = visit(running.url + "/#/evaluations").page
    measure(page, own="")
    until(held.began)
    expect(page.get_by_text("Measuring: 0 of 8")).to_be_visible()
    page.get_by_role("button", name="Stop measuring").click()
    expect(page.get_by_role("region", name="Measurement", exact=True)).to_contain_text("stopped")
    until(held.saw_cancellation)
    running.generator.on_generate = None
    expect(page.get_by_role("button", name="Remove this measurement")).to_be_visible()


@pytest.mark.parametrize(("width", "scheme", "locale"), [(390, "dark", "en-US"), (1280, "light", "zh-CN")])
def test_axe_finds_nothing_serious_in_the_plots(visit, zoo, width, scheme, locale):
    need_axe()
    running, client = zoo
    settings = [{"name": "one"}, {"name": "two", "retrieval": {"dense": False}}]
    started = client.post("/v1/evaluations", json={"golden": GOLDEN, "settings": settings}).json()
    options = {"color_scheme": scheme, "locale": locale, "viewport": {"width": width, "height": 844}}
    seen = visit(f"{running.url}/#/evaluations/{started['id']}", axe=True, **options)
    page = seen.page
    expect(page.locator(".plot")).to_have_count(4)
    heading = "评测" if locale == "zh-CN" else "Evaluations"
    expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    for summary in page.locator(".plot summary").all():
        summary.click()
    assert seen.serious_findings() == []
    assert seen.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out sideways"
