"""The items of a list that answer a question: an enumeration, points under a lead-in, or a table's column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.generation.styles.candidates import Weights, candidates_of
from app.generation.styles.orders import is_order
from app.generation.styles.topic import Topic, held, held_of, topic_of
from app.generation.table_cells import Cell, table_rows
from app.index.analysis import analyze, sentence_spans
from app.types import Passage, PassageSpan

MAX_ITEMS = 15
MIN_COVERAGE = 0.6
_MAX_ITEM_WORDS, _MAX_ITEM_HAN = 7, 16
_LAST_WORD = r"(?:and|or|as\s+well\s+as|and\s+also|plus)"
_SEPARATOR = re.compile(
    rf"(?P<last>\s*[,;]\s*{_LAST_WORD}\s+|\s+(?:{_LAST_WORD}|&)\s+|(?<=[\u3400-\u9fff）》”])[，、]?(?:以及|及其|和|及|与|與|或)(?=[\u3400-\u9fffA-Za-z0-9《“]))"
    r"|(?P<pause>、)|(?P<comma>\s*[,;，；]\s*)",
    re.IGNORECASE,
)
_BEFORE_FIRST = re.compile(
    r"(?:\b(?:in|of|at|from|to|for|with|by|on|as|into|are|is|were|was|be|include[sd]?|including|such\s+as|namely|like|between|among"
    r"|has|have|had|makes?|made|sells?|sold|produces?|produced|offers?|offered|provides?|provided|uses?|used|serves?|served|comprises?"
    r"|employs?|contains?|covers?|covered|needs?|requires?|supports?|accepts?|both|either)\s+|[:：]\s*"
    r"|(?:包括|包含|分为|分別為|分别是|分别为|有|是|为|為|在|于|於|由|从|生产|经营|销售|提供|设有|位于|使用|需要))",
    re.IGNORECASE,
)
_AFTER_LAST = re.compile(
    r"\s+(?:in|on|at|by|for|with|from|to|into|which|who|whose|that|where|is|are|was|were|has|have|had|will|can|may|must|since|during"
    r"|because|when|while|after|before|as|until|per|were|respectively|each|every|under|over|through|among|between)\b"
    r"|(?:等|为|為|是|在|都|均|三|两|四|五|六|七)(?=[\u3400-\u9fff]|$)|[.。!！?？;；(（]",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"\b(?:is|are|was|were|has|have|had|will|can|may|must|do|does|did|which|who|that|but|because|if|it|they|he|she|we|however)\b",
    re.I,
)
_MARK = re.compile(
    r"^\s*(?:[-*+•‣▪◦●○■□–—·]\s+|\(?(?:\d{1,2}|[A-Za-z]|[ivx]{1,4})[.)]\s+|[（(]?[一二三四五六七八九十\d]{1,3}[）)、.]\s*)(?=\S)"
)
_HAN = re.compile(r"[\u3400-\u9fff]")
_BAR_CELL = re.compile(r"[^|]+")
_NAMED_HEADER = 0.5


@dataclass(frozen=True, slots=True)
class Items:
    """What was found: `spans` hold one item each, in the order of the text; `coverage` of the question around them."""

    form: Literal["enumeration", "points", "rows"]
    spans: tuple[PassageSpan, ...]
    coverage: float


def enumeration(passages: Sequence[Passage], span: PassageSpan) -> Items | None:
    """Return the whole enumeration that a copied span is a part of: "Lyon" → Lyon, Turin and Ghent; None without one.

    Args:
        passages: of the prompt.
        span: the copied answer: one item, some of them, or all.
    """
    text = passages[span.passage].text
    sentence = next(((a, b) for a, b in sentence_spans(text) if a <= span.char_start < b), None)
    if sentence is None or span.char_end > sentence[1]:
        return None
    pieces, conjunctions = _pieces(text, *sentence)
    inside = [i for i, (a, b) in enumerate(pieces) if a < span.char_end and b > span.char_start]
    if not inside:
        return None
    first, last = inside[0], inside[-1]
    start, end = span.char_start, span.char_end
    if last < len(pieces) - 1 and text[end : pieces[last][1]].strip():
        return None  # words stand between the answer and the next comma
    named = _named(text[start:end])
    items = [(max(a, start) if i == first else a, min(b, end) if i == last else b) for i, (a, b) in enumerate(pieces)][
        first : last + 1
    ]
    if text[pieces[first][0] : start].strip() == "":
        for i in range(first - 1, -1, -1):
            a, b = pieces[i]
            cut = max((m.end() for m in _BEFORE_FIRST.finditer(text, a, b)), default=a)
            if not _is_item(text[cut:b], named):
                break
            items.insert(0, (cut, b))
            first = i
            if cut > a:
                break
    for i in range(last + 1, len(pieces)):
        a, b = pieces[i]
        found = _AFTER_LAST.search(text, a, b)
        cut = found.start() if found else b
        if not _is_item(text[a:cut], named):
            break
        items.append((a, cut))
        last = i
        if cut < b:
            break
    joined = conjunctions[first:last]
    if len(items) < 2 or not any(joined):
        return None  # commas alone may be appositions: "Lyon, France"
    return Items("enumeration", tuple(PassageSpan(span.passage, a, b) for a, b in items[:MAX_ITEMS]), 1.0)


def listed(question: str, passages: Sequence[Passage]) -> Items | None:
    """Return the points under the lead-in, or the table column, that the question names; None without such a one."""
    topic = topic_of(question)
    if not topic.terms:
        return None
    weights = Weights(topic.terms, candidates_of(passages))
    found = [*_points(passages, topic, weights), *_columns(passages, topic, weights)]
    return max(found, key=lambda items: (items.coverage, -items.spans[0].passage), default=None)


def _pieces(text: str, start: int, end: int) -> tuple[list[tuple[int, int]], list[bool]]:
    """The stretches between commas and conjunctions, and for each gap between two whether it joins a list's items."""
    pieces, joins, at = [], [], start
    for match in _SEPARATOR.finditer(text, start, end):
        pieces.append((at, match.start()))
        joins.append(match.lastgroup in ("last", "pause"))
        at = match.end()
    return [*pieces, (at, end)], joins


def _named(item: str) -> bool:
    """Whether the item is written as a name or a number."""
    return item[:1].isupper() or item[:1].isdigit() or item[:1] in "$€£¥"


def _is_item(item: str, named: bool) -> bool:
    plain = item.strip()
    if not plain or _CLAUSE.search(plain) or is_order(plain):
        return False
    if _HAN.search(plain):
        return len(plain) <= _MAX_ITEM_HAN
    return len(plain.split()) <= _MAX_ITEM_WORDS and (
        not named or _named(plain.removeprefix("the ").removeprefix("The "))
    )


def _points(passages: Sequence[Passage], topic: Topic, weights: Weights) -> list[Items]:
    """The groups of points whose lead-in or heading holds enough of the topic."""
    found = []
    for number, passage in enumerate(passages):
        chunk = passage.hit.chunk
        title = frozenset(analyze(" ".join([chunk.title, *chunk.heading_path])))
        for lead, points in _groups(passage.text):
            said = frozenset(analyze(lead if lead else " ".join(chunk.heading_path[-1:])))
            coverage = weights.share(said | title)
            if len(points) >= 2 and coverage >= MIN_COVERAGE and held_of(topic.terms, said):
                spans = tuple(PassageSpan(number, a, b) for a, b in points[:MAX_ITEMS])
                found.append(Items("points", spans, coverage))
    return found


def _groups(text: str) -> list[tuple[str, list[tuple[int, int]]]]:
    """(lead-in, points) for every run of lines that begin with a bullet, or that are short and follow a colon."""
    groups: list[tuple[str, list[tuple[int, int]]]] = []
    lead, after_colon, points, at = "", False, list[tuple[int, int]](), 0
    for line in text.splitlines(keepends=True):
        plain = line.strip()
        start = at + len(line) - len(line.lstrip())
        mark = _MARK.match(line)
        at += len(line)
        if not plain:
            continue
        short = after_colon and len(plain) <= 100 and not plain.endswith((".", "。", ":", "："))
        if (mark or short) and not is_order(plain):
            begin = at - len(line) + mark.end() if mark else start
            points.append((begin, start + len(plain)))
            continue
        if points:
            groups.append((lead, points))
        lead, after_colon, points = plain, plain.endswith((":", "：")), []
    return [*groups, (lead, points)] if points else groups


def _columns(passages: Sequence[Passage], topic: Topic, weights: Weights) -> list[Items]:
    """The values under the header that the question names, of the rows that it names, if it names any.

    Where no header but the title names what is asked for ("which suppliers are on the list?"), it is the first column.
    """
    found = []
    for number, passage in enumerate(passages):
        rows = tables_of(passage.text)
        if len(rows) < 2:
            continue
        chunk = passage.hit.chunk
        title = frozenset(analyze(" ".join([chunk.title, *chunk.heading_path])))
        cells = [[frozenset(analyze(cell.value)) for cell in row] for row in rows]
        naming = {t for t in topic.terms if 0 < sum(any(held(t, c) for c in row) for row in cells) < len(rows)}
        kept = [i for i, row in enumerate(cells) if all(any(held(t, c) for c in row) for t in naming)]
        headers = {cell.header: frozenset(analyze(cell.header)) for row in rows for cell in row}
        shares = {name: len(held_of(terms, topic.terms)) / len(terms) for name, terms in headers.items() if terms}
        best = max(shares.values(), default=0.0)
        named = [name for name, share in shares.items() if share == best]
        if best < _NAMED_HEADER:
            named = [rows[0][0].header] if held_of(topic.terms, title) and not naming else []
        if len(named) != 1:
            continue
        values: dict[str, PassageSpan] = {}
        for i in kept:
            for cell in rows[i]:
                if cell.header == named[0] and not any(is_order(other.value) for other in rows[i][:1]):
                    values.setdefault(cell.value.casefold(), PassageSpan(number, cell.char_start, cell.char_end))
        coverage = weights.share(title | headers.get(named[0], frozenset()) | naming)
        if len(values) >= 2 and coverage >= MIN_COVERAGE:
            found.append(Items("rows", tuple(values.values())[:MAX_ITEMS], coverage))
    return found


def tables_of(text: str) -> list[list[Cell]]:
    """Return the rows of a passage's table: `Header: value; …` lines, or lines of cells between bars under a first
    line with the headers."""
    rows = list(table_rows(text))
    if rows:
        return rows
    headers: list[str] = []
    at = 0
    for line in text.splitlines(keepends=True):
        cells = [match for match in _BAR_CELL.finditer(line.rstrip("\n")) if match.group().strip()]
        if "|" in line and len(cells) >= 2 and not set(line.strip()) <= set("|-: "):
            if not headers:
                headers = [match.group().strip() for match in cells]
            elif len(cells) == len(headers):
                rows.append([_cell(header, match, at) for header, match in zip(headers, cells, strict=True)])
        at += len(line)
    return rows


def _cell(header: str, match: re.Match[str], line_start: int) -> Cell:
    value = match.group().strip()
    start = line_start + match.start() + match.group().index(value)
    return Cell(header, value, start, start + len(value))
