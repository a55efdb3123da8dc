"""A collection's reranker on the page: questions counted, a training watched, its gain drawn, and the way back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.animals import ANIMALS, documents, praise, trained, with_ranker
from tests.e2e import test_api
from tests.e2e.conftest import TIMEOUT_MS, need_axe, needs_chromium
from tests.unit.api import harness

pytestmark = [needs_chromium, pytest.mark.timeout(600)]
expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture
def live(tmp_path, monkeypatch):
    """(server, client) with the shipped reranker and an empty collection beside the default one."""
    plain = harness.wired
    monkeypatch.setattr(test_api, "wired", lambda *parts: with_ranker(plain(*parts)))
    with test_api.serving(tmp_path / "home") as (running, client):
        client.post("/v1/collections", json={"name": "zoo"}).raise_for_status()
        yield running, client


def settle(running, client) -> None:
    """Everything about the animals is in the collection."""
    client.post("/v1/documents", json={"documents": documents(), "collection": "zoo"}).raise_for_status()
    running.work()


def test_a_training_is_watched_promoted_drawn_and_taken_back(visit, live):
    running, client = live
    page = visit(running.url + "/#/collections").page
    page.get_by_role("link", name=re.compile("^How its passages are ranked ?: zoo$")).click()
    title = page.get_by_role("heading", name="How its passages are ranked")
    expect(title).to_be_focused()
    now = page.get_by_role("region", name="What ranks them now")
    expect(now).to_contain_text("In use: the shipped reranker")
    needed = (
        "A training needs 30 more questions with a passage rated as helpful. Among them: 16 to learn from and 8 to "
        "measure with. About three questions in ten are put aside, chosen by their words."
    )
    expect(now).to_contain_text(needed)
    train = page.get_by_role("button", name="Train on the ratings")
    expect(train).to_be_disabled()
    expect(train).to_have_accessible_description(needed)
    expect(page.locator(".gains")).to_have_count(0)

    settle(running, client)
    praise(running.services.catalog, "zoo", ANIMALS[:10])
    page.reload()
    expect(page.get_by_role("progressbar", name="Questions collected")).to_have_attribute("value", "10")
    praise(running.services.catalog, "zoo", ANIMALS[10:])
    page.reload()
    expect(now).to_contain_text("There are enough questions.")
    train.focus()
    page.keyboard.press("Enter")
    expect(now.get_by_role("status")).to_have_text(re.compile("ranks better on questions it had not seen"))
    expect(now).to_contain_text("In use: own reranker no. 1")
    expect(now).to_contain_text("The newest training knew all these ratings.")
    expect(page.locator(".learned .verdict")).to_contain_text("promoted: held-out nDCG@10 0.631 before")
    gains = page.locator(".plot").filter(has=page.locator(".gains"))
    expect(gains.locator("rect")).to_have_count(1)
    expect(gains.locator("circle")).to_have_count(1)
    gains.get_by_text("The same as a table").click()
    expect(gains.get_by_role("row", name="no. 1")).to_contain_text(re.compile(r"in use\s*0\.631"))

    now.get_by_role("button", name="Back to the shipped reranker").click()
    expect(now.get_by_role("status")).to_have_text("In use from the next question on: the shipped reranker.")
    expect(now).to_contain_text("In use: the shipped reranker")
    assert client.get("/v1/rerankers?collection=zoo").json()["data"][-1]["active"]
    page.get_by_role("button", name="Use own reranker no. 1 again").click()
    expect(now).to_contain_text("In use: own reranker no. 1")
    assert client.get("/v1/rerankers?collection=zoo").json()["data"][0]["active"]


def test_one_of_several_is_chosen_and_put_to_use(visit, live):
    running, client = live
    catalog = running.services.catalog
    trained(catalog, "zoo", 0.71)
    trained(catalog, "zoo", 0.8, before=0.71)
    trained(catalog, "zoo", 0.79, before=0.8, promote=False)
    page = visit(running.url + "/#/collections/zoo?ranking").page
    now = page.get_by_role("region", name="What ranks them now")
    expect(now).to_contain_text("In use: own reranker no. 2")
    expect(page.locator(".gains rect")).to_have_count(3)
    expect(page.locator(".gains")).to_contain_text("no. 3 · never used")
    expect(page.locator(".learned .verdict")).to_contain_text("own reranker no. 3: Never put to use.")
    expect(page.get_by_role("button", name=re.compile("again$"))).to_have_count(0)
    versions = page.get_by_role("combobox", name="Reranker", exact=True)
    versions.select_option(label=versions.locator("option").nth(2).text_content())
    page.get_by_role("button", name="Use own reranker no. 1 again").click()
    expect(now).to_contain_text("In use: own reranker no. 1")
    now.get_by_role("button", name="Back to the reranker before").click()
    expect(now.get_by_role("status")).to_have_text("In use from the next question on: own reranker no. 2.")
    assert [one["active"] for one in client.get("/v1/rerankers?collection=zoo").json()["data"]] == [
        False, True, False, False
    ]  # fmt: skip


def test_what_fails_is_said(visit, live):
    running, client = live
    settle(running, client)
    praise(running.services.catalog, "zoo", ANIMALS)
    page = visit(running.url + "/#/collections/zoo").page
    train = page.get_by_role("button", name="Train on the ratings")
    expect(train).to_be_enabled()
    for animal in ANIMALS[:5]:  # behind the page's back
        client.delete(f"/v1/documents/{animal}-long").raise_for_status()
    running.work()
    train.click()
    now = page.get_by_role("region", name="What ranks them now")
    expect(now.get_by_role("alert")).to_contain_text("too little feedback to train on: 32 ratings")
    expect(now.get_by_role("status")).to_have_text("")
    expect(now).to_contain_text("The passages of 5 more questions have left the collection or changed.")
    expect(train).to_be_disabled()


def test_where_reranking_is_off_none_is_trained(visit, tmp_path):
    with test_api.serving(tmp_path / "home") as (running, _):
        page = visit(running.url + "/#/collections/default").page
        now = page.get_by_role("region", name="What ranks them now")
        expect(now).to_contain_text("In use: none")
        expect(now).to_contain_text("Reranking is switched off (ATTEST_RERANK__ENABLED=false)")
        expect(page.get_by_role("button", name="Train on the ratings")).to_be_disabled()


@pytest.mark.parametrize(("width", "scheme", "locale"), [(390, "dark", "en-US"), (1280, "light", "zh-CN")])
def test_axe_finds_nothing_serious_in_it(visit, live, width, scheme, locale):
    need_axe()
    running, _ = live
    trained(running.services.catalog, "zoo", 0.71)
    trained(running.services.catalog, "zoo", 0.7, before=0.71, promote=False)
    options = {"color_scheme": scheme, "locale": locale, "viewport": {"width": width, "height": 844}}
    seen = visit(f"{running.url}/#/collections/zoo?ranking", axe=True, **options)
    page = seen.page
    chinese = locale == "zh-CN"
    expect(page.get_by_role("heading", level=2)).to_have_text(
        "段落如何排序" if chinese else "How its passages are ranked"
    )
    expect(page.get_by_text("自有重排器第 1 号" if chinese else "own reranker no. 1").first).to_be_visible()
    page.locator(".gains").locator("xpath=ancestor::figure").locator("summary").click()
    assert seen.serious_findings() == []
    assert seen.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out sideways"
    box = page.locator(".gains").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= width, "the plot fits without scrolling"
