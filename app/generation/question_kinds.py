"""What kind of answer a question asks for, told by its words; of a Chinese one only whether it wants yes or no."""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal["number", "date", "person", "yes_no"]

_YES_NO = re.compile(
    r"(?:is|are|was|were|am|do|does|did|has|have|had|can|could|will|would|should|may|might|must)(?:n['’]t)?\s", re.I
)
_CHOICE = re.compile(r"\b(?:or|who|whom|what|when|where|which|why|how)\b", re.I)
_YES_NO_CHINESE = re.compile(
    r"[吗嗎][？?。\s]*$|(?<!不)是否|是不是|有没有|有沒有|能不能|可不可以|可否|能否|会不会|會不會|要不要"
)
_OPEN_CHINESE = re.compile(r"什么|什麼|谁|誰|哪|几|幾|多少|怎么|怎麼|如何|为何|為何|还是|還是")
_NUMBER_ASKED = re.compile(
    r"\bhow (?:many|much|old|long|far|tall|often|large|big|high|wide|deep|fast|heavy)\b"
    r"|\bwhat (?:percentage|percent|proportion|number|share)\b",
    re.I,
)
_DATE_ASKED = re.compile(r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|decade|century|time)\b", re.I)
_PERSON_ASKED = re.compile(r"\b(?:who|whom|whose)\b", re.I)

_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred|thousand|million|billion|once"
    r"|twice|half|quarter|several|many|few|first|second|third|none|no)\b",
    re.I,
)
_DATE = re.compile(
    r"\d|\b(?:january|february|march|april|may|june|july|august|september|october|november|december|monday|tuesday"
    r"|wednesday|thursday|friday|saturday|sunday|century|decade|spring|summer|autumn|fall|winter|morning|noon|evening"
    r"|night|days?|weeks?|months?|years?|after|before|when|during|until|while|once)\b",
    re.I,
)
_PERSON = re.compile(r"[A-Z]|\b(?:[Tt]he|[Aa]n?|[Hh]is|[Hh]er|[Tt]heir|[Mm]y|[Yy]our|[Oo]ur)\b")


def kind_of(question: str) -> Kind | None:
    """Return what the question asks for, or None where its words do not tell.

    "Is it red or blue?" asks for one of the two, not for yes or no.
    """
    asked = question.strip()
    if _YES_NO.match(asked) and not _CHOICE.search(asked):
        return "yes_no"
    if _YES_NO_CHINESE.search(asked) and not _OPEN_CHINESE.search(asked):
        return "yes_no"
    if _NUMBER_ASKED.search(asked):
        return "number"
    if _DATE_ASKED.search(asked):
        return "date"
    return "person" if _PERSON_ASKED.search(asked) else None


def kind_fit(question: str, answer: str) -> float:
    """Return 1 where the answer reads as what the question asks for, −1 where it does not, 0 where nothing is known.

    "How many?" wants a number, in digits or words; "when?" a date or a word of time; "who?" a name or a noun phrase.
    """
    shape = {"number": _NUMBER, "date": _DATE, "person": _PERSON}.get(kind_of(question) or "")
    if shape is None:
        return 0.0
    return 1.0 if shape.search(answer) else -1.0
