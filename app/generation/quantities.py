"""Numbers and dates of a text in a form that can be compared: "3.5 million", "3,500,000" and "350万" are one number."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass

APPROXIMATE = 0.05  # "about 3.5 million" may stand for anything this near

_SCALES = {
    "thousand": 1e3, "k": 1e3, "million": 1e6, "mn": 1e6, "m": 1e6, "billion": 1e9, "bn": 1e9, "b": 1e9,
    "trillion": 1e12, "tn": 1e12, "百万": 1e6, "百萬": 1e6, "千万": 1e7, "千萬": 1e7, "万亿": 1e12, "萬億": 1e12,
    "万": 1e4, "萬": 1e4, "亿": 1e8, "億": 1e8,
}  # fmt: skip
_WORD_NAMES = "zero one two three four five six seven eight nine ten eleven twelve"
_WORDS = {name: value for value, name in enumerate(_WORD_NAMES.split())}
_HAN_DIGITS = {"〇": 0, "零": 0, **{c: i for i, c in enumerate("一二三四五六七八九", 1)}, "两": 2, "兩": 2}
_HAN_UNITS = {"十": 10, "百": 100, "千": 1_000, "万": 10_000, "萬": 10_000, "亿": 100_000_000, "億": 100_000_000}
_MONTH_NAMES = "jan feb mar apr may jun jul aug sep oct nov dec"
_MONTHS = {name: i for i, name in enumerate(_MONTH_NAMES.split(), 1)}
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>[12]\d{3})"
_DATES = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<!\d){_YEAR}-(?P<month>\d{{1,2}})-(?P<day>\d{{1,2}})(?!\d)",
        r"(?<!\d)(?P<year>[12]\d{3})\s*年(?:\s*(?P<month>\d{1,2})\s*月(?:\s*(?P<day>\d{1,2})\s*[日号號])?)?",
        r"(?<!\d)(?P<month>\d{1,2})\s*月\s*(?P<day>\d{1,2})\s*[日号號]",
        rf"\b{_MONTH}\s+{_DAY}(?:,?\s+{_YEAR})?(?!\d)",
        rf"\b{_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?(?!\d)",
        rf"\b{_MONTH},?\s+(?:of\s+)?{_YEAR}(?!\d)",
    )
]
_SCALE = "|".join(sorted((re.escape(name) for name in _SCALES if not name.isascii()), key=len, reverse=True))
_LATIN_SCALE = "|".join(name for name in _SCALES if name.isascii())
_NUMBER = re.compile(
    rf"(?<![A-Za-z0-9_.])(?P<digits>\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|\d+(?:\.\d+)?)(?:\s*(?P<han>{_SCALE})"
    rf"|[\s-]*(?P<latin>{_LATIN_SCALE})\b)?|(?P<bare>\d+(?:\.\d+)?)",
    re.IGNORECASE,
)
_WORD_NUMBER = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)
_HAN_NUMBER = re.compile(f"[{''.join(_HAN_DIGITS)}{''.join(_HAN_UNITS)}]{{2,}}|[{''.join(_HAN_DIGITS)}]")
_ABOUT = re.compile(
    r"\b(?:about|around|approximately|approx|roughly|nearly|almost|some|over|more than)\W*$|大?[约約近]\W*$|大概\W*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Date:
    """`month` and `day` are 0 where the text does not say them, `year` too."""

    year: int
    month: int
    day: int

    def within(self, other: Date) -> bool:
        """Whether `other` says all that this one says."""
        pairs = ((self.year, other.year), (self.month, other.month), (self.day, other.day))
        return all(own in (0, its) for own, its in pairs)


@dataclass(frozen=True, slots=True)
class Number:
    """`digits` as written without separators, `value` with its scale word; `about` when the text says so."""

    digits: str
    value: float
    scaled: bool
    about: bool

    def equals(self, other: Number) -> bool:
        """Whether both can mean the same quantity; a bare number may lean on a scale that a table's head names."""
        if self.value == other.value or (self.scaled != other.scaled and self.digits == other.digits):
            return True
        return self.about and abs(self.value - other.value) <= APPROXIMATE * max(abs(self.value), abs(other.value))


@dataclass(frozen=True, slots=True)
class Quantities:
    """What a text counts and dates. `words` are the values of spelled-out numbers, which may stand for digits.

    `rest` is the text with dates, numbers, their scale words and the "about" before them blanked out.
    """

    numbers: tuple[Number, ...]
    dates: tuple[Date, ...]
    words: frozenset[float]
    rest: str

    def missing_from(self, *others: Quantities) -> list[str]:
        """The numbers and dates of this text, as written or normalised, that none of the `others` holds."""
        numbers = [number for other in others for number in other.numbers]
        words: Set[float] = frozenset().union(*(other.words for other in others))
        dates = [date for other in others for date in other.dates]
        held = words | {float(date.year) for date in dates}
        lost = [
            number.digits
            for number in self.numbers
            if number.value not in held and not any(number.equals(other) for other in numbers)
        ]
        for date in self.dates:
            known = any(date.within(other) for other in dates) or (
                date == Date(date.year, 0, 0) and any(n.value == date.year for n in numbers)
            )
            if not known:
                lost.append(f"{date.year:04}-{date.month:02}-{date.day:02}")
        return lost


def quantities(text: str) -> Quantities:
    """The numbers and dates that `text` holds; a number that is part of a date counts only there."""
    dates, rest = _dates(text)
    numbers, rest = _numbers(rest)
    words = {float(_WORDS[match.group().lower()]) for match in _WORD_NUMBER.finditer(rest)}
    words |= {_han_value(match.group()) for match in _HAN_NUMBER.finditer(rest)}
    return Quantities(tuple(numbers), dates, frozenset(words), rest)


def _dates(text: str) -> tuple[tuple[Date, ...], str]:
    """The dates, and the text with each of them blanked out."""
    found: list[Date] = []
    for pattern in _DATES:
        for match in pattern.finditer(text):
            parts = match.groupdict()
            month = (parts.get("month") or "0").lower()
            number = int(month) if month.isdecimal() else _MONTHS[month[:3]]
            date = Date(int(parts.get("year") or 0), number, int(parts.get("day") or 0))
            if number <= 12 and date.day <= 31:
                found.append(date)
                text = text[: match.start()] + " " * len(match.group()) + text[match.end() :]
    return tuple(found), text


def _numbers(text: str) -> tuple[list[Number], str]:
    """The numbers, and the text with them blanked out; digits inside a code ("A320") stay part of its word."""
    found: list[Number] = []
    rest = text
    for match in _NUMBER.finditer(text):
        digits = (match["digits"] or match["bare"]).replace(",", "")
        scale = _SCALES.get((match["han"] or match["latin"] or "").lower())
        about = _ABOUT.search(text, max(0, match.start() - 20), match.start())
        found.append(Number(digits, round(float(digits) * (scale or 1.0), 6), scale is not None, about is not None))
        if match["digits"] is not None:
            start = about.start() if about else match.start()
            rest = rest[:start] + " " * (match.end() - start) + rest[match.end() :]
    return found, rest


def _han_value(text: str) -> float:
    """三十五 → 35, 一千二百万 → 12,000,000, 二〇二四 → 2024."""
    if not any(character in _HAN_UNITS for character in text):
        return float("".join(str(_HAN_DIGITS[character]) for character in text))
    whole = section = digit = 0
    for character in text:
        if character in _HAN_DIGITS:
            digit = _HAN_DIGITS[character]
            continue
        unit = _HAN_UNITS[character]
        if unit >= 10_000:
            whole += max(1, section + digit) * unit
            section = 0
        else:
            section += max(1, digit) * unit
        digit = 0
    return float(whole + section + digit)
