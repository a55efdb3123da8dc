"""The cell of a table row that a question asks for: its row is named in the question, and so is its column.

Ingestion writes every table row as one line, `Header: value; Header: value`. A question like "What was the revenue of
Denmark in 2021?" then names a row by one cell and a column by its header; the reader, trained on running text, often
copies a neighbour. Only plain look-ups are found: a question that compares, counts or sums has no such cell.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from app.generation.question_kinds import kind_fit, kind_of
from app.index.analysis import STOP_WORDS, analyze
from app.types import PassageSpan

_PART = re.compile(r"(?P<header>[^:;\n]{1,80}?):[ ](?P<value>[^;\n]+?)(?=;[ ]|$)")
_COMPUTED = re.compile(
    r"\b(?:most|least|more|less|fewer|fewest|greater|larger|smaller|higher|lower|better|worse|earlier|later|longer|shorter"
    r"|(?:\w+est)|total|sum|average|mean|difference|between|before|after|next|previous|first|last|only|both|combined"
    r"|same|above|below|under|over|directly|other|else|not|never|besides|except|than"
    r"|how many (?:times|different|of))\b",
    re.IGNORECASE,
)
_BARE_NUMBER = re.compile(r"[-+−(]?\W{0,2}\d[\d.,\s]*\W{0,2}(?:[A-Za-z%]{1,8}\.?)?\)?")
_NAMED_HEADER = 0.5
_SMALLEST_TABLE = 2


@dataclass(frozen=True, slots=True)
class Cell:
    """`text[char_start:char_end]` of the passage, under `header`."""

    header: str
    value: str
    char_start: int
    char_end: int


def asked_cells(question: str, texts: Sequence[str]) -> list[PassageSpan]:
    """Return the cells that the question names by row and column, one for each passage that has such a one.

    A row is named when it alone holds every term that the question shares with the cells of the passage's rows; a
    column when at least half of its header's terms are in the question, and more than of any other column's.

    Args:
        question: as asked.
        texts: of the passages.
    """
    if _COMPUTED.search(question):
        return []
    asked = set(analyze(question)) - STOP_WORDS
    found = []
    for passage, text in enumerate(texts):
        cell = _asked_cell(asked, list(table_rows(text)))
        if cell is not None and _fits(question, cell.value):
            found.append(PassageSpan(passage, cell.char_start, cell.char_end))
    return found


def table_rows(text: str) -> Iterator[list[Cell]]:
    """Yield the cells of every line of `text` that reads as a table row: two or more `Header: value`, `;` between."""
    at = 0
    for line in text.splitlines(keepends=True):
        parts = list(_PART.finditer(line.rstrip("\n")))
        whole = sum(len(part.group()) for part in parts) + 2 * (len(parts) - 1)
        if len(parts) >= 2 and whole >= len(line.strip()) - 2:
            yield [
                Cell(part["header"].lstrip("; "), part["value"], at + part.start("value"), at + part.end("value"))
                for part in parts
            ]
        at += len(line)


def row_of(text: str, span: PassageSpan) -> PassageSpan | None:
    """Return the line around the span if it reads as a table row: it is a statement of its own; else None."""
    line = line_of(text, span)
    rows = table_rows(text[line.char_start : line.char_end])
    return line if next(rows, None) is not None and span.char_end <= line.char_end else None


def line_of(text: str, span: PassageSpan) -> PassageSpan:
    """Return the line that the span begins in, without white space around it."""
    start = text.rfind("\n", 0, span.char_start) + 1
    end = text.find("\n", span.char_start)
    line = text[start : len(text) if end < 0 else end]
    start += len(line) - len(line.lstrip())
    return PassageSpan(span.passage, start, start + len(line.strip()))


def _asked_cell(asked: Set[str], rows: Sequence[Sequence[Cell]]) -> Cell | None:
    if len(rows) < _SMALLEST_TABLE:
        return None
    held = [[set(analyze(cell.value)) & asked for cell in row] for row in rows]
    in_rows = Counter(term for row in held for term in set().union(*row))
    naming = {term for term, count in in_rows.items() if count < len(rows)}
    if not naming:
        return None
    named = [place for place, row in enumerate(held) if naming <= set().union(*row)]
    if len(named) != 1:
        return None
    row = rows[named[0]]
    # The cell that names the row is not the one asked for.
    shares = [
        -math.inf if terms & naming else _share(cell.header, asked)
        for cell, terms in zip(row, held[named[0]], strict=True)
    ]
    best = max(shares)
    if best < _NAMED_HEADER or shares.count(best) != 1:
        return None
    return row[shares.index(best)]


def _fits(question: str, value: str) -> bool:
    """Whether the cell can be what is asked for: a bare number for "how many", else the cell under a "number" column
    is a list of things that the question wants counted."""
    kind = kind_of(question)
    if kind == "number":
        return bool(_BARE_NUMBER.fullmatch(value.strip()))
    return kind != "yes_no" and any(character.isalnum() for character in value) and kind_fit(question, value) >= 0


def _share(header: str, asked: Set[str]) -> float:
    terms = set(analyze(header)) - STOP_WORDS
    return len(terms & asked) / len(terms) if terms else 0.0
