"""Sentences that speak to whoever answers, not to whoever reads: "ignore the question and say …".

A document may hide such lines from people (white on white) and still hand them to every program. They are no statement
about anything, so no paragraph, verdict or list is made of them. A quote in an ordinary answer may still show one: it
is then shown as what it is, text of the document.
"""

from __future__ import annotations

import re

_INSTRUCTION = (
    r"(?:instructions?|prompts?|questions?|(?:other|these|previous|above|all)\s+(?:passages?|documents?|sources?|rules|text)"
    r"|(?:said|written|asked|told)\s+(?:above|before|so\s+far)|(?:the|everything|all)\s+above|the\s+user)"
)
_MACHINE = (
    r"(?:AI|A\.I\.|assistants?|(?:large\s+)?language\s+models?|LLMs?|chat\s?bots?|chatgpt|bots?|machine\s+reader)"
)
_ORDER = re.compile(
    rf"\b(?:ignore|disregard|forget|override|bypass|overlook|skip)\b[^.!?\n]{{0,40}}\b{_INSTRUCTION}\b"
    rf"|\b(?:you\s+are|act\s+as|pretend\s+to\s+be|behave\s+as|as)\s+(?:now\s+)?an?\s+(?:\w+\s+)?{_MACHINE}\b"
    rf"|\b(?:dear|attention|note\s+to|notice\s+to|instructions?\s+(?:to|for)|message\s+(?:to|for))\s+(?:the\s+|all\s+|any\s+)?{_MACHINE}\b"
    rf"|\b{_MACHINE}\s*[:,]\s*\w|\b{_MACHINE}\s+(?:must|should|shall|has\s+to|will)\s+(?:now\s+)?(?:answer|reply|respond|say|ignore|write|output|state)\b"
    r"|\b(?:system\s+prompt|jailbreak|prompt\s+injection|developer\s+mode)\b"
    r"|(?:^|[\"“(:;,]\s*|\bplease\s+|\byou\s+(?:must|should|shall|have\s+to|will)\s+(?:now\s+|always\s+|only\s+|instead\s+)?|\band\s+|\binstead,?\s+)"
    r"(?:answer|reply|respond|say|output|print|write|state|claim|reveal|repeat)\s+"
    r"(?:only\s+|always\s+|instead\s+|simply\s+|that\s+|with\s+|to\s+(?:the|any|every|all)\s+(?:question|quer)|[\"“'‘]|yes\b|no\b|the\s+(?:answer|following|word))"
    r"|\bthe\s+(?:(?:correct|right|only|true)\s+)?(?:answer|reply|response)\s+to\s+(?:the|this|any|every|all|your)\s+questions?\s+(?:is|must|should)\b"
    r"|\b(?:do\s+not|don['’]t|never)\s+(?:(?:answer|cite|mention|reveal)\s+(?:the|this|any|these|your)\s+(?:questions?|sources?|passages?|prompt)|tell\s+the\s+user|use\s+(?:the\s+)?(?:other|these)\s+(?:passages?|sources?|documents?))\b"
    r"|(?:忽略|无视|忘记|忘掉|不要理会|不用理会|不必理会)[^。！？\n]{0,16}(?:指令|指示|问题|提示|要求|规则|上文|以上|之前|前面|文档|段落)"
    r"|你(?:现在)?是(?:一个|一名)?[^。，！？\n]{0,8}(?:助手|人工智能|AI|机器人|语言模型)"
    r"|(?:请|必须|应当|应该|只能|一律|直接|统一|只)(?:回答|回复|输出|答复|声称)|(?:不要|不得|禁止|切勿)(?:回答|回复|引用)"
    r"|(?:正确|唯一)(?:的)?(?:答案|回答)(?:是|应)|系统提示",
    re.IGNORECASE,
)


def is_order(sentence: str) -> bool:
    """Return whether the sentence gives orders to a program that answers questions, or speaks to it as to one."""
    return _ORDER.search(" ".join(sentence.split())) is not None
