"""Times in words → calendar ranges: "last quarter", "since March 2023", "before 2020", 去年, 2023年以来."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

Relation = Literal["in", "since", "after", "before", "until"]

_MONTH_NAMES = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_MONTH = (
    {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
    | {name[:3]: number for number, name in enumerate(_MONTH_NAMES, 1)}
    | {"sept": 9}
)
_NUMBER = (
    {
        word: n
        for n, word in enumerate(
            ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
        )
    }
    | {word: n for n, word in enumerate("零一二三四五六七八九十")}
    | {"两": 2, "a": 1, "an": 1, "couple": 2, "半": 6}
)
_ORDINAL = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4, "last": 4,
            "一": 1, "二": 2, "三": 3, "四": 4, "1": 1, "2": 2, "3": 3, "4": 4}  # fmt: skip

_M = "|".join(sorted(_MONTH, key=len, reverse=True))
_Y = r"(?:1[0-9]|20)\d{2}"
_N = r"\d{1,3}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|a\s+couple\s+of|couple"
_POINT = re.compile(
    rf"""
      (?P<iso>\b{_Y}-\d{{1,2}}-\d{{1,2}})(?!\d)
    | \b(?P<dmy_d>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<dmy_m>{_M})\b\.?,?(?:\s+(?P<dmy_y>{_Y})\b)?
    | \b(?P<mdy_m>{_M})\.?\s+(?P<mdy_d>\d{{1,2}})(?:st|nd|rd|th)?\b(?!\d)(?:,?\s+(?P<mdy_y>{_Y})\b)?
    | \b(?P<my_m>{_M})\.?,?\s+(?:of\s+)?(?P<my_y>{_Y})\b
    | \b(?P<ym>{_Y}-(?:0[1-9]|1[0-2]))\b(?!-)
    | \bQ(?P<q>[1-4])\s*(?:of\s+|/|,|-)?\s*(?P<q_y>{_Y})\b | \b(?P<yq_y>{_Y})\s*-?Q(?P<yq>[1-4])\b
    | \b(?P<oq>first|1st|second|2nd|third|3rd|fourth|4th|last)\s+quarter\s+(?:of\s+|in\s+)?(?P<oq_y>{_Y})\b
    | \b(?P<half>first|second|1st|2nd)\s+half\s+of\s+(?P<half_y>{_Y})\b | \bH(?P<h>[12])\s+(?P<h_y>{_Y})\b
    | \b(?P<decade>(?:1[0-9]|20)\d0)'?s\b
    | (?P<cn_y>{_Y})\s*年(?:(?P<cn_m>1[0-2]|0?[1-9])\s*月(?:份)?(?:(?P<cn_d>\d{{1,2}})\s*[日号])?
        |第?(?P<cn_q>[一二三四1-4])季度|(?P<cn_h>[上下])半年)?(?![度龄])
    | \b(?:the\s+)?(?P<rel>last|past|previous|next|coming)\s+(?P<rel_n>{_N})\s+(?P<rel_u>day|week|month
        |quarter|year)s?\b
    | \b(?P<ago_n>{_N}|an?)\s+(?P<ago_u>day|week|month|year)s?\s+ago\b
    | \b(?:the\s+)?(?P<near>this|current|last|previous|past|next|coming)\s+(?P<near_u>week|month|quarter|year)\b
    | \b(?P<today>today|yesterday|tomorrow)\b
    | (?:最近|过去|近|未来|今后)(?:的)?\s*(?P<cr_n>\d{{1,3}}
        |[一二两三四五六七八九十半])\s*(?:个)?(?P<cr_u>天|日|周|星期|月|季度|年)(?:内|里|以内|之内|间|来)?
    | (?P<cnear>今天|昨天|明天|今年|本年度?|去年|前年|明年|本月|这个?月|上个?月|下个?月|本周|这周|上周|下周
        |本季度|这个?季度|上个?季度|下个?季度)
    | (?<![\d.,$€£¥\w])(?<![A-Za-z]-)(?P<year>{_Y})(?!\s*(?:%|[.,]\d|\d|kg|km|pages|words|votes|citations
        |users|people|times|dollars|euros|元|人|次|页|万|亿|块|公斤|票))(?=\b|[\u4e00-\u9fff])
    """,
    re.IGNORECASE | re.VERBOSE,
)
_BEFORE_POINT: tuple[tuple[Relation, str], ...] = (
    ("since", r"(?:ever\s+)?since|starting(?:\s+(?:in|from|on))?|as\s+of|from\s+and\s+after|on\s+or\s+after"
            r"|not\s+before|自从|自|从"),
    ("until", r"until|till|up\s+to|through|no\s+later\s+than|on\s+or\s+before|by\s+the\s+end\s+of|by|截至"
            r"|截止到?|到"),
    ("before", r"before|prior\s+to|earlier\s+than|older\s+than|preceding|早于"),
    ("after", r"after|later\s+than|newer\s+than|following|more\s+recent\s+than|晚于"),
    ("in", r"in|during|on|from|of|for|within|over|at|dated|在|于"),
)  # fmt: skip
_LEAD = re.compile(
    "(?:" + "|".join(rf"(?P<{name}>(?:\b|(?<=[\u4e00-\u9fff]))(?:{words}))" for name, words in _BEFORE_POINT)
    + r")\s*(?:the\s+|(?:beginning|start|end)\s+of\s+)?(?:year\s+)?$", re.IGNORECASE)  # fmt: skip
_TRAIL: tuple[tuple[Relation, re.Pattern[str]], ...] = (
    ("since", re.compile(r"\s*(?:以来|起|至今|及以后|及之后|开始|onwards?\b|or\s+later\b|and\s+(?:later"
            r"|after|onwards?)\b(?!\s+(?:\w+\s+)?\d)|to\s+(?:now|date|today)\b)", re.I)),
    ("after", re.compile(r"\s*(?:之后|以后|过后|后(?![\u4e00-\u9fff]{0,1}年))")),
    ("before", re.compile(r"\s*(?:之前|以前|前(?!年))")),
    ("until", re.compile(r"\s*(?:及以前|及之前|为止|or\s+earlier\b|and\s+(?:earlier|before)\b"
            r"(?!\s+(?:\w+\s+)?\d))", re.I)),
    ("in", re.compile(r"\s*(?:期间|之?内|(?:and|or)\s+not\s+later)", re.I)),
)  # fmt: skip
_RANGE_LINK = re.compile(r"\s*(?:and|to|through|until|till|-|–|—|~|到|至|和|与)\s*(?:the\s+)?$", re.IGNORECASE)
_RANGE_LEAD = re.compile(r"(?:\b(?:between|from)|从|在|自|介于)\s*(?:the\s+)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TimeMention:
    """`question[start:end]` names the days `[first, after)`; `relation` says on which side of them the answer lies.

    `years` is the range of whole calendar years, both ends included, where it names such.
    """

    start: int
    end: int
    relation: Relation
    first: date
    after: date
    years: tuple[int, int] | None = None

    def date_range(self) -> dict[str, str]:
        """Operators over RFC 3339 text: half-open, so that days and moments of a day both order rightly."""
        first, after = self.first.isoformat(), self.after.isoformat()
        return {
            "in": {"gte": first, "lt": after},
            "since": {"gte": first},
            "after": {"gte": after},
            "before": {"lt": first},
            "until": {"lt": after},
        }[self.relation]

    def year_range(self) -> dict[str, int] | int | None:
        """Operators over a number that is a year; None where the time is finer than a year."""
        if self.years is None:
            return None
        low, high = self.years
        if self.relation == "in":
            return low if low == high else {"gte": low, "lte": high}
        return {"since": {"gte": low}, "after": {"gt": high}, "before": {"lt": low}, "until": {"lte": high}}[
            self.relation
        ]


def find_times(question: str, today: date) -> list[TimeMention]:
    """Every time that the question names, in order, ranges ("between … and …") as one; what is no date is left out."""
    found: list[TimeMention] = []
    year_to_come = None
    matches = list(_POINT.finditer(question))
    for place, match in enumerate(matches):
        if (match["dmy_d"] and not match["dmy_y"]) or (match["mdy_d"] and not match["mdy_y"]):
            later = next((m for m in matches[place + 1 :] if m["dmy_y"] or m["mdy_y"] or m["my_y"]), None)
            year_to_come = int(later["dmy_y"] or later["mdy_y"] or later["my_y"]) if later else today.year
        try:
            days = _days(match, today, year_to_come)
        except (ValueError, OverflowError, KeyError):  # 31 February, the year 0: words that look like a date
            continue
        if days is None:
            continue
        first, after, years = days
        end = match.start() + len(match.group().rstrip(" ,"))
        if found and (joined := _joined(question, found[-1], match.start(), end, after, years)):
            found[-1] = joined
            continue
        start, relation = _lead(question, match.start())
        for name, trail in _TRAIL:
            if follows := trail.match(question, end):
                relation, end = name, follows.end()
                break
        found.append(TimeMention(start, end, relation, first, after, years))
    return found


def _joined(
    question: str, left: TimeMention, start: int, end: int, after: date, years: tuple[int, int] | None
) -> TimeMention | None:
    """`left` and the time at `start` as one range: "2018 to 2020", "between May and June 2023", 2015年到2017年之间."""
    link = question[left.end : start] if start >= left.end else ""
    if not link or not _RANGE_LINK.fullmatch(link) or left.relation not in ("in", "since"):
        return None
    lead = _RANGE_LEAD.search(question[: left.start])
    word = link.strip().lower()
    opened = lead is not None or question[left.start : left.end].lower().startswith(
        ("from", "从", "自", "在", "between")
    )
    if word in ("and", "和", "与") and not opened:
        return None
    tail = re.compile(r"\s*(?:之间|期间|间)").match(question, end)
    both = (left.years[0], years[1]) if left.years and years else None
    if after <= left.first:
        return None
    return TimeMention(lead.start() if lead else left.start, tail.end() if tail else end, "in", left.first, after, both)


def _lead(question: str, start: int) -> tuple[int, Relation]:
    lead = _LEAD.search(question[:start])
    if lead is None:
        return start, "in"
    return lead.start(), lead.lastgroup  # type: ignore[return-value]


def _days(match: re.Match[str], today: date, year: int | None) -> tuple[date, date, tuple[int, int] | None] | None:
    """The days of one match as [first, after), and the calendar years where it names whole ones."""
    get = match.groupdict()

    def of(name: str) -> int:
        return int(get[name] or 0)

    if get["iso"]:
        y, m, d = map(int, get["iso"].split("-"))
        return _day(date(y, m, d))
    if get["dmy_d"]:
        return _day(date(of("dmy_y") or year or today.year, _MONTH[get["dmy_m"].lower()], of("dmy_d")))
    if get["mdy_d"]:
        return _day(date(of("mdy_y") or year or today.year, _MONTH[get["mdy_m"].lower()], of("mdy_d")))
    if get["my_m"]:
        return _months(of("my_y"), _MONTH[get["my_m"].lower()], 1)
    if get["ym"]:
        return _months(int(get["ym"][:4]), int(get["ym"][5:]), 1)
    for quarter, quarter_year in (("q", "q_y"), ("yq", "yq_y"), ("oq", "oq_y")):
        if get[quarter]:
            return _months(of(quarter_year), 3 * _ORDINAL[get[quarter].lower()] - 2, 3)
    for half, half_year in (("half", "half_y"), ("h", "h_y")):
        if get[half]:
            return _months(of(half_year), 6 * _ORDINAL[get[half].lower()] - 5, 6)
    if get["decade"]:
        return _years(of("decade"), of("decade") + 9)
    if get["cn_y"]:
        return _chinese(get)
    if get["rel"]:
        count = _NUMBER.get(get["rel_n"].lower().split()[0]) or _NUMBER.get(get["rel_n"].lower()) or of("rel_n")
        if get["rel_n"].lower().startswith("a ") or get["rel_n"].lower() == "couple":
            count = 2
        return _span(today, count, get["rel_u"].lower(), ahead=get["rel"].lower() in ("next", "coming"))
    if get["ago_n"]:
        count = _NUMBER.get(get["ago_n"].lower().split()[0]) or of("ago_n")
        return _ago(today, count, get["ago_u"].lower())
    if get["near"]:
        step = {"this": 0, "current": 0, "next": 1, "coming": 1}.get(get["near"].lower(), -1)
        return _period(today, get["near_u"].lower(), step)
    if get["today"]:
        return _day(today + timedelta(days=("yesterday", "today", "tomorrow").index(get["today"].lower()) - 1))
    if get["cr_n"]:
        unit = {"天": "day", "日": "day", "周": "week", "星期": "week", "月": "month", "季度": "quarter"}.get(
            get["cr_u"], "year"
        )
        count = _NUMBER[get["cr_n"]] if get["cr_n"] in _NUMBER else of("cr_n")
        if get["cr_n"] == "半":
            count, unit = 6, "month"
        return _span(today, count, unit, ahead=match.group().startswith(("未来", "今后")))
    if get["cnear"]:
        return _chinese_near(get["cnear"], today)
    return _years(of("year"), of("year"))


def _chinese(get: dict[str, str | None]) -> tuple[date, date, tuple[int, int] | None]:
    year = int(get["cn_y"] or 0)
    if get["cn_d"]:
        return _day(date(year, int(get["cn_m"] or 0), int(get["cn_d"])))
    if get["cn_m"]:
        return _months(year, int(get["cn_m"]), 1)
    if get["cn_q"]:
        return _months(year, 3 * _ORDINAL[get["cn_q"]] - 2, 3)
    if get["cn_h"]:
        return _months(year, 1 if get["cn_h"] == "上" else 7, 6)
    return _years(year, year)


def _chinese_near(word: str, today: date) -> tuple[date, date, tuple[int, int] | None]:
    if word in ("昨天", "今天", "明天"):
        return _day(today + timedelta(days=("昨天", "今天", "明天").index(word) - 1))
    if word in ("去年", "前年", "明年"):
        return _period(today, "year", {"去年": -1, "前年": -2, "明年": 1}[word])
    step = -1 if word.startswith("上") else 1 if word.startswith("下") else 0
    unit = "quarter" if "季度" in word else "month" if "月" in word else "week" if "周" in word else "year"
    return _period(today, unit, step)


def _day(day: date) -> tuple[date, date, None]:
    return day, day + timedelta(days=1), None


def _months(year: int, month: int, count: int) -> tuple[date, date, tuple[int, int] | None]:
    last = year * 12 + month - 1 + count
    return date(year, month, 1), date(last // 12, last % 12 + 1, 1), None


def _years(first: int, last: int) -> tuple[date, date, tuple[int, int]]:
    return date(first, 1, 1), date(last + 1, 1, 1), (first, last)


def _period(today: date, unit: str, step: int) -> tuple[date, date, tuple[int, int] | None]:
    """The week (from Monday), month, quarter or year that is `step` away from today's."""
    if unit == "week":
        monday = today - timedelta(days=today.weekday()) + timedelta(weeks=step)
        return monday, monday + timedelta(weeks=1), None
    if unit == "year":
        return _years(today.year + step, today.year + step)
    length = 1 if unit == "month" else 3
    month = today.year * 12 + (today.month - 1) // length * length + step * length
    return _months(month // 12, month % 12 + 1, length)


def _span(today: date, count: int, unit: str, *, ahead: bool) -> tuple[date, date, tuple[int, int] | None]:
    """The `count` units up to and with today, or from today on."""
    sign = 1 if ahead else -1
    if unit in ("day", "week"):
        edge = today + timedelta(days=sign * count * (7 if unit == "week" else 1))
    else:
        edge = _shift(today, sign * count * {"month": 1, "quarter": 3, "year": 12}[unit])
    years = None
    if unit == "year":
        years = (today.year, today.year + count - 1) if ahead else (today.year - count + 1, today.year)
    return (today, edge + timedelta(days=1), years) if ahead else (edge, today + timedelta(days=1), years)


def _ago(today: date, count: int, unit: str) -> tuple[date, date, tuple[int, int] | None]:
    if unit == "year":
        return _years(today.year - count, today.year - count)
    if unit == "month":
        month = today.year * 12 + today.month - 1 - count
        return _months(month // 12, month % 12 + 1, 1)
    return _day(today - timedelta(days=count * (7 if unit == "week" else 1)))


def _shift(day: date, months: int) -> date:
    """The same day of another month, or that month's last one."""
    month = day.year * 12 + day.month - 1 + months
    first = date(month // 12, month % 12 + 1, 1)
    last = _months(first.year, first.month, 1)[1] - timedelta(days=1)
    return first.replace(day=min(day.day, last.day))
