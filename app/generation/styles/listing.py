"""What a question for a list wants: items of which kind, of whom, and in which relation to them.

"Which cities does Acme have offices in?" lists cities; a sentence bears on it that names Acme and has an office in it,
whether or not it says "city". "Who are the members of the board?" lists members; there the word itself is the relation.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Literal

from app.generation.styles.kinds import without_politeness
from app.generation.styles.topic import topic_of
from app.index.analysis import STOP_WORDS, analyze
from app.index.scripts import HAN

Side = Literal["before", "after"]

_AUXILIARY = r"(?:do|does|did|is|are|was|were|has|have|had|can|could|will|would|must|may|might|should|shall)(?:n['’]t)?"
_WHICH = re.compile(
    rf"\b(?:which|what)\s+(?P<sort>(?:kinds?|types?|sorts?)\s+of\s+)?(?P<kind>(?!{_AUXILIARY}\b)(?:[\w-]+\s+){{0,2}}?\w+s|people|men|women|children|staff)\b\s*(?P<rest>.*)$",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"^(?:(?:list|name|enumerate|give\s+me|show\s+me|(?:a\s+)?list\s+of)\s+(?:a\s+list\s+of\s+)?(?:all\s+(?:of\s+)?|some\s+(?:of\s+)?)?"
    r"(?:the\s+|its\s+|their\s+|your\s+|our\s+)?|(?:who|what)\s+(?:all\s+)?(?:are|were)\s+(?:all\s+)?(?:the|its|their|your|our)\s+)"
    r"(?P<kind>(?:[\w-]+\s+){0,2}?[\w-]+)(?P<rest>\s+(?:of|for|in|at|on|to|by|where|which|that|who|whose|from|with)\b.*|\s*[?.]?)$",
    re.IGNORECASE,
)
_ACTING = re.compile(rf"^(?!{_AUXILIARY}\b)\w+", re.IGNORECASE)
_PLACED = re.compile(r"\b(?:in|at|to|from|on|with|for|of|into|by)\s*[?.]?$", re.IGNORECASE)
_CLAUSE = re.compile(r"^\s*(?:where|which|that|who|whose|(?:in|at|to|from)\s+which)\b", re.IGNORECASE)
_ASKING_HAN = re.compile(
    r"哪(?:些|[几幾两三四五六][个位所家种项座名件]?)|[几幾]位|不?[要需能可该]+(?=[带穿备])|什么|什麼"
)
_KIND_AFTER_HAN = re.compile(r"哪(?:些|几[个位所家种项座名]?)(?P<kind>[\u3400-\u9fff]*)")
_KIND_BEFORE_HAN = re.compile(
    r"(?:的|^)(?P<kind>[^的，。]{1,8}?)(?:都)?(?:有|是|包括|分别(?:有|是|为))哪(?:些|几[个位所家种项座名]?)[？?。]?$"
)
_KIND_LAST_HAN = re.compile(r"^(?:请)?(?:列出|列举|罗列).*的(?P<kind>[^的，。？?]{1,8})[。？?]?$")
_TYPES_TEXT = """
    city cities town country countries village place location region state island person people man woman company
    companies firm organisation organization business thing item point part aspect name product products goods
    城市 国家 地区 地方 地点 城镇 村 省份 人 公司 企业 机构 产品 商品 东西 名字 商家 车站 项目 事项 内容 方面
"""
_TYPES = frozenset(analyze(_TYPES_TEXT))
_LIGHT = frozenset(analyze("设 设有 设在 设立 位于 拥有 具有 存在 属于 包括 包含 一共 目前 现在 currently now 都 有着"))
_SORTS = frozenset(analyze("kind type sort 种类"))
_FAINT_HAN = re.compile(r"[要做时能可会应该有些事么]")  # in words that a passage need not have
_HAN = re.compile(f"[{HAN}]")


@dataclass(frozen=True, slots=True)
class Listing:
    """`names` may stand above a sentence that bears on the question, in its title; `relation` must stand in it.

    `kind` are the terms of what is listed. `side` is where items stand to the name that the question gives: "after"
    what somebody buys, "before" who buys something; None where the words don't tell. `anchors` are terms without any of
    which in the passages nothing there can be meant.
    """

    question: str
    terms: frozenset[str]
    names: frozenset[str]
    relation: frozenset[str]
    kind: frozenset[str]
    side: Side | None
    anchors: frozenset[str]

    @property
    def typed(self) -> bool:
        """Whether the items are places, people or firms, and so are written as names."""
        return bool(self.kind & _NAMED_TYPES) and not self.kind & _SORTS

    @property
    def particular(self) -> bool:
        """Whether the kind says more than "places", "people" or "things", so that not any item is one of it."""
        return bool(self.kind) and not self.kind & (_TYPES | _NAMED_TYPES)


_NAMED_TYPES_TEXT = """
    city town country village place location region person people company firm founder member director author owner
    manager trustee partner winner 城市 国家 公司
"""
_NAMED_TYPES = frozenset(analyze(_NAMED_TYPES_TEXT))


def listing_of(question: str) -> Listing | None:
    """Return what the question wants listed; None where it names nobody and nothing that could be looked for."""
    plain = without_politeness(question).strip()
    topic = topic_of(question)
    if _HAN.search(plain):
        return _chinese(question, plain)
    kind: Set[str] = frozenset()
    required, side = True, None
    if (which := _WHICH.search(plain)) is not None:
        kind, rest = _terms(which["kind"]) | _terms(which["sort"] or ""), which["rest"]
        required = False
        if not _PLACED.search(rest):
            side = _side(rest, topic.terms)
    elif (named := _NAMED.search(plain)) is not None:
        kind = _terms(named["kind"])
        required = not (_CLAUSE.match(named["rest"]) and kind & _TYPES)
    relation = topic.terms - topic.names - kind - _SORTS
    if required or not relation or (not topic.names and len(relation) < 2):
        relation |= (kind & topic.terms) - _SORTS
        side = None  # "Norvalin has side effects", "A side effect of Norvalin is …": either way
    if not relation or (not topic.names and len(relation) < 2):
        return None
    anchors = frozenset(relation - kind) | topic.names if required and kind and topic.names else topic.names
    return Listing(question, topic.terms, topic.names, frozenset(relation), frozenset(kind), side, anchors)


def _side(rest: str, terms: Set[str]) -> Side | None:
    """Which side of the name: "Which firms does Acme supply?" and "Which firms supply Acme?" are two questions."""
    if re.match(r"(?:do|does|did)\b", rest, re.IGNORECASE):
        return "after"
    acting = _ACTING.match(rest)
    return "before" if acting and frozenset(analyze(acting.group())) & terms else None


def _chinese(question: str, plain: str) -> Listing | None:
    kind: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    terms = topic_of(_ASKING_HAN.sub(" ", plain)).terms
    if (found := _KIND_LAST_HAN.search(plain) or _KIND_BEFORE_HAN.search(plain)) is not None:
        kind = _terms(found["kind"])
        needed = kind if not kind & _TYPES else frozenset()
    elif (found := _KIND_AFTER_HAN.search(plain)) is not None and found["kind"]:
        kind = frozenset(analyze(found["kind"])[:1])
    relation = terms - kind - _LIGHT
    if len(relation) < 2:
        relation = terms - kind
    anchors = frozenset(term for term in relation if kind and len(term) > 1 and not _FAINT_HAN.search(term))
    if needed:
        # 创办人 is said as 创办, too: its shortest term is the one that every form holds
        relation |= {min(needed, key=lambda term: (len(term) < 2, len(term), term))}
    if len(relation) < 2:
        return None
    return Listing(question, terms, frozenset(), frozenset(relation), kind, None, anchors)


def _terms(words: str) -> frozenset[str]:
    return frozenset(analyze(words)) - STOP_WORDS
