"""Zip and XML bombs, lying headers, missing parts: refused before they cost anything."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from app.errors import UnreadableDocument
from ingestion.loaders import LoadLimits
from ingestion.loaders.archive import Archive
from tests.unit.ingestion.loaders import made

_TYPES = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_SMALL = LoadLimits(archive_floor_bytes=100_000, archive_ratio=50)


def refused(data: bytes, folder: Path, limits: LoadLimits = _SMALL, name: str = "x.docx") -> UnreadableDocument:
    with pytest.raises(UnreadableDocument) as caught:
        made.read(data, folder, name, limits=limits)
    return caught.value


def word(document: str, **members: str) -> bytes:
    return made.zipped({"[Content_Types].xml": _TYPES, "word/document.xml": document, **members})


def test_a_bomb_by_its_headers(tmp_path: Path) -> None:
    data = made.zipped({"[Content_Types].xml": _TYPES, "word/document.xml": b" " * 5_000_000})
    error = refused(data, tmp_path)
    assert error.code == "zip_bomb"
    assert "5,0" in error.message


def test_a_bomb_whose_header_lies(tmp_path: Path) -> None:
    """The directory claims 1,000 bytes; the member unpacks to 30 million. Nothing near that is ever allocated."""
    data = bytearray(made.zipped({"[Content_Types].xml": _TYPES, "word/document.xml": b"\0" * 30_000_000}))
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        if struct.unpack_from("<I", data, at + 24)[0] == 30_000_000:
            struct.pack_into("<I", data, at + 24, 1_000)
        at += 4
    tracemalloc.start()
    try:
        error = refused(bytes(data), tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.code == "zip_bomb"
    assert peak < 8_000_000


def test_many_small_members_count_together(tmp_path: Path) -> None:
    members = {f"word/media/{index}.bin": b"\0" * 90_000 for index in range(20)}
    data = made.zipped({"[Content_Types].xml": _TYPES, "word/document.xml": "<x/>", **members})
    assert refused(data, tmp_path).code == "zip_bomb"


def test_too_many_members(tmp_path: Path) -> None:
    limits = LoadLimits(archive_members=2)
    assert refused(made.docx(), tmp_path, limits).code == "zip_bomb"


def test_an_ordinary_file_that_packs_well_is_no_bomb(tmp_path: Path) -> None:
    body = "<w:p><w:r><w:t>the same words again</w:t></w:r></w:p>" * 20_000
    document = made.read(word(f"<w:document {_W}><w:body>{body}</w:body></w:document>"), tmp_path, "x.docx")
    assert document.text.count("the same words again") == 20_000


def test_billion_laughs_in_a_docx(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    body = f"<w:document {_W}><w:body><w:p><w:r><w:t>&l9;</w:t></w:r></w:p></w:body></w:document>"
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "lol">{entities}]>{body}'
    error = refused(word(bomb), tmp_path)
    assert error.code == "zip_bomb"
    assert "entities" in error.message


def test_entities_in_utf16_are_found_too(tmp_path: Path) -> None:
    bomb = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'.encode("utf-16")
    data = made.zipped({"[Content_Types].xml": _TYPES, "word/document.xml": bomb})
    assert refused(data, tmp_path).code == "zip_bomb"


def test_an_external_entity_is_never_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("top secret")
    page = f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY s SYSTEM "file://{secret}">]><r><p>Said &s; here</p></r>'
    assert "top secret" not in made.read(page.encode(), tmp_path, "x.xml").text


def test_a_password_on_the_archive(tmp_path: Path) -> None:
    data = bytearray(made.docx())
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        data[at + 8] |= 1
        at += 4
    assert refused(bytes(data), tmp_path).code == "encrypted"


def test_a_damaged_member(tmp_path: Path) -> None:
    data = bytearray(made.docx())
    start = data.find(b"PK\x03\x04")
    data[start + 80 : start + 140] = b"\xff" * 60
    assert refused(bytes(data), tmp_path).code == "corrupt"


def test_an_unusual_packing_method_is_refused(tmp_path: Path) -> None:
    data = made.zipped({"[Content_Types].xml": _TYPES, "word/document.xml": "<x/>"}, zipfile.ZIP_BZIP2)
    assert "packed by method" in refused(data, tmp_path).message


def test_missing_parts_are_corrupt(tmp_path: Path) -> None:
    for name in ("word/styles.xml", "ppt/slides/slide1.xml", "xl/worksheets/sheet1.xml"):
        data = made.zipped({"[Content_Types].xml": _TYPES, name: "<x/>"})
        assert refused(data, tmp_path).code in ("corrupt", "empty")


def test_members_are_found_whatever_their_case(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(made.zipped({"Word/Document.XML": "<x/>"}))
    with Archive(path, "DOCX", LoadLimits()) as archive:
        assert archive.read("word/document.xml") == b"<x/>"
        assert archive.read("word/none.xml") is None


def test_a_docx_with_deep_nesting_is_an_error_or_text(tmp_path: Path) -> None:
    deep = "<w:sdt>" * 5000 + "</w:sdt>" * 5000
    error = refused(word(f"<w:document {_W}><w:body>{deep}</w:body></w:document>"), tmp_path, LoadLimits())
    assert error.code in ("corrupt", "no_text")
