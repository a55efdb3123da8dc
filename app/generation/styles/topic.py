"""What an open question is about: its terms without the words that only ask."""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass

from app.generation.styles.kinds import without_politeness
from app.generation.verb_forms import base_of, is_irregular
from app.index.analysis import STOP_WORDS, analyze
from app.index.scripts import HAN

_ABOUT = re.compile(
    r"\b(?:about|regarding|concerning|(?:overview|summary|description|outline|account|background)\s+of)\s+(?P<topic>.+)$",
    re.I,
)
_ASKING_TEXT = """
    tell say state mention write report describe explain summarize summarise summary overview outline discuss give know
    inform information detail details work works function reason happen happened way list name document documents text
    texts passage passages article articles file files paper page source sources please show brief short main key
    important result results figure figures business going doing performance policy policies rule rules
    regulation regulations arrangement arrangements
    介绍 总结 概括 概述 归纳 描述 简述 解释 说明 讲讲 说说 谈谈 讲 说 谈 写 情况 概况 背景 一下 关于 有关 内容 文档 文件
    文章 资料 业绩 报告 列出 列举 请 怎么 如何 原因 主要 简要 简单 下 是否 对 里 中 这份 那份 这篇 本文 文中 规定 制度
    安排 规则 政策 事项 年报 手册
"""
_ASKING = frozenset(_ASKING_TEXT.split()) | frozenset(analyze(_ASKING_TEXT))
_NAME = re.compile(r"[A-Z0-9][\w&’'-]*")
_AND = re.compile(r",?\s+(?:and|or)\s+|,\s+|[和与及、]")
_STEM_CHARS = 5
_HAN = re.compile(f"[{HAN}]")


@dataclass(frozen=True, slots=True)
class Topic:
    """`terms` are index terms; `names` those of them that are written as names or numbers and so can't be missing.

    `parts` has the terms of each of several things that are asked for together, "noise and washing"; else all of them.
    """

    text: str
    terms: frozenset[str]
    names: frozenset[str]
    parts: tuple[frozenset[str], ...]


def topic_of(question: str) -> Topic:
    """Return what the question is about; without any term where it only asks for "a summary" of whatever there is."""
    plain = without_politeness(question).strip(" ?？。.!！")
    about = _ABOUT.search(plain)
    text = about["topic"] if about else plain
    terms = frozenset(analyze(text)) - STOP_WORDS - _ASKING
    # the first word of a question is written with a capital whatever it is
    later = text if about else text.partition(" ")[2]
    names = frozenset(term for name in _NAME.findall(later) for term in analyze(name)) & terms
    pieces = [frozenset(analyze(piece)) & terms for piece in _AND.split(text)]
    apart = len(pieces) > 1 and all(piece and not piece & names for piece in pieces)
    return Topic(text, terms, names, tuple(pieces) if apart else (terms,))


def held(term: str, terms: Set[str]) -> bool:
    """Return whether `terms` has it in some form: "acquisition" for "acquire", "fell" for "fall", 年度报告 for 报告."""
    if term in terms:
        return True
    base = base_of(term)
    if base in terms if base != term else is_irregular(term) and any(base_of(other) == term for other in terms):
        return True
    if _HAN.search(term):
        return any(term in other for other in terms)
    if len(term) < _STEM_CHARS or not term.isalpha():
        return False
    return any(
        other[:_STEM_CHARS] == term[:_STEM_CHARS] and abs(len(other) - len(term)) <= _STEM_CHARS for other in terms
    )


def held_of(terms: Iterable[str], said: Set[str]) -> frozenset[str]:
    """Return those of `terms` that `said` holds in some form."""
    return frozenset(term for term in terms if held(term, said))
