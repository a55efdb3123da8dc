"""PDF: pages, paragraphs, tables on one line, headings, running heads, hyphens, scans."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from app.errors import UnreadableDocument
from ingestion.loaders import LoadLimits, ocr
from ingestion.loaders.pdf_layout import Typography, is_row, join_lines, joined_cells, page_pieces, without_furniture
from ingestion.loaders.pdf_lines import Line
from tests.unit.ingestion.loaders import made
from tests.unit.ingestion.loaders.made import blocks_of, read

_LOOK = Typography(10, bold_body=False, levels={16: 1, 13: 2}, vocabulary=frozenset({"running", "well", "known"}))


def line(text: str, top: float, left: float = 50, right: float = 0, size: float = 10, bold: bool = False) -> Line:
    right = right or left + 0.5 * size * len(text)
    return Line(text, left, top - size, right, top, size, bold, first_left=left)


def test_paragraphs_headings_and_pages(tmp_path: Path) -> None:
    long = "This line of the body text goes on right up to the margin of the page and"
    document = read(
        made.pdf(
            [
                [(50, 760, 20, "Annual Report"), (50, 720, 11, long), (50, 706, 11, "ends here in the second line."),
                 (50, 670, 11, "A new paragraph that is left open at the"), (300, 30, 9, "Page 1")],
                [(50, 760, 11, "end of the page goes on."), (50, 730, 15, "Outlook"), (50, 700, 11, "Good."),
                 (300, 30, 9, "Page 2")],
            ],
            title="Microsoft Word - report.docx",
        ),
        tmp_path,
        "scan.pdf",
    )  # fmt: skip
    assert blocks_of(document) == [
        ("heading", "Annual Report"),
        ("paragraph", f"{long} ends here in the second line."),
        ("paragraph", "A new paragraph that is left open at the end of the page goes on."),
        ("heading", "Outlook"),
        ("paragraph", "Good."),
    ]
    assert [block.level for block in document.blocks if block.kind == "heading"] == [1, 2]
    assert [page.number for page in document.pages] == [1, 2]
    assert document.text[document.pages[1].char_start :].startswith("end of the page")
    assert document.metadata["pages"] == 2
    assert document.title == "Annual Report — scan"


def test_numbers_of_a_table_row_stay_on_one_line(tmp_path: Path) -> None:
    rows = [("Net sales", "81,797", "82,959"), ("Cost of sales", "45,384", "47,074"), ("Margin", "36,413", "35,885")]
    lines = [(50.0, 760.0, 11.0, "Figures follow in the table.")]
    for number, (label, first, second) in enumerate(rows):
        lines += [(x, 720 - 16 * number, 11, text) for x, text in ((50, label), (330, first), (450, second))]
    document = read(made.pdf([lines]), tmp_path)
    found = [" ".join(text.split()) for kind, text in blocks_of(document) if kind == "table_row"]
    assert found == [" ".join(row) for row in rows]


def test_bold_lines_above_text_are_headings(tmp_path: Path) -> None:
    body = "The body text is set in the ordinary weight of the type and is long enough to be most of it."
    document = read(made.pdf([[(50, 700, -11, "Risk factors"), (50, 680, 11, body), (50, 660, 11, body)]]), tmp_path)
    assert blocks_of(document)[0] == ("heading", "Risk factors")


def test_what_repeats_at_the_edges_is_kept_once() -> None:
    pages = [
        [line("ACME Quarterly 2023", 790), line(f"Text of page {number}.", 500), line(f"{number} of 4", 30)]
        for number in range(1, 5)
    ]
    kept = without_furniture(pages, [800] * 4)
    assert [[part.text for part in page] for page in kept] == [
        ["ACME Quarterly 2023", "Text of page 1."],
        ["Text of page 2."],
        ["Text of page 3."],
        ["Text of page 4."],
    ]


def test_page_numbers_of_short_pages_are_dropped_too() -> None:
    pages = [[line("Body.", 700), line(str(number + 6), 400)] for number in range(3)]
    assert [len(page) for page in without_furniture(pages, [800] * 3)] == [1, 1, 1]


def test_a_page_that_is_one_number_keeps_it() -> None:
    assert without_furniture([[line("1984", 790)]], [800])[0][0].text == "1984"


def test_cells_on_several_lines_become_one_row() -> None:
    lines = [
        line("July 1,", 500, 300), line("2023", 490, 305), line("June 25,", 500, 400), line("2022", 490, 405),
        line("Net income 5 6", 470, 50),
    ]  # fmt: skip
    assert [part.text for part in joined_cells(lines)] == ["July 1, 2023  June 25, 2022", "Net income 5 6"]


def test_a_label_wrapped_over_its_numbers_is_one_row() -> None:
    rows = [line("Total change in unrealized gains on marketable debt", 500), line("securities (282) (3,055)", 489)]
    pieces = page_pieces(rows, _LOOK, {})
    assert [(piece.kind, piece.text) for piece in pieces] == [
        ("table_row", "Total change in unrealized gains on marketable debt securities (282) (3,055)")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Net income $ 19,881 $ 19,442", True),
        ("Other, net — 1,074", True),
        ("2022 2021", True),
        ("were $2.6 billion and $2.3 billion as of December 31, 2021 and September 30, 2022.", False),
        ("In 2023 the company grew.", False),
        ("— —", False),
    ],
)
def test_rows_are_told_from_prose(text: str, expected: bool) -> None:
    assert is_row(line(text, 500)) is expected


@pytest.mark.parametrize(
    ("above", "below", "hyphenated", "joined"),
    [
        ("it was run", "ning fast", True, "it was running fast"),
        ("a well", "known fact", True, "a well-known fact"),
        ("the con-", "firming letter", False, "the confirming letter"),
        ("pages 12-", "14", False, "pages 12- 14"),
        ("first line", "second", False, "first line second"),
        ("第一行", "第二行", False, "第一行第二行"),
    ],
)
def test_lines_are_joined_as_they_read(above: str, below: str, hyphenated: bool, joined: str) -> None:
    assert join_lines(above, below, hyphenated, _LOOK.vocabulary) == joined


def test_bookmarks_make_headings() -> None:
    rows = [line("Scope", 500), line("The text of the section.", 470)]
    assert [(piece.kind, piece.level) for piece in page_pieces(rows, _LOOK, {"scope": 3})] == [
        ("heading", 3),
        ("paragraph", 0),
    ]


def test_an_encrypted_pdf(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument, match="password") as caught:
        read(made.pdf([[(50, 700, 12, "secret")]], password="pw"), tmp_path)
    assert caught.value.code == "encrypted"


def test_a_damaged_pdf(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument, match="PDF") as caught:
        read(b"%PDF-1.7\n" + b"garbage " * 50, tmp_path)
    assert caught.value.code == "corrupt"


def test_blank_pages_have_no_text(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument) as caught:
        read(made.pdf([[], []]), tmp_path)
    assert caught.value.code == "no_text"


def test_too_many_pages(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument) as caught:
        read(made.pdf([[(50, 700, 12, "x")]] * 3), tmp_path, limits=LoadLimits(pages=2))
    assert caught.value.code == "too_large"


def test_a_scan_without_tesseract_names_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UnreadableDocument, match=r"tesseract-ocr.*tesseract-ocr-chi-sim") as caught:
        read(made.scanned_pdf(["Valve open"]), tmp_path)
    assert caught.value.code == "no_text"
    with pytest.raises(UnreadableDocument, match="tesseract-ocr") as caught:
        read(made.picture("Valve open"), tmp_path)
    assert caught.value.code == "no_text"


def test_single_scanned_pages_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    document = read(made.scanned_pdf(["One", "", "Three", "Four"]), tmp_path)
    assert document.text == "This page has text of its own."
    assert "pages 1, 3–4 are pictures" in document.warnings[0]
    assert "tesseract-ocr" in document.warnings[0]


def test_ocr_can_be_switched_off(tmp_path: Path) -> None:
    for data in (made.picture("x"), made.scanned_pdf(["x"])):
        with pytest.raises(UnreadableDocument, match="switched off") as caught:
            read(data, tmp_path, limits=LoadLimits(ocr=False))
        assert caught.value.code == "no_text"


@pytest.mark.system_package("tesseract-ocr", "tesseract")
def test_scanned_pages_are_read(tmp_path: Path) -> None:
    document = read(made.scanned_pdf(["Pressure valve seven", ""]), tmp_path)
    assert "pressure valve seven" in document.text.lower()
    assert document.pages[0].char_start < document.text.index("valve") < document.pages[0].char_end
    assert "pages 1 were read by OCR" in document.warnings[0]
    assert document.metadata["ocr"] is True


@pytest.mark.system_package("tesseract-ocr", "tesseract")
def test_pictures_are_read(tmp_path: Path) -> None:
    document = read(made.picture("Pressure valve seven"), tmp_path, "label.png")
    assert "pressure valve seven" in document.text.lower()
    assert document.title == "label"
    assert document.pages[0].number == 1


@pytest.mark.system_package("tesseract-ocr", "tesseract")
def test_a_picture_without_text(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument, match="no text") as caught:
        read(made.picture(""), tmp_path)
    assert caught.value.code == "no_text"


@pytest.mark.system_package("tesseract-ocr", "tesseract")
def test_ocr_that_takes_too_long_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument, match="more than"):
        ocr.read_picture(made.picture("slow"), timeout_s=0.001)


def test_a_huge_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument, match="pixels") as caught:
        read(made.picture("x"), tmp_path, limits=LoadLimits(image_pixels=1000))
    assert caught.value.code == "too_large"


def test_a_damaged_picture(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument) as caught:
        read(made.picture("x")[:60], tmp_path)
    assert caught.value.code == "corrupt"
