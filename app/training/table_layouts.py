"""Tables as they reach the reader: the lines of a PDF, Markdown pipes, and ingestion's `Header: value` rows.

A cell's place in the text is kept, so that a question about it has its answer's exact characters.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Layout = Literal["lines", "pipes", "pairs"]
_NUMBER = re.compile(r"[$€£¥]?\s?\(?[-−]?[$€£¥]?\s?\d[\d,]*(?:\.\d+)?\)?\s?%?")
_FOOTNOTE = re.compile(r"\s*\(\d\)\s*$|[:*†]+\s*$")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of equally many values, each with a label, under headers.

    `corner` is the header of the labels; `above` are the header lines above the lowest, each as one text.
    """

    headers: tuple[str, ...]
    labels: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    corner: str = ""
    above: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LaidOut:
    """A table's text, and where the cell of row `r` and column `c` stands in it: `places[r][c]`, `[start, end)`."""

    text: str
    places: tuple[tuple[tuple[int, int], ...], ...]


def is_number(value: str) -> bool:
    """Return whether a cell holds one amount, with or without currency, sign or percent."""
    return bool(_NUMBER.fullmatch(value.strip()))


def tidy_label(label: str) -> str:
    """Return a row's label without footnote marks and a closing colon, single-spaced."""
    return " ".join(_FOOTNOTE.sub("", label).split())


def laid_out(table: Table, layout: Layout, rng: random.Random) -> LaidOut:
    """Return the table as text.

    Args:
        table: at least one row and one column.
        layout: "lines" parts cells by spaces as text taken from a PDF does, "pipes" is Markdown, "pairs" is one line of
            `Header: value; …` a row.
        rng: draws whether PDF lines part the dollar sign from its amount.
    """
    written = _Written()
    places = []
    if layout == "lines":
        apart = rng.random() < 0.6
        heads = "  ".join(header for header in table.headers if header)
        if rng.random() < 0.2:  # a narrow column breaks its header
            heads = (
                re.sub(r", (?=\d{4}\b)", ",\n", heads, count=1) if rng.random() < 0.5 else heads.replace("  ", "\n", 1)
            )
        for line in (*table.above, heads):
            written.add(f"{line}\n")
        for label, row in zip(table.labels, table.values, strict=True):
            written.add(label)
            spots = []
            for value in row:
                written.add(" ")
                spots.append(written.cell(re.sub(r"^\$(?=[\d(])", "$ ", value) if apart else value))
            written.add("\n")
            places.append(tuple(spots))
    elif layout == "pipes":
        for line in table.above:
            written.add(f"| {line} |\n")
        written.add("| " + " | ".join((table.corner, *table.headers)) + " |\n")
        written.add("|" + "---|" * (len(table.headers) + 1) + "\n")
        for label, row in zip(table.labels, table.values, strict=True):
            written.add(f"| {label} |")
            spots = []
            for value in row:
                written.add(" ")
                spots.append(written.cell(value))
                written.add(" |")
            written.add("\n")
            places.append(tuple(spots))
    else:
        for label, row in zip(table.labels, table.values, strict=True):
            written.add(f"{table.corner or 'Item'}: {label}")
            spots = []
            for header, value in zip(table.headers, row, strict=True):
                written.add(f"; {header}: ")
                spots.append(written.cell(value))
            written.add("\n")
            places.append(tuple(spots))
    return LaidOut(written.text.rstrip("\n"), tuple(places))


def parsed_pipes(text: str) -> Table | None:
    """Return the Markdown table that `text` begins with, None where it is too ragged to be asked about.

    Header rows are those above the first number; the lowest names the columns, the others stand above. Rows without any
    number, or with an empty cell, are left out.
    """
    lines = [line for line in text.split("\n\n", 1)[0].splitlines() if line.startswith("|")]
    grid = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if not re.fullmatch(r"[|\-: ]+", line)
    ]
    width = max((len(row) for row in grid), default=0)
    grid = [[*row, *[""] * (width - len(row))] for row in grid]
    first = next((i for i, row in enumerate(grid) if row[0] and any(map(is_number, row[1:]))), len(grid))
    heads, body = (
        [row for row in grid[:first] if any(row[1:])],
        [row for row in grid[first:] if row[0] and all(row[1:])],
    )
    body = [row for row in body if any(map(is_number, row[1:]))]
    if not heads or len(body) < 2 or width < 2:
        return None
    headers = tuple(heads[-1][1:])
    above = tuple(" ".join(cell for cell in row if cell) for row in heads[:-1] if any(row))
    if not all(headers) or len(set(headers)) < len(headers):
        return None
    return Table(
        headers, tuple(tidy_label(row[0]) for row in body), tuple(tuple(row[1:]) for row in body), heads[-1][0], above
    )


def window(table: Table, rows: Sequence[int]) -> Table:
    """Return the table with these rows alone, in this order."""
    return Table(
        table.headers,
        tuple(table.labels[row] for row in rows),
        tuple(table.values[row] for row in rows),
        table.corner,
        table.above,
    )


class _Written:
    """Text that grows and tells where its cells went."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def add(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def cell(self, text: str) -> tuple[int, int]:
        start = self._length
        self.add(text)
        return start, self._length
