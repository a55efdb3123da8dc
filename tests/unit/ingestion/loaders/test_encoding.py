"""Bytes become the text that was meant, and control characters never reach it."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.loaders.encoding import clean_text, decode
from tests.unit.ingestion.loaders import made

CHINESE = "根据本办法的规定，主管部门应当自收到申请之日起三十日内作出决定，并书面通知申请人。"
TRADITIONAL = "根據本辦法的規定，主管機關應當自收到申請之日起三十日內作出決定，並以書面通知申請人。"
JAPANESE = "このシステムは、文書を検索して質問に答えるためのものです。設定は簡単に変更できます。"
KOREAN = "이 시스템은 문서를 검색하여 질문에 답하기 위한 것입니다. 설정은 쉽게 바꿀 수 있습니다."
RUSSIAN = "Эта система ищет документы и отвечает на вопросы. Настройки легко изменить в любое время."
FRENCH = "Le règlement entré en vigueur à l’été précise où les déchets dangereux doivent être déposés."


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (CHINESE, "gb18030"),
        (TRADITIONAL, "big5"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (KOREAN, "euc_kr"),
        (RUSSIAN, "cp1251"),
        (FRENCH, "cp1252"),
        ("Müller größer naïve café", "latin-1"),
        (CHINESE, "utf-16"),
        (FRENCH, "utf-16-le"),
        (FRENCH, "utf-16-be"),
        (CHINESE, "utf-32"),
        (CHINESE, "utf-8-sig"),
        (CHINESE, "utf-8"),
    ],
)
def test_encodings_are_detected(tmp_path: Path, text: str, encoding: str) -> None:
    document = made.read((text + "\n").encode(encoding), tmp_path, "x.txt")
    assert document.text.strip() == text


def test_a_long_file_is_not_cut_in_the_middle_of_a_character(tmp_path: Path) -> None:
    text = (CHINESE + "\n") * 3000
    assert made.read(text.encode("gb18030"), tmp_path, "x.txt").text == text


@pytest.mark.parametrize("shift", range(4))
def test_a_long_line_of_utf8_is_known_wherever_its_head_is_cut(tmp_path: Path, shift: int) -> None:
    text = "a" * shift + RUSSIAN.replace(" ", "") * 2000
    document = made.read(text.encode(), tmp_path, "x.txt")
    assert document.metadata["encoding"] == "utf-8"
    assert document.text == text


def test_the_declared_charset_of_a_page_is_used(tmp_path: Path) -> None:
    page = '<html><head><meta charset="iso-8859-5"><title>т</title></head><body><p>Короткий.</p></body></html>'
    assert "Короткий." in made.read(page.encode("iso-8859-5"), tmp_path, "x.html").text


def test_line_ends_and_control_characters() -> None:
    assert clean_text("a\r\nb\rc\u2028d\x0ce\x00f\x07g\xadh\ufeffi\x85j\ufffek") == "a\nb\nc\nd\nefghi\njk"


def test_surrogates_are_joined_or_replaced() -> None:
    assert clean_text("\ud83d\ude00 and \ud800!") == "\U0001f600 and \ufffd!"


def test_text_is_not_normalised() -> None:
    decomposed = unicodedata.normalize("NFD", "é")
    assert clean_text(decomposed) == decomposed


@given(st.binary(max_size=300))
def test_any_bytes_decode(data: bytes) -> None:
    text, _ = decode(data)
    cleaned = clean_text(text)
    cleaned.encode("utf-8")
    assert clean_text(cleaned) == cleaned
    assert not any(unicodedata.category(char) == "Cc" and char not in "\t\n" for char in cleaned)


@given(st.text(max_size=200))
def test_utf8_comes_back(text: str) -> None:
    decoded, encoding = decode(text.encode("utf-8", "replace"))
    if encoding == "utf-8" and not text.startswith("\ufeff"):
        assert decoded == text.encode("utf-8", "replace").decode()
