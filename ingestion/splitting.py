"""Spans of text that a chunk may begin or end at: sentences, and inside an over-long one, words and characters."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from app.index.analysis import sentence_spans
from app.types import BlockKind

CountTokens = Callable[[Sequence[str]], list[int]]

_LINEWISE: frozenset[BlockKind] = frozenset({"code", "table_row"})
_WORD = re.compile(
    r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]|"  # one character is a word here
    r"[^\s\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]{1,24}"
)
_CLAUSE_END = frozenset(",;:，；：、)）\n")


@dataclass(frozen=True, slots=True)
class Atom:
    """`text[start:end]`, which no chunk cuts through; trimmed, not empty. `block` is where its block starts."""

    start: int
    end: int
    tokens: int
    block: int
    kind: BlockKind


def sentence_bounds(text: str, start: int, end: int, kind: BlockKind) -> list[tuple[int, int]]:
    """`text[start:end]` in sentences (code and table rows: in lines), trimmed; no visible character is left out."""
    piece = text[start:end]
    if kind == "heading":
        starts = [0]
    elif kind in _LINEWISE:
        starts = [0, *(match.end() for match in re.finditer(r"\n", piece))]
    else:
        starts = [0, *(first for first, _ in sentence_spans(piece)[1:])]
    return trimmed_spans(text, [start + offset for offset in starts], end)


def trimmed_spans(text: str, starts: Sequence[int], end: int) -> list[tuple[int, int]]:
    """`[start, next start)` for each start, without the white space at both ends; the empty ones are dropped."""
    spans = []
    for first, last in zip(starts, [*starts[1:], end], strict=True):
        piece = text[first:last]
        bare = piece.strip()
        if bare:
            left = first + len(piece) - len(piece.lstrip())
            spans.append((left, left + len(bare)))
    return spans


def cut_span(
    text: str, start: int, end: int, budgets: tuple[int, int], count_tokens: CountTokens
) -> list[tuple[int, int]]:
    """`text[start:end]` in pieces of at most `budgets` tokens: of the first piece, of the others.

    A piece ends after a clause where one ends in its last half. A word over the budget is cut between characters, never
    before a combining mark; a single character over the budget stays whole.
    """
    words = [(start + match.start(), start + match.end()) for match in _WORD.finditer(text[start:end])]
    words = _attach_marks(text, words)
    counts = count_tokens([text[a:b] for a, b in words])
    smallest = max(1, min(budgets))
    if any(count > smallest and b - a > 1 for (a, b), count in zip(words, counts, strict=True)):
        split: list[tuple[int, int]] = []
        for (a, b), count in zip(words, counts, strict=True):
            split.extend(_attach_marks(text, [(i, i + 1) for i in range(a, b)]) if count > smallest else [(a, b)])
        words = split
        counts = count_tokens([text[a:b] for a, b in words])
    totals = [0, *accumulate(counts)]
    starts: list[int] = []
    first = 0
    while first < len(words):
        budget = budgets[0] if not starts else budgets[1]
        last = max(first + 1, bisect_right(totals, totals[first] + budget) - 1)
        if last < len(words):
            last = _clause_cut(text, words, first, last)
        starts.append(words[first][0])
        first = last
    return trimmed_spans(text, [start, *starts[1:]], end)


def _clause_cut(text: str, words: Sequence[tuple[int, int]], first: int, last: int) -> int:
    for cut in range(last, first + max(1, (last - first) // 2), -1):
        if text[words[cut - 1][1] - 1] in _CLAUSE_END or "\n" in text[words[cut - 1][1] : words[cut][0]]:
            return cut
    for cut in range(last, first + max(1, (last - first) // 2), -1):  # else between words, not inside a long one
        if words[cut][0] > words[cut - 1][1] or ord(text[words[cut][0]]) >= 0x2E80:
            return cut
    return last


def _attach_marks(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """`spans` with combining marks, joiners and variation selectors moved to the span before them."""
    joined: list[tuple[int, int]] = []
    for a, b in spans:
        if joined and joined[-1][1] == a and (_is_mark(text[a]) or text[a - 1] == "\u200d"):
            joined[-1] = (joined[-1][0], b)
        else:
            joined.append((a, b))
    return joined


def _is_mark(char: str) -> bool:
    return char > "\u02ff" and (
        unicodedata.category(char) in ("Mn", "Mc", "Me")
        or char in "\u200d\ufe0f"
        or "\U0001f3fb" <= char <= "\U0001f3ff"
    )
