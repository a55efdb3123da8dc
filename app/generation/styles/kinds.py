"""What form of answer a question wants, told by its words: a fact, a list, a verdict, or sentences about a topic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from app.generation.question_kinds import kind_of

Wanted = Literal["fact", "list", "yes_no", "explain", "open"]

_POLITE = re.compile(
    r"^(?:(?:please|hi|hello|hey|kindly)[,!]?\s+|(?:can|could|would|will)\s+you\s+(?:please\s+)?|i\s+(?:want|need|would\s+like|['’]d\s+like)"
    r"\s+(?:you\s+)?to\s+(?:know\s+)?(?=tell|know|hear|describe|explain|summ|list|name|what|how|why|which)|请问|请你?|麻烦你?|能否请你|你能不能|你能|可以)+",
    re.IGNORECASE,
)
_SAYING = r"(?:says?|said|states?|tells?|mentions?|writes?|reports?|stand|explain|have\s+to\s+say)"
_OPEN = re.compile(
    r"^(?:tell|inform)\s+(?:me|us)\s+(?:\w+\s+){0,3}?(?:about|of|on)\b"
    r"|^(?:talk|speak|say\s+something)\s+about\b"
    rf"|^what\s+(?:do|does|did|is|are|can)\b.{{0,80}}?\b{_SAYING}\s*(?:\w+\s+)?(?:about|on|regarding|concerning|of)\b"
    r"|^what\s+(?:is|was|are|were)\s+(?:said|written|stated|known|mentioned|reported)\s+(?:\w+\s+){0,3}?(?:about|on|regarding|of)\b"
    r"|^what\s+(?:do|does|did)\s+(?:you|we|they)\s+know\s+(?:about|of)\b"
    r"|^what(?:['’]s|\s+is|\s+are|\s+was)\s+.{0,60}\babout\s*\?*$"
    r"|^what\s+(?:are|were|is|was)\s+(?:all\s+)?(?:the|its|their)\s+(?:\w+\s+)?(?:rules?|regulations?|polic(?:y|ies)|arrangements?|provisions?)"
    r"\s+(?:about|on|for|of|regarding|concerning)\b"
    r"|^what\s+(?:was|were|has\s+been|have)\s+(?:\w+\s+)?(?:decided|agreed|discussed|resolved)\b|^what\s+did\s+.{1,60}\b(?:decide|agree|resolve)\b"
    r"|^what\s+(?:do|does|should|must)\s+.{1,60}\b(?:know|keep\s+in\s+mind|be\s+aware\s+of|consider|remember)\b"
    r"|^what\s+(?:is|are|was|were)\s+.{1,60}\bdoing\b|^how\s+(?:is|are|was|were)\s+.{1,60}\b(?:going|doing)\b"
    r"|^(?:explain|summari[sz]e|describe|outline|discuss|characteri[sz]e|elaborate|introduce|recap|sum\s+up)\b"
    r"|^(?:give|write|provide|show|prepare|make)\s+(?:me\s+|us\s+)?(?:an?\s+|the\s+)?(?:\w+\s+){0,2}?"
    r"(?:summary|overview|description|outline|account|introduction|report|background|information|details)\b"
    r"|^(?:a\s+|an\s+)?(?:\w+\s+)?(?:summary|overview|description|outline)\s+of\b"
    r"|(?:介绍|总结|概括|概述|归纳|描述|简述|讲讲|说说|谈谈|聊聊|讲一下|说一下|谈一下|讲述|阐述|叙述)"
    r"|(?:怎么说|怎么写|怎样说|怎么讲|有何说法|说了(?:些)?什么|讲了(?:些)?什么|写了(?:些)?什么|讲的(?:是)?什么|的(?:情况|概况|背景)"
    r"(?:如何|怎么样|怎样|是什么)?[？?]?$)"
    r"|有(?:什么|何|哪些|什麼)(?:规定|要求|安排|规则|政策|制度|規定|規則|安排)|(?:决定|決定|讨论|討論|商定)了(?:什么|哪些|什麼)|^解释|^说明",
    re.IGNORECASE,
)
_EXPLAIN = re.compile(
    r"^why\b|^how\s+come\b|^for\s+what\s+reasons?\b|^what\s+(?:is|was|are|were)\s+the\s+reasons?\b"
    r"|^how\s+(?:do|does|did|is|are|was|were|can|could|should|would|has|have|to)\b"
    r"|^in\s+what\s+ways?\b|^what\s+happen(?:s|ed)\b"
    r"|为什么|为何|为啥|何以|怎么会|怎样才|如何|怎么|怎样|怎麼|怎樣|為什麼|為何",
    re.IGNORECASE,
)
_HOW_MUCH = re.compile(r"^how\s+(?:many|much|old|long|far|tall|often|large|big|high|wide|deep|fast|heavy)\b", re.I)
_AMOUNTS = re.compile(
    r"^what\s+(?:are|were)\b(?=.*\b(?:in|for|at|on|during|of)\s+(?:\w+\s+){0,4}?(?:(?:19|20)\d\d|q[1-4]|quarter|months|year)\b"
    r"|.*\b(?:total|net|gross|operating|annual|quarterly)\b)"
    r".*\b(?:sales|revenues|earnings|expenses|expenditures|costs|profits|losses|proceeds|takings|receivables|payables|wages"
    r"|cash\s+flows|cash\s+equivalents|assets|liabilities|inventories|dividends|savings|receipts|debts)\b",
    re.IGNORECASE,
)
"""Plurals that are one amount, told from things by a period or by a word of accounts."""
_COLLECTIVE = r"people|men|women|children|criteria|phenomena|media|police|data|mice|feet|teeth|species|series"
_AUXILIARY = r"(?:do|does|did|is|are|was|were|has|have|had|can|could|will|would|must|may|might|should|shall)"
_PLURAL = rf"(?:(?:{_COLLECTIVE})|(?!(?:\w*(?:ss|us|is)|was|does|has|its|news|always|perhaps|goes)\b)\w+s)"
_LIST = re.compile(
    r"^(?:list|enumerate)\b|^name\s+(?:all|the|some|two|three|four|five|\w+s\b)"
    r"|^(?:give|show)\s+(?:me\s+|us\s+)?(?:a\s+|the\s+)?(?:full\s+|complete\s+)?list\b"
    r"|^what\s+(?:should|must|do|does|did|can|will)\s+(?:\w+\s+){1,3}(?:bring|pack|wear|need|offer|sell|make|produce|include|contain|teach|print|lend|rent|build|grow|export|import|supply|publish|repair)\b"
    r"|^who\s+(?:is|was|sits|sat)\s+(?:on|in)\b|^what\s+should\b|^what\s+(?:are|were)\b|^(?:what|which|who)\s+all\b|^(?:what|who)\s+(?:are|were)\s+(?:all\s+)?(?:the|some|its|their|his|her|our|your)\b"
    rf"|\b(?:which|what)\s+(?:{_PLURAL}\b|(?:(?!{_AUXILIARY}\b)[\w-]+\s+){{1,3}}?{_PLURAL}\s+{_AUXILIARY}\b)"
    r"|(?:有|是|包括|包含|涉及|需要|提供)?(?:哪些|哪几)|[要需能可该以]+(?:不)?[带穿准备]+(?:些)?什么|哪[两三四五六七八九十几幾](?=[^\d年月日点])|列出|列举|罗列|分别(?:是|有|为)",
    re.IGNORECASE,
)
_ONE_OF_THEM = re.compile(r"\b(?:which|what)\s+(?:one\s+)?of\b|\bwhat\s+(?:is|was)\b", re.IGNORECASE)
_CHINESE_FACT = re.compile(r"多少|几[个位名年月日岁次]|谁|何时|什么时候|哪[一个年里位家]|在哪")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question wants; `why` is the words in it that tell, for the trace."""

    wanted: Wanted
    why: str


def asked_of(question: str) -> Asked:
    """Return what form of answer `question` wants; a fact where its words say nothing else.

    "explain" (why, how) may be answered by a phrase as well as by sentences; "open" (tell me about) never by a phrase.
    """
    plain = without_politeness(question)
    if (match := _OPEN.search(plain)) is not None:
        return Asked("open", match.group().strip())
    if kind_of(plain) == "yes_no":
        return Asked("yes_no", plain.split(maxsplit=1)[0] if plain.isascii() else "吗/是否")
    if _HOW_MUCH.match(plain) or _AMOUNTS.match(plain):
        return Asked("fact", "an amount is asked for")
    if (match := _LIST.search(plain)) is not None and not _ONE_OF_THEM.search(plain):
        return Asked("list", match.group().strip())
    if (match := _EXPLAIN.search(plain)) is not None and not _CHINESE_FACT.search(plain):
        return Asked("explain", match.group().strip())
    return Asked("fact", "nothing says otherwise")


def without_politeness(question: str) -> str:
    """Return the question without "please", "could you" and 请问 in front of it."""
    plain = " ".join(question.split())
    return _POLITE.sub("", plain) or plain
