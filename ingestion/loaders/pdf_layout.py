"""Lines of PDF pages → paragraphs, headings, list items and table rows; running heads and page numbers dropped."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from app.types import BlockKind
from ingestion.loaders.pdf_lines import Line

_NUMBER = re.compile(r"[($€£¥+\-–—−]*\$?\d[\d,.:/]*[)%]*(?:bps|bn|m|k|x)?|[—–-]|N/?A|NM", re.I)
_AMOUNT = re.compile(r"\d\)$|\d,\d{3}")
_SYMBOLS = frozenset({"$", "€", "£", "¥", "%", "(", ")", "$(", ")%"})
_BULLET = re.compile(
    r"(?:[•‣▪◦●○■□➢✓]|[*–-]\s|\(?\d{1,2}[.)]\s|\([a-z]{1,3}\)\s|[a-z][.)]\s|[一二三四五六七八九十]{1,3}、|（[一二三四五六七八九十]{1,3}）)"
)
_PAGE_NUMBER = re.compile(r"[\W_]*(?:page|p\.|第)?\s*(?:\d{1,5}|[ivxlc]{1,7})\s*(?:页|(?:of|/)\s*\d{1,5})?[\W_]*", re.I)
_SENTENCE_END = re.compile(r"[.!?。！？…:：;；][\"'”’)\]）」』]*$")
_DIGITS = re.compile(r"\d+")
_CJK = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\u3000-\u303f]")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_MAX_HEADING_CHARS = 160
_WRAPPED_LABEL_CHARS = 60


@dataclass(frozen=True, slots=True)
class Piece:
    """A block of a page before it is written. `open_end`: its sentence may go on on the next page."""

    kind: BlockKind
    text: str
    level: int = 0
    open_end: bool = False
    hyphenated: bool = False


@dataclass(frozen=True, slots=True)
class Typography:
    """What the document's lines look like: size of its body text, whether that is bold, sizes of headings → level."""

    body: float
    bold_body: bool
    levels: Mapping[float, int]
    vocabulary: frozenset[str]


def without_furniture(pages: Sequence[Sequence[Line]], heights: Sequence[float]) -> list[list[Line]]:
    """`pages` without page numbers and what repeats at their edges, but for its first appearance."""
    seen: Counter[tuple[str, bool]] = Counter()
    edges: list[dict[int, tuple[str, bool]]] = []
    inside: list[set[int]] = []  # edge lines that are not in the margins: a short page's
    for lines, height in zip(pages, heights, strict=True):
        marks: dict[int, tuple[str, bool]] = {}
        inner: set[int] = set()
        ranked = sorted(range(len(lines)), key=lambda index: -lines[index].top)
        for index in {*ranked[:3], *ranked[-3:]}:
            middle = (lines[index].top + lines[index].bottom) / 2
            marks[index] = (_DIGITS.sub("#", lines[index].text).strip().lower(), index in ranked[:3])
            if 0.12 * height < middle < 0.88 * height:
                inner.add(index)
        edges.append(marks)
        inside.append(inner)
        seen.update(set(marks.values()))
    counted = _page_numbers(pages)
    enough, plenty = max(3, round(0.06 * len(pages))), max(5, round(0.3 * len(pages)))
    shown: set[tuple[str, bool]] = set()
    kept: list[list[Line]] = []
    for number, (lines, marks, inner) in enumerate(zip(pages, edges, inside, strict=True)):
        page: list[Line] = []
        for index, line in enumerate(lines):
            mark = marks.get(index)
            if mark is not None:
                if counted.get(number) == index:
                    continue
                if len(lines) > 1 and index not in inner and len(line.text) < 40 and _PAGE_NUMBER.fullmatch(line.text):
                    continue
                if mark in shown and seen[mark] >= (plenty if index in inner else enough):
                    continue
                shown.add(mark)
            page.append(line)
        kept.append(page)
    return kept


def _page_numbers(pages: Sequence[Sequence[Line]]) -> dict[int, int]:
    """Page index → index of its lowest line, where that is a number which counts along with at least three pages."""
    lowest: dict[int, tuple[int, int]] = {}
    for page, lines in enumerate(pages):
        if len(lines) > 1:
            index = min(range(len(lines)), key=lambda index: lines[index].bottom)
            bare = lines[index].text.strip("-–— ")
            if bare.isdecimal() and len(bare) < 6:
                lowest[page] = (index, int(bare) - page)
    common = {offset for offset, count in Counter(offset for _, offset in lowest.values()).items() if count >= 3}
    return {page: index for page, (index, offset) in lowest.items() if offset in common}


def typography(pages: Sequence[Sequence[Line]]) -> Typography:
    """Size and weight of most characters; larger lines rank as headings by size."""
    chars: Counter[float] = Counter()
    bold_chars = total = 0
    words: set[str] = set()
    for lines in pages:
        for line in lines:
            chars[line.size] += len(line.text)
            bold_chars += len(line.text) * line.bold
            total += len(line.text)
            words.update(
                word.lower()
                for word in _WORD.findall(line.text if not line.hyphenated else line.text.rpartition(" ")[0])
            )
    body = chars.most_common(1)[0][0] if chars else 10.0
    larger = sorted((size for size in chars if size >= body * 1.1 and chars[size] < 0.2 * total), reverse=True)
    merged: list[float] = []
    levels: dict[float, int] = {}
    for size in larger:
        if not merged or merged[-1] - size > 0.08 * merged[-1]:
            merged.append(size)
        levels[size] = min(5, len(merged))
    return Typography(body, bold_chars > 0.5 * total, levels, frozenset(words))


def page_pieces(lines: Sequence[Line], look: Typography, outline: Mapping[str, int]) -> list[Piece]:
    """The page's blocks. `outline`: titles of bookmarks that point to this page, as `title_key`, → heading level."""
    rows = joined_cells(lines)
    pieces: list[Piece] = []
    at = 0
    while at < len(rows):
        line = rows[at]
        level = _heading_level(rows, at, look, outline)
        if level:
            end = at + 1
            while end < len(rows) and end - at < 3 and _continues_heading(rows[end - 1], rows[end], look):
                end += 1
            pieces.append(Piece("heading", _joined(rows[at:end], look), level))
            at = end
        elif is_row(line) or (_label_between_rows(rows, at) and not _wraps_over_row(rows, at)):
            pieces.append(Piece("table_row", line.text))
            at += 1
        else:
            at = _paragraph(rows, at, look, outline, pieces)
    return pieces


def _paragraph(rows: Sequence[Line], at: int, look: Typography, outline: Mapping[str, int], pieces: list[Piece]) -> int:
    """Appends the paragraph, list item or wrapped table row that starts at `at`; returns where the next one starts."""
    end = at + 1
    while end < len(rows):
        if is_row(rows[end]):
            if end - at == 1 and _wraps_over_row(rows, at):
                pieces.append(Piece("table_row", _joined(rows[at : end + 1], look)))  # a label wrapped over its numbers
                return end + 1
            break
        if not _continues(rows, end, look) or _heading_level(rows, end, look, outline):
            break
        end += 1
    last = rows[end - 1]
    kind: BlockKind = "list_item" if _BULLET.match(rows[at].text) else "paragraph"
    open_end = end == len(rows) and not _SENTENCE_END.search(last.text)
    pieces.append(Piece(kind, _joined(rows[at:end], look), open_end=open_end, hyphenated=last.hyphenated))
    return end


def joined_cells(lines: Sequence[Line]) -> list[Line]:
    """`lines` with the cells of one table row, which the page may hold one after the other, on one line each.

    A cell of several lines shows as a step back up the page and to the right; its lines are joined first.
    """
    rows: list[Line] = []
    for line in lines:
        if rows and line.first_left >= rows[-1].right - 1 and line.height < 40:
            above = rows[-1]
            if abs(_middle(above) - _middle(line)) < 0.5 * min(above.height, line.height) and not above.hyphenated:
                rows[-1] = _beside(above, line)
                continue
            start = _cell_start(rows, line)
            if start is not None:
                cell = rows[start]
                text = " ".join(part.text for part in rows[start:])
                rows[start:] = [
                    replace(_beside(replace(cell, text=text, right=above.right), line), bottom=above.bottom)
                ]
                continue
        if rows and rows[-1].cells > 1 and _inside_last_cell(rows[-1], line):
            rows[-1] = replace(rows[-1], text=f"{rows[-1].text} {line.text}", bottom=min(rows[-1].bottom, line.bottom))
            continue
        rows.append(line)
    return rows


def _beside(above: Line, line: Line) -> Line:
    return replace(
        above, text=f"{above.text}  {line.text}", right=line.right, cells=above.cells + 1, first_left=line.first_left,
        bottom=min(above.bottom, line.bottom), hyphenated=line.hyphenated,
    )  # fmt: skip


def _cell_start(rows: Sequence[Line], line: Line) -> int | None:
    """Index of the row line that `line` stands beside, when the lines since then are one narrow cell to its left."""
    for back in range(1, min(5, len(rows) + 1)):
        other = rows[-back]
        if other.right > line.first_left + 1:
            return None
        if abs(other.top - line.top) < 0.6 * line.height:
            return len(rows) - back if back > 1 else None
    return None


def _inside_last_cell(row: Line, line: Line) -> bool:
    """Whether `line` goes on below the last cell of `row`: under it, close, and not under the row's first cell."""
    gap = row.bottom - line.top
    return (
        -1.7 * line.height < gap < 0.3 * line.height
        and line.first_left >= row.first_left - line.height * 2
        and line.first_left > row.left + 20
        and line.right <= row.right + line.height * 2
    )


def _middle(line: Line) -> float:
    return (line.top + line.bottom) / 2


def is_row(line: Line) -> bool:
    """True for a line that reads as a table row: several numbers, or cells that stood apart."""
    if line.cells > 2 or line.sparse:
        return True
    tokens = [token for token in line.text.split() if token not in _SYMBOLS]
    numbers = sum(bool(_NUMBER.fullmatch(token)) for token in tokens)
    if line.cells == 2 and numbers:
        return True
    if numbers < 2 or not any(char.isdigit() for char in line.text):
        return False
    if line.text.endswith((".", ",", ";", "，", "。")):
        return numbers >= 0.6 * len(tokens)
    tail = tokens[-2:]
    if all(_NUMBER.fullmatch(token) and token[-1] not in ".,;" for token in tail) and (
        numbers >= 0.2 * len(tokens) or any(_AMOUNT.search(token) for token in tail)
    ):
        return True
    return numbers >= 0.45 * len(tokens)


def _label_between_rows(rows: Sequence[Line], at: int) -> bool:
    """A short label such as `Current assets:` with a table row right above and right below it."""
    if not 0 < at < len(rows) - 1 or len(rows[at].text) > 90:
        return False
    return is_row(rows[at - 1]) and is_row(rows[at + 1]) and not rows[at].text.endswith(".")


def _wraps_over_row(rows: Sequence[Line], at: int) -> bool:
    """Whether line `at` is the first line of a row's label, whose numbers stand beside its second."""
    if at + 1 >= len(rows):
        return False
    above, below = rows[at], rows[at + 1]
    if not is_row(below) or is_row(above):
        return False
    if above.hyphenated:
        return True
    if _SENTENCE_END.search(above.text) or not _near(above, below):
        return False
    return below.text[:1].islower() or (len(above.text) >= _WRAPPED_LABEL_CHARS and below.text[:1] in "$0123456789")


def _near(above: Line, below: Line) -> bool:
    gap = above.bottom - below.top
    return -1.2 * above.height < gap < 0.75 * max(above.height, below.height)


def _continues(rows: Sequence[Line], index: int, look: Typography) -> bool:
    """Whether line `index` goes on in the paragraph of the line before it."""
    above, below = rows[index - 1], rows[index]
    if above.hyphenated:
        return True
    if abs(above.size - below.size) > 0.15 * look.body:
        return False
    if not _near(above, below):  # the next column: only a sentence that plainly goes on
        return below.bottom > above.top and below.text[:1].islower() and not _SENTENCE_END.search(above.text)
    if _BULLET.match(below.text):
        return False
    if below.text[:1].islower():
        return True
    if above.bold != below.bold and not look.bold_body and _SENTENCE_END.search(above.text):
        return False
    width = below.right - below.left
    first_word = len(below.text.split(maxsplit=1)[0]) if not _CJK.match(below.text) else 1
    needed = width * (first_word + 1) / max(1, len(below.text))
    neighbours = rows[max(0, index - 6) : index + 6]
    edge = max(
        (line.right for line in neighbours if line.left < above.right and line.right > above.left), default=above.right
    )
    full = above.right + needed > edge - 0.02 * (edge - above.left)
    indented = below.left > above.left + 0.8 * look.body and index >= 2 and _SENTENCE_END.search(above.text) is not None
    return full and not indented


def _heading_level(rows: Sequence[Line], index: int, look: Typography, outline: Mapping[str, int]) -> int:
    line = rows[index]
    if len(line.text) > _MAX_HEADING_CHARS or not any(char.isalpha() for char in line.text):
        return 0
    level = outline.get(title_key(line.text), 0)
    if level:
        return level
    if line.cells > 1 or is_row(line) or line.hyphenated:
        return 0
    level = look.levels.get(line.size, 0)
    if level:
        return level if not (line.text[-1:] in ".,;。，；" and len(line.text) > 60) else 0
    if (
        not line.bold
        or look.bold_body
        or len(line.text) > 110
        or line.text[-1:] in ",;，；"
        or _BULLET.match(line.text)
    ):
        return 0
    if line.text.endswith(".") and len(line.text.split()) > 8:
        return 0
    below = rows[index + 1] if index + 1 < len(rows) else None
    if (
        below is None
        or is_row(below)
        or (below.bold and _near(line, below) and not _continues_heading(line, below, look))
    ):
        return 0
    return min(6, max(look.levels.values(), default=0) + 1)


def _continues_heading(above: Line, below: Line, look: Typography) -> bool:
    """A heading over two lines: same size and weight, close, and either long above or lower case below."""
    if above.bold != below.bold or above.size != below.size or not _near(above, below):
        return False
    if is_row(below) or _SENTENCE_END.search(above.text) or below.cells > 1:
        return False
    large = above.size in look.levels
    return below.text[:1].islower() or (large and above.right - above.left > 12 * above.size) or above.hyphenated


def title_key(title: str) -> str:
    """A title for comparison: letters and digits only, case folded."""
    return "".join(char for char in title.casefold() if char.isalnum())


def _joined(lines: Sequence[Line], look: Typography) -> str:
    text = lines[0].text
    for above, below in pairwise(lines):
        text = join_lines(text, below.text, above.hyphenated, look.vocabulary)
    return text


def join_lines(above: str, below: str, hyphenated: bool, vocabulary: frozenset[str]) -> str:
    """Two lines as one: no blank between Chinese characters; a word cut by a hyphen whole again, a compound kept.

    The hyphen stays when the hyphenated word, or both of its halves, appear in the document's `vocabulary` and the
    joined word does not.
    """
    if not hyphenated and above.endswith("-") and above[-2:-1].isalpha() and below[:1].islower():
        above, hyphenated = above[:-1], True
    if hyphenated:
        head = re.search(r"[^\W\d_]*$", above)
        tail = re.match(r"[^\W\d_]*", below)
        left, right = head[0] if head else "", tail[0] if tail else ""
        whole = (left + right).lower()
        compound = f"{left}-{right}".lower() in vocabulary or (
            left.lower() in vocabulary and right.lower() in vocabulary
        )
        if left and right and right[0].islower() and (whole in vocabulary or not compound):
            return above + below
        return f"{above}-{below}"
    if _CJK.match(below) and _CJK.fullmatch(above[-1:]):
        return above + below
    return f"{above} {below}"
