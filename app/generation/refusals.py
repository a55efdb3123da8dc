"""The words in which a model says that the passages do not hold the answer, in English and Chinese."""

from __future__ import annotations

import re

from app.generation.citations import abstention_text

_SOURCE = (
    r"(?:passages?|documents?|context|texts?|sources?|excerpts?|materials?|articles?|(?:provided|given|available)\s+information"
    r"|information\s+(?:provided|given|available))"
)
_NOT = r"(?:(?:do|does|did|is|are|was|were|can|could|has|have)(?:\s+not|n['’]t)|cannot|never|fails? to)"
_TELLS = (
    r"(?:say|state|mention|contain|include|provide|specify|hold|give|answer|address|discuss|reveal|tell|indicate|describe"
    r"|cover|stated|mentioned|provided|included|specified|given|found|available|enough|sufficient|have)"
)
_ENGLISH = re.compile(
    rf"\b{_SOURCE}\b[^.!?]{{0,60}}?\b{_NOT}\b[^.!?]{{0,30}}?\b{_TELLS}\b"
    rf"|\b(?:no|not\s+enough|insufficient)\s+(?:\w+\s+)?(?:information|mention|answer|details?)\b[^.!?]{{0,80}}\b{_SOURCE}\b"
    rf"|\b{_SOURCE}\b[^.!?]{{0,60}}\b(?:no|not\s+enough|insufficient)\s+(?:\w+\s+)?(?:information|mention|answer|details?)\b"
    r"|\b(?:there\s+is|I\s+have)\s+(?:no|not\s+enough|insufficient)\s+(?:\w+\s+)?information\b"
    rf"|\b(?:is|are|was|were)(?:\s+not|n['’]t)\s+(?:\w+ly\s+)?(?:mentioned|stated|provided|specified|given|included|found"
    rf"|available|answered|discussed)\b[^.!?]{{0,40}}\b{_SOURCE}\b"
    r"|\bI\s+(?:do\s+not|don['’]t|cannot|can['’]t|could\s+not|couldn['’]t|am\s+(?:unable|not\s+able)\s+to|was\s+unable\s+to)\b"
    r"[^.!?]{0,30}?\b(?:know|find|answer|determine|say|tell|provide|locate)\b"
    rf"|\b(?:unable|impossible|not\s+possible)\s+to\s+(?:answer|determine|find|say)\b[^.!?]{{0,60}}\b(?:{_SOURCE}|question)\b",
    re.IGNORECASE,
)
_CHINESE = re.compile(
    r"(?:文档|文件|段落|资料|材料|上下文|文中|文本|信息|原文|内容|片段)[^。！？]{0,20}?(?:没有|未|并未|无法)[^。！？]{0,12}?"
    r"(?:提到|提及|说明|包含|包括|给出|提供|回答|答案|涉及|记载|介绍|指出|足够|相关)"
    r"|(?:无法|不能)(?:从|根据|在|基于)[^。！？]{0,24}?(?:找到|回答|确定|得知|判断|得出)|(?:无法|不能)回答"
    r"|(?:没有|未|未能)找到[^。！？]{0,12}?(?:信息|答案|资料|内容)|(?:没有|缺乏|缺少)(?:足够|相关)的?(?:信息|答案|资料)"
    r"|我不知道|不得而知"
)
_TRADITIONAL = str.maketrans("檔沒無資內給說記載關夠確斷從訊應問題據裡", "档没无资内给说记载关够确断从讯应问题据里")


def is_refusal(sentence: str) -> bool:
    """Whether the sentence says that the question can not be answered from the passages.

    It looks for "the passages do not say", "I could not find", "文档中没有提到" and their kin; a "no" is an answer.
    """
    plain = " ".join(sentence.split())
    if not plain:
        return False
    bare = plain.strip(" .。\"'“”*").casefold()
    if bare in {abstention_text(language).strip(" .。").casefold() for language in ("?", "？问")}:
        return True
    return bool(_ENGLISH.search(plain) or _CHINESE.search(plain.translate(_TRADITIONAL)))
