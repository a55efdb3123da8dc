"""The page against a server whose models are fakes: keys, stopping, failures, history, keyboard, languages."""

from __future__ import annotations

import json
import re
import threading

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import TIMEOUT_MS, needs_chromium, until
from tests.e2e.test_api import Held, serving

pytestmark = [needs_chromium, pytest.mark.timeout(300)]
expect.set_options(timeout=TIMEOUT_MS)

FEE = "The zebra fee is 30 euros."
QUESTION = "What is the zebra fee?"


@pytest.fixture
def zebra(tmp_path):
    """(server, client) with one document about the zebra fee."""
    with serving(tmp_path / "home") as (running, client):
        client.post("/v1/documents", json={"text": FEE, "title": "Fees"}).raise_for_status()
        running.work()
        yield running, client


def ask(page: Page, question: str) -> None:
    page.get_by_label("Your question").fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()


def test_stopping_ends_the_work_on_the_server(visit, zebra):
    running, _ = zebra
    held = running.generator.on_generate = Held()
    page = visit(running.url).page
    ask(page, QUESTION)
    until(held.began)
    expect(page.get_by_text(re.compile("Reading 1 passages|Searching|Choosing"))).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    until(held.saw_cancellation)
    expect(page.get_by_text("Stopped. The server was told")).to_be_visible()
    running.generator.on_generate = None
    ask(page, QUESTION)
    expect(page.locator("button.cite")).to_have_count(1)


def test_a_second_question_carries_the_first_and_a_reload_keeps_both(visit, zebra):
    running, _ = zebra
    page = visit(running.url).page
    bodies: list[dict[str, object]] = []
    page.on("request", lambda sent: sent.url.endswith("/v1/ask") and bodies.append(json.loads(sent.post_data or "{}")))
    for number, question in enumerate((QUESTION, "And the zebra fee in euros?"), start=1):
        ask(page, question)
        expect(page.locator(".answer-foot")).to_have_count(number)
    first, second = bodies
    assert "history" not in first
    assert [message["role"] for message in second["history"]] == ["user", "assistant"]
    assert second["history"][0]["content"] == QUESTION
    assert FEE in second["history"][1]["content"]
    page.reload()
    page.get_by_role("button", name="Earlier conversations").click()
    page.get_by_role("dialog").get_by_role("button", name=QUESTION).first.click()
    expect(page.locator(".turn")).to_have_count(2)
    page.get_by_role("button", name="Earlier conversations").click()
    page.get_by_role("button", name="Forget all").click()
    expect(page.locator(".turn")).to_have_count(0)


def test_the_switches_go_with_the_question(visit, zebra):
    running, _ = zebra
    page = visit(running.url).page
    page.get_by_role("button", name="Settings").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("By meaning (vectors)").uncheck()
    expect(dialog.get_by_label("By words (BM25)")).to_be_disabled()
    dialog.get_by_label("Candidates of each search").fill("7")
    dialog.get_by_label("Fusion constant k").fill("10")
    dialog.get_by_label("Rerank the candidates").uncheck()
    dialog.get_by_label("Passages to read").fill("2")
    dialog.get_by_label("Combining passages").select_option("rag_token")
    dialog.get_by_label("When unsure").select_option("threshold")
    dialog.get_by_label("Rewrite the question").select_option("none")
    dialog.get_by_label("Metadata filters").fill('{"year": ')
    expect(dialog.get_by_role("alert")).to_contain_text("no JSON object")
    dialog.get_by_label("Metadata filters").fill('{"year": {"exists": false}}')
    dialog.get_by_label("As things stood at").fill("2999-01-31T12:00")
    page.keyboard.press("Escape")
    with page.expect_request("**/v1/ask") as sent:
        ask(page, QUESTION)
    body = json.loads(sent.value.post_data or "{}")
    assert body.pop("as_of").startswith("2999-01-31T")
    assert body == {
        "question": QUESTION,
        "collections": ["default"],
        "translate": [],
        "retrieval": {"dense": False, "lexical": True, "top_k": 7, "rrf_k": 10},
        "rerank": False,
        "context_chunks": 2,
        "generation": {"mode": "rag_token"},
        "filters": {"year": {"exists": False}},
        "abstain": 0.5,
        "stream": True,
        "trace": True,
    }
    expect(page.locator("button.cite")).to_have_count(1)


def test_the_page_asks_for_the_key_and_keeps_it_only_when_told(visit, tmp_path):
    with serving(tmp_path / "home", api_keys="open-sesame") as (running, _):
        seen = visit(running.url)
        page = seen.page
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("alert")).to_contain_text("needs an API key")
        dialog.get_by_role("textbox", name="API key").fill("open-sesame")
        dialog.get_by_role("button", name="Use this key").click()
        expect(dialog.get_by_text("A key is in use.")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_text("Drop your first document")).to_be_visible()
        kept = "JSON.stringify([Object.values(localStorage), Object.values(sessionStorage)])"
        assert "open-sesame" not in seen.evaluate(kept)

        opened = page.reload()  # the page itself is the body of a 401
        assert opened is not None
        assert opened.status == 401
        dialog.get_by_role("textbox", name="API key").fill("open-sesame")
        dialog.get_by_label("Keep it until this tab closes").check()
        dialog.get_by_role("button", name="Use this key").click()
        page.reload()
        expect(page.get_by_text("Drop your first document")).to_be_visible()
        expect(dialog).to_have_count(0)
        assert "open-sesame" not in seen.evaluate("JSON.stringify(Object.values(localStorage))")
        seen.forgive("401")


def test_a_file_that_can_not_be_read_says_why_and_can_be_tried_again(visit, tmp_path):
    with serving(tmp_path / "home") as (running, client):
        page = visit(running.url + "/#/documents").page
        broken = {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7\nnothing of the kind"}
        page.locator("input[type=file]").set_input_files(broken)
        expect(page.locator(".upload")).to_contain_text("Queued")
        worker = threading.Thread(target=running.work)
        worker.start()
        row = page.locator(".upload.is-failed")
        expect(row).to_be_visible()
        worker.join(TIMEOUT_MS / 1000)
        expect(row.locator(".bad-text")).to_contain_text(client.get("/v1/documents").json()["data"][0]["error"])
        listed = page.locator(".document.is-failed")
        listed.get_by_role("button", name=re.compile("^Try .* again$")).click()
        expect(page.locator(".upload")).to_have_count(2)
        running.work()
        expect(page.locator(".upload.is-failed")).to_have_count(2)
        versions = client.get(f"/v1/documents/{client.get('/v1/documents').json()['data'][0]['id']}/versions").json()
        assert [version["status"] for version in versions["data"]] == ["failed", "failed"]


def test_collections_are_made_chosen_and_deleted(visit, zebra):
    running, client = zebra
    seen = visit(running.url + "/#/collections")
    page = seen.page
    page.get_by_label("Name", exact=True).fill("contracts")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("status").filter(has_text="created")).to_be_visible()
    card = page.locator(".card", has_text="contracts")
    card.get_by_role("button", name="Ask here").click()
    expect(page.get_by_role("button", name="Asking in: contracts")).to_be_visible()
    expect(page.get_by_text("Drop your first document")).to_be_visible()
    page.get_by_role("link", name="Collections").click()
    page.get_by_label("Name", exact=True).fill("default")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("alert")).to_contain_text("default")
    seen.forgive("409")
    page.get_by_role("button", name="Delete contracts").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(card).to_have_count(0)
    assert [one["name"] for one in client.get("/v1/collections").json()["data"]] == ["default"]


def test_the_keyboard_alone_is_enough(visit, zebra):
    running, _ = zebra
    page = visit(running.url).page
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    question = page.get_by_label("Your question")
    for _ in range(12):
        page.keyboard.press("Tab")
        if question.evaluate_handle("node => node === document.activeElement").json_value():
            break
    page.keyboard.type(QUESTION)
    page.keyboard.press("Shift+Enter")
    expect(question).to_have_value(QUESTION + "\n")
    page.keyboard.press("Enter")
    expect(page.locator("button.cite")).to_have_count(1)
    page.locator("button.cite").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".source h2")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("button.cite")).to_be_focused()


def test_chinese_and_the_dark_theme_are_kept(visit, zebra):
    running, _ = zebra
    seen = visit(running.url, locale="zh-CN")
    page = seen.page
    expect(page.get_by_role("heading", name="向你的文档提问")).to_be_visible()
    page.get_by_label("语言").select_option("en")
    expect(page.get_by_role("heading", name="Ask your documents")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.get_by_label("Language").select_option("zh")
    page.get_by_label("外观").select_option("dark")
    page.reload()
    expect(page.get_by_role("heading", name="向你的文档提问")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    assert seen.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


def test_the_policy_stops_a_script_that_got_in_anyway(visit, zebra):
    """The second wall: were the escaping to fail, the browser would still not run it."""
    running, _ = zebra
    seen = visit(running.url)
    expect(seen.page.get_by_role("heading", level=1)).to_be_visible()
    seen.evaluate(
        "(() => { const node = document.createElement('script'); node.append('window.pwned = 1');"
        " try { document.body.append(node) } catch {} })()"
    )
    assert (
        seen.evaluate(
            "(() => { try { document.body.innerHTML = '<b>x</b>'; return 'set' } catch { return 'refused' } })()"
        )
        == "refused"
    )
    assert seen.evaluate("typeof window.pwned") == "undefined"
    assert seen.complaints
    seen.complaints.clear()


def test_a_chat_front_ends_citation_opens_the_page_at_the_cited_words(visit, zebra):
    running, client = zebra
    asked = {"model": "default", "messages": [{"role": "user", "content": QUESTION}]}
    answer = client.post("/v1/chat/completions", json=asked).json()
    url = answer["choices"][0]["message"]["annotations"][0]["url_citation"]["url"]
    assert url.startswith(f"{running.url}/#/documents/")
    page = visit(url).page
    panel = page.get_by_role("complementary")
    expect(panel.get_by_role("heading", name="Fees")).to_be_visible()
    expect(panel.locator("mark").first).to_have_text(FEE)
    expect(panel.locator("blockquote")).to_have_text(FEE)


@pytest.mark.parametrize("query", ["", "?start=9&end=2", "?version=x&start=-1&end=1e9", "?start=999999&end=1000000"])
def test_a_link_that_names_no_place_opens_the_document_alone(visit, zebra, query):
    running, client = zebra
    document = client.get("/v1/documents").json()["data"][0]["id"]
    page = visit(f"{running.url}/#/documents/{document}{query}").page
    expect(page.get_by_role("complementary").get_by_text(FEE).first).to_be_visible()


def test_where_routes_are_declared_they_may_choose_where_to_ask(visit, zebra):
    running, client = zebra
    page = visit(running.url).page
    page.get_by_role("button", name="Asking in: default").click()
    expect(page.get_by_label("default")).to_be_visible()
    expect(page.get_by_label("Let Attest choose")).to_have_count(0)
    client.post("/v1/collections", json={"name": "animals"}).raise_for_status()
    client.post("/v1/documents", json={"text": FEE, "title": "Fees", "collection": "animals"}).raise_for_status()
    running.work()
    route = {"collections": ["animals"], "description": "Fees of animals", "examples": [QUESTION]}
    client.put("/v1/routes/fees", json=route).raise_for_status()
    page.reload()
    page.get_by_role("button", name="Asking in: default").click()
    page.get_by_label("Let Attest choose").check()
    expect(page.get_by_label("animals")).to_be_disabled()
    page.keyboard.press("Escape")
    with page.expect_request("**/v1/ask") as sent:
        ask(page, QUESTION)
    body = json.loads(sent.value.post_data or "{}")
    assert (body["route"], "collections" in body) == ("auto", False)
    expect(page.get_by_text("Attest sent this question to “fees”.")).to_be_visible()
    client.delete("/v1/routes/fees").raise_for_status()
    page.reload()
    expect(page.get_by_role("button", name="Asking in: default")).to_be_visible()


def test_a_rating_leads_to_what_ratings_make_of_the_collection(visit, zebra):
    running, _ = zebra
    page = visit(running.url, viewport={"width": 390, "height": 844}).page
    ask(page, QUESTION)
    page.get_by_role("button", name="Helpful", exact=True).click()
    thanks = page.get_by_role("status").filter(has_text="Thank you")
    left = page.locator(".answer-text").bounding_box()
    for line in (thanks, page.locator(".answer-foot > span.faint")):
        box = line.bounding_box()
        assert box
        assert left
        assert box["x"] >= left["x"], "text stands under the answer"
    thanks.get_by_role("link", name="How sure answers from “default” are").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("How sure answers from “default” are")


def test_a_passage_is_named_by_its_words_not_by_its_markup(visit, zebra):
    running, client = zebra
    text = "---\ntags: fees\n---\n\n## Giraffes\n\n- The zebra fee is not the giraffe fee - 40 euros."
    client.post("/v1/documents", json={"text": text, "title": "More", "media_type": "text/plain"}).raise_for_status()
    running.work()
    page = visit(running.url).page
    ask(page, QUESTION)
    page.get_by_role("link", name="Why this answer").click()
    expect(page.locator(".rank-label", has_text="More: Giraffes The zebra")).to_have_count(1)
    expect(page.locator(".rank-label", has_text="More: tags")).to_have_text("More: tags: fees")
