"""Where in a sentence the items of a list begin and end, from one stretch of it that the reader gave."""

from __future__ import annotations

import re
from dataclasses import replace

from app.generation.styles.listing import Listing
from app.generation.styles.lists import enumeration_in
from app.generation.styles.orders import is_order
from app.generation.styles.topic import held
from app.index.analysis import STOP_WORDS, analyze, analyze_spans
from app.index.scripts import HAN
from app.types import PassageSpan

_MAX_WORDS, _MAX_HAN = 8, 16
_MAX_WORD_HAN = 3  # characters of a word; longer terms may be several
_HAN = re.compile(f"[{HAN}]")
_CLAUSE_ENDS = re.compile(
    r"[;；:：]|,\s*(?:but|while|whereas|although|though|however|and\s+(?:it|he|she|they|not))\b|\s(?:while|whereas|but\s+not)\s"
    r"|，(?=[没沒未不但而也还還并其该該无]|(?![^，。]{0,6}[和与及、]))|,\s*and\s+(?=[A-Z]\w*\s+(?:\w+s|\w+ed|has|had|is|was)\s)"
)
_COUNTED = re.compile(
    r"^(?:(?:about|some|over)\s+)?(?:\d[\d,.]*|one|two|three|four|five|six|seven|eight|nine|ten)\s+(?:[a-z]+\s+){0,2}?(?:in|at|to|from|for|on)\s+(?=[A-Z])"
)
_JOINED = re.compile(
    r"^(?:,|;|and|or|both|either|also|as\s+well\s+as)\s+|^(?:设有?|开设|包括|拥有|还|也|有|了|是|由|在|和|与|及|、|，)(?=[\u3400-\u9fff])",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"\s+(?:as\s+well|too|also|each|respectively|together)$|[,;:.。，；：、!！]+$"
    r"|等?[\d一二两三四五六七八九十]+[个位家种座所名门项条][\u3400-\u9fff]{0,4}$"
    r"|(?:等|设有?|开设|创办|创立|设立|共同|[两三]地)$",
    re.IGNORECASE,
)
_ENDS_OF_NAMES = frozenset(
    ["公司", "企业", "集团", "大学", "学院", "学校", "医院", "银行", "书店", "酒店", "工厂", "协会", "基金会"]
)
_BESIDE = frozenset(["also", "too", *"还還又也并並就则則"])
_JOINS_HAN = re.compile(r"[、和与及](?=[\u3400-\u9fff])")
_CUE = re.compile(r"\b(?P<cue>in|at|to|from|near)\s+(?:the\s+)?$", re.IGNORECASE)
_NAME_RUN = re.compile(r"[A-Z][\w’'&.-]*(?:\s+(?:(?:of|de|van|von|la|le|da|du)\s+)?[A-Z][\w’'&-]*)*")
_PARALLEL = (
    r"(?:\band\b|,|;|\bplus\b|\bas\s+well\s+as\b)[^,;.]{{0,40}}?\b{cue}\s+(?P<name>[A-Z][\w’'-]*(?:\s+[A-Z][\w’'-]*)*)"
)
_EARLIER = r"\b{cue}\s+(?P<name>[A-Z][\w’'-]*(?:\s+[A-Z][\w’'-]*)*)(?=\s*(?:,|;|\band\b|\bplus\b))"


def items_around(text: str, sentence: PassageSpan, answer: PassageSpan, listing: Listing) -> list[tuple[int, int]]:
    """Return the items of the sentence in its order: the enumeration that the answer is a part of, or it alone.

    Words of the question around an item are no part of it, and what the question itself names is none: "who founded
    Acme?" is not answered by "Acme". "40 in Berlin and 12 in Lyon" holds two.
    """
    part = _listing_part(text, answer)
    begin = sentence.char_start if part == answer else part.char_start
    joined = enumeration_in(text, (begin, sentence.char_end), part)
    rough = joined or [(part.char_start, part.char_end)]
    found = {_trimmed(text, sentence, span, listing) for span in rough}
    for span in sorted(span for span in found if span is not None):
        found |= {_trimmed(text, sentence, other, listing) for other in _parallel(text, sentence, span)}
    return sorted(span for span in found if span is not None)


def clauses(text: str, sentence: PassageSpan) -> list[tuple[int, int]]:
    """Return the clauses of a sentence, as far as a word or a mark parts them."""
    ends = [(border.start(), border.start() + 1) for border in _CLAUSE_ENDS.finditer(text, *_bounds(sentence))]
    starts = [sentence.char_start, *(after for _, after in ends)]
    return list(zip(starts, [*(before for before, _ in ends), sentence.char_end], strict=True))


def clause_of(text: str, sentence: PassageSpan, item: tuple[int, int]) -> tuple[int, int]:
    """Return the stretch of the sentence between the borders of clauses before and behind the item."""
    within = [(a, b) for a, b in clauses(text, sentence) if a < item[1] and b > item[0]]
    return (within[0][0], within[-1][1]) if within else _bounds(sentence)


def _bounds(span: PassageSpan) -> tuple[int, int]:
    return span.char_start, span.char_end


def _listing_part(text: str, answer: PassageSpan) -> PassageSpan:
    """Of a Chinese answer over several clauses the part that enumerates: 费用每人45元，包含车费和门票 → the second."""
    start = answer.char_start
    for clause in text[start : answer.char_end].split("，")[:-1]:
        if _JOINS_HAN.search(clause):
            break
        start += len(clause) + 1
    return replace(answer, char_start=start) if _JOINS_HAN.search(text[start : answer.char_end]) else answer


def _parallel(text: str, sentence: PassageSpan, item: tuple[int, int]) -> list[tuple[int, int]]:
    """Names behind the same preposition in the coordinated parts of the sentence."""
    cue = _CUE.search(text, max(sentence.char_start, item[0] - 12), item[0])
    if cue is None or not text[item[0]].isupper():
        return []
    word = re.escape(cue["cue"])
    later = re.compile(_PARALLEL.format(cue=word)).finditer(text, item[1], sentence.char_end)
    earlier = re.compile(_EARLIER.format(cue=word)).finditer(text, sentence.char_start, cue.start())
    return [match.span("name") for match in (*earlier, *later)]


def _trimmed(text: str, sentence: PassageSpan, span: tuple[int, int], listing: Listing) -> tuple[int, int] | None:
    """The item's own words; None where nothing is left, or nothing that can be an item."""
    start, end = span
    asked = listing.relation | listing.names | listing.kind
    if _HAN.search(text[start:end]):
        start, end = _whole_words(text, sentence, start, end)
    start, end = _without_asked(text, start, end, listing, asked)
    while True:
        while start < end and (text[start].isspace() or text[start] in "\"“”‘’'(（《「"):
            start += 1
        while end > start and (text[end - 1].isspace() or text[end - 1] in "\"“”‘’')）》」"):
            end -= 1
        words = text[start:end]
        head = _COUNTED.match(words) or _JOINED.match(words)
        tail = _TAIL.search(words)
        if head is not None and head.end() < len(words):
            start += head.end()
        elif tail is not None and tail.start() > 0:
            end = start + tail.start()
        else:
            break
    if text[start : start + 1].isupper():
        start, end = _whole_name(text, sentence, start, end, listing)
    words = text[start:end]
    terms = [term for term in analyze(words) if term not in STOP_WORDS]
    if words.rpartition(" ")[2].lower() in STOP_WORDS:
        return None  # "the printing house of the": cut off
    if not terms or all(held(term, asked) for term in terms) or is_order(words):
        return None
    if len(words) > _MAX_HAN if _HAN.search(words) else len(words.split()) > _MAX_WORDS:
        return None
    if listing.typed and not _HAN.search(words) and not re.search(r"[A-Z]|\d[a-z]", words):
        return None
    return start, end


def _whole_words(text: str, sentence: PassageSpan, start: int, end: int) -> tuple[int, int]:
    """Chinese words that the reader's span begins or ends in, taken whole: 唱 → 合唱."""
    words = text[sentence.char_start : sentence.char_end]
    for _, a, b in analyze_spans(words):
        a, b = a + sentence.char_start, b + sentence.char_start
        if b - a <= _MAX_WORD_HAN:
            start, end = (a if a < start < b else start), (b if a < end < b else end)
    return start, end


def _without_asked(text: str, start: int, end: int, listing: Listing, asked: frozenset[str]) -> tuple[int, int]:
    """Without the question's words at the beginning, and without all from the first of them later on."""
    tokens = [(term, a + start, b + start) for term, a, b in analyze_spans(text[start:end])]
    own = _HAN.search(text[start:end]) is None
    begin = start
    for term, a, b in tokens:
        word = text[a:b]
        if a < begin:
            continue
        own_name = word[:1].isupper() if own else word in _ENDS_OF_NAMES
        said = held(term, asked) and not (own_name and held(term, listing.kind))
        if said and len(word) > 1:
            if text[begin:a].strip() and not _only_stop_words(text[begin:a]):
                if own and term in listing.kind and term not in listing.relation:
                    continue  # "supporting members": the kind is the item's last word
                return begin, a
            begin = b
    if begin > start:
        rest = re.match(
            r"\s*(?:(?:in|at|of|to|from|for|are|is|were|was|include|including|by|as)\b\s*|[:：]\s*|了|的)+",
            text[begin:end],
        )
        begin += rest.end() if rest else 0
    return begin, end


def _only_stop_words(words: str) -> bool:
    return all(term in STOP_WORDS or term in _BESIDE for term in analyze(words))


def _whole_name(text: str, sentence: PassageSpan, start: int, end: int, listing: Listing) -> tuple[int, int]:
    """ "Hale" → "Hale Prize": the run of capitalised words around it, unless the question names a part of that."""
    for run in _NAME_RUN.finditer(text, sentence.char_start, sentence.char_end):
        if run.start() <= start and run.end() >= end:
            a, b = run.span()
            if text[b - 1] == ".":
                b -= 1
            opening = (
                a == sentence.char_start
                and analyze(text[a:start])
                and all(term in STOP_WORDS for term in analyze(text[a:start]))
            )
            terms = analyze(text[a:b])
            if opening or any(held(term, listing.names) for term in terms):
                return start, end
            return (a, b) if b >= end else (a, end)
    return start, end
