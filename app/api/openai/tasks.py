"""What front-ends ask behind the user's back: titles, tags, follow-up questions, search queries.

Open WebUI and LibreChat send these as ordinary chat completions. They are about the conversation, not about the
documents, so they skip retrieval; the answers are made from the conversation's own words, in the form asked for.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence

from app.index.analysis import analyze

_CHAT = re.compile(r"<chat_history>(.*?)</chat_history>", re.DOTALL | re.IGNORECASE)
_USER_TURN = re.compile(r"^\s*(?:user|human)\s*:\s*(.+?)(?=^\s*(?:user|human|assistant|ai)\s*:|\Z)", re.I | re.M | re.S)
_TASK = re.compile(r"^\s*#{1,6}\s*task\b", re.IGNORECASE)
_KINDS = {
    "follow_ups": re.compile(r"follow[- _]?up (?:questions?|prompts?)|\bfollow_ups\b", re.IGNORECASE),
    "tags": re.compile(r"\b(?:generate|suggest|create)\b.{0,60}\btags\b|\"tags\"\s*:", re.IGNORECASE | re.DOTALL),
    "queries": re.compile(r"\bsearch quer(?:y|ies)\b|\"queries\"\s*:", re.IGNORECASE),
    "title": re.compile(
        r"\b(?:generate|create|write|provide)\b.{0,80}\btitle\b|\btitle for (?:the|this) conversation\b|\"title\"\s*:",
        re.IGNORECASE | re.DOTALL,
    ),
    "emoji": re.compile(r"\bemoji\b.{0,60}\b(?:reflect|represent|summari)", re.IGNORECASE | re.DOTALL),
    "autocomplete": re.compile(r"\bautocompletion\b", re.IGNORECASE),
}
# the wording that starts LibreChat's and other front-ends' title prompts, which carry no heading of their own
_BARE_TITLE = re.compile(
    r"^\s*(?:please )?(?:provide|write|generate|create|summari[sz]e).{0,80}\btitle\b.{0,120}\bconversation\b",
    re.IGNORECASE | re.DOTALL,
)
_TITLE_WORDS = 6
_TITLE_CHARS = 60


def answer_task(question: str, earlier: Sequence[str]) -> str | None:
    """The answer to a front-end's own prompt, or None where a person asks.

    Args:
        question: the last user message.
        earlier: what the user said before, oldest first, where the front-end sends it as messages of their own.
    """
    kind = _kind(question)
    if kind is None:
        return None
    said = _user_turns(question) or list(earlier) or [_after_the_instructions(question)]
    as_json = bool(re.search(r"\bjson\b", question, re.IGNORECASE))
    if kind == "title":
        title = _title(said[0])
        return json.dumps({"title": title}, ensure_ascii=False) if as_json else title
    if kind == "tags":
        return json.dumps({"tags": _tags(said)}, ensure_ascii=False)
    if kind == "follow_ups":  # a question that the documents may not answer would be a promise
        return json.dumps({"follow_ups": []})
    if kind == "queries":
        return json.dumps({"queries": [said[-1].strip()[:400]]}, ensure_ascii=False)
    if kind == "autocomplete":
        return json.dumps({"text": ""})
    return "💬"


def _kind(question: str) -> str | None:
    """A front-end's prompt gives itself away by a task heading or a quoted conversation; a person's words never do."""
    head = question[:1_500]
    if _TASK.match(question) or _CHAT.search(question):
        return next((kind for kind, pattern in _KINDS.items() if pattern.search(head)), None)
    return "title" if _BARE_TITLE.match(question) and _USER_TURN.search(question) else None


def _user_turns(question: str) -> list[str]:
    quoted = _CHAT.findall(question)
    block = quoted[-1] if quoted else question
    return [turn.strip() for turn in _USER_TURN.findall(block) if turn.strip()]


def _after_the_instructions(question: str) -> str:
    lines = [line for line in question.strip().splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _title(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = line.rstrip("?？!！.。 ")
    words = line.split()
    title = " ".join(words[:_TITLE_WORDS]) if len(words) > 1 else line
    return title[:_TITLE_CHARS].strip() or "Conversation"


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
