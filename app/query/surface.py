"""What stands on a question's surface: its content words, names, numbers and times, in English and Chinese."""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.index.analysis import analyze_spans

_CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_WORD = re.compile(r"[^\W_]+(?:[-'’.&/][^\W_]+)*")
_QUESTION_WORDS = frozenset({
    "what", "which", "who", "whom", "whose", "when", "where", "why", "how", "many", "much", "long", "often", "old",
    "far", "do", "does", "did", "is", "are", "was", "were", "be", "been", "can", "could", "will", "would", "shall",
    "should",
    "may", "might", "must", "has", "have", "had", "tell", "me", "give", "show", "list", "name", "find", "please",
    "explain", "describe", "mean", "means", "called", "say", "said", "kind", "type", "sort", "happen", "happened",
    "there", "any",
})  # fmt: skip
_CHINESE_QUESTION_WORDS = frozenset({
    "什么", "哪个", "哪些", "哪里", "哪儿", "哪", "谁", "何时", "何地", "何", "为什么", "为何", "怎么", "怎样", "如何",
    "多少", "几", "是否", "吗", "呢", "请问", "请", "告诉", "列出", "时候",
})  # fmt: skip
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
)  # fmt: skip
_TIME = re.compile(
    r"\b(?:in|during|since|by|before|after|until|as of|on|for|from)?\s*(?:the\s+)?"
    r"(?:(?:first|second|third|fourth|last|this|next|previous)\s+(?:quarter|year|month|week|half)(?:\s+of)?\s*(?:\d{4})?"
    rf"|Q[1-4]\s*(?:of\s+)?\d{{4}}|(?:{'|'.join(_MONTHS)})\.?\s+\d{{1,2}},?\s+\d{{4}}"
    rf"|(?:{'|'.join(_MONTHS)})\.?\s+\d{{4}}|(?:fiscal\s+(?:year\s+)?)?(?:1[5-9]|20)\d{{2}}(?:s|[-–](?:1[5-9]|20)?\d{{2}}|\s+(?:to|and|through|until)\s+(?:1[5-9]|20)\d{{2}})?)\b",
    re.IGNORECASE,
)
_CHINESE_TIME = re.compile(
    r"(?:在)?(?:1[5-9]|20)\d{2}\s*年(?:\s*\d{1,2}\s*月(?:\s*\d{1,2}\s*[日号])?|第[一二三四]季度)?"
)
_QUOTED = re.compile(r"[\"“「『《]([^\"”」』》]{2,80})[\"”」』》]")


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` of the question."""

    text: str
    start: int
    end: int


def is_chinese(text: str) -> bool:
    """Whether the text holds Chinese characters."""
    return bool(_CHINESE.search(text))


def content_words(text: str) -> list[Span]:
    """The words that carry the meaning, in order: no stop words, no question words, each place once."""
    spans: list[Span] = []
    for _, start, end in analyze_spans(text):
        word = text[start:end]
        if word.lower() in _QUESTION_WORDS or word in _CHINESE_QUESTION_WORDS:
            continue
        if spans and start < spans[-1].end:  # a code's whole form comes before its parts: the whole says it all
            continue
        spans.append(Span(word, start, end))
    return spans


def names(text: str) -> list[Span]:
    """Proper names: quoted titles, and runs of capitalised words that are not only the beginning of a sentence."""
    found = [Span(match[1], match.start(1), match.end(1)) for match in _QUOTED.finditer(text)]
    words = [Span(match.group(), match.start(), match.end()) for match in _WORD.finditer(text)]
    dated = times(text)
    run: list[Span] = []
    for place, word in enumerate([*words, None]):
        in_time = word is not None and any(word.start < span.end and word.end > span.start for span in dated)
        if word is not None and not in_time and _is_name_part(text, word, bool(run), place):
            run.append(word)
            continue
        while run and run[-1].text.islower():  # "Bank of" without what it is of
            run.pop()
        if run:
            start, end = run[0].start, run[-1].end - (2 if run[-1].text.endswith(("'s", "’s")) else 0)
            if not any(start < other.end and end > other.start for other in found):
                found.append(Span(text[start:end], start, end))
        run = []
    return sorted(found, key=lambda span: span.start)


def _is_name_part(text: str, word: Span, inside: bool, place: int) -> bool:
    plain = word.text.lower()
    if (
        inside
        and plain in ("of", "the", "de", "van", "von", "for")
        and text[word.end : word.end + 2].strip()[:1].isupper()
    ):
        return True
    if plain in _QUESTION_WORDS or plain in _MONTHS or not word.text[:1].isupper():
        return False
    if any(c.isupper() for c in word.text[1:]) or any(c.isdigit() for c in word.text):
        return True
    before = text[: word.start].rstrip()
    starts_sentence = place == 0 or before[-1:] in ".?!:"
    return not starts_sentence


def times(text: str) -> list[Span]:
    """Dates, years, quarters, with the preposition before them."""
    found = [*_TIME.finditer(text), *_CHINESE_TIME.finditer(text)]
    return [Span(match.group().strip(), match.start(), match.end()) for match in sorted(found, key=lambda m: m.start())]


def without(text: str, spans: list[Span]) -> str:
    """The text without these spans, its white space and loose punctuation put in order."""
    kept = []
    at = 0
    for span in sorted(spans, key=lambda span: span.start):
        if span.start >= at:
            kept.append(text[at : span.start])
            at = span.end
    kept.append(text[at:])
    joined = re.sub(r"\s+", " ", " ".join(kept))
    joined = re.sub(r"\s+([?,.;:!？，。；：！])", r"\1", joined)
    return re.sub(r"(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])", "", joined).strip(" ,;，；")
