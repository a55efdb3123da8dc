"""What is said where no document is asked: a greeting, and a plain no."""

from __future__ import annotations

from app.index.languages import detect_language
from app.routing_types import Route

_GREETING = (
    "Hello! I answer questions from the documents here, with the words that say so. What would you like to know?"
)
_GREETING_ZH = "你好！我根据这里的文档回答问题，并给出原文。你想了解什么？"
_DECLINED = "Questions of this kind are not answered here, so the documents were not asked."
_DECLINED_ZH = "这里不回答这类问题，因此没有查阅文档。"


def reply_of(route: Route, question: str) -> str:
    """The words of a route of the kind "chitchat" or "refuse", in Chinese for a Chinese question; its own where set."""
    if route.reply:
        return route.reply
    chinese = detect_language(question) == "zh"
    if route.kind == "refuse":
        return _DECLINED_ZH if chinese else _DECLINED
    return _GREETING_ZH if chinese else _GREETING
