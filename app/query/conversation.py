"""A follow-up made standalone before anything is searched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import AttestError
from app.index.analysis import analyze
from app.protocols import TextModel
from app.query.rewriting import Rewriting
from app.query.surface import Span, content_words, is_chinese, names, times
from app.types import Message

HISTORY_CHARS = 4_000
_PRONOUN = re.compile(
    r"\b(?:it|its|they|them|their|theirs|he|him|his|she|her|hers|this|that|these|those|there|then|the same|"
    r"the former|the latter|such|one|ones)\b",
    re.IGNORECASE,
)
_CHINESE_PRONOUN = re.compile(
    r"它们?|他们?|她们?|这(?:个|些|里|份|项|家|种)?|那(?:个|些|里|份|项|家|种)?|其(?![他它实中次])|该"
)
_ELLIPSIS = re.compile(
    r"^\s*(?:and|but|or|so|also|what about|how about|why|why not|how so|really|since when)\b", re.IGNORECASE
)
_CHINESE_ELLIPSIS = re.compile(r"^\s*(?:那么?|还有|以及|那.{0,8}呢|.{1,10}呢)[？?]?\s*$|^\s*(?:那么|还有|以及)")
_ABOUT = re.compile(
    r"^\s*(?:and|but|so|or)?\s*(?:what|how)?\s*(?:about|for|in|of)?\s*(?P<new>.+?)\s*\??\s*$", re.IGNORECASE
)
_CHINESE_ABOUT = re.compile(r"^\s*(?:那么?|还有)?(?P<new>.+?)(?:呢)?[？?]?\s*$")
_MARK = re.compile(r"\s*\[\d+\]")  # of a citation in an answer of ours
_SUBJECTS = {"it", "they", "he", "she", "this", "that", "these", "those", "them", "him", "one", "ones", "the former"}
_POSSESSIVES = {"its", "their", "theirs", "his", "her", "hers"}


@dataclass(frozen=True, slots=True)
class Condensed:
    """The standalone question; `how` is "as it stands", "rules", "writer" or the language model's name."""

    text: str
    changed: bool
    used_messages: int
    how: str
    error: str | None = None


def condense(
    question: str, history: Sequence[Message], model: TextModel | None = None, rewriting: Rewriting | None = None
) -> Condensed:
    """The question with what it leaves unsaid taken from the conversation; never empty, never an answer.

    Args:
        question: the newest message.
        history: earlier messages, oldest first; the last `HISTORY_CHARS` characters are looked at.
        model: rewrites; without one, or when it fails, the writer or the rules do.
        rewriting: the bundled writer and when it is asked; by default never.
    """
    recent = _bounded(history)
    if not recent or not _depends(question):
        return Condensed(question, False, 0, "as it stands")
    error = None
    if model is not None:
        try:
            text = _written(question, recent, model)
            if text is not None:
                return Condensed(text, text != question, len(recent), model.name)
            error = f"{model.name} gave nothing usable"
        except AttestError as failure:
            error = failure.message
    asked = [message.content for message in recent if message.role == "user"]
    if rewriting is not None and asked:
        told = _MARK.sub("", recent[-1].content) if recent[-1].role == "assistant" else ""
        earlier = _standing(asked) or asked[-1]
        case = "ellipsis" if _ELLIPSIS.search(question) else "pronoun"
        texts, failed = rewriting.texts("standalone", question, heading=earlier, passage=told, case=case)
        error = error or failed
        if texts:
            return Condensed(texts[0], texts[0] != question, len(recent), "writer", error)
    text = _by_rules(question, asked)
    return Condensed(text, text != question, len(recent) if text != question else 0, "rules", error)


def _bounded(history: Sequence[Message]) -> list[Message]:
    kept: list[Message] = []
    room = HISTORY_CHARS
    for message in reversed(history):
        if message.role not in ("user", "assistant") or not message.content.strip():
            continue
        room -= len(message.content)
        if kept and room < 0:
            break
        kept.append(Message(message.role, message.content[-HISTORY_CHARS:]))
    return kept[::-1]


def _depends(question: str) -> bool:
    """Whether the question leans on what was said: a pronoun with nothing to point at, an ellipsis, hardly a word."""
    words = content_words(question)
    if is_chinese(question):
        return bool(_CHINESE_ELLIPSIS.search(question) or _CHINESE_PRONOUN.search(question)) or len(words) < 2
    if _ELLIPSIS.search(question) or len(words) < 2:
        return True
    found = _PRONOUN.search(question)
    return found is not None and not any(name.start < found.start() for name in names(question))


def _standing(asked: Sequence[str]) -> str | None:
    """The last question that says what it is about."""
    return next((text for text in reversed(asked) if len(content_words(text)) >= 2), None)


def _by_rules(question: str, asked: Sequence[str]) -> str:
    """The last standalone question lends its topic, or its whole form to an ellipsis."""
    earlier = _standing(asked)
    if earlier is None:
        return question
    swapped = _swapped(question, earlier)
    if swapped is not None:
        return swapped
    topic = _topic(earlier)
    if topic is None or set(analyze(topic)) <= set(analyze(question)):
        return question
    if is_chinese(question):
        found = _CHINESE_PRONOUN.search(question)
        if found is not None:
            return question[: found.start()] + topic + question[found.end() :]
        return f"{topic}：{question}"
    found = _PRONOUN.search(question)
    if found is not None and found.group().lower() in _POSSESSIVES:
        return f"{question[: found.start()]}{topic}'s{question[found.end() :]}"
    if found is not None and found.group().lower() in _SUBJECTS:
        return question[: found.start()] + topic + question[found.end() :]
    return f"{question.rstrip(' ?')} ({topic})?"


def _swapped(question: str, earlier: str) -> str | None:
    """ "What about 2023?" after "What was the revenue in 2024?": the new time, name or thing in the old one's place."""
    pattern = _CHINESE_ABOUT if is_chinese(question) else _ABOUT
    elliptic = _CHINESE_ELLIPSIS.search(question) if is_chinese(question) else _ELLIPSIS.search(question)
    found = pattern.match(question)
    if elliptic is None or found is None or len(content_words(question)) > 3:
        return None
    new = found["new"].strip()
    for kind in (times, names):
        given, old = kind(new) or _whole_as(kind, new), kind(earlier)
        if given and old:
            target = old[-1]
            text = _core(given[0].text)
            return (
                earlier[: target.start] + _same_lead(earlier[target.start : target.end], text) + earlier[target.end :]
            )
    subject = _chinese_subject(earlier) if is_chinese(question) else None
    if subject is not None and content_words(new):
        return earlier[: subject.start] + new + earlier[subject.end :]
    return None


def _chinese_subject(earlier: str) -> Span | None:
    """The first thing named that is no time: what a Chinese question is mostly about."""
    dated = times(earlier)
    words = (w for w in content_words(earlier) if not any(w.start < t.end and w.end > t.start for t in dated))
    return next(words, None)


def _whole_as(kind: object, new: str) -> list[Span]:
    """A bare "Acme" begins its sentence, so that `names` can not know it for one: here it is all there is."""
    if kind is names and new[:1].isupper() and len(new.split()) <= 4 and content_words(new):
        return [Span(new, 0, len(new))]
    return []


_LEAD = re.compile(r"^\s*(?:in|during|since|by|before|after|until|as of|on|for|from|在)\s*(?:the\s+)?", re.IGNORECASE)


def _core(text: str) -> str:
    return _LEAD.sub("", text)


def _same_lead(old: str, new: str) -> str:
    """The new time under the old one's preposition and spaces."""
    lead = _LEAD.match(old)
    tail = old[len(old.rstrip()) :]
    return (lead.group() if lead else old[: len(old) - len(old.lstrip())]) + new + tail


def _topic(earlier: str) -> str | None:
    """What the earlier question was about: its last name, else its longest run of neighbouring content words."""
    named = names(earlier)
    if named:
        return named[-1].text
    if is_chinese(earlier):
        subject = _chinese_subject(earlier)
        return subject.text if subject else None
    words = content_words(earlier)
    if not words:
        return None
    runs: list[list[Span]] = [[words[0]]]
    for word in words[1:]:
        gap = earlier[runs[-1][-1].end : word.start]
        if gap.strip().lower() in ("", "of", "the", "of the", "的"):
            runs[-1].append(word)
        else:
            runs.append([word])
    best = max(runs, key=len)
    return earlier[best[0].start : best[-1].end]


_SCHEMA = {
    "type": "object",
    "properties": {"question": {"type": "string", "maxLength": 500}},
    "required": ["question"],
    "additionalProperties": False,
}


def _written(question: str, history: Sequence[Message], model: TextModel) -> str | None:
    from app.query.written import as_object, instruction

    turns = "\n".join(f"{message.role}: {message.content}" for message in history)
    messages = [
        Message("system", instruction("condense")),
        Message("user", f"Conversation:\n{turns}\n\nLast question: {question}"),
    ]
    text = str(as_object(model.complete(messages, max_tokens=120, schema=_SCHEMA)).get("question", "")).strip()
    return text if text and len(text) <= 2 * len(question) + 300 else None
