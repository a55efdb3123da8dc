"""XLSX: a page a sheet, headed by its name; each row one line that names its columns."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from app.errors import UnreadableDocument
from app.types import LoadedDocument
from ingestion.loaders.archive import Archive
from ingestion.loaders.builder import TextBuilder
from ingestion.loaders.limits import LoadLimits
from ingestion.loaders.office import Package
from ingestion.loaders.rows import cell_text, is_numeric, render_row

_MAX_COLUMNS = 2_000


def load_xlsx(path: Path, media_type: str, limits: LoadLimits) -> LoadedDocument:
    """Values as last computed and saved; a blank row ends a table, and the next may have its own header."""
    from openpyxl import load_workbook

    with Archive(path, "XLSX", limits) as archive:
        fields = Package(archive, "XLSX").properties()
    builder = TextBuilder("XLSX", limits)
    with path.open("rb") as stream, warnings.catch_warnings():  # by its name, openpyxl would want an extension
        warnings.simplefilter("ignore")  # extensions that openpyxl drops (validation, slicers) hold no text
        book = load_workbook(stream, read_only=True, data_only=True, keep_links=False)
        try:
            sheets = book.worksheets
            for number, sheet in enumerate(sheets, start=1):
                builder.page(number)
                sheet.reset_dimensions()
                _add_sheet(builder, sheet)
        finally:
            book.close()
    if not any(block.kind != "heading" for block in builder.blocks):
        raise UnreadableDocument(
            "the XLSX file has no cell with a value (formulas count once they were computed and saved); open it in its "
            "application, save it, and upload it again",
            code="empty",
        )
    title = fields.pop("title", None)
    metadata = {**fields, "sheets": len(sheets)}
    return builder.build(media_type, title=title, metadata=metadata)


def _add_sheet(builder: TextBuilder, sheet: Any) -> None:
    rows = (row for row in _rows(sheet.iter_rows()))
    headed = False
    table: list[list[str]] = []
    header: list[str] | None = None
    for row in rows:
        if not headed and any(row):
            builder.add("heading", str(sheet.title), 1)
            headed = True
        if not any(row):
            _flush(builder, table, header)
            table, header = [], None
            builder.gap()
            continue
        if header is not None:
            builder.add("table_row", render_row(row, header))
            continue
        table.append(row)
        if len(table) == 2:
            if _is_header(table[0], table[1]):
                header = table[0]
                builder.gap()
                builder.add("table_row", render_row(row, header))
            else:
                _flush(builder, table[:1], None)
                table = table[1:]
                continue
            table = []
    _flush(builder, table, header)


def _flush(builder: TextBuilder, table: Iterable[list[str]], header: list[str] | None) -> None:
    if header is None:
        for row in table:
            lone = sum(map(bool, row)) == 1
            builder.add("paragraph" if lone else "table_row", render_row(row, None))


def _is_header(row: list[str], following: list[str]) -> bool:
    """Whether `row` names the columns of the rows after it: two names or more, no numbers but years, as wide."""
    filled = [cell for cell in row if cell]
    below = [column for column, cell in enumerate(following) if cell]
    if len(filled) < 2 or any(len(cell) > 120 for cell in filled):
        return False
    numbers = [cell for cell in filled if is_numeric(cell)]
    if len(numbers) > len(filled) * 0.5 and any(len(cell) != 4 for cell in numbers):
        return False
    if numbers and not all((len(cell) == 4 and cell.isdigit()) or "-" in cell for cell in numbers):
        return False
    named = sum(bool(column < len(row) and row[column]) for column in below)
    return bool(below) and named >= len(below) * 0.6


def _rows(rows: Iterable[Iterable[Any]]) -> Iterator[list[str]]:
    for cells in rows:
        row = []
        for column, cell in enumerate(cells):
            if column >= _MAX_COLUMNS:
                break
            value = cell.value
            row.append("" if value is None else _shown(value, cell))
        while row and not row[-1]:
            row.pop()
        yield row


def _shown(value: Any, cell: Any) -> str:
    """A cell as a reader would write it: ISO dates, whole floats without `.0`, percentages where the format says so."""
    if isinstance(value, str):
        return cell_text(value)
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, int | float):
        if "%" in str(getattr(cell, "number_format", "") or ""):
            return f"{value * 100:.10g}%"
        return (
            repr(int(value))
            if isinstance(value, float) and value.is_integer() and abs(value) < 1e15
            else f"{value:.15g}"
            if isinstance(value, float)
            else str(value)
        )
    return cell_text(str(value))
