"""What a loader may take from one file before it says no."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """Bounds of one document; plain numbers, so that loaders never read settings.

    Args:
        text_chars: extracted characters.
        pages: pages, slides, sheets or chapters.
        archive_ratio: unpacked/packed bytes of an archive; counted only past `archive_floor_bytes` unpacked.
        archive_floor_bytes: unpacked size below which no archive is called a bomb.
        archive_bytes: unpacked bytes of an archive, whatever its ratio.
        archive_members: files in an archive.
        ocr: whether pictures and pages without text go through tesseract.
        ocr_timeout_s: seconds for one page.
        ocr_pages: pages of one document that are read by OCR; the rest is named in a warning.
        image_pixels: pixels of one picture.
    """

    text_chars: int = 50_000_000
    pages: int = 10_000
    archive_ratio: int = 200
    archive_floor_bytes: int = 16 * 2**20
    archive_bytes: int = 2 * 2**30
    archive_members: int = 50_000
    ocr: bool = True
    ocr_timeout_s: float = 120.0
    ocr_pages: int = 500
    image_pixels: int = 200_000_000
