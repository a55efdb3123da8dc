"""PDF through pdfium: pages, paragraphs, headings, table rows; pages without text by OCR."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from app.errors import UnreadableDocument
from app.types import LoadedDocument
from ingestion.loaders import ocr
from ingestion.loaders.builder import TextBuilder, check_chars, check_pages
from ingestion.loaders.limits import LoadLimits
from ingestion.loaders.pdf_layout import (
    Piece,
    join_lines,
    page_pieces,
    title_key,
    typography,
    without_furniture,
)
from ingestion.loaders.pdf_lines import Line, page_lines

_PDFIUM = threading.Lock()  # pdfium is not thread-safe, not even on two documents
_DATE = re.compile(r"D:(\d{4})(\d{2})?(\d{2})?(?:(\d{2})(\d{2})(\d{2})?)?")
_OCR_DPI = 300
_OCR_SIDE_PIXELS = 5_000
_UNREADABLE_SHARE = 0.3  # of characters without a meaning (private use, replacement): the fonts hide the text


def load_pdf(path: Path, media_type: str, limits: LoadLimits) -> LoadedDocument:
    """Text by pages; repeated heads and feet dropped; outline and type sizes give the headings.

    Raises:
        UnreadableDocument: `encrypted`, `corrupt`, `too_large`, `no_text` (a scan, and no tesseract to read it).
    """
    with _PDFIUM:
        try:
            document = pdfium.PdfDocument(path)
        except pdfium.PdfiumError as error:
            if "password" in str(error).lower() or "security" in str(error).lower():
                raise UnreadableDocument(
                    "the PDF file is protected by a password; remove the protection and upload it again",
                    code="encrypted",
                ) from error
            raise UnreadableDocument(
                f"the PDF file is damaged ({error}); print it to a new PDF and upload that", code="corrupt"
            ) from error
        try:
            return _load(document, media_type, limits)
        finally:
            document.close()


def _load(document: Any, media_type: str, limits: LoadLimits) -> LoadedDocument:
    count = len(document)
    if count == 0:
        raise UnreadableDocument("the PDF file has no page; print it to a new PDF and upload that", code="empty")
    check_pages(count, "PDF", limits)
    builder = TextBuilder("PDF", limits)
    pages: list[list[Line]] = []
    heights: list[float] = []
    scans: list[int] = []
    chars = 0
    for index in range(count):
        lines, height, is_scan = _read_page(document, index, builder)
        chars += sum(len(line.text) for line in lines)
        check_chars(chars, "PDF", limits)
        pages.append(lines)
        heights.append(height)
        if is_scan:
            scans.append(index)
    recognised = _recognise(document, scans, builder, limits, only=chars == 0)
    _write(builder, document, pages, heights, recognised)
    fields = _fields(document)
    title = fields.pop("title", None)
    return builder.build(media_type, title=title, metadata={**fields, "pages": count, "ocr": bool(recognised) or None})


def _read_page(document: Any, index: int, builder: TextBuilder) -> tuple[list[Line], float, bool]:
    """(lines, height in points, whether the page is a picture of text) of one page; a broken page is a warning."""
    try:
        page = document[index]
    except pdfium.PdfiumError:
        builder.warnings.append(f"page {index + 1} is damaged and was not read")
        return [], 792.0, False
    try:
        textpage = page.get_textpage()
        try:
            lines = page_lines(textpage)
        finally:
            textpage.close()
        text = "".join(line.text for line in lines)
        hidden = sum("\ue000" <= char <= "\uf8ff" or char == "\ufffd" for char in text)
        if text and hidden > _UNREADABLE_SHARE * len(text):
            return [], page.get_height(), True
        is_scan = len(text) < 8 and pdfium_c.FPDFPage_CountObjects(page.raw) > 0 and _has_picture(page)
        return ([] if is_scan else lines), page.get_height(), is_scan
    except pdfium.PdfiumError:
        builder.warnings.append(f"page {index + 1} is damaged and was not read")
        return [], 792.0, False
    finally:
        page.close()


def _has_picture(page: Any) -> bool:
    """Whether a picture, or many drawn shapes (letters as outlines), lie on the page."""
    kinds = [pdfium_c.FPDFPageObj_GetType(item.raw) for item in page.get_objects(max_depth=3)]
    return pdfium_c.FPDF_PAGEOBJ_IMAGE in kinds or kinds.count(pdfium_c.FPDF_PAGEOBJ_PATH) > 50


def _recognise(
    document: Any, scans: list[int], builder: TextBuilder, limits: LoadLimits, *, only: bool
) -> dict[int, str]:
    """Page index → text by OCR. Without tesseract: an error where nothing else has text (`only`), else a warning."""
    if not scans:
        return {}
    missing = "OCR is switched off (limits.ocr)" if not limits.ocr else ""
    if limits.ocr and ocr.executable() is None:
        missing = f"tesseract is not installed; {ocr.REMEDY}"
    if missing:
        if only:
            raise UnreadableDocument(f"the PDF file is a scan without text and {missing}", code="no_text")
        builder.warnings.append(f"pages {_listed(scans)} are pictures and were not read: {missing}")
        return {}
    found: dict[int, str] = {}
    failed: list[int] = []
    for index in scans[: limits.ocr_pages]:
        try:
            found[index] = ocr.read_picture(_picture(document, index), limits.ocr_timeout_s)
        except UnreadableDocument as error:
            if only and error.code == "no_text":
                raise
            failed.append(index)
    if failed:
        builder.warnings.append(f"pages {_listed(failed)} could not be read by OCR")
    if len(scans) > limits.ocr_pages:
        builder.warnings.append(
            f"pages {_listed(scans[limits.ocr_pages :])} were not read: more than {limits.ocr_pages:,} pages need OCR "
            "(limits.ocr_pages)"
        )
    if found:
        builder.warnings.append(f"pages {_listed(list(found))} were read by OCR and may hold errors")
    return found


def _picture(document: Any, index: int) -> bytes:
    """The page in grey as a PGM file, 300 dots per inch but at most 5,000 pixels a side."""
    page = document[index]
    try:
        scale = min(_OCR_DPI / 72, _OCR_SIDE_PIXELS / max(1.0, *page.get_size()))
        bitmap = page.render(scale=scale, grayscale=True)
        try:
            pixels = bitmap.to_numpy()
            height, width = pixels.shape[:2]
            return bytes(b"P5 %d %d 255\n" % (width, height) + pixels.tobytes())
        finally:
            bitmap.close()
    finally:
        page.close()


def _write(
    builder: TextBuilder, document: Any, pages: list[list[Line]], heights: list[float], recognised: dict[int, str]
) -> None:
    outline = _outline(document)
    pages = without_furniture(pages, heights)
    look = typography(pages)
    previous: Piece | None = None
    for index, lines in enumerate(pages):
        builder.page(index + 1)
        if index in recognised:
            ocr.add_recognised(builder, recognised[index])
            previous = None
            continue
        for position, piece in enumerate(page_pieces(lines, look, outline.get(index, {}))):
            if position == 0 and previous is not None and _goes_on(previous, piece):
                joint = join_lines("a", piece.text, previous.hyphenated, look.vocabulary)
                builder.extend(piece.text, joint[1 : len(joint) - len(piece.text)])
            else:
                builder.add(piece.kind, piece.text, piece.level)
            previous = piece


def _goes_on(previous: Piece, piece: Piece) -> bool:
    """Whether a page's first block goes on mid-sentence where the last one of the page before was open."""
    return previous.open_end and piece.kind == "paragraph" and (piece.text[:1].islower() or previous.hyphenated)


def _outline(document: Any) -> dict[int, dict[str, int]]:
    """Page index → title key → heading level, of the bookmarks."""
    found: dict[int, dict[str, int]] = {}
    try:
        for number, bookmark in enumerate(document.get_toc(max_depth=6)):
            if number >= 20_000:
                break
            target = bookmark.get_dest()
            index = target.get_index() if target is not None else None
            key = title_key(bookmark.get_title() or "")
            if index is not None and key:
                found.setdefault(index, {}).setdefault(key, min(6, bookmark.level + 1))
    except (pdfium.PdfiumError, ValueError):
        return found
    return found


def _fields(document: Any) -> dict[str, str]:
    """title, author, subject, created of the information dictionary."""
    raw = document.get_metadata_dict(skip_empty=True)
    names = {"Title": "title", "Author": "author", "Subject": "subject"}
    fields = {
        names[key]: " ".join(value.split())[:1000] for key, value in raw.items() if key in names and value.strip()
    }
    if match := _DATE.match(raw.get("CreationDate", "")):
        year, month, day, hour, minute, second = match.groups()
        fields["created"] = "-".join(part for part in (year, month, day) if part)
        if hour:
            fields["created"] += f"T{hour}:{minute}:{second or '00'}"
    return fields


def _listed(indices: list[int]) -> str:
    """1-based page numbers, runs shortened: `1–3, 7`."""
    runs: list[list[int]] = []
    for index in sorted(indices):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(str(a + 1) if a == b else f"{a + 1}–{b + 1}" for a, b in runs)
