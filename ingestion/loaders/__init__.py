"""File → text with structure. `load` picks the loader by content and turns every failure into a clear error."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from pathlib import Path, PurePath

from app.errors import AttestError, UnreadableDocument
from app.types import LoadedDocument
from ingestion.loaders import sniff, sniff_text
from ingestion.loaders.limits import LoadLimits

__all__ = ["LoadLimits", "load"]

Loader = Callable[[Path, str, LoadLimits], LoadedDocument]
_log = logging.getLogger(__name__)

# The machine's trouble, not the document's: the job must be retried, the document not condemned.
_MACHINE_ERRNOS = frozenset({errno.EIO, errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EDQUOT})


def load(path: Path, *, filename: str | None, media_type: str | None, limits: LoadLimits) -> LoadedDocument:
    r"""The text of the file at `path` with blocks, pages, title, metadata and warnings.

    The text has `\n` line ends and no control characters; `blocks` are ordered and do not overlap; `title` is the
    document's own, else its first heading, else the stem of `filename`.

    Args:
        path: the stored bytes; nothing is read from its name.
        filename: the client's name, which breaks ties (CSV or text) and may become the title.
        media_type: the client's claim, which breaks ties after the name.
        limits: bounds of one document.

    Raises:
        UnreadableDocument: `code` says why: encrypted, empty, corrupt, zip_bomb, too_large, no_text (also where a scan
            needs tesseract and it is not installed: the message names the packages).
        UnsupportedMedia: no loader for these bytes.
        OSError: the bytes cannot be read from the disk.
    """
    kind = sniff.sniff(path, filename=filename, media_type=media_type)
    name, loader = _loader_of(kind)
    try:
        document = loader(path, kind, limits)
    except (AttestError, ImportError):  # a missing package is the installation's fault, not the document's
        raise
    except RecursionError as error:
        raise UnreadableDocument(
            f"the {name} file is nested too deeply to be read; flatten it or save it in another format", code="corrupt"
        ) from error
    except MemoryError as error:
        raise UnreadableDocument(
            f"the {name} file needs more memory than there is; split it into smaller files", code="too_large"
        ) from error
    except Exception as error:  # parsers of hostile bytes raise whatever they stumble over
        if isinstance(error, OSError) and error.errno in _MACHINE_ERRNOS:
            raise
        _log.warning("loader stumbled over a damaged file: format=%s error=%s", name, type(error).__name__)
        _log.debug("where it stumbled", exc_info=True)
        raise UnreadableDocument(
            f"the {name} file is damaged and cannot be read ({type(error).__name__}); open it in its application, save "
            "it again, and upload that",
            code="corrupt",
        ) from error
    if not document.text.strip():
        raise UnreadableDocument(
            f"the {name} file holds no text; upload one with text, or a PDF or picture of it for OCR", code="no_text"
        )
    return _titled(document, filename)


def _loader_of(kind: str) -> tuple[str, Loader]:
    """(name for messages, loader). Imported here, so that one format's library is paid for by its own documents."""
    match kind:
        case sniff.PDF:
            from ingestion.loaders.pdf import load_pdf

            return "PDF", load_pdf
        case sniff.DOCX:
            from ingestion.loaders.docx import load_docx

            return "DOCX", load_docx
        case sniff.PPTX:
            from ingestion.loaders.pptx import load_pptx

            return "PPTX", load_pptx
        case sniff.XLSX:
            from ingestion.loaders.xlsx import load_xlsx

            return "XLSX", load_xlsx
        case sniff.EPUB:
            from ingestion.loaders.epub import load_epub

            return "EPUB", load_epub
        case sniff.ODT | sniff.ODP | sniff.ODS:
            from ingestion.loaders.opendocument import load_opendocument

            return "OpenDocument", load_opendocument
        case sniff.RTF:
            from ingestion.loaders.rtf import load_rtf

            return "RTF", load_rtf
        case sniff_text.HTML:
            from ingestion.loaders.html import load_html

            return "HTML", load_html
        case sniff_text.XML:
            from ingestion.loaders.xml import load_xml

            return "XML", load_xml
        case sniff_text.MARKDOWN:
            from ingestion.loaders.markdown import load_markdown

            return "Markdown", load_markdown
        case sniff_text.CSV | sniff_text.TSV:
            from ingestion.loaders.delimited import load_delimited

            return "CSV", load_delimited
        case sniff_text.JSON | sniff_text.JSONL:
            from ingestion.loaders.json_text import load_json

            return "JSON", load_json
        case sniff_text.EMAIL | sniff_text.MBOX:
            from ingestion.loaders.mail import load_mail

            return "e-mail", load_mail
        case sniff_text.TEXT:
            from ingestion.loaders.text import load_text

            return "text", load_text
        case _:
            from ingestion.loaders.image import load_image

            return "picture", load_image


def _titled(document: LoadedDocument, filename: str | None) -> LoadedDocument:
    from ingestion.loaders.titles import finish

    stem = PurePath(filename.replace("\\", "/")).stem if filename else None
    return finish(document, stem)
