"""Plain text: kept as it is; paragraphs at blank lines, list items, and the headings that plain text can show."""

from __future__ import annotations

import re
from pathlib import Path

from app.errors import UnreadableDocument
from app.types import Block, LoadedDocument
from ingestion.loaders.builder import check_chars
from ingestion.loaders.encoding import clean_text, decode
from ingestion.loaders.limits import LoadLimits

_BLANK = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+")
_BULLET = re.compile(
    r"[ \t]*(?:[-*+•‣▪◦●–]|\(?\d{1,3}[.)]|\([a-zA-Z]\)"
    r"|[一二三四五六七八九十]{1,3}、|（[一二三四五六七八九十]{1,3}）)[ \t　]*\S"
)
_CHINESE_PART = re.compile(r"第[一二三四五六七八九十百千零〇\d]+([编篇卷部章节])(?:[\s　]+\S.{0,40})?")
_CHINESE_LEVEL = {"编": 1, "篇": 1, "卷": 1, "部": 1, "章": 2, "节": 3}
_CHAPTER = re.compile(
    r"(PART|BOOK|VOLUME|CHAPTER|APPENDIX|SECTION)\s+(?:[IVXLCDM]+|\d+|[A-Z]|[A-Z]+)\b[.:—-]?.{0,80}", re.I
)
_CHAPTER_LEVEL = {"part": 1, "book": 1, "volume": 1, "chapter": 2, "appendix": 2, "section": 3}
_NUMBERED = re.compile(r"(\d{1,2}(?:\.\d{1,2}){0,4})\.?[ \t]+[A-Z\u4e00-\u9fff].{0,90}")
_UNDERLINE = re.compile(r"[^\n]{2,120}\n([=\-~^\"*#])\1{2,}")
_UNDERLINE_LEVEL = {"=": 1, "-": 2, "~": 3, "^": 4, '"': 4, "*": 2, "#": 1}
_SENTENCE_END = (".", "。", ";", "；", ",", "，", ":", "：", "!", "?", "！", "？", "…")


def load_text(path: Path, media_type: str, limits: LoadLimits) -> LoadedDocument:
    """The file's text, decoded and cleaned, nothing else changed."""
    text, metadata, warnings = read_text(path, "text", limits)
    return LoadedDocument(text, media_type, blocks=tuple(text_blocks(text)), metadata=metadata, warnings=warnings)


def read_text(
    path: Path, format_name: str, limits: LoadLimits, declared: str | None = None
) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """(clean text, metadata with the encoding, warnings) of a text file.

    Raises:
        UnreadableDocument: `too_large` over `limits.text_chars`, before the file is read where its size tells.
    """
    if path.stat().st_size > 4 * (limits.text_chars + 1):
        check_chars(limits.text_chars + 1, format_name, limits)
    data = path.read_bytes()
    text, encoding = decode(data, declared)
    text = clean_text(text)
    check_chars(len(text), format_name, limits)
    if not text.strip():
        raise UnreadableDocument(f"the {format_name} file holds only white space; upload one with text", code="empty")
    warnings = []
    if "\ufffd" in text and b"\xef\xbf\xbd" not in data:
        warnings.append(f"some bytes are not valid {encoding} and became U+FFFD; save the file as UTF-8")
    return text, {"encoding": encoding}, tuple(warnings)


def text_blocks(text: str, offset: int = 0) -> list[Block]:
    """Paragraphs, list items and headings of `text`, shifted by `offset`; every visible character is in one of them."""
    blocks: list[Block] = []
    start = 0
    for end, following in [*((gap.start(), gap.end()) for gap in _BLANK.finditer(text)), (len(text), len(text))]:
        blocks.extend(_paragraph_blocks(text, start, end, offset))
        start = following
    return blocks


def _paragraph_blocks(text: str, start: int, end: int, offset: int) -> list[Block]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start == end:
        return []
    paragraph = text[start:end]
    if level := heading_level(paragraph):
        return [Block("heading", start + offset, end + offset, level)]
    blocks: list[Block] = []
    at = start
    run_start, kind = start, "paragraph"
    for line in paragraph.split("\n"):
        line_end = at + len(line)
        part = _CHINESE_PART.fullmatch(line.strip())
        starts_item = _BULLET.match(line)
        if at > run_start and (starts_item or part):
            blocks.append(_block(kind, text, run_start, at, offset))
            run_start, kind = at, "paragraph"
        if part:
            blocks.append(_block("heading", text, at, line_end, offset, _CHINESE_LEVEL[part[1]]))
            run_start, kind = line_end + 1, "paragraph"
        elif starts_item:
            kind = "list_item"
        at = line_end + 1
    if run_start < end:
        blocks.append(_block(kind, text, run_start, end, offset))
    return [block for block in blocks if block.char_end > block.char_start]


def _block(kind: str, text: str, start: int, end: int, offset: int, level: int = 0) -> Block:
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    end = max(start, start + len(piece.strip()))
    return Block(kind, start + offset, end + offset, level)  # type: ignore[arg-type]


def heading_level(paragraph: str) -> int:
    """1..4 when a paragraph that stands alone reads as a heading, else 0."""
    if len(paragraph) > 250:
        return 0
    underlined = _UNDERLINE.fullmatch(paragraph)
    if underlined:
        return _UNDERLINE_LEVEL[underlined[1]]
    if "\n" in paragraph or len(paragraph) > 120:
        return 0
    if part := _CHINESE_PART.fullmatch(paragraph):
        return _CHINESE_LEVEL[part[1]]
    if paragraph.endswith(_SENTENCE_END):
        return 0
    if chapter := _CHAPTER.fullmatch(paragraph):
        return _CHAPTER_LEVEL[chapter[1].lower()]
    if numbered := _NUMBERED.fullmatch(paragraph):
        return min(4, 1 + numbered[1].count("."))
    letters = [char for char in paragraph if char.isalpha()]
    if (
        len(letters) >= 4
        and len(paragraph) <= 80
        and paragraph.isupper()
        and all(ord(char) < 0x250 for char in letters)
    ):
        return 2
    return 0
