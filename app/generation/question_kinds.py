"""What kind of answer a question asks for, told by its words; of a Chinese one only whether it wants yes or no."""

from __future__ import annotations

import re
from typing import Literal

from app.generation.yes_no import asks_yes_or_no

Kind = Literal["number", "date", "person", "yes_no"]

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
    """Return what the question asks for, or None where its words do not tell."""
    asked = question.strip()
    if asks_yes_or_no(asked):
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
