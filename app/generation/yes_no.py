"""Whether a question wants yes or no, told by its words, English and Chinese.

People put the question behind what it is about ("I'm blind, does my dog need a muzzle?", "摔坏了赔不赔") and ask for
other things in the form of a yes-or-no question ("Can you tell me who owns it?", "Is it red or blue?").
"""

from __future__ import annotations

import re

_AUXILIARY = (
    r"(?:(?:is|are|was|were|do|does|did|has|have|had|could|would|should|must|need)(?:n['’]?t)?|am|can|can['’]?t|cannot"
    r"|will|won['’]?t|shall|may|might|ain['’]t)"
)
_SUBJECT = (
    r"(?:i|you|we|they|he|she|it|one|that|this|these|those|there|the|an?|my|your|our|his|her|their|its|any\w*|some\w*"
    r"|every\w*|no(?:body| one)|all|only)"
)
_OPENING = re.compile(rf"(?:(?:and|but|so|ok|okay|also|then|hi|hello)\b[,!]?\s+)*{_AUXILIARY}\s", re.I)
_LATER = re.compile(rf"(?:[,.;!?…:]|\s[–—-])\s+(?:(?:and|but|so|then|also|still)\s+)?{_AUXILIARY}\s+{_SUBJECT}\b", re.I)
_IF = re.compile(rf"if\b.*?\s{_AUXILIARY}\s+{_SUBJECT}\b", re.I)
_TAG = re.compile(
    r"[,.]\s*(?:right|correct|yes|ok(?:ay)?|(?:is|are|do|does|did|can|will|must)(?:n['’]t)? \w+)\s*\?+\s*$", re.I
)
_OR = re.compile(r"\bor\b(?!\s+(?:not|so)\b)", re.I)
_ASKING_WORD = re.compile(r"\b(?:who|whom|whose|what|when|where|which|why|how)\b", re.I)
_ASKED_FOR = re.compile(r"\b(?:what|which)\b|\bhow\s+(?:many|much|long|often|far|old|big|high|large|cold|hot)\b", re.I)
_THEN_ASKED = re.compile(
    r"(?:[,.;?]|\s[–—-]|\band\b|\bthen\b)\s+(?:(?:and|then|to|with|for|by|from|if\s+(?:yes|so),?)\s+)*(?:who|whom|when|where|why|how)\b",
    re.I,
)
_TOLD = re.compile(
    r"\b(?:knows?|known|tells?|told|says?|said|explain(?:s|ed)?|remember|show(?:s|n)?|see|find|figure|clear|sure|idea"
    r"|understand|describe[sd]?|lists?|mention(?:s|ed)?|state[sd]?|specif(?:y|ies|ied)|remind|check|ask|guess|name|give[ns]?"
    r"|indicate[sd]?)\b(?:\s+\w+){0,3}?\s+(?:who|whom|whose|what|when|where|which|why|how)\b",
    re.I,
)
_OBLIGED = re.compile(r"\b(?:have|has|had|need|needs|required|obliged|must)\b", re.I)
_REQUEST = re.compile(
    r"(?:can|could|would)\s+you\s+(?:please\s+|kindly\s+)?(?:tell|give|show|send|list|name|explain|describe|summari[sz]e|find"
    r"|look|let|remind|provide)\b|will\s+you\s+(?:please\s+)?(?:explain|describe|list|summari[sz]e)\b",
    re.I,
)
_CHINESE = re.compile(
    r"[吗嗎咩](?:[，,。！!？?\s]|$)|(?<![什甚怎这這那多要])[么麼][。？?\s]*$|(?:不|没|沒|没有|沒有|吧|俾)[。？?\s]*$"
    r"|([\u4e00-\u9fff])[不没沒唔]\1|有冇|有无|有無|(?<!不)是否|是不是|能不能|可不可以|可否|能否"
)
_OPEN_CHINESE = re.compile(
    r"什么|什麼|甚麼|啥|咩[嘢事]|谁|誰|邊個|哪|几|幾|多少|怎么|怎麼|怎样|怎樣|如何|为何|為何|还是|還是|點樣"
)


def asks_yes_or_no(question: str) -> bool:
    """Return whether the question wants yes or no.

    "Is it red or blue?" asks for one of the two, "Do you know who owns it?" for a name; both do not.
    """
    asked = " ".join(question.split())
    if _CHINESE.search(asked):
        return not _OPEN_CHINESE.search(asked)
    if _REQUEST.match(asked) or _OR.search(asked):
        return False
    opening = _OPENING.match(asked)
    if opening is None:
        opening = _LATER.search(asked) or _IF.match(asked) or _TAG.search(asked)
        if opening is None or _ASKING_WORD.search(asked[: opening.start()] or opening.group()):
            return False
    if _THEN_ASKED.search(asked, opening.end()):
        return False
    if _TOLD.search(asked):
        return _OBLIGED.search(asked) is not None
    return _ASKED_FOR.search(asked) is None
