"""Cut and altered files of every format: a document or one of our errors, never a library's."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from app.errors import UnreadableDocument, UnsupportedMedia
from app.types import LoadedDocument
from ingestion import loaders
from ingestion.loaders import LoadLimits, load
from tests.unit.ingestion.loaders import made

_LIMITS = LoadLimits(ocr=False)
_MAKERS: dict[str, Callable[[], bytes]] = {
    "x.docx": made.docx,
    "x.pptx": made.pptx,
    "x.xlsx": made.xlsx,
    "x.epub": made.epub,
    "x.eml": made.eml,
    "x.pdf": lambda: made.pdf([[(50, 700, 12, "Some text on a page"), (50, 680, 12, "and more")]]),
    "x.png": lambda: made.picture("x"),
    "x.html": lambda: b"<html><body><table><tr><td colspan=2>a</td></tr></table><p>text</p></body></html>",
    "x.rtf": lambda: rb"{\rtf1\ansi{\fonttbl x}\u8364?\'e9 text\par}",
    "x.json": lambda: b'[{"a": [1, 2.5, null]}, {"b": {"c": "d"}}]',
    "x.csv": lambda: b'name,"a ""b""",c\n1,2,3\n',
    "x.xml": lambda: b"<?xml version='1.0'?><a><title>t</title><b>c&amp;d</b></a>",
}


def outcome(data: bytes, folder: Path, name: str) -> LoadedDocument | None:
    path = folder / "blob"
    path.write_bytes(data)
    try:
        document = load(path, filename=name, media_type=None, limits=_LIMITS)
    except (UnreadableDocument, UnsupportedMedia) as error:
        refused = error
    else:
        return sound(document)
    assert refused.message
    assert refused.code in {"encrypted", "empty", "corrupt", "zip_bomb", "too_large", "no_text", "unsupported_media"}
    return None


def sound(document: LoadedDocument) -> LoadedDocument:
    assert document.text.strip()
    for before, after in pairwise(document.blocks):
        assert before.char_end <= after.char_start
    assert all(document.text[block.char_start : block.char_end].strip() for block in document.blocks)
    return document


@pytest.mark.parametrize("name", _MAKERS)
def test_damaged_files(tmp_path: Path, name: str) -> None:
    whole = _MAKERS[name]()
    dice = random.Random(7)
    for _ in range(25):
        data = bytearray(whole)
        if dice.random() < 0.3:
            del data[dice.randrange(len(data)) :]
        for _ in range(dice.choice([1, 3, 30])):
            if data:
                data[dice.randrange(len(data))] = dice.randrange(256)
        outcome(bytes(data), tmp_path, name)


@pytest.mark.parametrize("name", sorted(set(_MAKERS) - {"x.png"}))
def test_whole_files_load(tmp_path: Path, name: str) -> None:
    assert outcome(_MAKERS[name](), tmp_path, name) is not None


def _failing(error: BaseException) -> Callable[[str], tuple[str, loaders.Loader]]:
    def loader(path: Path, kind: str, limits: LoadLimits) -> LoadedDocument:
        raise error

    return lambda _: ("text", loader)


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("y"), RecursionError(), OSError("odd")])
def test_whatever_a_library_raises_is_the_documents_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(loaders, "_loader_of", _failing(error))
    with pytest.raises(UnreadableDocument) as caught:
        made.read(b"text", tmp_path)
    assert caught.value.code == "corrupt"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(5, "I/O error"), ImportError("x")])
def test_the_machines_trouble_is_not_the_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(loaders, "_loader_of", _failing(error))
    with pytest.raises(type(error)):
        made.read(b"text", tmp_path)


def test_memory_trouble_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "_loader_of", _failing(MemoryError()))
    with pytest.raises(UnreadableDocument) as caught:
        made.read(b"text", tmp_path)
    assert caught.value.code == "too_large"


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none", filename="x.txt", media_type=None, limits=_LIMITS)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["x.txt", "x.md", "x.html", "x.csv"])
@pytest.mark.parametrize(
    "unit",
    ["[", "<!-- a -->", "<!--", " ", "1", "|", "a! ", "[a](", "<td rowspan=60000 colspan=100>a", "<ul><li>a", '<a b="'],
)
def test_repetition_does_not_run_away(tmp_path: Path, name: str, unit: str) -> None:
    """Patterns that back up over 100,000 characters would take minutes; the timeout is the assertion."""
    outcome((unit * (100_000 // len(unit)) + "x|\n-|").encode(), tmp_path, name)
