"""Small files of every format, made by the tests themselves."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from pathlib import Path

from app.types import LoadedDocument
from ingestion.loaders import LoadLimits, load

LIMITS = LoadLimits()


def read(
    data: bytes,
    folder: Path,
    filename: str | None = None,
    media_type: str | None = None,
    limits: LoadLimits = LIMITS,
) -> LoadedDocument:
    """Loads `data` from a file whose own name says nothing, as a blob's does."""
    path = folder / "blob"
    path.write_bytes(data)
    return load(path, filename=filename, media_type=media_type, limits=limits)


def blocks_of(document: LoadedDocument) -> list[tuple[str, str]]:
    """(kind, text) of every block."""
    return [(block.kind, document.text[block.char_start : block.char_end]) for block in document.blocks]


def zipped(members: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def docx() -> bytes:
    import docx as python_docx

    document = python_docx.Document()
    document.core_properties.title = "Pump manual"
    document.core_properties.author = "R. Roe"
    document.add_heading("Safety", level=1)
    document.add_paragraph("Wear gloves at all times.")
    document.add_paragraph("first point", style="List Bullet")
    document.add_paragraph("second point", style="List Bullet")
    document.add_heading("Data", level=2)
    table = document.add_table(rows=1, cols=3)
    for cell, text in zip(table.rows[0].cells, ("Part", "Weight", "Colour"), strict=True):
        cell.text = text
    for row in (("Valve", "12 kg", "red"), ("Pipe", "3 kg", "")):
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def pptx() -> bytes:
    import pptx as python_pptx
    from pptx.util import Inches

    show = python_pptx.Presentation()
    first = show.slides.add_slide(show.slide_layouts[1])
    first.shapes.title.text = "Growth"
    first.placeholders[1].text = "Sales rose"
    first.placeholders[1].text_frame.add_paragraph().text = "Costs fell"
    first.notes_slide.notes_text_frame.text = "Mention the new plant."
    second = show.slides.add_slide(show.slide_layouts[6])
    frame = second.shapes.add_table(2, 2, Inches(1), Inches(1), Inches(4), Inches(1))
    for row, texts in enumerate((("Year", "Sales"), ("2023", "41"))):
        for column, text in enumerate(texts):
            frame.table.cell(row, column).text = text
    buffer = io.BytesIO()
    show.save(buffer)
    return buffer.getvalue()


def xlsx() -> bytes:
    from datetime import datetime

    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Orders"
    sheet.append(["All orders of the year"])
    sheet.append([])
    sheet.append(["Item", "Count", "Due", "Share"])
    sheet.append(["Bolt", 12, datetime(2024, 5, 6), 0.125])
    sheet["D4"].number_format = "0.0%"
    sheet.append(["Nut", 3.0, None, None])
    other = book.create_sheet("Notes")
    other.append(["Only", "words", "here"])
    other.append(["and", "more", "words"])
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


CHAPTER = (
    '<?xml version="1.0"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title></head>'
    "<body>{}</body></html>"
)
CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OPS/book.opf"/></rootfiles></container>'
)
PACKAGE = (
    '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
    "<dc:title>The Lamp</dc:title><dc:creator>A. Author</dc:creator><dc:language>en-GB</dc:language></metadata>"
    "<manifest>"
    '<item id="b" href="two.xhtml" media-type="application/xhtml+xml"/>'
    '<item id="a" href="one.xhtml" media-type="application/xhtml+xml"/>'
    '<item id="toc" href="toc.ncx" media-type="application/x-dtbncx+xml"/></manifest>'
    '<spine toc="toc"><itemref idref="a"/><itemref idref="b"/></spine></package>'
)
TOC = (
    '<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap><navPoint><navLabel><text>Second part</text></navLabel>'
    '<content src="two.xhtml"/></navPoint></navMap></ncx>'
)


def epub(**extra: str) -> bytes:
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": CONTAINER,
            "OPS/book.opf": PACKAGE,
            "OPS/toc.ncx": TOC,
            "OPS/one.xhtml": CHAPTER.format("<h1>Beginning</h1><p>It was dark.</p>"),
            "OPS/two.xhtml": CHAPTER.format("<p>Then there was light.</p><script>alert(1)</script>"),
            **{name.replace("__", "/"): text for name, text in extra.items()},
        }
    )


def eml(html_only: bool = False) -> bytes:
    message = EmailMessage()
    message["Subject"] = "Réunion du 3 mai"
    message["From"] = "Ann <ann@example.test>"
    message["To"] = "bob@example.test"
    message["Date"] = "Fri, 03 May 2024 10:00:00 +0200"
    if html_only:
        message.set_content("<html><body><h1>Plan</h1><p>Meet <b>at ten</b>.</p></body></html>", subtype="html")
    else:
        message.set_content("Hello Bob,\n\nwe meet at ten.\n\n- bring the map\n- bring water\n")
        message.add_alternative("<p>HTML twin</p>", subtype="html")
    message.add_attachment(b"%PDF-1.4 x", maintype="application", subtype="pdf", filename="map.pdf")
    return message.as_bytes()


def pdf(pages: Sequence[Sequence[tuple[float, float, float, str]]], *, title: str = "", password: str = "") -> bytes:
    """A PDF; each line is (x, y, type size, text) in points from the lower left; a size below 0 sets bold."""
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(600, 800), encrypt=StandardEncryption(password) if password else None)
    if title:
        canvas.setTitle(title)
    for lines in pages:
        for x, y, size, text in lines:
            canvas.setFont("Helvetica-Bold" if size < 0 else "Helvetica", abs(size))
            canvas.drawString(x, y, text)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def picture(text: str, size: tuple[int, int] = (1400, 200)) -> bytes:
    """A PNG with `text` in large black letters."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("L", size, 255)
    ImageDraw.Draw(image).text((40, 60), text, fill=0, font=ImageFont.load_default(size=64))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def scanned_pdf(texts: Sequence[str]) -> bytes:
    """A PDF whose pages are pictures of `texts`; "" makes a page with real text instead."""
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(600, 800))
    for text in texts:
        if text:
            canvas.drawImage(ImageReader(io.BytesIO(picture(text))), 30, 600, width=540, height=77)
        else:
            canvas.drawString(50, 700, "This page has text of its own.")
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()
