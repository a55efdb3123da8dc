"""The same as `perturb`, for Chinese questions in both scripts: 创立 becomes 收购, 1998年 becomes 1995年, 最大 最小.

Rules look at the folded question (Traditional characters Simplified, one for one), so that positions stay; what they
put in is written in the question's script.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from opencc import OpenCC

from app.index.unsegmented import fold_han, jieba_tokenizer
from app.training.bilingual.words import HAN, RUN, listed_words
from app.training.verifier.exclusive_words_zh import EXCLUSIVE_ZH, NEGATED_ZH, OPPOSITES_ZH

Place = tuple[int, int]

_NUMBER = re.compile(r"\d[\d,.]*\d|\d")
_COUNT = re.compile(
    "(?<=第)[一二三四五六七八九十]+|(?<![哪几第十])[一二三四五六七八九十](?=[个名位人次年天月岁家本条座级届章])"
)
_ORDINALS = ("一", "二", "三", "四", "五", "六", "七", "八", "九", "十", "十二", "二十")
_QUOTED = re.compile(r"(?<=《)[^《》]{2,20}(?=》)|(?<=「)[^「」]{2,16}(?=」)|(?<=“)[^“”]{2,16}(?=”)")
_LATIN = re.compile(r"[A-Za-z][A-Za-z0-9.\-]*(?: [A-Za-z][A-Za-z0-9.\-]*)*")
_BETWEEN = re.compile("[和与及或跟、]")
_IS = re.compile("(?<!不)(?<![于就还正总只算可要凡])是(?!否|不是|什么意思)")
_NAME_KINDS = {"nr": "person", "nrt": "person", "nrfg": "person", "ns": "place", "nt": "body"}
_LONGEST_NAME = 6
_SWAPPED_KINDS = ("n", "v", "vn", "a")
_ASKED = (
    ("when", "什么时候|何时|哪一?年|哪一?天|哪个?月|几月|几号|几年|时间|日期|年份"),
    ("many", "多少|几[个名位人次天岁家本条座公]|多大|多高|多长|多远|多久|多重"),
    ("who", "谁|哪位|哪一位|何人|哪个人|什么人"),
    ("where", "哪里|哪儿|何处|什么地方|哪个?(?:国家|城市|地方|省|市|县|州|地区)|位于哪"),
    ("why", "(?<![称名叫作成因])为[什甚]么|为何|原因"),
    ("how", "怎么|怎样|如何"),
)
_YEARS = range(500, 2100)


def is_chinese(text: str) -> bool:
    """Return whether a text has a Chinese character."""
    return RUN.search(text) is not None


def asked_kind(question: str) -> str:
    """Return what a Chinese question asks for: when, many, who, where, why, how, or else what."""
    folded = fold_han(question)
    return next((kind for kind, words in _ASKED if re.search(words, folded)), "what")


def names_of(text: str) -> list[str]:
    """Return the names of a Chinese text as it spells them: quoted titles, Latin words, people, places and bodies."""
    return list(dict.fromkeys(text[start:end] for start, end, _ in _named(text)))


def content_words(question: str) -> list[str]:
    """Return the folded nouns, verbs and adjectives of two characters or more of a Chinese question."""
    return [word for word, _, _ in _words(fold_han(question))]


def perturbed_zh(
    question: str, text: str, rng: random.Random, *, names: Sequence[str] = (), words: Sequence[str] = ()
) -> str | None:
    """Return a question near `question` that the same answer does not answer, or None where no rule applies.

    It is never the question itself, in another script neither.

    Args:
        question: that the text answers.
        text: that answers it.
        rng: draws the rule and what it puts in.
        names: of other texts, to put in the place of the question's own.
        words: of other questions, to put in the place of a word of the question that the text has, too.
    """
    folded = fold_han(question)
    rules: list[Callable[[], tuple[Place, str] | None]] = [
        lambda: _from(folded, EXCLUSIVE_ZH, rng),
        lambda: _from(folded, EXCLUSIVE_ZH, rng),
        lambda: _opposite(folded, rng),
        lambda: _name(question, [*names_of(text), *names_of(text), *names], rng),
        lambda: _number(folded, rng),
        lambda: _word(folded, fold_han(text), words, rng),
        lambda: _word(folded, fold_han(text), words, rng),
        lambda: _exchange(question, rng),
    ]
    rng.shuffle(rules)
    if rng.random() < 0.1:
        rules.insert(0, lambda: _negation(folded, rng))
    for rule in rules:
        found = rule()
        if found is not None:
            (start, end), put = found
            changed = question[:start] + (put if _is_simplified(question) else _traditional(put)) + question[end:]
            if fold_han(changed) != folded:
                return changed
    return None


def _from(folded: str, table: Mapping[str, Sequence[Sequence[str]]], rng: random.Random) -> tuple[Place, str] | None:
    """One of several relations that exclude one another, for another."""
    held = [(match.span(), group) for match in _one_of(tuple(table)).finditer(folded) for group in table[match.group()]]
    if not held:
        return None
    place, group = rng.choice(held)
    return place, rng.choice(group)


def _opposite(folded: str, rng: random.Random) -> tuple[Place, str] | None:
    held = list(_one_of(tuple(OPPOSITES_ZH)).finditer(folded))
    if not held:
        return None
    match = rng.choice(held)
    return match.span(), OPPOSITES_ZH[match.group()]


def _negation(folded: str, rng: random.Random) -> tuple[Place, str] | None:
    held = [(match.span(), NEGATED_ZH[match.group()]) for match in _one_of(tuple(NEGATED_ZH)).finditer(folded)]
    held = [(place, put) for place, put in held if folded[: place[0]][-1:] not in ("不", "没", "未", "有", "能")]
    held += [(match.span(), "不是") for match in _IS.finditer(folded)]
    return rng.choice(held) if held else None


def _name(question: str, names: Sequence[str], rng: random.Random) -> tuple[Place, str] | None:
    """A name for another one of its kind."""
    own = _named(question)
    if not own:
        return None
    start, end, kind = rng.choice(own)
    asked, said = fold_han(question).lower(), fold_han(question[start:end]).lower()
    others = [name for name in names if fold_han(name).lower() not in asked and said not in fold_han(name).lower()]
    alike = [name for name in others if kind == "title" or kind in {k for _, _, k in _named(name)}]
    return ((start, end), rng.choice(alike)) if alike else None


def _number(folded: str, rng: random.Random) -> tuple[Place, str] | None:
    own = [*_NUMBER.finditer(folded), *_COUNT.finditer(folded)]
    if not own:
        return None
    match = rng.choice(own)
    said = match.group()
    if not said[0].isdigit():
        return match.span(), rng.choice([word for word in _ORDINALS if word != said])
    digits = said.replace(",", "")
    if digits.isdigit() and int(digits) in _YEARS and folded[match.end() :].startswith("年"):
        return match.span(), str(int(digits) + rng.choice((-50, -12, -10, -3, -2, -1, 1, 2, 3, 10, 12, 50)))
    value = float(digits) if re.fullmatch(r"\d+(\.\d+)?", digits) else 7.0
    return match.span(), str(max(1, round(value * rng.choice((0.5, 0.8, 1.5, 2, 3)) + rng.randint(1, 3))))


def _word(folded: str, text: str, words: Sequence[str], rng: random.Random) -> tuple[Place, str] | None:
    """A word that the text has, for a word of another question of the same part of speech that the text has not."""
    own = [(place, kind) for word, place, kind in _words(folded) if word in text]
    if not own:
        return None
    place, kind = rng.choice(own)
    others = [
        word
        for word in rng.sample(words, min(len(words), 60))
        if listed_words().get(word) == kind and word not in text and word not in folded
    ]
    return (place, others[0]) if others else None


def _exchange(question: str, rng: random.Random) -> tuple[Place, str] | None:
    """Two names of one kind with a relation between them, the one in the other's place: "A 对 B" becomes "B 对 A"."""
    own = _named(question)
    pairs = [
        (one, two)
        for one, two in pairwise(own)
        if one[2] == two[2] and 1 <= two[0] - one[1] <= 6 and not _BETWEEN.search(question[one[1] : two[0]])
    ]
    if not pairs:
        return None
    (start, middle, _), (again, end, _) = rng.choice(pairs)
    return (start, end), question[again:end] + question[middle:again] + question[start:middle]


def _named(text: str) -> list[tuple[int, int, str]]:
    """Start, end and kind of the names, from left to right, none overlapping another."""
    found = [(match.start(), match.end(), "title") for match in _QUOTED.finditer(text)]
    found += [(match.start(), match.end(), "latin") for match in _LATIN.finditer(text)]
    known, folded = _names(), fold_han(text)
    for run in RUN.finditer(folded):
        at = run.start()
        for token in jieba_tokenizer().cut(run.group(), HMM=False):
            if token in known:
                found.append((at, at + len(token), known[token]))
            at += len(token)
    found.sort(key=lambda name: (name[0], -name[1]))
    kept: list[tuple[int, int, str]] = []
    for name in found:
        if not kept or name[0] >= kept[-1][1]:
            kept.append(name)
    return kept


def _words(folded: str) -> list[tuple[str, Place, str]]:
    """Words that carry meaning, their places and parts of speech; question words are none."""
    found, at = [], 0
    tags, asked = listed_words(), _asked_places(folded)
    for token in jieba_tokenizer().cut(folded, HMM=False):
        kind = tags.get(token, "")
        if (
            len(token) > 1
            and kind in _SWAPPED_KINDS
            and not any(low < at + len(token) and high > at for low, high in asked)
        ):
            found.append((token, (at, at + len(token)), kind))
        at += len(token)
    return found


def _asked_places(folded: str) -> list[Place]:
    return [match.span() for _, words in _ASKED for match in re.finditer(words, folded)]


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Name in simplified characters → person, place or body."""
    return {
        fold_han(word): _NAME_KINDS[kind]
        for word, kind in listed_words().items()
        if kind in _NAME_KINDS and 2 <= len(word) <= _LONGEST_NAME and re.fullmatch(f"[{HAN}]+", word)
    }


@lru_cache(maxsize=8)
def _one_of(words: tuple[str, ...]) -> re.Pattern[str]:
    """The longest of the words at each place."""
    return re.compile("|".join(sorted(map(re.escape, words), key=len, reverse=True)))


def _is_simplified(text: str) -> bool:
    return all(fold_han(run) == run for run in RUN.findall(text))


@lru_cache(maxsize=1)
def _converter() -> OpenCC:
    return OpenCC("s2t")


def _traditional(text: str) -> str:
    return str(_converter().convert(text))
