"""One row's number is not the total: what a table or the text gives in parts is not added up, and not passed off.

"How many employees are there?" over a table of cities has no cell that answers it, unless a row says "Total". A number
may be given only if the question names its row, and no other, or asks for no sum where the text gives several parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from app.generation.quantities import quantities
from app.generation.question_kinds import kind_of
from app.generation.styles.candidates import Candidate, candidates_of
from app.generation.styles.columns import tables_of
from app.generation.styles.topic import held, held_of, topic_of
from app.generation.table_cells import Cell
from app.index.analysis import analyze
from app.types import Passage, PassageSpan

NOT_ADDED_UP = (
    "the documents give numbers for parts ({parts}) and no total; totals are not computed: ask for one part, or name a "
    "document that states the sum"
)
_SUM = re.compile(
    r"\b(?:totals?|sums?|altogether|in\s+all|overall|combined|averages?|mean)\b|合计|合計|总共|總共|一共|总数|總數|总计|總計|总和|总额|共计|共有|平均",
    re.IGNORECASE,
)
_SUM_TERMS = frozenset(
    analyze(
        "total totals sum altogether overall combined average mean 合计 总共 一共 总数 总计 总和 总额 共计 共有 平均"
    )
)
_COUNT_TERMS = frozenset(analyze("many much number amount count figure quantity 数量 人数 总量"))
_TOTAL_ROW = re.compile(
    r"^\W*(?:(?:grand\s+)?totals?|sum|all|overall|together)\b|^(?:合计|合計|总计|總計|共计|总数|總數|总和)",
    re.IGNORECASE,
)
_AVERAGE = re.compile(r"\b(?:averages?|mean)\b|平均", re.IGNORECASE)
_AMOUNT_HAN = re.compile(r"多少|[几幾][个個名位人家种台辆]")
_SHOWN_PARTS = 3


def total_of(question: str, passages: Sequence[Passage], answer: PassageSpan) -> PassageSpan | str | None:
    """Return the cell of the one row that states the number asked for, a warning where only parts of it are stated, or
    None where neither is known.

    Args:
        question: as asked.
        passages: of the prompt.
        answer: the copied number.
    """
    if not _SUM.search(question) and kind_of(question) != "number" and not _AMOUNT_HAN.search(question):
        return None
    if not quantities(_words(passages, answer)).numbers:
        return None
    rows, own = _rows_beside(passages, answer)
    return (
        _in_text(question, passages, answer)
        if own is None
        else _in_table(question, rows, own, _above(passages, answer))
    )


Row = tuple[int, Sequence[Cell]]


def _rows_beside(passages: Sequence[Passage], answer: PassageSpan) -> tuple[list[Row], tuple[Row, Cell] | None]:
    """All rows of the table that the answer stands in, of every passage of the document, and its row and cell."""
    document = passages[answer.passage].hit.chunk.document_id
    rows = [
        (n, row) for n, p in enumerate(passages) if p.hit.chunk.document_id == document for row in tables_of(p.text)
    ]
    for number, row in rows:
        for cell in row:
            if number == answer.passage and cell.char_start < answer.char_end and answer.char_start < cell.char_end:
                return [each for each in rows if any(c.header == cell.header for c in each[1])], ((number, row), cell)
    return [], None


def _in_table(
    question: str, rows: Sequence[Row], own: tuple[Row, Cell], above: frozenset[str]
) -> PassageSpan | str | None:
    _, cell = own
    header = frozenset(analyze(cell.header))
    terms = topic_of(question).terms - _SUM_TERMS - _COUNT_TERMS
    counted = [each for each in rows if not _states_total(each[1])]
    totals = [each for each in rows if _states_total(each[1])]
    named = _named(terms, header, counted)
    stating = named if len(named) == 1 else totals if len(totals) == 1 and not named else []
    if _AVERAGE.search(question) and len(counted) > 1:
        stating = []
    elif len(counted) < 2 or (stating and not held_of(header, terms)):
        return None  # what the column counts is not what is asked for, as far as words tell
    if not stating:
        return _warning(each.value for _, cells in counted for each in cells if each.header == cell.header)
    number, cells = stating[0]
    found = next(each for each in cells if each.header == cell.header)
    said = above.union(header, *(analyze(each.value) for each in cells))
    if held_of(terms, said) != terms:
        return None  # nor is it whose number this is
    return PassageSpan(number, found.char_start, found.char_end)


def _above(passages: Sequence[Passage], answer: PassageSpan) -> frozenset[str]:
    chunk = passages[answer.passage].hit.chunk
    return frozenset(analyze(" ".join([chunk.title, *chunk.heading_path])))


def _named(terms: frozenset[str], header: frozenset[str], rows: Sequence[Row]) -> list[Row]:
    """The rows with every term of the question that tells rows apart; none where no term does."""
    cells = [frozenset(term for cell in row for term in analyze(cell.value)) for _, row in rows]
    telling = {t for t in terms - header if 0 < sum(held(t, each) for each in cells) < len(cells)}
    return [row for row, each in zip(rows, cells, strict=True) if telling and all(held(t, each) for t in telling)]


def _states_total(row: Sequence[Cell]) -> bool:
    return any(_TOTAL_ROW.match(cell.value) for cell in row[:2])


def _in_text(question: str, passages: Sequence[Passage], answer: PassageSpan) -> str | None:
    """A warning where a sum is asked for and several sentences like the answer's give each a number of its own."""
    if not _SUM.search(question):
        return None
    terms = topic_of(question).terms - _SUM_TERMS
    said = candidates_of(passages)
    own = next((each for each in said if _holds(each, answer)), None)
    if own is None or not terms or _SUM.search(own.text):
        return None
    wanted = held_of(terms, own.terms)
    numbers = quantities(own.text)
    others = [
        each
        for each in said
        if each is not own and wanted and wanted <= held_of(terms, each.terms) and quantities(each.text).numbers
    ]
    parts = [each for each in others if quantities(each.text).missing_from(numbers) and not _SUM.search(each.text)]
    if not parts:
        return None
    return _warning(quantities(each.text).numbers[0].digits for each in (own, *parts))


def _holds(each: Candidate, span: PassageSpan) -> bool:
    return each.span.passage == span.passage and each.span.char_start <= span.char_start < each.span.char_end


def _warning(parts: Iterator[str]) -> str:
    values = list(dict.fromkeys(parts))
    shown = ", ".join(values[:_SHOWN_PARTS]) + (", …" if len(values) > _SHOWN_PARTS else "")
    return NOT_ADDED_UP.format(parts=shown)


def _words(passages: Sequence[Passage], span: PassageSpan) -> str:
    return passages[span.passage].text[span.char_start : span.char_end]
