"""Where sentences begin and end, in English and Chinese prose, lists, headings and hard-wrapped text."""

from __future__ import annotations

import re
from itertools import pairwise

_CLOSERS = r"[\"'\u201d\u2019\u00bb)\]\u300d\u300f\uff09\u3011\u300b]"
# 。！？；and an ellipsis in Chinese end a sentence with nothing after them; . ! ? need white space (or "[12]", then it)
_END = re.compile(
    rf"(?P<cjk>[。！？；｡]+[。！？；｡…]*{_CLOSERS}*|(?<=[\u3040-\u30ff\u3400-\u9fff])…+{_CLOSERS}*)"
    rf"|(?P<latin>[.!?…]+{_CLOSERS}*(?:\[\d+(?:[,–-]\s?\d+)*\])*)(?=\s|$)"
    r"|(?P<newline>[ \t]*\r?\n)"
)
_BULLET = re.compile(
    r"\s*(?:[-*+•‣▪◦●○■□–—·]\s|\(?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,4})[.)]\s|[一二三四五六七八九十]{1,3}、|#{1,6}\s|\|)"
)
_NEXT_WORD = re.compile(r"\s*[\"'\u201c\u2018\u00ab(\[]*([^\s,;:.!?)\]\"'\u201d\u2019]+)")
_LAST_TOKEN = re.compile(r"[^\s(\[\"'\u201c\u2018]+$")
_INITIAL = re.compile(r"(?:[A-Z]\.)*[A-Z]")
_ACRONYM = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]")

# never the end of a sentence: a name, a number or a reference follows
_TITLES_TEXT = """
    mr mrs ms dr prof sr jr st mt rev hon gen col lt sgt capt gov sen rep pres vs v cf viz e.g i.e eg ie approx
    ca resp incl al messrs mme mlle
"""
# an abbreviation only before a number or a Roman numeral or a bracket: "No. 5", but "He said no. Then …"
_BEFORE_NUMBER_TEXT = """
    no nos fig figs eq eqs sec secs ch chap p pp vol vols art par para tab tbl ref refs app ex n ver
    jan feb mar apr jun jul aug sep sept oct nov dec
"""
# may end a sentence: the next word decides
_MAYBE_TEXT = """
    etc inc ltd co corp llc plc u.s u.k u.n e.u u.s.a a.m p.m ph.d m.d b.a m.a d.c est dept univ bros ave blvd
"""
_STARTERS_TEXT = """
    the a an this that these those it its he she they we i you his her their our my there here in on at by for from
    with as if when while after before since because although however but and so then thus therefore moreover
    furthermore meanwhile no not all some many most both each what who how why where according such
    one two under
"""
_TITLES, _BEFORE_NUMBER, _MAYBE, _STARTERS = (
    frozenset(words.split()) for words in (_TITLES_TEXT, _BEFORE_NUMBER_TEXT, _MAYBE_TEXT, _STARTERS_TEXT)
)


def _ends(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether the period, question or exclamation mark of `match` ends the sentence that began at `start`."""
    follows = _NEXT_WORD.match(text, match.end())
    word = follows.group(1) if follows else ""
    if not word:
        return True
    if word[0].islower() and "\n\n" not in text[match.end() : follows.start(1) if follows else None]:
        return False
    mark = match.group()
    if mark[0] != "." or mark.startswith(".."):
        return True
    before = _LAST_TOKEN.search(text, max(start, match.start() - 40), match.start())
    token = before.group() if before else ""
    if not token:
        return True
    if token.isdigit() and not text[start : match.start() - len(token)].strip():
        return False  # "1. First": the number of a list item
    lowered = token.lower()
    if lowered in _TITLES:
        return False
    if lowered in _BEFORE_NUMBER:
        return not (word[0].isdigit() or (word.isupper() and len(word) < 5 and lowered not in {"no", "ex", "par"}))
    if lowered in _MAYBE or _ACRONYM.fullmatch(token) or _INITIAL.fullmatch(token):
        return word.lower() in _STARTERS and word[0].isupper() and not (len(word) == 1 and _INITIAL.fullmatch(token))
    return True


def _wrapped(text: str, line_start: int, line_end: int, next_start: int, width: int) -> bool:
    """Whether a single line break only wraps a long line: the next line's first word would not have fitted."""
    if _BULLET.match(text, next_start) or "\t" in text[line_start:line_end]:
        return False
    first = text[next_start : next_start + 60].split(maxsplit=1)
    if not first:
        return False
    if first[0][0].islower():
        return True
    length = line_end - line_start
    return length + 1 + len(first[0]) > width or text[line_start:line_end].endswith((",", "-", "，", "、"))


def _widest_lines(text: str) -> dict[int, int]:
    """Start of each paragraph's lines → the length of the paragraph's longest line."""
    widths: dict[int, int] = {}
    starts: list[int] = []
    widest = 0
    at = 0
    for line in text.splitlines(keepends=True):
        bare = len(line.strip())
        if not bare:
            widths.update(dict.fromkeys(starts, widest))
            starts, widest = [], 0
        else:
            starts.append(at)
            widest = max(widest, bare)
        at += len(line)
    widths.update(dict.fromkeys(starts, widest))
    return widths


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """`[char_start, char_end)` of each sentence in order, trimmed; together they hold every character but white space.

    A blank line always ends a sentence; a single line break does before a list item, after a table row, and where the
    next line's first word would still have fitted (a heading), not where it only wraps a long line.
    """
    cuts: list[int] = [0]
    widths = _widest_lines(text)
    line_start = 0
    for match in _END.finditer(text):
        kind = match.lastgroup
        if kind == "newline":
            next_start = match.end()
            bare_start = (
                line_start + len(text[line_start : match.start()]) - len(text[line_start : match.start()].lstrip())
            )
            blank = not text[next_start : next_start + 400].split("\n", 1)[0].strip()
            width = widths.get(line_start, 0)
            if blank or not _wrapped(text, bare_start, match.start(), next_start, width):
                cuts.append(next_start)
            line_start = next_start
        elif kind == "cjk" or _ends(text, _trimmed_start(text, cuts[-1]), match):
            cuts.append(match.end())
    cuts.append(len(text))
    return [span for a, b in pairwise(cuts) if (span := _trim(text, a, b)) is not None]


def _trimmed_start(text: str, start: int) -> int:
    while start < len(text) and text[start].isspace():
        start += 1
    return start


def _trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    size = len(piece.strip())
    return (start + left, start + left + size) if size else None
