"""A question of several parts into its parts, by its clauses: no parser is at hand offline, its joints are.

Kinds after Break (Wolfson et al. 2020, section 2): conjunctions, comparisons, and bridges through a described thing.
"""

from __future__ import annotations

import re

from app.query.surface import content_words, is_chinese

_MOST = 4
_WH = r"(?:what|which|who|whom|whose|when|where|why|how)"
_AND_QUESTION = re.compile(rf"\s*(?:,|;)?\s+(?:and|but|or)\s+(?={_WH}\b)|[?？]\s+|;\s+", re.IGNORECASE)
_CHINESE_JOINTS = re.compile(r"[？?；;]|，\s*(?:以及|并且|而且|和)?(?=.{0,12}(?:什么|哪|谁|多少|何|怎|几|吗))")
_COMPARED = re.compile(
    r"^(?P<head>.+?\b(?:older|younger|larger|bigger|smaller|longer|shorter|taller|higher|lower|earlier|later|first|more|"
    r"less|fewer|better|faster|cheaper|closer|newer|born|founded|released|published|came out)\b[^,:]*?)"
    r"(?:[,:]\s*|\s+(?:out of|between)\s+)(?P<left>[^,?]+?),?\s+(?:or|and)\s+(?P<right>[^,?]+?)\s*\?*$",
    re.IGNORECASE,
)
_BOTH = re.compile(
    r"^(?:are|were|is|was|do|does|did|have|has|can)\s+(?:both\s+)?(?P<left>.+?)\s+and\s+(?P<right>.+?)\s+(?P<rest>"
    r"(?:both\s+)?(?:the same|from|located|based|made|born|in|of|a|an|members?|known|used|published|part)\b.+?)"
    r"\?*$",
    re.IGNORECASE,
)
_BRIDGE = re.compile(
    r"^(?P<head>.+?\b(?:of|by|for|in|at|from|to|with|about))\s+(?P<thing>the\s+(?:[\w-]+\s+){1,4}?(?:that|who|which|whose|where)\s+.+?)\?*$",
    re.IGNORECASE,
)
_OF_CHAIN = re.compile(
    r"^(?P<head>(?:who|what|when|where|which|how)\b.+?)\s+(?:of|by)\s+(?P<thing>the\s+(?P<role>author|director|founder|"
    r"writer|creator|composer|inventor|mother|father|wife|husband|spouse|son|daughter|ceo|president|capital|manufacturer|"
    r"publisher|owner|producer|performer|singer|maker|developer)\s+of\s+.+?)\?*$",
    re.IGNORECASE,
)


# what a comparison compares is seldom said in the documents in its own word
_MEASURES = (
    (re.compile(r"\b(?:older|younger|born)\b", re.IGNORECASE), "When was {} born?"),
    (re.compile(r"\b(?:released|published|came out|newer)\b", re.IGNORECASE), "When was {} released?"),
    (re.compile(r"\bfounded\b", re.IGNORECASE), "When was {} founded?"),
)


def decompose(question: str) -> list[str]:
    """Up to four standalone sub-questions in the order in which they are to be answered; none for a simple question."""
    text = question.strip()
    if is_chinese(text):
        parts = [part.strip(" ，,") for part in _CHINESE_JOINTS.split(text)]
        return _kept([f"{part}？" for part in parts if part], text)
    for split in (_compared, _both, _bridged, _joined):
        parts = split(text)
        if parts:
            return _kept(parts, text)
    return []


def _compared(text: str) -> list[str]:
    found = _COMPARED.match(text)
    if found is None:
        return []
    head = re.sub(
        r"^(?:who|which(?: \w+)?|what)\s+(?:is|was|are|were|has|had)?\s*", "", found["head"].strip(), flags=re.I
    )
    left, right = (
        re.sub(r"^(?:the film|the movie|the band)\s+", "", found[side].strip(), flags=re.I)
        for side in ("left", "right")
    )
    for pattern, asked in _MEASURES:
        if pattern.search(head):
            return [asked.format(left), asked.format(right)]
    return [f"{left} {head}".strip(), f"{right} {head}".strip()]


def _both(text: str) -> list[str]:
    found = _BOTH.match(text)
    if found is None:
        return []
    rest = re.sub(r"^both\s+", "", found["rest"], flags=re.IGNORECASE)
    return [f"{found['left'].strip()} {rest}?", f"{found['right'].strip()} {rest}?"]


def _bridged(text: str) -> list[str]:
    """What is described is asked for first: its answer is what the outer question is about."""
    found = _OF_CHAIN.match(text) or _BRIDGE.match(text)
    if found is None:
        return []
    thing = found["thing"].strip()
    described = re.sub(r"^the\s+", "", thing, flags=re.IGNORECASE)
    inner = (
        f"Who is {thing}?"
        if "role" in found.groupdict() and found["role"].lower() != "capital"
        else f"Which {described}?"
    )
    return [inner, text]


def _joined(text: str) -> list[str]:
    parts = [part.strip(" ,;?") for part in _AND_QUESTION.split(text)]
    return [f"{part}?" for part in parts if part] if len(parts) > 1 else []


def _kept(parts: list[str], question: str) -> list[str]:
    """Parts that ask for something; a part that only has a pronoun for its subject gets the first part's subject."""
    asked = [part for part in dict.fromkeys(parts) if content_words(part)]
    if len(asked) < 2:
        return []
    return [part for part in asked if part.strip(" ?？") != question.strip(" ?？")][:_MOST]
