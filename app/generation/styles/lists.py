"""The items of a list that answer a question: an enumeration, points under a lead-in, or a table's column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.generation.styles.candidates import Weights, candidates_of
from app.generation.styles.columns import asked_columns
from app.generation.styles.item import MAX_ITEMS, Item, once
from app.generation.styles.orders import is_order
from app.generation.styles.topic import Topic, held_of, topic_of
from app.generation.table_cells import line_of
from app.index.analysis import analyze, sentence_spans
from app.types import Passage, PassageSpan

MIN_COVERAGE = 0.6
_MAX_ITEM_WORDS, _MAX_ITEM_HAN = 7, 16
_LAST_WORD = r"(?:and|or|as\s+well\s+as|and\s+also|plus)"
_SEPARATOR = re.compile(
    rf"(?P<last>\s*[,;]\s*{_LAST_WORD}\s+|\s+(?:{_LAST_WORD}|&)\s+|(?<=[\u3400-\u9fff）》”])[，、]?(?:以及|及其|和|及|与|與|或)(?=[\u3400-\u9fffA-Za-z0-9《“]))"
    r"|(?P<pause>、)|(?P<comma>\s*[,;，；]\s*)",
    re.IGNORECASE,
)
BETWEEN = re.compile(rf"(?:{_SEPARATOR.pattern})(?:the\s+|an?\s+)?", re.IGNORECASE)
_SEMICOLON = re.compile(r"[;；]")
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
_AS_GOOD = 0.95  # of the best coverage: another list that is as much the one asked for


@dataclass(frozen=True, slots=True)
class Items:
    """What was found: `spans` hold one item each, in the order of the text; `coverage` of the question around them.

    `items` says what each of them cites; there are none for an enumeration, which is cited as a whole.
    """

    form: Literal["enumeration", "points", "rows"]
    spans: tuple[PassageSpan, ...]
    coverage: float
    items: tuple[Item, ...] = ()


def enumeration(passages: Sequence[Passage], span: PassageSpan) -> Items | None:
    """Return the whole enumeration that a copied span is a part of: "Lyon" → Lyon, Turin and Ghent; None without one.

    Args:
        passages: of the prompt.
        span: the copied answer: one item, some of them, or all.
    """
    text = passages[span.passage].text
    sentence = next(((a, b) for a, b in sentence_spans(text) if a <= span.char_start < b), None)
    items = enumeration_in(text, sentence, span) if sentence is not None else None
    if items is None:
        return None
    return Items("enumeration", tuple(PassageSpan(span.passage, a, b) for a, b in items[:MAX_ITEMS]), 1.0)


def enumeration_in(text: str, sentence: tuple[int, int], span: PassageSpan) -> list[tuple[int, int]] | None:
    """Return the items around a copied span within its sentence, `text[a:b]` of each; None where it is no part of an
    enumeration."""
    if span.char_end > sentence[1]:
        return None
    pieces, conjunctions = _pieces(text, *_statement(text, sentence, span))
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
    return items


def _statement(text: str, sentence: tuple[int, int], span: PassageSpan) -> tuple[int, int]:
    """The sentence, or its half: a single semicolon parts two statements, several part items."""
    marks = [match.start() for match in _SEMICOLON.finditer(text, *sentence)]
    if len(marks) != 1:
        return sentence
    return (sentence[0], marks[0]) if span.char_start < marks[0] else (marks[0] + 1, sentence[1])


def listed(question: str, passages: Sequence[Passage]) -> Items | None:
    """Return the points under the lead-in, or the table column, that the question names; None without such a one.

    Lists and tables of several passages that hold as much of the question are one list, in the passages' order.
    """
    topic = topic_of(question)
    if not topic.terms:
        return None
    weights = Weights(topic.terms, candidates_of(passages))
    found = [*_points(passages, topic, weights), *_columns(question, passages, topic, weights)]
    best = max(found, key=lambda items: (items.coverage, -items.spans[0].passage), default=None)
    if best is None:
        return None
    same = [items for items in found if items.form == best.form and items.coverage >= best.coverage * _AS_GOOD]
    ordered = sorted((span for items in same for span in items.spans), key=lambda s: (s.passage, s.char_start))
    together = once([Item(span, (_cited(passages, best.form, span),)) for span in ordered], passages)
    return Items(best.form, tuple(item.span for item in together), best.coverage, together)


def _cited(passages: Sequence[Passage], form: str, span: PassageSpan) -> PassageSpan:
    """A point itself; of a cell its row."""
    return line_of(passages[span.passage].text, span) if form == "rows" else span


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


def _columns(question: str, passages: Sequence[Passage], topic: Topic, weights: Weights) -> list[Items]:
    """The table columns that hold enough of the topic."""
    found = []
    for column in asked_columns(question, passages, topic):
        coverage = weights.share(column.terms)
        if coverage >= MIN_COVERAGE:
            found.append(Items("rows", column.spans, coverage))
    return found
