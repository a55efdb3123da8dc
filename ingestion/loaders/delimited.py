"""CSV and TSV: the dialect is sniffed, each row is one line that names its columns."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from app.types import LoadedDocument
from ingestion.loaders.builder import TextBuilder
from ingestion.loaders.limits import LoadLimits
from ingestion.loaders.rows import cell_text, is_numeric, render_row
from ingestion.loaders.text import read_text

_TSV = "text/tab-separated-values"
_MAX_FIELD_CHARS = 16 * 2**20


def load_delimited(path: Path, media_type: str, limits: LoadLimits) -> LoadedDocument:
    """`table_row` blocks `Header: value; …`; cells between ` | ` where the first row does not name columns."""
    text, metadata, warnings = read_text(path, "CSV", limits)
    builder = TextBuilder("CSV", limits)
    builder.warnings.extend(warnings)
    rows = _rows(text, "\t" if media_type == _TSV else delimiter_of(text))
    head = next(rows, [])
    header = _header(head)
    if header is None:
        builder.add("table_row", render_row([cell_text(cell) for cell in head], None))
    count = int(header is None)
    for row in rows:
        builder.add("table_row", render_row([cell_text(cell) for cell in row], header))
        count += 1
    if header is not None and count == 0:
        builder.add("table_row", render_row(header, None))
    return builder.build(media_type, metadata={**metadata, "rows": count, "columns": len(head)})


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    previous = csv.field_size_limit(_MAX_FIELD_CHARS)
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True):
            if any(cell.strip() for cell in row):
                yield row
    finally:
        csv.field_size_limit(previous)


def delimiter_of(text: str) -> str:
    """Of `, ; tab |`: the one that cuts the first lines into the same number of columns, more than one, most often."""
    lines = text[:50_000].split("\n")[:50]
    best, best_score = ",", 0.0
    for delimiter in ",;\t|":
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter) if row)
        if not widths:
            continue
        width, agreeing = widths.most_common(1)[0]
        score = agreeing / sum(widths.values()) * (width > 1) + width * 1e-3
        if width > 1 and score > best_score:
            best, best_score = delimiter, score
    return best


def _header(row: list[str]) -> list[str] | None:
    """`row` as column names when it reads so: no numbers, hardly an empty cell; unnamed columns stay unnamed."""
    names = [cell_text(cell) for cell in row]
    filled = [name for name in names if name]
    if not filled or any(is_numeric(name) and not (name.isdigit() and len(name) == 4) for name in filled):
        return None
    if len(filled) < len(names) * 0.5 or any(len(name) > 120 for name in filled):
        return None
    if all(name.isdigit() for name in filled):
        return None
    return names
