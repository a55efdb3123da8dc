"""DOCX, PPTX, XLSX, OpenDocument, EPUB, e-mail."""

from __future__ import annotations

import mailbox
from pathlib import Path

import pytest

from app.errors import UnreadableDocument
from app.types import PageSpan
from ingestion.loaders import LoadLimits
from ingestion.loaders.docx_numbering import numeral
from tests.unit.ingestion.loaders import made
from tests.unit.ingestion.loaders.made import blocks_of, read

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_TYPES = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'


def word(body: str, **parts: str) -> bytes:
    members = {
        "[Content_Types].xml": _TYPES,
        "word/document.xml": f"<w:document {_W}><w:body>{body}</w:body></w:document>",
    }
    return made.zipped(members | {f"word/{name}.xml": text for name, text in parts.items()})


def test_docx(tmp_path: Path) -> None:
    document = read(made.docx(), tmp_path, "file.docx")
    assert blocks_of(document) == [
        ("heading", "Safety"),
        ("paragraph", "Wear gloves at all times."),
        ("list_item", "first point"),
        ("list_item", "second point"),
        ("heading", "Data"),
        ("table_row", "Part: Valve; Weight: 12 kg; Colour: red"),
        ("table_row", "Part: Pipe; Weight: 3 kg"),
    ]
    assert "first point\nsecond point\n\nData" in document.text
    assert [block.level for block in document.blocks if block.kind == "heading"] == [1, 2]
    assert document.title == "Pump manual"
    assert document.metadata["author"] == "R. Roe"


def test_docx_tracked_changes_text_boxes_notes_and_breaks(tmp_path: Path) -> None:
    body = """<w:p><w:r><w:t>Kept </w:t></w:r><w:del><w:r><w:delText>gone </w:delText></w:r></w:del>
      <w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:r><w:br/><w:t>next</w:t><w:noBreakHyphen/><w:t>line</w:t></w:r></w:p>
      <w:p><w:r><w:pict><w:txbxContent><w:p><w:r><w:t>In a box</w:t></w:r></w:p></w:txbxContent></w:pict></w:r></w:p>
      <w:sdt><w:sdtContent><w:p><w:hyperlink><w:r><w:t>In a control</w:t></w:r></w:hyperlink></w:p></w:sdtContent>
      </w:sdt>"""
    notes = (
        f'<w:footnotes {_W}><w:footnote w:id="2"><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>'
    )
    relations = (
        '<Relationships><Relationship Id="r1" Target="footnotes.xml" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"/></Relationships>'
    )
    members = {
        "[Content_Types].xml": _TYPES,
        "word/document.xml": f"<w:document {_W}><w:body>{body}</w:body></w:document>",
        "word/footnotes.xml": notes,
        "word/_rels/document.xml.rels": relations,
    }
    document = read(made.zipped(members), tmp_path)
    assert document.text == "Kept new\nnext-line\n\nIn a box\n\nIn a control\n\n[2] A note."


def test_docx_automatic_numbers(tmp_path: Path) -> None:
    def item(text: str, level: int) -> str:
        numbers = f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="7"/></w:numPr>'
        return f"<w:p><w:pPr>{numbers}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"

    levels = "".join(
        f'<w:lvl w:ilvl="{index}"><w:start w:val="{start}"/><w:numFmt w:val="{kind}"/>'
        f'<w:lvlText w:val="{text}"/></w:lvl>'
        for index, (start, kind, text) in enumerate(
            [(3, "decimal", "%1."), (1, "decimal", "%1.%2"), (1, "lowerLetter", "(%3)")]
        )
    )
    numbering = (
        f'<w:numbering {_W}><w:abstractNum w:abstractNumId="1">{levels}</w:abstractNum>'
        '<w:num w:numId="7"><w:abstractNumId w:val="1"/></w:num></w:numbering>'
    )
    body = "".join(
        [item("Scope", 0), item("Goods", 1), item("new", 2), item("old", 2), item("Price", 0), item("Tax", 1)]
    )
    document = read(word(body, numbering=numbering), tmp_path)
    assert document.text.split("\n") == ["3. Scope", "3.1 Goods", "(a) new", "(b) old", "4. Price", "4.1 Tax"]


@pytest.mark.parametrize(
    ("count", "kind", "shown"),
    [
        (4, "upperRoman", "IV"),
        (28, "lowerLetter", "bb"),
        (12, "chineseCounting", "十二"),
        (105, "chineseCounting", "一百零五"),
        (7, "decimalZero", "07"),
        (9, "ordinal", "9"),
    ],
)
def test_numerals(count: int, kind: str, shown: str) -> None:
    assert numeral(count, kind) == shown


def test_docx_merged_cells_are_repeated_downwards(tmp_path: Path) -> None:
    def cell(text: str, properties: str = "") -> str:
        return f"<w:tc><w:tcPr>{properties}</w:tcPr><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>"

    rows = [
        cell("Site") + cell("Year") + cell("Output"),
        cell("North", '<w:vMerge w:val="restart"/>') + cell("2022") + cell("5"),
        cell("", "<w:vMerge/>") + cell("2023") + cell("6"),
        cell("All", '<w:gridSpan w:val="2"/>') + cell("11"),
    ]
    table = "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in rows) + "</w:tbl>"
    assert read(word(table), tmp_path).text.split("\n") == [
        "Site: North; Year: 2022; Output: 5",
        "Site: North; Year: 2023; Output: 6",
        "Site: All; Output: 11",
    ]


def test_pptx(tmp_path: Path) -> None:
    document = read(made.pptx(), tmp_path, "file.pptx")
    assert blocks_of(document) == [
        ("heading", "Growth"),
        ("list_item", "Sales rose"),
        ("list_item", "Costs fell"),
        ("paragraph", "Notes: Mention the new plant."),
        ("heading", "Slide 2"),
        ("table_row", "Year: 2023; Sales: 41"),
    ]
    assert [page.number for page in document.pages] == [1, 2]
    assert document.text[document.pages[1].char_start :].startswith("Slide 2")
    assert document.metadata["slides"] == 2


def test_xlsx(tmp_path: Path) -> None:
    document = read(made.xlsx(), tmp_path, "file.xlsx")
    assert blocks_of(document) == [
        ("heading", "Orders"),
        ("paragraph", "All orders of the year"),
        ("table_row", "Item: Bolt; Count: 12; Due: 2024-05-06; Share: 12.5%"),
        ("table_row", "Item: Nut; Count: 3"),
        ("heading", "Notes"),
        ("table_row", "Only: and; words: more; here: words"),
    ]
    assert [page.number for page in document.pages] == [1, 2]


def test_an_empty_workbook(tmp_path: Path) -> None:
    import io

    import openpyxl

    buffer = io.BytesIO()
    openpyxl.Workbook().save(buffer)
    with pytest.raises(UnreadableDocument, match="no cell") as caught:
        read(buffer.getvalue(), tmp_path)
    assert caught.value.code == "empty"


def test_too_many_pages(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument, match="pages") as caught:
        read(made.pptx(), tmp_path, limits=LoadLimits(pages=1))
    assert caught.value.code == "too_large"


def test_epub_in_the_order_of_the_spine(tmp_path: Path) -> None:
    document = read(made.epub(), tmp_path, "book.epub")
    assert blocks_of(document) == [
        ("heading", "Beginning"),
        ("paragraph", "It was dark."),
        ("heading", "Second part"),
        ("paragraph", "Then there was light."),
    ]
    assert document.title == "The Lamp"
    assert document.metadata == {"author": "A. Author", "language": "en", "chapters": 2}


def test_epub_under_drm(tmp_path: Path) -> None:
    locked = '<encryption><EncryptedData><CipherReference URI="OPS/two.xhtml"/></EncryptedData></encryption>'
    with pytest.raises(UnreadableDocument, match="DRM") as caught:
        read(made.epub(**{"META-INF__encryption.xml": locked}), tmp_path)
    assert caught.value.code == "encrypted"
    fonts = '<encryption><EncryptedData><CipherReference URI="OPS/font.otf"/></EncryptedData></encryption>'
    assert "dark" in read(made.epub(**{"META-INF__encryption.xml": fonts}), tmp_path).text


def test_opendocument_text(tmp_path: Path) -> None:
    content = (
        '<o:document-content xmlns:o="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
        'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
        'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"><o:body><o:text>'
        '<text:h text:outline-level="2">Head</text:h><text:p>One<text:s text:c="2"/>two<text:line-break/>three</text:p>'
        "<text:list><text:list-item><text:p>item</text:p></text:list-item></text:list>"
        "<table:table><table:table-row><table:table-cell><text:p>A</text:p></table:table-cell><table:table-cell "
        'table:number-columns-repeated="2"/><table:table-cell><text:p>9</text:p></table:table-cell></table:table-row>'
        '<table:table-row table:number-rows-repeated="1000000"><table:table-cell/></table:table-row></table:table>'
        "</o:text></o:body></o:document-content>"
    )
    data = made.zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content})
    assert blocks_of(read(data, tmp_path)) == [
        ("heading", "Head"),
        ("paragraph", "One  two\nthree"),
        ("list_item", "item"),
        ("table_row", "A | 9"),
    ]


def test_mail(tmp_path: Path) -> None:
    document = read(made.eml(), tmp_path, "x.eml")
    assert blocks_of(document) == [
        ("heading", "Réunion du 3 mai"),
        (
            "paragraph",
            "From: Ann <ann@example.test>\nTo: bob@example.test\nDate: Fri, 03 May 2024 10:00:00 +0200",
        ),
        ("paragraph", "Hello Bob,"),
        ("paragraph", "we meet at ten."),
        ("list_item", "- bring the map"),
        ("list_item", "- bring water"),
    ]
    assert document.title == "Réunion du 3 mai"
    assert document.metadata["created"] == "2024-05-03T10:00:00+02:00"
    assert "map.pdf" in document.warnings[0]


def test_mail_with_an_html_body_only(tmp_path: Path) -> None:
    document = read(made.eml(html_only=True), tmp_path)
    assert ("paragraph", "Meet at ten.") in blocks_of(document)
    assert "<b>" not in document.text


def test_a_mailbox(tmp_path: Path) -> None:
    box = mailbox.mbox(str(tmp_path / "box"))
    for number in (1, 2):
        message = mailbox.mboxMessage(f"From: a@b.test\nSubject: Letter {number}\n\nBody {number}\n")
        message.set_from("a@b.test Thu Jan  1 00:00:00 2024")
        box.add(message)
    box.close()
    document = read((tmp_path / "box").read_bytes(), tmp_path)
    assert [text for kind, text in blocks_of(document) if kind == "heading"] == ["Letter 1", "Letter 2"]
    assert document.metadata["messages"] == 2


def test_a_mail_with_broken_headers_is_still_read(tmp_path: Path) -> None:
    data = b"From: =?utf-8?q?=ff=fe?= <@@>\nTo: ;;;\nSubject: =?x-unknown?b?!!?=\nDate: never\n\nThe body.\n"
    assert "The body." in read(data, tmp_path, "x.eml").text


def test_page_spans_tile_the_text(tmp_path: Path) -> None:
    document = read(made.xlsx(), tmp_path)
    assert document.pages[0].char_start == 0
    assert document.pages[-1] == PageSpan(2, document.pages[0].char_end, len(document.text))
