"""Numbers with their comparison, magnitude and unit: "over 5 million euros", "at least 4.5", 不超过3000元."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_MAGNITUDE = {
    "hundred": 1e2, "thousand": 1e3, "k": 1e3, "million": 1e6, "mn": 1e6, "m": 1e6,
    "mio": 1e6, "billion": 1e9, "bn": 1e9,
    "b": 1e9, "trillion": 1e12, "百": 1e2, "千": 1e3, "万": 1e4, "十万": 1e5, "百万": 1e6, "千万": 1e7, "亿": 1e8,
}  # fmt: skip
_NUMBER_NAMES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
_WORDS = {word: n for n, word in enumerate(_NUMBER_NAMES)}
_CHINESE = {word: n for n, word in enumerate("零一二三四五六七八九十")} | {"两": 2}
_NUM = (
    r"(?P<{p}sign>(?<![\w.])[-−])?(?P<{p}cur>[$€£¥]|USD\s|EUR\s|US\$)?\s*"
    r"(?:(?<![A-Za-z0-9_.,])(?P<{p}num>\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?!(?:st|nd|rd"
    r"|th)\b|[:/]\d|\.?\d)|(?P<{p}word>\b(?:"
    + "|".join(_WORDS)
    + r")\b)|(?P<{p}cn>[零一二三四五六七八九十两](?=[百千万亿个次页票年元]|十万)))"
    r"(?P<{p}mag>\s*(?:hundred|thousand|million|billion|trillion|mio|mn|bn)\b|[kKmMbB](?![A-Za-z])|十万"
    r"|百万|千万|[百千万亿])?"
)
_UNIT = (
    r"(?P<unit>\s*(?:[$€£¥]|(?:US\s+)?dollars?\b|euros?\b|pounds?\b|USD\b|EUR\b|GBP\b|CNY\b|yuan\b|元|美元"
    r"|欧元|人民币"
    r"|kg\b|kilos?\b|kilograms?\b|grams?\b|g\b|公斤|千克|克|pages?\b|页|votes?\b|票|stars?\b|points?\b|次|分(?!之)"
    r"|citations?\b|km\b|miles?\b|公里|hours?\b|minutes?\b|小时|分钟|years?\s+old\b|岁|people\b|employees\b"
    r"|人|%|percent\b)"
    r"|[\s-]+(?P<noun>[a-z]{3,}))?"
)
_BEFORE = (
    ("gte", r"at\s+least|no\s+(?:less|fewer|lower)\s+than|not\s+(?:less|fewer|lower|under|below)\s+than"
            r"|not\s+(?:under|below)"
            r"|a\s+minimum\s+of|minimum(?:\s+of)?|min\.?|>=|≥|不低于|不少于|不小于|至少|最少|起码|from"),
    ("lte", r"at\s+most|no\s+(?:more|greater|higher|larger)\s+than|not\s+(?:more|greater|higher|over|above"
            r"|exceeding)(?:\s+than)?"
            r"|up\s+to|a\s+maximum\s+of|maximum(?:\s+of)?|max\.?|<=|≤|不超过|不多于|不大于|不高于|至多|最多"),
    ("ne", r"not\s+equal\s+to|other\s+than|!=|≠|不等于"),
    ("gt", r"(?:more|greater|higher|larger|bigger|heavier|longer|older|later|taller|better|wider|faster"
            r"|costlier|pricier)\s+than"
           r"|more\s+expensive\s+than|over|above|exceed(?:s|ing)?|beyond|surpass(?:es|ing)?|past|>|超过"
                   r"|大于|高于|多于|超出|长于|重于"),
    ("lt", r"(?:less|fewer|lower|smaller|cheaper|lighter|shorter|younger|earlier|worse|slower|narrower)\s+than"
           r"|less\s+expensive\s+than|under|below|beneath|<|低于|小于|少于|不到|不足|短于|轻于"),
    ("eq", r"exactly|equal(?:s|\s+to)?|precisely|=|等于|正好|恰好"),
)  # fmt: skip
_AFTER = (
    ("gte", r"\s*(?:or\s+(?:more|higher|above|greater|over|better|longer|larger)\b(?!\s+than)"
            r"|and\s+(?:above|up|over|more)\b(?!\s+than)|\+|及?以上|或以上|或更多)"),
    ("lte", r"\s*(?:or\s+(?:less|fewer|lower|below|under|cheaper|shorter|smaller)\b|and\s+(?:below"
            r"|under)\b(?!\s+\d)|及?以下|或以下|以内|之内)"),
)  # fmt: skip
_QUANTITY = re.compile(
    r"(?:(?P<range>\b(?:between|from)\b|在|介于|从)?\s*" + _NUM.format(p="low_") + r"(?P<low_unit>\s*(?:元"
            r"|kg|g|dollars|euros|%|公斤|页|次|分))?"
    r"\s*(?P<link>and|to|-|–|—|~|到|至|和)\s*)?"
    r"(?:(?:\b|(?<=[\u4e00-\u9fff])|(?=[<>=≥≤!≠\u4e00-\u9fff]))(?:"
    + "|".join(f"(?P<{name}>{words})" for name, words in _BEFORE)
    + r")\s*(?:the\s+|a\s+)?)?" + _NUM.format(p="") + _UNIT
    + "(?:" + "|".join(f"(?P<after_{name}>{words})" for name, words in _AFTER) + r")?"
    + r"(?P<between>\s*之间)?",
    re.IGNORECASE,
)  # fmt: skip
_UNIT_KIND = (
    ("money", r"[$€£¥]|us\$|usd|eur|gbp|cny|(?:us\s+)?dollars?|euros?|pounds?|yuan|元|美元|欧元|人民币"),
    ("kg", r"kg|kilos?|kilograms?|公斤|千克"),
    ("g", r"grams?|g|克"),
    ("percent", r"%|percent"),
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """`question[start:end]` compares something with a number.

    Args:
        operator: eq, ne, gt, gte, lt, lte, or between (both ends included; `high` is the other end).
        unit: "money", "kg", "g", "percent", or the word that stands there; empty without one.
        compared: a comparison is written out; without one the number may be anything.
    """

    start: int
    end: int
    operator: str
    value: float
    high: float | None
    unit: str
    compared: bool

    def operand(self, scale: float = 1.0) -> Any:
        """The operators of a filter, the numbers multiplied by `scale`; whole numbers as int."""
        if self.operator == "between" and self.high is not None:
            return {"gte": plain(self.value * scale), "lte": plain(self.high * scale)}
        value = plain(self.value * scale)
        return value if self.operator == "eq" else {self.operator: value}


def plain(value: float) -> int | float:
    """An int where the number is whole, else the float without the noise of its last digits."""
    rounded = round(value, 9)
    return int(rounded) if rounded == int(rounded) and abs(rounded) < 2**53 else rounded


def find_quantities(question: str) -> list[Quantity]:
    """Every number in the question, in order, with what it is compared by; a range is one."""
    found = []
    for match in _QUANTITY.finditer(question):
        value = _value(match, "")
        if value is None:
            continue
        start, end = match.start(), match.end()
        while end > start and question[end - 1].isspace():
            end -= 1
        operator = next((name for name, _ in _BEFORE if match[name]), None)
        after = next((name for name, _ in _AFTER if match[f"after_{name}"]), None)
        if match["gte"] and match["gte"].lower() == "from" and not after:
            operator = None
        low = _value(match, "low_") if match["link"] else None
        link = (match["link"] or "").lower()
        dashed = link in ("-", "–", "—", "~") and not (match["unit"] or match["cur"] or match["low_unit"])  # a score
        ranged = match["range"] or match["between"] or not (dashed or link in ("and", "和"))
        if low is not None and ranged and operator is None:
            if not match["low_mag"] and match["mag"] and low < value:
                low *= _MAGNITUDE[match["mag"].strip().lower()]  # "10 to 20 million" is 10 million to 20 million
            low, value = min(low, value), max(low, value)
            found.append(Quantity(start, end, "between", low, value, _unit(match), True))
            continue
        if low is not None:  # "3 and at least 5": two numbers after all
            at = match.start("low_num") if match["low_num"] else start
            unit = (match["low_unit"] or "").strip()
            found.append(Quantity(at, match.start("link"), "eq", low, None, unit, False))
            start = match.end("link") + 1
        found.append(
            Quantity(start, end, after or operator or "eq", value, None, _unit(match), bool(after or operator))
        )
    return found


def _value(match: re.Match[str], prefix: str) -> float | None:
    if match[f"{prefix}num"]:
        value = float(match[f"{prefix}num"].replace(",", ""))
    elif match[f"{prefix}word"]:
        value = float(_WORDS[match[f"{prefix}word"].lower()])
    elif match[f"{prefix}cn"]:
        value = float(_CHINESE[match[f"{prefix}cn"]])
    else:
        return None
    magnitude = match[f"{prefix}mag"]
    value *= _MAGNITUDE[magnitude.strip().lower()] if magnitude else 1
    return -value if match[f"{prefix}sign"] else value


def _unit(match: re.Match[str]) -> str:
    if match["cur"] or match["low_cur"]:
        return "money"
    unit = (match["noun"] or match["unit"] or match["low_unit"] or "").strip().lower()
    for kind, words in _UNIT_KIND:
        if re.fullmatch(words, unit):
            return kind
    return unit
