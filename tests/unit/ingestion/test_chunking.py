"""Chunks: spans that are right to the character, nothing lost, structure first, budgets kept."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.types import Block, Chunk, LoadedDocument, PageSpan
from ingestion.chunking import chunk
from ingestion.loaders.markdown import markdown_blocks

_TOKEN = re.compile(r"[\u2e80-\u9fff]|\w+|[^\w\s]")


def count_words(texts: Sequence[str]) -> list[int]:
    """Words, marks and single CJK characters: additive over white space, as WordPiece is."""
    return [len(_TOKEN.findall(text)) for text in texts]


def count_greedy(texts: Sequence[str]) -> list[int]:
    """Not additive: joined text costs more than its parts, as with some byte-level tokenizers."""
    return [len(_TOKEN.findall(text)) + 2 * text.count("\n") + text.count(" ") // 2 for text in texts]


def markdown(text: str) -> LoadedDocument:
    return LoadedDocument(text, "text/markdown", blocks=tuple(markdown_blocks(text)))


def chunks_of(document: LoadedDocument, max_tokens: int = 40, overlap_tokens: int = 8) -> list[Chunk]:
    return chunk(document, max_tokens=max_tokens, overlap_tokens=overlap_tokens, count_tokens=count_words)


def assert_sound(document: LoadedDocument, chunks: Sequence[Chunk]) -> None:
    covered = [False] * len(document.text)
    for ordinal, piece in enumerate(chunks):
        assert piece.ordinal == ordinal
        assert document.text[piece.char_start : piece.char_end] == piece.text
        assert piece.text.strip() == piece.text
        assert piece.text
        covered[piece.char_start : piece.char_end] = [True] * (piece.char_end - piece.char_start)
    for before, after in pairwise(chunks):
        assert before.char_start < after.char_start
        assert before.char_end <= after.char_end
    missed = [char for char, seen in zip(document.text, covered, strict=True) if not seen and not char.isspace()]
    assert missed == []


pieces = st.sampled_from(
    ["# ", "## ", "\n", "\n\n", " ", "\t", "- ", "| a | b |\n", "|---|---|\n",
     "```\n", "。", ". ", "! ", "汉字", "統一碼",
     "かな", "한국어",
     "👩‍👩‍👧", "🇨🇳", "e\u0301\u0323", "\u200b", "\u3000", "\xa0", "word",
     "Mr. Smith", "3.14", "a" * 70, "，"]
)  # fmt: skip
texts = st.one_of(
    st.lists(st.one_of(pieces, st.text(max_size=12)), max_size=40).map("".join),
    st.text(max_size=200),
)


@given(text=texts, max_tokens=st.integers(1, 30), overlap=st.integers(0, 29), blocks=st.booleans())
@settings(max_examples=100, deadline=None)
def test_any_text_is_covered_by_its_spans(text: str, max_tokens: int, overlap: int, blocks: bool) -> None:
    document = markdown(text) if blocks else LoadedDocument(text, "text/plain")
    chunks = chunk(
        document, max_tokens=max_tokens, overlap_tokens=min(overlap, max_tokens - 1), count_tokens=count_words
    )
    assert_sound(document, chunks)
    for piece in chunks:
        assert piece.tokens == count_words([piece.text])[0]
        assert piece.tokens <= max_tokens or _is_one_character(piece.text)


def _is_one_character(text: str) -> bool:
    """True for one character with the marks, joiners and joined characters after it: that is never cut."""
    bases = [
        char
        for before, char in zip("a" + text, text, strict=False)
        if before != "\u200d" and char not in "\u200d\ufe0f" and not "\U0001f3fb" <= char <= "\U0001f3ff"
        and unicodedata.category(char)[0] != "M"
    ]  # fmt: skip
    return len(bases) <= 1


@given(
    text=st.text(alphabet=st.sampled_from("ab c\n.。字"), max_size=120),
    cuts=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120), st.integers(0, 6)), max_size=8),
)
@settings(max_examples=80, deadline=None)
def test_blocks_that_overlap_or_miss_text_lose_nothing(text: str, cuts: list[tuple[int, int, int]]) -> None:
    blocks = tuple(Block("heading" if level else "paragraph", min(a, b), max(a, b), level) for a, b, level in cuts)
    document = LoadedDocument(text, "text/plain", blocks=blocks)
    assert_sound(document, chunk(document, max_tokens=9, overlap_tokens=3, count_tokens=count_words))


@given(text=texts, max_tokens=st.integers(4, 30))
@settings(max_examples=150, deadline=None)
def test_a_tokenizer_that_is_not_additive_still_ends_and_covers(text: str, max_tokens: int) -> None:
    document = markdown(text)
    chunks = chunk(document, max_tokens=max_tokens, overlap_tokens=2, count_tokens=count_greedy)
    covered = "".join(sorted(char for char in text if not char.isspace()))
    spans = {index for piece in chunks for index in range(piece.char_start, piece.char_end)}
    assert "".join(sorted(text[index] for index in spans if not text[index].isspace())) == covered
    for piece in chunks:
        assert document.text[piece.char_start : piece.char_end] == piece.text


def test_headings_start_chunks_and_give_the_path() -> None:
    text = (
        "# Guide\n\nIntro text here.\n\n## Install\n\nRun the thing.\n\n### On Linux\n\nUse apt.\n\n## Use\n\nAsk away."
    )
    chunks = chunks_of(markdown(text))
    assert [(piece.heading_path, piece.text) for piece in chunks] == [
        (("Guide",), "# Guide\n\nIntro text here."),
        (("Guide", "Install"), "## Install\n\nRun the thing."),
        (("Guide", "Install", "On Linux"), "### On Linux\n\nUse apt."),
        (("Guide", "Use"), "## Use\n\nAsk away."),
    ]


def test_a_heading_without_text_of_its_own_goes_with_what_follows() -> None:
    chunks = chunks_of(markdown("# A\n\n## B\n\nBody text.\n\n# Last"))
    assert [(piece.text, piece.heading_path) for piece in chunks] == [
        ("# A\n\n## B\n\nBody text.", ("A", "B")),
        ("# Last", ("Last",)),
    ]


def test_a_heading_stays_with_a_sentence_that_hardly_fits() -> None:
    body = " ".join(f"w{index}" for index in range(38)) + "."
    chunks = chunks_of(markdown(f"# One two three four\n\n{body}"), max_tokens=40)
    assert chunks[0].text.startswith("# One two three four\n\nw0")
    assert all(piece.tokens <= 40 for piece in chunks)


def test_markdown_marks_are_not_in_the_path() -> None:
    chunks = chunks_of(markdown("## The `run` [command](http://x.test/a_b) **now** ##\n\nText."))
    assert chunks[0].heading_path == ("The run command now",)


def test_paragraphs_are_packed_whole_up_to_the_budget() -> None:
    paragraphs = [" ".join([f"p{index}"] * 12) for index in range(6)]
    chunks = chunks_of(LoadedDocument("\n\n".join(paragraphs), "text/plain", blocks=_paragraphs(paragraphs)), 40, 0)
    assert [piece.tokens for piece in chunks] == [36, 36]
    assert chunks[0].text == "\n\n".join(paragraphs[:3])


def _paragraphs(paragraphs: Sequence[str]) -> tuple[Block, ...]:
    blocks, start = [], 0
    for paragraph in paragraphs:
        blocks.append(Block("paragraph", start, start + len(paragraph)))
        start += len(paragraph) + 2
    return tuple(blocks)


def test_a_long_paragraph_is_cut_at_sentences_with_whole_sentences_repeated() -> None:
    sentences = [f"Sentence number {index} says one more small thing." for index in range(12)]
    chunks = chunks_of(LoadedDocument(" ".join(sentences), "text/plain"), max_tokens=30, overlap_tokens=10)
    assert len(chunks) > 2
    for before, after in pairwise(chunks):
        assert before.text.endswith(".")
        repeated = before.text[-(before.char_end - after.char_start) :]
        assert repeated in sentences
        assert after.text.startswith(repeated)
    assert all(piece.tokens <= 30 for piece in chunks)


def test_chinese_is_cut_at_its_own_sentence_ends() -> None:
    sentences = [f"第{index}条规定的内容应当由主管部门负责解释并公布。" for index in "一二三四五六"]
    chunks = chunks_of(LoadedDocument("".join(sentences), "text/plain"), max_tokens=50, overlap_tokens=0)
    assert [piece.text for piece in chunks] == ["".join(sentences[i : i + 2]) for i in (0, 2, 4)]


def test_table_rows_stay_whole_and_are_not_repeated() -> None:
    rows = [f"Name: item {index}; Price: {index}.00" for index in range(20)]
    text = "\n".join(rows)
    blocks, start = [], 0
    for row in rows:
        blocks.append(Block("table_row", start, start + len(row)))
        start += len(row) + 1
    chunks = chunks_of(LoadedDocument(text, "text/csv", blocks=tuple(blocks)), max_tokens=40, overlap_tokens=15)
    assert [line for piece in chunks for line in piece.text.split("\n")] == rows


def test_a_small_last_piece_shares_the_sentences_of_the_one_before() -> None:
    sentences = [f"Here are exactly seven words number {index}." for index in range(5)] + ["The end."]
    chunks = chunks_of(LoadedDocument(" ".join(sentences), "text/plain"), max_tokens=40, overlap_tokens=0)
    assert len(chunks) == 2
    assert min(piece.tokens for piece in chunks) >= 15


def test_a_small_last_piece_joins_when_both_fit() -> None:
    text = "# T\n\n" + "word " * 30 + "\n\nlast one"
    assert len(chunks_of(markdown(text), max_tokens=40)) == 1


def test_a_word_longer_than_the_budget_is_cut_between_characters() -> None:
    text = "汉" * 100
    chunks = chunks_of(LoadedDocument(text, "text/plain"), max_tokens=30, overlap_tokens=0)
    assert [piece.tokens for piece in chunks] == [30, 30, 30, 10]
    assert "".join(piece.text for piece in chunks) == text


def test_a_combining_mark_stays_with_its_letter() -> None:
    def count_chars(texts: Sequence[str]) -> list[int]:
        return [len(text.replace(" ", "").replace("\n", "")) for text in texts]

    text = "e\u0301" * 30
    chunks = chunk(LoadedDocument(text, "text/plain"), max_tokens=5, overlap_tokens=0, count_tokens=count_chars)
    assert len(chunks) > 5
    assert all(not piece.text.startswith("\u0301") for piece in chunks)


def test_the_page_is_that_of_the_first_character() -> None:
    first, second = "one " * 30, "two " * 30
    text = f"{first.strip()}\n\n{second.strip()}"
    middle = text.index("two")
    pages = (PageSpan(1, 0, middle), PageSpan(2, middle, middle), PageSpan(3, middle, len(text)))
    blocks = (Block("paragraph", 0, middle - 2), Block("paragraph", middle, len(text)))
    chunks = chunks_of(LoadedDocument(text, "application/pdf", blocks=blocks, pages=pages), 40, 0)
    assert [piece.page for piece in chunks] == [1, 3]
    assert chunks_of(LoadedDocument(text, "text/plain"), 40, 0)[0].page is None


@pytest.mark.parametrize("text", ["", " \n\t\u3000 "])
def test_white_space_makes_no_chunk(text: str) -> None:
    assert chunks_of(LoadedDocument(text, "text/plain")) == []


@pytest.mark.parametrize(("max_tokens", "overlap"), [(0, 0), (10, 10), (10, -1)])
def test_budgets_out_of_range_are_refused(max_tokens: int, overlap: int) -> None:
    with pytest.raises(InvalidInput, match="tokens is"):
        chunks_of(LoadedDocument("text", "text/plain"), max_tokens, overlap)


def test_the_tokenizer_is_called_a_few_times_only() -> None:
    calls: list[int] = []

    def counting(texts: Sequence[str]) -> list[int]:
        calls.append(len(texts))
        return count_words(texts)

    text = "\n\n".join(f"# H{index}\n\nA sentence here. And another one there." for index in range(300))
    chunks = chunk(markdown(text), max_tokens=40, overlap_tokens=8, count_tokens=counting)
    assert len(chunks) == 300
    assert len(calls) == 2
