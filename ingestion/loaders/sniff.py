"""What a file is, by its content; its name and the client's claim only break ties between kinds of text."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path, PurePath

from app.errors import UnreadableDocument, UnsupportedMedia
from ingestion.loaders import sniff_text
from ingestion.loaders.encoding import decode

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
EPUB = "application/epub+zip"
ODT = "application/vnd.oasis.opendocument.text"
ODP = "application/vnd.oasis.opendocument.presentation"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
RTF = "application/rtf"
PNG, JPEG, TIFF, GIF, BMP, WEBP = "image/png", "image/jpeg", "image/tiff", "image/gif", "image/bmp", "image/webp"

SUPPORTED = (
    "text, Markdown, HTML, PDF, DOCX, PPTX, XLSX, EPUB, CSV, TSV, JSON, JSONL, XML, e-mail (.eml, .mbox), RTF, "
    "OpenDocument (.odt, .odp, .ods), pictures (PNG, JPEG, TIFF, GIF, BMP, WebP)"
)
HEAD_BYTES = 128 * 1024

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"{\\rtf", RTF),
)
_FOREIGN = (
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (b"\xfd7zXZ\0", "an xz archive; unpack it first"),
    (b"BZh", "a bzip2 archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive; unpack it first"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"ID3", "an MP3 recording"),
    (b"OggS", "an Ogg recording"),
    (b"fLaC", "a FLAC recording"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"PAR1", "a Parquet table; export it as CSV"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
    (b"\0\0\1\0", "an icon"),
    (b"AT&TFORM", "a DjVu scan; convert it to PDF"),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_KINDS = (
    ("WordDocument", "a Word 97–2003 file; save it as .docx"),
    ("Workbook", "an Excel 97–2003 file; save it as .xlsx"),
    ("Book", "an Excel 5 file; save it as .xlsx"),
    ("PowerPoint Document", "a PowerPoint 97–2003 file; save it as .pptx"),
    ("__properties_version1.0", "an Outlook message; save it as .eml"),
)
_PDF_HEAD = re.compile(rb"%PDF-\d")


def sniff(path: Path, *, filename: str | None = None, media_type: str | None = None) -> str:
    """The media type of the file at `path`, one that `load` has a loader for.

    Args:
        path: the stored bytes; its own name means nothing.
        filename: the client's name for it.
        media_type: the client's claim.

    Raises:
        UnreadableDocument: `empty` or `encrypted` (an Office file inside an encrypted container), `corrupt` (a zip
            container without its directory).
        UnsupportedMedia: no loader for these bytes; the message says what they are and what is supported.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if size <= HEAD_BYTES and not head.strip(b"\0 \t\r\n\x0b\x0c\xef\xbb\xbf"):
        raise UnreadableDocument("the file is empty; upload one with content", code="empty")
    if (binary := _sniff_binary(path, head, size)) is not None:
        return binary
    if looks_binary(head):
        claim = f", although it is called {PurePath(filename).name!r}" if filename else ""
        raise UnsupportedMedia(f"the file is unknown binary data{claim}; supported are {SUPPORTED}")
    text, encoding = decode(head if size <= HEAD_BYTES else _whole_characters(head))
    if encoding.startswith(("cp125", "latin", "koi8")) and _wordless(text):
        raise UnsupportedMedia(
            f"the file is no text in any known encoding; save it as UTF-8; supported are {SUPPORTED}"
        )
    hint = sniff_text.hint(filename, media_type)
    return sniff_text.sniff_text(text, hint=hint, whole=size <= HEAD_BYTES)


def _sniff_binary(path: Path, head: bytes, size: int) -> str | None:
    if _is_pdf(path, head, size):
        return PDF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _sniff_zip(path)
    if head.startswith(_OLE):
        raise _ole_error(path)
    for magic, media in _MAGIC:
        if head.startswith(magic):
            return media
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if head[:2] == b"BM" and int.from_bytes(head[2:6], "little") == size:
        return BMP
    if looks_binary(head):
        for magic, name in _FOREIGN:
            if head.startswith(magic):
                raise UnsupportedMedia(f"the file is {name}; supported are {SUPPORTED}")
        if head[4:8] == b"ftyp" or head[:4] == b"RIFF":
            raise UnsupportedMedia(f"the file is a recording or film; supported are {SUPPORTED}")
    return None


def looks_binary(head: bytes) -> bool:
    """True when `head` cannot be text in any usual encoding: zero bytes that are not UTF-16/32's, or control codes."""
    if not head:
        return False
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        return False
    sample = head[:8192]
    if b"\0" in sample:
        text, encoding = decode(sample[: len(sample) // 4 * 4])
        if not encoding.startswith("utf-16"):
            return sample.count(0) > len(sample) * 0.001  # a stray NUL in a text is cleaned away
        return sum((ord(char) < 32 and char not in "\t\n\r\f") or char == "\ufffd" for char in text) > len(text) * 0.05
    control = sum(byte < 32 and byte not in b"\t\n\r\f\x0b\x1b\x08" for byte in sample)
    return control > len(sample) * 0.02


def _wordless(text: str) -> bool:
    """True for what is no text in the one-byte encoding guessed: control codes, or hardly ASCII and without blanks."""
    blanks = sum(char.isspace() for char in text)
    if sum("\x80" <= char <= "\x9f" and char != "\x85" for char in text) > 0.05 * len(text):
        return True
    return len(text) > 200 and blanks < 0.02 * len(text) and sum(char > "\x7f" for char in text) > 0.4 * len(text)


def _is_pdf(path: Path, head: bytes, size: int) -> bool:
    match = _PDF_HEAD.search(head[:1024])
    if match is None:
        return False
    if not head[: match.start()].strip(b"\xef\xbb\xbf \t\r\n\0"):
        return True
    with path.open("rb") as stream:  # bytes before the mark: a mail header or a text that speaks of PDF?
        stream.seek(max(0, size - 2048))
        return b"%%EOF" in stream.read()


def _sniff_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            claimed = archive.getinfo("mimetype") if "mimetype" in names else None
            mimetype = ""
            if claimed is not None and claimed.file_size <= 200 and not claimed.flag_bits & 1:
                mimetype = archive.read(claimed).decode("ascii", "replace").strip()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OSError) as error:
        raise UnreadableDocument(
            f"the file is a damaged zip container ({error}), as an Office or EPUB file cut short is; upload it again",
            code="corrupt",
        ) from error
    if not names:
        raise UnreadableDocument("the file is an empty ZIP archive; upload one with content", code="empty")
    for prefix, media in ((EPUB, EPUB), (ODT, ODT), (ODP, ODP), (ODS, ODS)):
        if mimetype.startswith(prefix):
            return media
    if "[Content_Types].xml" in names or "_rels/.rels" in names:
        folded = {name.lower() for name in names}
        for member, media in (
            ("word/document.xml", DOCX),
            ("ppt/presentation.xml", PPTX),
            ("xl/workbook.xml", XLSX),
        ):
            if member in folded:
                return media
        if "xl/workbook.bin" in folded:
            raise UnsupportedMedia(f"the file is a binary Excel workbook; save it as .xlsx; supported are {SUPPORTED}")
        for folder, media in (("word/", DOCX), ("ppt/", PPTX), ("xl/", XLSX)):
            if any(name.startswith(folder) for name in folded):
                return media
    if "META-INF/container.xml" in names:
        return EPUB
    raise UnsupportedMedia(
        f"the file is a ZIP archive of {len(names):,} files; unpack it and upload the files; supported are {SUPPORTED}"
    )


def _ole_error(path: Path) -> Exception:
    content = path.read_bytes()
    if "EncryptedPackage".encode("utf-16-le") in content:
        return UnreadableDocument(
            "the Office file is protected by a password; remove the protection and upload it again", code="encrypted"
        )
    for stream, name in _OLE_KINDS:
        if stream.encode("utf-16-le") in content:
            return UnsupportedMedia(f"the file is {name}; supported are {SUPPORTED}")
    return UnsupportedMedia(f"the file is a Microsoft compound file of unknown kind; supported are {SUPPORTED}")


def _whole_characters(head: bytes) -> bytes:
    """`head` cut where a character ends: in UTF-8 before the last, half one, else after the last line."""
    for cut in range(4):
        try:
            head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return head[: len(head) - cut]
    line_end = head.rfind(b"\n")
    return head[: line_end + 1] if line_end > len(head) // 2 else head
