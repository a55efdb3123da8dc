"""Web pages: the main text as blocks, no menu, no script, tables that name their columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import UnreadableDocument
from app.types import LoadedDocument
from tests.unit.ingestion.loaders.made import blocks_of, read

PARAGRAPH = "The committee met on Tuesday and agreed that the bridge over the river must be repaired before winter. "
PAGE = f"""<html lang="en-GB"><head><title>Bridge to be repaired | The Daily</title>
<meta name="author" content="J. Writer"><meta property="article:published_time" content="2024-02-03">
<script src="a.js"></script><style>p {{ color: red }}</style></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/sports">Sports menu entry</a></li></ul></nav>
<article><h1>Bridge to be repaired</h1><p>{PARAGRAPH * 3}</p><h2>Costs</h2><p>{PARAGRAPH * 2}</p>
<ul><li>steel for the arches of the old bridge</li><li>stone for the two piers in the river</li></ul></article>
<aside><a href="/x">Subscribe now banner</a></aside><footer>Copyright footer words</footer>
<script>var tracking = "evil";</script></body></html>"""


def page(body: str, folder: Path, head: str = "") -> LoadedDocument:
    return read(f"<html><head>{head}</head><body>{body}</body></html>".encode(), folder, "page.html")


def test_main_text_without_the_menu(tmp_path: Path) -> None:
    document = read(PAGE.encode(), tmp_path, "x.html")
    for gone in ("Sports menu", "Subscribe now", "footer words", "tracking", "evil", "color"):
        assert gone not in document.text
    blocks = blocks_of(document)
    assert ("heading", "Costs") in blocks
    assert ("list_item", "steel for the arches of the old bridge") in blocks
    assert document.text.count("The committee met") == 5
    assert document.title == "Bridge to be repaired | The Daily"
    assert document.metadata["author"] == "J. Writer"
    assert document.metadata["created"] == "2024-02-03"
    assert document.metadata["language"] == "en"


def test_a_page_that_is_only_its_document_is_kept_whole(tmp_path: Path) -> None:
    body = (
        "<h1>Rules</h1><p>Short.</p><ol start=3><li><p>three</p></li><li>four</li></ol><pre>a\n  b</pre><div>tail</div>"
    )
    assert blocks_of(page(body, tmp_path)) == [
        ("heading", "Rules"),
        ("paragraph", "Short."),
        ("list_item", "3. three"),
        ("list_item", "4. four"),
        ("code", "a\n  b"),
        ("paragraph", "tail"),
    ]


def test_tables_with_spans(tmp_path: Path) -> None:
    body = """<table><caption>Output</caption><thead><tr><th rowspan=2>Plant</th><th colspan=2>Tonnes</th></tr>
      <tr><th>2022</th><th>2023</th></tr></thead><tr><td rowspan=2>North</td><td>1</td><td>2</td></tr>
      <tr><td>3</td><td>4</td></tr></table>"""
    assert blocks_of(page(body, tmp_path)) == [
        ("caption", "Output"),
        ("table_row", "Plant: North; Tonnes 2022: 1; Tonnes 2023: 2"),
        ("table_row", "Plant: North; Tonnes 2022: 3; Tonnes 2023: 4"),
    ]


def test_a_table_for_layout_is_text(tmp_path: Path) -> None:
    body = "<table><tr><td><h2>Head</h2><p>Body.</p></td></tr></table><table><tr><td>alone</td></tr></table>"
    assert blocks_of(page(body, tmp_path)) == [("heading", "Head"), ("paragraph", "Body."), ("paragraph", "alone")]


@pytest.mark.parametrize(
    "hidden",
    [
        "<script>SECRET</script>",
        "<style>SECRET</style>",
        "<noscript>SECRET</noscript>",
        "<template>SECRET</template>",
        "<p hidden>SECRET</p>",
        "<p style='display: none'>SECRET</p>",
        "<div aria-hidden=true>SECRET</div>",
        "<svg><text>SECRET</text></svg>",
        "<!-- SECRET -->",
        "<select><option>SECRET</option></select>",
        "<table><tr><td>a<script>SECRET</script></td><td>b</td></tr></table>",
        "<h1>t<script>SECRET</script></h1>",
    ],
)
def test_what_no_reader_sees_is_not_in_the_text(tmp_path: Path, hidden: str) -> None:
    document = page(f"<p>Seen text.</p>{hidden}<p>More text.</p>", tmp_path)
    assert "SECRET" not in document.text
    assert "Seen text." in document.text
    assert "More text." in document.text


def test_inline_markup_and_breaks(tmp_path: Path) -> None:
    document = page("<p>One <b>two</b>&nbsp;<i>th</i>ree<br>next&shy;line &lt;tag&gt; &amp; 5&nbsp;€</p>", tmp_path)
    assert document.text == "One two\xa0three\nnextline <tag> & 5\xa0€"


def test_deep_nesting_keeps_the_text(tmp_path: Path) -> None:
    document = page("<div>" * 3000 + "bottom" + "</div>" * 3000, tmp_path)
    assert "bottom" in document.text


def test_tags_that_are_never_closed_hide_no_text(tmp_path: Path) -> None:
    body = "<nav>menu</nav>" + "".join(f"<font><p>Paragraph number {index}.</p>" for index in range(400))
    document = page(body, tmp_path)
    assert "Paragraph number 0." in document.text
    assert "Paragraph number 399." in document.text


def test_a_page_without_text(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument) as caught:
        page("<img src=a.png><script>x</script>", tmp_path)
    assert caught.value.code == "no_text"


def test_the_first_heading_is_the_title_of_a_page_without_one(tmp_path: Path) -> None:
    assert page("<h1>The <i>real</i> title</h1><p>x</p>", tmp_path).title == "The real title"
