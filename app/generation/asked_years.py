"""Whether an answer stands among other years than the one asked about: "in 2021" answered from 2023's report."""

from __future__ import annotations

import re

from app.generation.citations import quote_span
from app.types import Passage, PassageSpan

_YEAR = re.compile(r"(?<![\d.,])(?:1[0-9]|20)\d\d(?![\d]|[.,]\d)")


def speaks_of_other_years(question: str, passage: Passage, span: PassageSpan) -> bool:
    """Return whether the sentence around `span` names years, and neither it nor its passage or titles one asked about.

    Args:
        question: as asked; without a year nothing is at odds.
        passage: that the answer was copied from.
        span: the answer's place in it.
    """
    asked = set(_YEAR.findall(question))
    if not asked:
        return False
    chunk = passage.hit.chunk
    around = " ".join((passage.text, chunk.title or "", *chunk.heading_path))
    if asked & set(_YEAR.findall(around)):
        return False
    quoted = quote_span(passage, span)
    return _YEAR.search(passage.text[quoted.char_start : quoted.char_end]) is not None
