"""XLSX workbooks → one table a sheet; blank rows in a sheet end a table, and the next has names of its own."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterable, Iterator
from datetime import time, timedelta
from pathlib import Path
from typing import Any

from app.errors import UnreadableDocument
from app.query.tables.raw import MAX_COLUMNS, RawTable, table_of

_MAX_TABLES = 50
_MAX_UNPACKED = 2 << 30
_MAX_SCANNED = 1_100_000  # rows of a sheet, as many as Excel has


def read_workbook(path: Path, name: str, *, max_rows: int) -> list[RawTable]:
    """The tables of all sheets, formulas by their last saved values; named by the sheet, or the file if it has one.

    Raises:
        UnreadableDocument: it is no workbook, or unpacks to more than can be read.
    """
    from openpyxl import load_workbook

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MAX_UNPACKED:
                raise UnreadableDocument(f"workbook {name!r} unpacks to over {_MAX_UNPACKED} bytes", code="zip_bomb")
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # extensions that openpyxl drops hold no cells
            book = load_workbook(stream, read_only=True, data_only=True, keep_links=False)
            try:
                return _tables(book.worksheets, name, max_rows)
            finally:
                book.close()
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise UnreadableDocument(
            f"workbook {name!r} can't be read ({type(error).__name__}): open it in its application and save it again"
        ) from None


def _tables(sheets: Any, name: str, max_rows: int) -> list[RawTable]:
    found: list[RawTable] = []
    for sheet in sheets:
        sheet.reset_dimensions()
        called = str(sheet.title) if len(sheets) > 1 else name
        for block in _blocks(sheet.iter_rows(max_row=_MAX_SCANNED, max_col=MAX_COLUMNS)):
            number = sum(table.name == called or table.name.startswith(f"{called} ") for table in found)
            table = table_of(called if not number else f"{called} {number + 1}", block, max_rows=max_rows)
            if table is not None:
                found.append(table)
            if len(found) == _MAX_TABLES:
                return found
    return found


def _blocks(rows: Iterable[Iterable[Any]]) -> Iterator[list[list[Any]]]:
    """Runs of rows without a blank one between them; a title alone stays with what follows."""
    block: list[list[Any]] = []
    for cells in rows:
        row = [_value(cell) for cell in cells]
        if any(value is not None for value in row):
            block.append(row)
        elif any(sum(value is not None for value in kept) > 1 for kept in block):
            yield block
            block = []
    if block:
        yield block


def _value(cell: Any) -> Any:
    value = cell.value
    if isinstance(value, time | timedelta):
        return str(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and "%" in str(cell.number_format or ""):
        return f"{value * 100:.10g}%"
    return value if not isinstance(value, str) or value.strip() else None
