"""Made-up amounts, times and dates, several of a kind that are written in the same way."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from app.training.verifier.relations import Language

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_RISING_SHARE = 0.6
_Writer = Callable[[random.Random], str]


def made_up_values(kind: str, size: int, rng: random.Random, language: Language) -> list[str]:
    """Return `size` different values of a kind: money, percents, years, times, dates, numbers …, or `#kg`, a unit.

    Years mostly rise, but for the last, which may be any.
    """
    write = _counted(kind[1:], rng) if kind.startswith("#") else _KINDS[language][kind](rng)
    found: dict[str, None] = {}
    while len(found) < size:
        found[write(rng)] = None
    values = list(found)
    if kind == "years" and rng.random() < _RISING_SHARE:
        values[:-1] = sorted(values[:-1])
    return values


def without_unit(value: str) -> str:
    """Return `6` for `6 euros`, as the second of two prices is often written; other values as they are."""
    return re.sub(r"^(\d[\d.,]*)(?: euros| dollars| pounds|%| %| percent| per cent)$", r"\1", value)


def _numbers(rng: random.Random) -> _Writer:
    below = rng.choice((30, 100, 1000, 10000, 200000))
    return lambda drawn: f"{drawn.randrange(2, below):,}"


def _money(rng: random.Random) -> _Writer:
    form = rng.choice(("{0} euros", "{0} dollars", "{0} pounds", "${0}", "€{0}", "£{0}"))
    if rng.random() < 0.4:
        scale = rng.choice(("million", "million", "billion"))
        return lambda drawn: form.format(f"{drawn.randrange(11, 990) / 10:g} {scale}")
    below = rng.choice((30, 100, 900, 90000))
    return lambda drawn: form.format(f"{drawn.randrange(2, below):,}")


def _percents(rng: random.Random) -> _Writer:
    form = rng.choice(("{0}%", "{0} %", "{0} percent", "{0} per cent"))
    return lambda drawn: form.format(f"{drawn.randrange(5, 990) / 10:g}")


def _years(rng: random.Random) -> _Writer:
    first = rng.choice((1780, 1880, 1950, 2000, 2012))
    return lambda drawn: str(drawn.randrange(first, min(first + 60, 2027)))


def _times(rng: random.Random) -> _Writer:
    if rng.random() < 0.3:
        return lambda drawn: drawn.choice(
            ("six", "seven", "eight", "nine", "ten", "eleven", "noon", "one", "two", "four")
        )
    form = rng.choice(("{0}:{1:02}", "{0}.{1:02}", "{0}:{1:02} a.m.", "{0}:{1:02} p.m."))
    hours = range(6, 23) if form.endswith("}") else range(1, 13)
    return lambda drawn: form.format(drawn.choice(hours), drawn.randrange(0, 60, 5))


def _dates(rng: random.Random) -> _Writer:
    form = rng.choice(("{0} {1}", "{1} {0}", "the {0}th of {1}"))
    return lambda drawn: form.format(drawn.randrange(4, 21), drawn.choice(_MONTHS))


def _amounts(*units: str) -> Callable[[random.Random], _Writer]:
    def of(rng: random.Random) -> _Writer:
        unit = rng.choice(units)
        return lambda drawn: f"{drawn.randrange(11, 900) / drawn.choice((1, 10)):g} {unit}"

    return of


def _counted(unit: str, rng: random.Random) -> _Writer:
    below = rng.choice((10, 100, 1000, 20000))
    return lambda drawn: f"{drawn.randrange(2, below)}{unit}"


def _chinese_money(rng: random.Random) -> _Writer:
    unit = rng.choice(("元", "元", "块", "万元", "亿元"))
    if unit in {"万元", "亿元"}:
        return lambda drawn: f"{drawn.randrange(11, 990) / 10:g}{unit}"
    return _counted(unit, rng)


def _chinese_years(rng: random.Random) -> _Writer:
    write = _years(rng)
    return lambda drawn: f"{write(drawn)}年"


def _chinese_percents(rng: random.Random) -> _Writer:
    form = rng.choice(("{0}%", "{0}%", "百分之{0}"))
    return lambda drawn: form.format(f"{drawn.randrange(5, 990) / 10:g}")


def _chinese_times(rng: random.Random) -> _Writer:
    part = rng.choice(("", "", "上午", "下午"))
    if rng.random() < 0.5:
        return lambda drawn: f"{part}{drawn.choice('一两三四五六七八九十')}点{drawn.choice(('', '', '半', '一刻'))}"
    return lambda drawn: f"{part}{drawn.randrange(1, 12)}:{drawn.randrange(0, 60, 5):02}"


def _chinese_dates(_: random.Random) -> _Writer:
    return lambda drawn: f"{drawn.randrange(1, 13)}月{drawn.randrange(1, 29)}日"


_KINDS: dict[Language, dict[str, Callable[[random.Random], _Writer]]] = {
    "en": {
        "numbers": _numbers,
        "money": _money,
        "percents": _percents,
        "years": _years,
        "times": _times,
        "dates": _dates,
        "weights": _amounts("kg", "grams", "tonnes", "pounds", "kilograms"),
        "speeds": _amounts("km/h", "miles an hour"),
        "lengths": _amounts("km", "miles", "kilometres"),
    },
    "zh": {
        "money": _chinese_money,
        "percents": _chinese_percents,
        "years": _chinese_years,
        "times": _chinese_times,
        "dates": _chinese_dates,
    },
}
