"""The collection's values where the question names them, whatever the case, the plural, a part of a name, a typo."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz.distance import DamerauLevenshtein

from app.query.construction.fields import Field, FieldSchema, stem

_WORD = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]|[^\W_\u3400-\u4dbf\u4e00-\u9fff]+")
_CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_NEEDS_CUE = frozenset(
    [
        "high",
        "low",
        "medium",
        "normal",
        "small",
        "large",
        "new",
        "old",
        "good",
        "bad",
        "other",
        "general",
        "big",
        "short",
        "long",
        "yes",
        "no",
        "none",
        "true",
        "false",
        "first",
        "last",
        "it",
        "us",
        "all",
        "more",
        "in",
        "on",
        "is",
        "at",
        "or",
        "an",
        "a",
        "to",
        "so",
        "be",
        "me",
        "my",
        "up",
        "ok",
        "main",
        "free",
        "full",
        "can",
        "may",
        "will",
        "today",
        "now",
        "one",
        "two",
        "three",
    ]
)
_CUE_WORDS = 3
_MOST = 300  # likenesses that are weighed against each other


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the question, or one Chinese character."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ValueMention:
    """`question[start:end]` means `value` of one of `fields`; `score` is 1 for the value itself, less for likeness."""

    start: int
    end: int
    value: str
    fields: tuple[str, ...]
    score: float


def words_of(text: str) -> list[Word]:
    """The words in order; every Chinese character is one."""
    return [Word(match.group(), match.start(), match.end()) for match in _WORD.finditer(text)]


def find_values(question: str, schema: FieldSchema, taken: Sequence[tuple[int, int]] = ()) -> list[ValueMention]:
    """The values that the question names outside the `taken` spans, longest first where they overlap, in order."""
    words = words_of(question)
    candidates: list[ValueMention] = []
    said = frozenset(word.text.casefold()[:1] for word in words)
    for field in schema.fields:
        if field.type == "text":
            candidates += _of_field(words, field, said)
    candidates = [c for c in candidates if not any(c.start < end and c.end > start for start, end in taken)]
    candidates.sort(key=lambda c: (-round(c.score, 1) if c.score < 0.9 else -1, c.start - c.end, -c.score, c.start))
    candidates = candidates[:_MOST]
    kept: list[ValueMention] = []
    for mention in candidates:
        same = next((k for k in kept if (k.start, k.end) == (mention.start, mention.end)), None)
        if same is not None:
            if mention.score == same.score and mention.value.casefold() == same.value.casefold():
                kept[kept.index(same)] = ValueMention(
                    same.start, same.end, same.value, (*same.fields, *mention.fields), same.score
                )
            continue
        if not any(mention.start < k.end and mention.end > k.start for k in kept):
            kept.append(mention)
    return sorted(kept, key=lambda mention: mention.start)


def near_cue(words: Sequence[Word], field: Field, start: int, end: int, reach: int = _CUE_WORDS) -> bool:
    """Whether a word that means the field stands within `reach` words of the span."""
    before = [word for word in words if word.end <= start][-reach:]
    after = [word for word in words if word.start >= end][:reach]
    return any(stem(word.text) in field.words for word in (*before, *after))


def _of_field(words: Sequence[Word], field: Field, said: frozenset[str]) -> list[ValueMention]:
    found: list[ValueMention] = []
    parts = _name_parts(field.values)
    places: dict[str, list[int]] = {}  # a value's first word → where it is said: values share few first words
    for value in field.values:
        target = _split(value)
        if not target or not (target[0][:1] in said or target[-1][:1] in said):
            continue  # the first letter is never a typo
        key = target[0]
        if key not in places:
            places[key] = [n for n, word in enumerate(words) if _likeness([word.text], (key,), "")]
        own = parts.get(value, ())
        partly = [n for n, word in enumerate(words) if own and word.text.casefold() in own]
        for place in sorted({*places[key], *partly}):
            score = 0.0
            window = words[place : place + len(target)]
            if len(window) == len(target):
                score = _likeness([word.text for word in window], target, value)
                if score == 0.75 and len(target) == 1 and _in_a_name(words, place):
                    score = 0.0  # "Lucy Cannon" is no misspelt Canon
            if not score and len(target) > 1 and words[place].text.casefold() in parts.get(value, ()):
                window = words[place : place + 1]
                score = 0.85 if _stands_alone(words, place) else 0.0
                if (
                    score
                    and place
                    and _close(words[place - 1].text, target[0])
                    and words[place].text.casefold() == target[-1]
                ):
                    window = words[place - 1 : place + 1]
            if not score or not _allowed(words, field, value, window):
                continue
            found.append(ValueMention(window[0].start, window[-1].end, value, (field.name,), score))
            if len(found) == _MOST:
                return found
    return found


def _stands_alone(words: Sequence[Word], place: int) -> bool:
    """Whether a capitalised word is a name by itself: "Hinton", not the one in "Joan Hinton" or "Hinton Street"."""
    return words[place].text[:1].isupper() and not _in_a_name(words, place)


def _in_a_name(words: Sequence[Word], place: int) -> bool:
    """Whether the word and one beside it have capitals, as the words of a longer name do."""
    before = words[place - 1].text if place > 1 else ""  # the first word of a sentence is always a capital
    after = words[place + 1].text if place + 1 < len(words) else ""
    return words[place].text[:1].isupper() and (before[:1].isupper() or after[:1].isupper())


def _allowed(words: Sequence[Word], field: Field, value: str, window: Sequence[Word]) -> bool:
    """Common words, numbers and single letters are a value only beside a word that means the field."""
    text = " ".join(word.text for word in window)
    if value.isupper() and len(value) <= 4 and text.islower():
        return False  # "us" is no country
    telling = not (text.casefold() in _NEEDS_CUE or text.isdigit() or (len(text) == 1 and not field.many))
    return telling or near_cue(words, field, window[0].start, window[-1].end)


def _likeness(spoken: Sequence[str], target: tuple[str, ...], value: str) -> float:
    """1 for the same words, .95 for another number or spelling, .75 for a typo, 0 for another value."""
    lowest = 1.0
    for said, word in zip(spoken, target, strict=True):
        plain = said.casefold()
        if plain == word:
            continue
        if _CHINESE.search(word) or len(word) < 2:
            return 0.0
        if _same_noun(plain, word):
            lowest = min(lowest, 0.95)
        elif _close(plain, word) and not value.isdigit():
            lowest = min(lowest, 0.75)
        else:
            return 0.0
    return lowest


def _same_noun(said: str, word: str) -> bool:
    """Plural against singular, British against American."""
    mine, other_form = american(said), american(word)
    if mine == other_form:
        return True
    for one, other in ((mine, other_form), (other_form, mine)):
        if other in (f"{one}s", f"{one}es") or (one.endswith("y") and other == f"{one[:-1]}ies"):
            return len(one) > 2
    return False


def american(word: str) -> str:
    """The word in American spelling; most words as they are."""
    return re.sub(r"is(ation|ations|e|ed|ing)$", r"iz\1", word) if len(word) > 6 else re.sub("our$", "or", word)


def _close(said: str, word: str) -> bool:
    """A slip of the finger: one edit in 5 to 7 letters, two in more; the first letter stays, and no ending is added."""
    said, word = said.casefold(), word.casefold()
    if min(len(said), len(word)) < 5 or said[0] != word[0] or any(c.isdigit() for c in said + word):
        return False
    if said.startswith(word) or word.startswith(said):  # German is not Germany
        return False
    allowed = 1 if max(len(said), len(word)) < 8 else 2
    return int(DamerauLevenshtein.distance(said, word, score_cutoff=allowed)) <= allowed


@lru_cache(maxsize=4096)
def _split(value: str) -> tuple[str, ...]:
    return tuple(word.text.casefold() for word in words_of(value))


@lru_cache(maxsize=256)
def _name_parts(values: tuple[str, ...]) -> dict[str, frozenset[str]]:
    """Value → its words that name it alone: "Hinton" where one author is called so. Only for names of several words."""
    owners: dict[str, set[str]] = {}
    for value in values:
        for word in value.split():
            owners.setdefault(word.casefold(), set()).add(value)
    found = {}
    for value in values:
        parts = value.split()
        if len(parts) > 1 and all(part[:1].isupper() for part in parts):
            own = (part.casefold() for part in parts if len(part) > 3 and part.isalpha())
            found[value] = frozenset(part for part in own if len(owners[part]) == 1)
    return found
