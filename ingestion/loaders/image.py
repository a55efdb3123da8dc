"""Pictures: their text by OCR; each page of a multi-page TIFF is a page."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from app.errors import UnreadableDocument
from app.types import LoadedDocument
from ingestion.loaders import ocr
from ingestion.loaders.builder import TextBuilder, check_pages
from ingestion.loaders.limits import LoadLimits

_LEAST_WIDTH = 1200  # smaller pictures are screen shots or thumbnails: tesseract reads them better enlarged


def load_image(path: Path, media_type: str, limits: LoadLimits) -> LoadedDocument:
    """Recognised text, a page a frame.

    Raises:
        UnreadableDocument: `corrupt`; `too_large` over `limits.image_pixels`; `no_text` when tesseract is not
            installed, OCR is off, or it finds none.
    """
    if not limits.ocr:
        raise UnreadableDocument(
            "the file is a picture and OCR is switched off (limits.ocr); switch it on, or upload the text",
            code="no_text",
        )
    builder = TextBuilder("picture", limits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is checked below
        try:
            with Image.open(path) as picture:
                frames = getattr(picture, "n_frames", 1) if media_type == "image/tiff" else 1
                check_pages(frames, "picture", limits)
                for number in range(1, frames + 1):
                    picture.seek(number - 1)
                    if picture.width * picture.height > limits.image_pixels:
                        raise UnreadableDocument(
                            f"the picture has {picture.width:,} × {picture.height:,} pixels, more than "
                            f"{limits.image_pixels:,} (limits.image_pixels); scale it down",
                            code="too_large",
                        )
                    builder.page(number)
                    ocr.add_recognised(builder, ocr.read_picture(_as_png(picture), limits.ocr_timeout_s))
        except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError, EOFError) as error:
            raise UnreadableDocument(
                f"the picture is damaged ({type(error).__name__}); open it, save it as PNG, and upload that",
                code="corrupt",
            ) from error
    if not len(builder):
        raise UnreadableDocument(
            "OCR found no text in the picture; upload a sharper scan (300 dots per inch)", code="no_text"
        )
    builder.warnings.append("the text was read by OCR and may hold errors")
    return builder.build(media_type, metadata={"ocr": True})


def _as_png(picture: Image.Image) -> bytes:
    grey = picture.convert("RGBA") if picture.mode in ("P", "LA", "PA") else picture
    if grey.mode == "RGBA":  # transparent means paper
        paper = Image.new("RGBA", grey.size, "white")
        paper.alpha_composite(grey)
        grey = paper
    grey = grey.convert("L")
    if grey.width < _LEAST_WIDTH and grey.height < 4 * _LEAST_WIDTH:
        factor = min(3.0, _LEAST_WIDTH / grey.width)
        grey = grey.resize((round(grey.width * factor), round(grey.height * factor)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    grey.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
