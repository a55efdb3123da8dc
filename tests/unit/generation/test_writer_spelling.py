from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

import pytest

from app.generation.reader import MINILM_PACKAGE
from app.generation.writer_spelling import Speller
from app.transformer.tokenizers import TextTokenizer


@cache
def tokenizer() -> TextTokenizer:
    return TextTokenizer(Path(str(resources.files(MINILM_PACKAGE))) / "model" / "tokenizer.json")


@cache
def pieces() -> list[str]:
    return tokenizer().vocabulary()


def spelled(written: str, *texts: str) -> str:
    return Speller(tokenizer(), pieces(), texts).spell(tokenizer().encode([written])[0].ids)


@pytest.mark.parametrize(
    ("written", "source", "text"),
    [
        # names, accents and inner punctuation as the source has them
        ("who directed aschenbrodel?", "Is Aschenbrödel an opera?", "Who directed Aschenbrödel?"),
        ("the u.s. owes 3,000.50 dollars.", "The U.S. owes 3,000.50 dollars", "The U.S. owes 3,000.50 dollars."),
        ("what does well-known mean?", "A well-known iPhone.", "What does well-known mean?"),
        # a capital that only the sentence's beginning gave
        ("where did the old eagle fly?", "The old eagle flew.", "Where did the old eagle fly?"),
        ("when did they meet normans?", "Normans came. They left.", "When did they meet Normans?"),
        # inside a sentence counts before its beginning
        ("is it apple?", "Apple pie. I like apple pie.", "Is it apple?"),
        # what no source holds is joined by rule
        ("what is the cat's name, and how (old) is it?", "", "What is the cat's name, and how (old) is it?"),
        ("who wrote #1?", "Who wrote it?", "Who wrote #1?"),
        ("", "Anything", ""),
    ],
)
def test_written_words_get_the_sources_spelling(written: str, source: str, text: str) -> None:
    assert spelled(written, source) == text


def test_a_piece_of_a_word_is_not_taken_for_the_word() -> None:
    assert spelled("what is a plastid?", "The Plastidome is large.") == "What is a plastid?"


def test_the_first_text_decides_between_two_spellings() -> None:
    assert spelled("who is de boer?", "about DE BOER now", "about de Boer now") == "Who is DE BOER?"
    assert spelled("who is de boer?", "about de Boer now", "about DE BOER now") == "Who is de Boer?"
