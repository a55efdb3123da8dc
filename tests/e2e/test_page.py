"""The page against the real server and the bundled reader: from a dropped PDF to the highlighted sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import TIMEOUT_MS, attest_serve, need_axe, needs_chromium
from tests.e2e.papers import (
    HOSTILE_NAME,
    HOSTILE_TEXT,
    MARKDOWN,
    QUESTION,
    QUOTE,
    QUOTE_PAGE,
    write_handbook,
)

pytestmark = [needs_chromium, pytest.mark.timeout(400)]
expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with attest_serve(tmp_path_factory.mktemp("served")) as url:
        yield url


@pytest.fixture(scope="module")
def handbook(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("papers") / "Employee handbook.pdf"
    write_handbook(path)
    return path


def upload(page: Page, *files) -> None:
    page.locator("input[type=file]").first.set_input_files(list(files))
    expect(page.locator(".upload.is-ready, .upload.is-duplicate")).to_have_count(len(files))


def markdown(name: str, text: str) -> dict[str, object]:
    return {"name": name, "mimeType": "text/markdown", "buffer": text.encode()}


def ask(page: Page, question: str) -> None:
    """Asks and waits until the latest answer is complete."""
    done = page.locator(".answer-foot").count()
    box = page.get_by_label("Your question")
    box.fill(question)
    box.press("Enter")  # in the box itself: a view that has just opened may move the focus meanwhile
    expect(page.locator(".answer-foot")).to_have_count(done + 1)


def marked(page: Page, scope: str) -> str:
    """The highlighted text without line breaks, which a PDF page has and the sentence has not."""
    return re.sub(r"\s+", "", "".join(page.locator(f"{scope} mark").all_inner_texts()))


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def test_from_the_first_document_to_the_highlighted_sentence(visit, address, handbook):
    """The whole way, in the order in which a person takes it."""
    seen = visit(address)
    page = seen.page
    expect(page.get_by_role("heading", name="Ask your documents")).to_be_visible()
    expect(page.get_by_text("Drop your first document")).to_be_visible()

    page.locator("input[type=file]").set_input_files(str(handbook))
    row = page.locator(".upload")
    expect(row).to_contain_text("Employee handbook.pdf")
    expect(row).to_contain_text(re.compile("Sending|Queued|Reading|Embedding|Indexing|Working|Ready"))
    expect(row).to_contain_text("Search finds it now")

    ask(page, QUESTION)
    expect(page.locator(".answer-text")).to_contain_text("84 days")
    expect(page.locator(".confidence")).to_contain_text(re.compile(r"right.*0\.\d\d"))
    page.locator("button.cite", has_text="1").first.click()

    paper = page.locator(".paper")
    expect(paper).to_have_attribute("data-state", "found")
    expect(paper).to_have_attribute("data-page", str(QUOTE_PAGE))
    expect(page.get_by_text(f"Page {QUOTE_PAGE} of 3")).to_be_visible()
    assert marked(page, ".textLayer") == squeezed(QUOTE)
    box, panel = page.locator(".textLayer mark").first.bounding_box(), page.locator(".source-body").bounding_box()
    assert box
    assert panel
    assert panel["y"] <= box["y"] < panel["y"] + panel["height"], "the highlight is in view"
    assert box["width"] > 200
    drawn = "(c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size)"
    assert seen.evaluate(f"{drawn}(document.querySelector('.paper canvas'))") > 10, "the page itself is drawn"

    page.get_by_role("button", name="Text", exact=True).click()
    assert marked(page, ".plain") == squeezed(QUOTE)
    page.get_by_role("button", name="Next page").wait_for(state="detached")
    page.keyboard.press("Escape")
    expect(page.locator(".source")).to_have_count(0)
    expect(page.locator("button.cite").first).to_be_focused()

    page.get_by_role("button", name="Helpful", exact=True).click()
    expect(page.get_by_role("button", name="Helpful", exact=True)).to_have_attribute("aria-pressed", "true")
    assert all(url.startswith((address, "data:")) for url in seen.requests), "nothing is asked of another server"


def test_the_question_s_way_is_drawn(visit, address, handbook):
    page = visit(address + "/#/documents").page
    upload(page, str(handbook))
    page.get_by_role("link", name="Ask").click()
    ask(page, QUESTION)
    page.get_by_role("link", name="Why this answer").click()
    cited = page.locator(".rank-line.cited")
    expect(cited).to_have_count(1)
    expect(cited).to_have_attribute("aria-label", re.compile(r"cited: Meaning \d+, Words \d+, Fused \d+, .*Read 1$"))
    for column in ("Meaning", "Words", "Fused", "Reranked", "Read"):
        expect(page.locator("svg.ranks")).to_contain_text(column)
    expect(page.locator(".prompt")).to_contain_text(QUOTE)
    expect(page.locator(".bars")).to_have_count(2)
    for stage in ("embed", "dense", "lexical", "fuse", "generate"):
        expect(page.locator(".bars").last).to_contain_text(stage)
    page.reload()
    expect(cited).to_have_count(1)  # from this browser's own memory
    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("row")).not_to_have_count(0)


def test_markdown_is_rendered_with_its_sentence_marked_behind_an_emoji(visit, address):
    page = visit(address + "/#/documents").page
    upload(page, markdown("travel.md", MARKDOWN))
    page.get_by_role("link", name="Ask").click()
    ask(page, "By when are receipts handed in?")
    page.locator("button.cite").first.click()
    expect(page.locator(".source-body h2", has_text="Receipts")).to_be_visible()
    expect(page.locator(".source-body table")).to_contain_text("Geneva")
    expect(page.locator(".source-body mark").first).to_be_in_viewport()
    assert marked(page, ".source-body") == squeezed(
        "Receipts are handed in within thirty days; after that the travel office pays nothing."
    )


def test_a_hostile_document_is_only_text_everywhere(visit, address):
    """Its name, its title, its HTML, its link and its picture: in every view, and none of it does anything."""
    seen = visit(address + "/#/documents")
    page = seen.page
    upload(page, markdown(HOSTILE_NAME, HOSTILE_TEXT))
    expect(page.locator(".upload")).to_contain_text('<img src=x onerror="document.title=1">')
    assert "\u202e" not in page.locator("body").inner_text()
    row = page.locator(".document", has_text="<script>")
    expect(row).to_be_visible()

    row.locator(".document-title").click()
    expect(page.locator(".source-name")).to_contain_text("<script>window.pwned = 1</script>")
    expect(page.locator(".source-body")).to_contain_text("onerror=")
    page.get_by_role("button", name="Close").click()

    page.get_by_role("link", name="Ask").click()
    ask(page, "How much does the zeppelin hangar cost?")
    expect(page.locator(".answer-text")).to_contain_text("4,700")
    page.locator("button.cite").first.click()
    expect(page.locator(".source-body mark").first).to_be_visible()
    expect(page.locator(".source-body")).to_contain_text("<b onclick=alert(1)>")
    page.get_by_role("link", name="Why this answer").click()
    expect(page.locator("svg.ranks")).to_contain_text("<script>window.pwned")

    assert seen.evaluate("typeof window.pwned") == "undefined"
    assert page.title() == "Trace · Attest"
    hostile = "main img, main script, main style, main [onclick], main [onerror], a[href^='javascript']"
    assert page.locator(hostile).count() == 0
    assert not [url for url in seen.requests if "tracker" in url or url.endswith("/nothing")]


def test_a_refusal_is_plain(visit, address, handbook):
    page = visit(address + "/#/documents").page
    upload(page, str(handbook))
    page.get_by_role("link", name="Ask").click()
    ask(page, "Who painted the Mona Lisa?")
    expect(page.get_by_text("Not in your documents", exact=True)).to_be_visible()
    expect(page.locator("button.cite")).to_have_count(0)


def test_deleting_shows_that_nothing_is_left(visit, address):
    page = visit(address + "/#/documents").page
    upload(page, markdown("short-lived.md", "# Short-lived\n\nThe gazebo was painted green in April.\n"))
    page.get_by_role("button", name="Delete Short-lived").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("removed with every version")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Delete Short-lived").click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    proof = page.locator(".note.good")
    expect(proof).to_contain_text("nothing is left")
    expect(proof).to_contain_text("0 vectors · 0 index entries · 0 passages · 0 derived texts")
    expect(page.locator(".document", has_text="Short-lived")).to_have_count(0)


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_axe_finds_nothing_serious(visit, address, handbook, width, scheme):
    need_axe()
    seen = visit(address, axe=True, color_scheme=scheme, viewport={"width": width, "height": 844})
    page = seen.page
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    findings = {"start": seen.serious_findings()}
    page.get_by_role("link", name="Documents").click()
    upload(page, str(handbook))
    expect(page.locator(".document").first).to_be_visible()
    findings["documents"] = seen.serious_findings()
    page.get_by_role("link", name="Ask").click()
    ask(page, QUESTION)
    findings["answer"] = seen.serious_findings()
    page.locator("button.cite").first.click()
    expect(page.locator(".paper")).to_have_attribute("data-state", "found")
    findings["source"] = seen.serious_findings()
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Settings").click()
    findings["settings"] = seen.serious_findings()
    page.keyboard.press("Escape")
    for view, mark in (("Trace", "svg.ranks"), ("Collections", ".card"), ("Evaluations", ".empty, form")):
        page.get_by_role("link", name=view, exact=True).click()
        expect(page.locator(mark).first).to_be_visible()
        findings[view] = seen.serious_findings()
    assert {view: found for view, found in findings.items() if found} == {}
    assert seen.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out sideways"
