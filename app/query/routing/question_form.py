"""The form of a question as a hint at the kind of its target: counting and ranking, connecting, greeting."""

from __future__ import annotations

import re

from app.routing_types import RouteKind

_COUNTS = re.compile(
    r"\b(?:how (?:many|much)|number of|count|total|sum of|average|mean|median|top (?:\d+|ten|five|three)|highest|"
    r"lowest|most|fewest|largest|biggest|smallest|least|share of|percent|per (?:month|year|country)|list)\b"
    r"|多少|几个|总共|总数|总|平均|最多|最少|最高|最低|最大|前十|统计|比较|占比",
    re.IGNORECASE,
)
_CONNECTS = re.compile(
    r"\b(?:connected|connection|connects?|link(?:ed)? (?:between|to)|related|relationship|between .+ and|both .+ and|"
    r"shares?|through whom|co-?authors?|collaborat\w+|belongs? to|who .*\bwith)\b|关系|关联|联系|之间|合作",
    re.IGNORECASE,
)
_GREETS = re.compile(
    r"^\W*(?:hi|hello|hey|good (?:morning|afternoon|evening|night|bye)|bye|goodbye|thanks?|thank you|cheers|"
    r"how are you|who are you|what(?:'s| is) your name|nice to meet you|see you|have a nice|你好|您好|嗨|早上好|"
    r"晚上好|下午好|谢谢|多谢|非常感谢|再见|你是谁|你叫什么|很高兴认识)",
    re.IGNORECASE,
)
_HINTS = {"sql": _COUNTS, "graph": _CONNECTS, "chitchat": _GREETS}


def has_form_of(kind: RouteKind, question: str) -> bool:
    """Whether the question is put as questions to such a target often are; never for the other kinds."""
    hint = _HINTS.get(kind)
    return hint is not None and hint.search(question[:500]) is not None
