"""The kind of a file comes from its bytes; names and claims only break ties."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import UnreadableDocument, UnsupportedMedia
from ingestion.loaders import sniff, sniff_text
from tests.unit.ingestion.loaders import made


def kind_of(data: bytes, folder: Path, filename: str | None = None, media_type: str | None = None) -> str:
    path = folder / "blob"
    path.write_bytes(data)
    return sniff.sniff(path, filename=filename, media_type=media_type)


@pytest.mark.parametrize("filename", [None, "wrong.txt", "wrong.csv"])
def test_binary_formats_are_known_whatever_their_name(tmp_path: Path, filename: str | None) -> None:
    assert kind_of(made.pdf([[(50, 700, 12, "x")]]), tmp_path, filename, "text/plain") == sniff.PDF
    assert kind_of(b"\n\n" + made.pdf([[(50, 700, 12, "x")]]), tmp_path, filename) == sniff.PDF
    assert kind_of(made.docx(), tmp_path, filename) == sniff.DOCX
    assert kind_of(made.pptx(), tmp_path, filename) == sniff.PPTX
    assert kind_of(made.xlsx(), tmp_path, filename) == sniff.XLSX
    assert kind_of(made.epub(), tmp_path, filename) == sniff.EPUB
    assert kind_of(made.picture("x"), tmp_path, filename) == sniff.PNG
    assert kind_of(b"{\\rtf1 hello}", tmp_path, filename) == sniff.RTF


@pytest.mark.parametrize(
    ("text", "filename", "claim", "expected"),
    [
        ("just a line of prose", None, None, sniff_text.TEXT),
        ("just a line of prose", "notes.md", None, sniff_text.MARKDOWN),
        ("just a line of prose", None, "text/markdown; charset=utf-8", sniff_text.MARKDOWN),
        ("# Title\n\nSee [this](http://x.test) now.", "notes.txt", None, sniff_text.MARKDOWN),
        ("# Title\n\nSee [this](http://x.test) now.", "tool.py", None, sniff_text.TEXT),
        ("# a comment\nx = 1\n", None, None, sniff_text.TEXT),
        ("<!DOCTYPE html><html><body>x</body></html>", "x.txt", "text/plain", sniff_text.HTML),
        ("\n<!-- hi -->\n<HTML><body>x</body></HTML>", None, None, sniff_text.HTML),
        ("<p>one</p><p>two</p><div>three</div>", None, None, sniff_text.HTML),
        ('<?xml version="1.0"?><feed><entry>x</entry></feed>', None, None, sniff_text.XML),
        ("a,b\n1,2\n", "x.csv", None, sniff_text.CSV),
        ("a,b\n1,2\n", None, "text/csv", sniff_text.CSV),
        ("a,b\n1,2\n", None, None, sniff_text.TEXT),
        ("id,name,age\n1,Ann,3\n2,Bob,4\n3,Cy,5\n", "data.txt", None, sniff_text.CSV),
        ("id\tname\tage\n1\tAnn\t3\n2\tBob\t4\n3\tCy\t5\n", None, None, sniff_text.TSV),
        ("Well, I came, saw.\nThen I left.\nNow, we are.\nSo, then, bye.", None, None, sniff_text.TEXT),
        ('{"a": 1}', None, None, sniff_text.JSON),
        ('{"a": 1}\n{"a": 2}\n', "x.json", None, sniff_text.JSONL),
        ('[{"a": 1},\n {"a": 2}]', None, None, sniff_text.JSON),
        ("[not json] at all", None, None, sniff_text.TEXT),
        ("{ broken", "x.json", None, sniff_text.JSON),
        ("From: a@b.test\nTo: c@d.test\nSubject: hi\n\nbody", None, None, sniff_text.EMAIL),
        ("From a@b.test Thu Jan  1 00:00:00 2024\nFrom: a@b.test\nSubject: x\n\nbody\n", None, None, sniff_text.MBOX),
        ("Note: this\nis no mail: at all\n", None, None, sniff_text.TEXT),
    ],
)  # fmt: skip
def test_kinds_of_text(tmp_path: Path, text: str, filename: str | None, claim: str | None, expected: str) -> None:
    assert kind_of(text.encode(), tmp_path, filename, claim) == expected


@pytest.mark.parametrize("data", [b"", b"\n\n \t", b"\xef\xbb\xbf", b"\0\0\0\0"])
def test_empty_files(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UnreadableDocument, match="empty") as caught:
        made.read(data, tmp_path, "x.txt")
    assert caught.value.code == "empty"


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (bytes(range(256)) * 8, "unknown binary"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + bytes(range(1, 200)), "gzip"),
        (b"MZ\x90\0\x03\0\0\0" + bytes(200), "Windows program"),
        (b"\0\0\0\x18ftypmp42" + bytes(200), "recording or film"),
        (made.zipped({"readme.txt": "hello", "b.txt": "x"}), "ZIP archive of 2 files"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "WordDocument".encode("utf-16-le"), "save it as .docx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "Workbook".encode("utf-16-le"), "save it as .xlsx"),
        ("HELLO WORLD RECORD ".encode("cp037") * 60, "no text"),
    ],
)
def test_what_no_loader_reads_is_named(tmp_path: Path, data: bytes, seen: str) -> None:
    with pytest.raises(UnsupportedMedia, match=seen) as caught:
        made.read(data, tmp_path, "file.bin")
    assert "DOCX" in caught.value.message


def test_an_encrypted_office_file(tmp_path: Path) -> None:
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le")
    with pytest.raises(UnreadableDocument, match="password") as caught:
        made.read(data, tmp_path, "x.docx")
    assert caught.value.code == "encrypted"


def test_a_text_that_speaks_of_pdf_is_text(tmp_path: Path) -> None:
    assert kind_of(b"A PDF starts with %PDF-1.7 and so on.", tmp_path) == sniff_text.TEXT


def test_a_truncated_office_file_is_corrupt(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument) as caught:
        made.read(made.docx()[:3000], tmp_path, "x.docx")
    assert caught.value.code == "corrupt"
