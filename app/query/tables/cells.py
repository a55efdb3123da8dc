"""Cells as a person typed them → numbers and dates: separators, currencies, percentages, Chinese units, calendars.

What a cell means often only its column can tell: `1,234` is a thousand beside `1,234,567` and a bit more than one
beside `0,5`; `03/04/2024` is a day in March or in April. So notation is decided for the column (`columns.py`) and
given to the readers here.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

BLANK = frozenset({"", "-", "--", "–", "—", "n/a", "na", "null", "none", "nan", "nil", "#n/a", "?", "无", "空", "未知"})
DecimalMark = Literal[".", ","]
DayOrder = Literal["day", "month"]

_CURRENCY = r"(?:US\$|[$€£¥₹]|USD|EUR|GBP|CNY|RMB|CHF|JPY|人民币|美元|欧元)"
_NUMBER = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[-−+])?\s*(?:{_CURRENCY}\s*)?(?P<sign2>[-−])?\s*"
    rf"(?P<digits>\d[\d.,' \u00a0\u202f]*|[.,]\d+)"
    rf"(?P<exponent>[eE][-+]?\d{{1,3}})?\s*(?P<unit>[万亿])?\s*(?P<percent>%)?\s*(?:{_CURRENCY}|元)?\s*(?P<close>\))?",
    re.IGNORECASE,
)
_GROUPS = {
    ".": re.compile(r"\d{1,3}(?:[,' \u00a0\u202f]\d{3})+(?:\.\d*)?|\d*\.?\d+|\d+\."),
    ",": re.compile(r"\d{1,3}(?:[.' \u00a0\u202f]\d{3})+(?:,\d*)?|\d*,?\d+|\d+,"),
}
_UNITS = {"万": 10_000, "亿": 100_000_000}
_YEAR_FIRST = re.compile(
    r"(?P<y>\d{4})(?:(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})|年(?P<m2>\d{1,2})月(?P<d2>\d{1,2})[日号])"
    r"(?:[T ]?\s*(?P<time>\d{1,2}:\d{2}(?::\d{2})?)(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?)?"
)
_YEAR_LAST = re.compile(
    r"(?P<a>\d{1,2})(?P<s>[-/.])(?P<b>\d{1,2})(?P=s)(?P<y>\d{4})"
    r"(?:\s+(?P<time>\d{1,2}:\d{2}(?::\d{2})?))?"
)
_MONTHS = {
    name: number
    for number, names in enumerate(
        ("jan january", "feb february", "mar march", "apr april", "may may", "jun june", "jul july", "aug august",
         "sep sept september", "oct october", "nov november", "dec december"), start=1)
    for name in names.split()
}  # fmt: skip
_NAMED = re.compile(
    r"(?P<d>\d{1,2})(?:st|nd|rd|th)?[\s-]+(?P<m>[A-Za-z]{3,9})\.?,?[\s-]+(?P<y>\d{4})"
    r"|(?P<m2>[A-Za-z]{3,9})\.?\s+(?P<d2>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<y2>\d{4})"
)


@dataclass(frozen=True, slots=True)
class NumberRead:
    """`value` in the cell's own unit; a percentage keeps the number before its sign."""

    value: float | int
    percent: bool


def is_blank(cell: object) -> bool:
    """Whether a cell says that it holds nothing."""
    return cell is None or (isinstance(cell, str) and cell.strip().casefold() in BLANK)


def plain(text: str) -> str:
    """The cell with full-width signs as ASCII."""
    return unicodedata.normalize("NFKC", text).strip()


def decimal_mark(text: str) -> DecimalMark | None:
    """The decimal mark that the digits prove; None where both readings are possible, or no number is there."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    digits = found["digits"].strip()
    comma, point = digits.rfind(","), digits.rfind(".")
    if comma >= 0 and point >= 0:
        return "," if comma > point else "."
    for mark, at in ((",", comma), (".", point)):
        if at < 0:
            continue
        if digits.count(mark) > 1:
            return "." if mark == "," else ","
        if len(digits) - at - 1 != 3 or at > 3 or at == 0 or digits.startswith("0"):
            return "," if mark == "," else "."
    return None


def read_number(text: str, mark: DecimalMark = ".") -> NumberRead | None:
    """The number of a cell in the notation with that decimal mark; None where it is none.

    An identifier is no number: leading zeros, or more than 15 digits, which a double can not hold.
    """
    found = _NUMBER.fullmatch(text)
    if found is None or bool(found["open"]) != bool(found["close"]):
        return None
    digits = found["digits"].strip()
    if not _GROUPS[mark].fullmatch(digits):
        return None
    bare = re.sub(r"[' \u00a0\u202f]|" + re.escape("," if mark == "." else "."), "", digits).replace(",", ".")
    whole = bare.split(".")[0]
    if (len(whole) > 1 and whole.startswith("0")) or len(bare.replace(".", "").strip("0")) > 15:
        return None
    if found["sign"] == "+" and len(whole) > 8:  # a telephone number
        return None
    if "." not in bare and not found["exponent"]:
        value: float | int = int(bare)
    else:
        value = float(bare + (found["exponent"] or ""))
    if found["unit"]:
        value = value * _UNITS[found["unit"]]
        value = int(value) if float(value).is_integer() else value
    if found["open"] or found["sign"] in ("-", "−") or found["sign2"]:
        value = -value
    if abs(value) >= 2**63:
        value = float(value)
    return NumberRead(value, bool(found["percent"])) if math.isfinite(value) else None


def day_order(text: str) -> DayOrder | None:
    """Whether day or month stands first in `3/14/2024`; None where both are possible or no such date is there."""
    found = _YEAR_LAST.fullmatch(text)
    if found is None:
        return None
    if found["s"] == ".":
        return "day"
    first, second = int(found["a"]), int(found["b"])
    return "day" if first > 12 >= second else "month" if second > 12 >= first else None


def is_ambiguous_date(text: str) -> bool:
    """Whether it is a date whose day and month can not be told apart from itself."""
    found = _YEAR_LAST.fullmatch(text)
    return found is not None and found["s"] != "." and int(found["a"]) <= 12 and int(found["b"]) <= 12


def read_date(text: str, order: DayOrder = "day") -> str | None:
    """`YYYY-MM-DD`, with ` HH:MM[:SS]` where the cell has a time; None where it is no date of the calendar."""
    found = _YEAR_FIRST.fullmatch(text)
    if found is not None:
        return _iso(int(found["y"]), int(found["m"] or found["m2"]), int(found["d"] or found["d2"]), found["time"])
    found = _YEAR_LAST.fullmatch(text)
    if found is not None:
        first, second = int(found["a"]), int(found["b"])
        month, day = (second, first) if order == "day" else (first, second)
        return _iso(int(found["y"]), month, day, found["time"])
    found = _NAMED.fullmatch(text)
    if found is not None:
        named = _MONTHS.get((found["m"] or found["m2"]).lower())
        return _iso(int(found["y"] or found["y2"]), named, int(found["d"] or found["d2"]), None) if named else None
    return None


def native_date(cell: object) -> str | None:
    """The date that a workbook or a Parquet file holds as one."""
    if isinstance(cell, datetime):
        bare = cell.replace(tzinfo=None, microsecond=0)
        return bare.date().isoformat() if bare.time() == datetime.min.time() else bare.isoformat(sep=" ")
    return cell.isoformat() if isinstance(cell, date) else None


def _iso(year: int, month: int, day: int, time: str | None) -> str | None:
    try:
        found = date(year, month, day).isoformat()
        if time:
            hour, minute, second = (*map(int, time.split(":")), 0)[:3]
            form = " %H:%M:%S" if time.count(":") == 2 else " %H:%M"
            found += datetime(year, month, day, hour, minute, second).strftime(form)
    except ValueError:
        return None
    return found
