"""What front-ends ask behind the user's back: titles, tags, follow-up questions, search queries, which tool to call.

Open WebUI and LibreChat send these as ordinary chat completions. They are about the conversation, not about the
documents, so they skip retrieval; the answers are made from the conversation's own words, in the form asked for.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.index.analysis import analyze
from app.index.languages import detect_language

_CHAT = re.compile(r"<chat_history>(.*?)</chat_history>", re.DOTALL | re.IGNORECASE)
_USER_TURN = re.compile(r"^\s*(?:user|human)\s*:\s*(.+?)(?=^\s*(?:user|human|assistant|ai)\s*:|\Z)", re.I | re.M | re.S)
_TASK = re.compile(r"^\s*#{1,6}\s*task\b", re.IGNORECASE)
_KINDS = {  # the first that fits: autocompletion speaks of search queries too
    "autocomplete": re.compile(r"\bautocompletion\b", re.IGNORECASE),
    "image_prompt": re.compile(r"\bprompt for an? image generation\b|\bprompt for am image\b", re.IGNORECASE),
    "follow_ups": re.compile(r"follow[- _]?up (?:questions?|prompts?)|\bfollow_ups\b", re.IGNORECASE),
    "tags": re.compile(r"\b(?:generate|suggest|create)\b.{0,60}\btags\b|\"tags\"\s*:", re.IGNORECASE | re.DOTALL),
    "queries": re.compile(r"\bsearch quer(?:y|ies)\b|\"queries\"\s*:", re.IGNORECASE),
    "title": re.compile(
        r"\b(?:generate|create|write|provide)\b.{0,80}\btitle\b|\btitle for (?:the|this) conversation\b|\"title\"\s*:",
        re.IGNORECASE | re.DOTALL,
    ),
    "emoji": re.compile(r"\bemoji\b.{0,60}\b(?:reflect|represent|summari)", re.IGNORECASE | re.DOTALL),
}
# the wordings that start title prompts without a heading: LibreChat's three, and other front-ends'
_BARE_TITLE = re.compile(
    r"^\s*(?:please )?(?:provide|write|generate|create|summari[sz]e).{0,80}\btitle\b.{0,120}\bconversation\b"
    r"|^\s*analy[sz]e this conversation and provide\b.{0,200}\btitle\b",
    re.IGNORECASE | re.DOTALL,
)
_BARE_EMOJI = re.compile(r"^\s*your task is to reflect the speaker's\b.{0,80}\bemoji\b", re.IGNORECASE | re.DOTALL)
# Open WebUI's choice of a tool for models that can not call tools by themselves: a system prompt, and the query quoted
_TOOL_CHOICE = re.compile(r"^\s*available tools\s*:.*\"tool_calls\"", re.IGNORECASE | re.DOTALL)
_QUOTED_QUERY = re.compile(r"^\s*query\s*:", re.IGNORECASE)
_LANGUAGE = re.compile(r"\bdetected language\b", re.IGNORECASE)
_TITLE_WORDS = 6
_TITLE_CHARS = 60
_HEAD_CHARS = 1_500


def answer_task(
    question: str, earlier: Sequence[str], *, instructions: str = "", wants_json: bool = False
) -> str | None:
    """The answer to a front-end's own prompt, or None where a person asks.

    Args:
        question: the last user message.
        earlier: what the user said before, oldest first, where the front-end sends it as messages of their own.
        instructions: the system messages.
        wants_json: the request binds the answer to JSON, whatever the prompt says.
    """
    kind = _kind(question, instructions)
    if kind is None:
        return None
    said = _user_turns(question) or list(earlier) or [_after_the_instructions(question)]
    as_json = wants_json or bool(re.search(r"\bjson\b", question, re.IGNORECASE))
    if kind == "title":
        title = _title(said[0])
        return _told({"title": title} | _language(question, said[0])) if as_json else title
    return _ANSWERS[kind](said)


def forced_function(tool_choice: Any) -> str | None:
    """The function that a request must be answered with, by its `tool_choice`; None where text may come back."""
    function = tool_choice.get("function") if isinstance(tool_choice, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) and name else None


def _kind(question: str, instructions: str) -> str | None:
    """A front-end's prompt gives itself away by a task heading or a quoted conversation; a person's words never do."""
    head = question[:_HEAD_CHARS]
    if _TOOL_CHOICE.search(instructions) and _QUOTED_QUERY.match(question):
        return "tools"
    if _TASK.match(question) or _CHAT.search(question):
        return next((kind for kind, pattern in _KINDS.items() if pattern.search(head)), None)
    if _BARE_EMOJI.match(question):
        return "emoji"
    return "title" if _BARE_TITLE.match(question) and _USER_TURN.search(question) else None


def _user_turns(question: str) -> list[str]:
    quoted = _CHAT.findall(question)
    block = quoted[-1] if quoted else question
    turns = [turn.strip().removeprefix('"""').removesuffix('"""').strip() for turn in _USER_TURN.findall(block)]
    return [turn for turn in turns if turn]


def _after_the_instructions(question: str) -> str:
    lines = [line for line in question.strip().splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _title(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = line.rstrip("?？!！.。 ")
    words = line.split()
    title = " ".join(words[:_TITLE_WORDS]) if len(words) > 1 else line
    return title[:_TITLE_CHARS].strip() or "Conversation"


def _language(question: str, said: str) -> dict[str, str]:
    """LibreChat asks for the conversation's language beside its title."""
    return {"language": detect_language(said, identify_latin=True)} if _LANGUAGE.search(question[:_HEAD_CHARS]) else {}


def _tags(said: Sequence[str]) -> list[str]:
    """The words that the user used most and longest, three at most, as they were written."""
    shown: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for word in re.findall(r"[^\W\d_]{2,}", " ".join(said)[:20_000]):
        terms = analyze(word)
        if terms:
            shown.setdefault(terms[0], word)
            counts[terms[0]] += 1
    best = sorted(counts, key=lambda term: (-counts[term], -len(shown[term]), term))
    return [shown[term].capitalize() for term in best[:3]]


def _told(body: Mapping[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False)


_ANSWERS: dict[str, Callable[[Sequence[str]], str]] = {
    "tags": lambda said: _told({"tags": _tags(said)}),
    "follow_ups": lambda _: _told({"follow_ups": []}),  # a question that the documents may not answer is a promise
    "queries": lambda said: _told({"queries": [said[-1].strip()[:400]]}),
    "image_prompt": lambda said: _told({"prompt": said[-1].strip()[:400]}),
    "autocomplete": lambda _: _told({"text": ""}),
    "tools": lambda _: _told({"tool_calls": []}),  # the documents are looked through in any case
    "emoji": lambda _: "💬",
}
