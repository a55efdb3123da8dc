"""A collection's calibration on the page: ratings counted, a fit watched, pictures drawn, and the way back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import TIMEOUT_MS, need_axe, needs_chromium
from tests.e2e.test_api import serving
from tests.ratings import rate

pytestmark = [needs_chromium, pytest.mark.timeout(300)]
expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture
def live(tmp_path):
    """(server, client) with one empty collection beside the default one."""
    with serving(tmp_path / "home") as (running, client):
        client.post("/v1/collections", json={"name": "laws"}).raise_for_status()
        yield running, client


def overconfident(running, count: int) -> None:
    """Answers that were told as .7 and .9 sure, of which three and six of ten were right."""
    for confidence, right in ((0.7, 3), (0.9, 6)):
        more = {"collection_generation": {"laws": 1}}
        catalog = running.services.catalog
        if confidence == 0.7:
            rate(catalog, count, right_of_ten=right, confidence=confidence, **more)
            continue
        for number in range(count):  # questions of their own
            answer_id = f"ans_sure_{number}"
            body = {**catalog.get_answer("ans_harness_0.7_0000"), "global_confidence": confidence}
            catalog.save_answer(answer_id, f"sure question {number}", body)
            catalog.add_feedback(answer_id, 1 if number % 10 < right else -1)


def test_from_too_few_ratings_to_a_calibration_and_back(visit, live):
    running, _ = live
    page = visit(running.url + "/#/collections").page
    page.get_by_role("link", name=re.compile("^How sure its answers are ?: laws$")).click()
    expect(page.get_by_role("heading", name="How sure answers from “laws” are")).to_be_visible()
    state = page.get_by_role("region", name="State")
    expect(state).to_contain_text("In use: the shipped calibration")
    needed = "A fit needs 60 more rated questions. Among them: 15 rated as helpful and 15 rated as not helpful."
    expect(state).to_contain_text(needed)
    fit = page.get_by_role("button", name="Fit to the ratings")
    expect(fit).to_be_disabled()
    expect(fit).to_have_accessible_description(needed)
    expect(page.locator(".plot")).to_have_count(0)

    overconfident(running, 10)
    page.reload()
    expect(state).to_contain_text("A fit needs 40 more rated questions.")
    expect(page.get_by_role("progressbar", name="Ratings collected")).to_have_attribute("value", "20")
    reliability, risk = page.locator(".plot").nth(0), page.locator(".plot").nth(1)
    expect(reliability.locator("circle")).to_have_count(2)  # the bins around .7 and .9
    reliability.get_by_text("The same as a table").click()
    expect(reliability.get_by_role("row", name="70 %")).to_contain_text("30 %")
    expect(risk.locator(".series-line")).to_have_count(1)


def test_a_fit_is_promoted_drawn_beside_what_was_and_taken_back(visit, live):
    running, client = live
    overconfident(running, 100)
    page = visit(running.url + "/#/collections/laws").page
    state = page.get_by_role("region", name="State")
    expect(state).to_contain_text("There are enough ratings.")
    fit = page.get_by_role("button", name="Fit to the ratings")
    fit.focus()
    page.keyboard.press("Enter")
    expect(state.get_by_role("status")).to_have_text(re.compile("does better on questions it had not seen"))
    expect(state).to_contain_text("In use: own calibration no. 1")
    worth = page.get_by_role("region", name="What its confidence is worth").first
    expect(worth.get_by_role("row", name="Calibration error")).to_contain_text(re.compile(r"0\.350\s*0\.0"))
    expect(worth).to_contain_text("promoted: held-out log loss")
    reliability, risk = page.locator(".plot").nth(0), page.locator(".plot").nth(1)
    expect(reliability.locator(".shape-0 rect")).to_have_count(2)
    expect(reliability.locator(".shape-1 circle")).not_to_have_count(0)
    expect(reliability.get_by_role("list")).to_have_text(re.compile("before.*after", re.DOTALL))
    expect(risk.locator(".series-line")).to_have_count(2)
    expect(risk.locator(".cut")).not_to_have_count(0)
    (own, _) = client.get("/v1/calibrations?collection=laws").json()["data"]
    assert own["active"]

    fit.click()
    expect(state.get_by_role("status")).to_have_text(re.compile("does not do better beyond chance"))
    expect(page.get_by_role("combobox", name="Show", exact=True).locator("option")).to_have_count(3)
    expect(state).to_contain_text("In use: own calibration no. 1")

    page.get_by_role("link", name="Collections", exact=True).first.click()
    page.get_by_role("link", name=re.compile(r"own calibration, no\. 1\) ?: laws$")).click()
    page.get_by_role("button", name="Back to the shipped calibration").click()
    expect(state).to_contain_text("In use: the shipped calibration")
    assert client.get("/v1/calibrations?collection=laws").json()["data"][-1]["active"]
    page.get_by_role("combobox", name="Show", exact=True).select_option(own["id"])
    page.get_by_role("button", name="Use own calibration no. 1 again").click()
    expect(state.get_by_role("status")).to_have_text("In use from the next question on: own calibration no. 1.")
    expect(state).to_contain_text("In use: own calibration no. 1")


def test_what_fails_is_said(visit, live):
    running, _ = live
    seen = visit(running.url + "/#/collections/nowhere")
    expect(seen.page.get_by_role("alert")).to_contain_text("'nowhere' does not exist")
    seen.forgive("404")


@pytest.mark.parametrize(("width", "scheme", "locale"), [(390, "dark", "en-US"), (1280, "light", "zh-CN")])
def test_axe_finds_nothing_serious_in_it(visit, live, width, scheme, locale):
    need_axe()
    running, client = live
    overconfident(running, 60)
    started = client.post("/v1/calibrations/train", json={"collection": "laws"}).raise_for_status().json()
    client.get(f"/v1/jobs/{started['id']}/events").raise_for_status()  # to its end
    options = {"color_scheme": scheme, "locale": locale, "viewport": {"width": width, "height": 844}}
    seen = visit(f"{running.url}/#/collections/laws", axe=True, **options)
    page = seen.page
    chinese = locale == "zh-CN"
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "“laws”的回答有多可靠" if chinese else "How sure answers from “laws” are"
    )
    expect(page.get_by_text("自有校准第 1 号" if chinese else "own calibration no. 1").first).to_be_visible()
    expect(page.locator(".plot")).to_have_count(2)
    for summary in page.locator(".plot summary").all():
        summary.click()
    assert seen.serious_findings() == []
    assert seen.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out sideways"
