"""Which Chinese words may become tokens, and how they are spelled in both scripts."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from itertools import islice, product

from app.index.unsegmented import fold_han

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
RUN = re.compile(f"[{HAN}]+")
LONGEST_WORD = 4
_NUMERALS = "一二三四五六七八九十百千万亿两零〇几第兩億萬幾"
_MOST_SPELLINGS = 16
_NAME_KINDS = ("nr", "ns", "nt", "nz")


@lru_cache(maxsize=1)
def listed_words() -> dict[str, str]:
    """Return jieba's words with their part of speech."""
    lines = (resources.files("jieba") / "dict.txt").read_text(encoding="utf-8").splitlines()
    parts = (line.split(" ") for line in lines)
    return {part[0]: part[2] for part in parts if len(part) == 3}


def possible_tokens() -> frozenset[str]:
    """Return jieba's words of 2 to 4 Chinese characters, but none that starts with a numeral.

    Tokens such as "一个" and "第二" would cut numbers in two.
    """
    found = (w for w in listed_words() if 2 <= len(w) <= LONGEST_WORD and w[0] not in _NUMERALS and RUN.fullmatch(w))
    return frozenset(map(fold_han, found))


def proper_nouns() -> frozenset[str]:
    """Return jieba's names of 2 to 6 characters, in both scripts: people, places, organisations, others."""
    names = (w for w, kind in listed_words().items() if kind in _NAME_KINDS and 2 <= len(w) <= 6)
    return frozenset(spelling for name in names for spelling in spellings(name))


@lru_cache(maxsize=1)
def _traditional() -> dict[str, str]:
    """Simplified character → the traditional ones that fold to it."""
    variants: dict[str, str] = {}
    for point in (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000)):
        folded = fold_han(chr(point))
        if folded != chr(point):
            variants[folded] = variants.get(folded, "") + chr(point)
    return variants


def spellings(word: str) -> list[str]:
    """Return the ways to write a simplified word: itself and its traditional spellings, at most 16."""
    options = [character + _traditional().get(character, "") for character in word]
    return ["".join(letters) for letters in islice(product(*options), _MOST_SPELLINGS)]


def longest_matches(run: str, words: frozenset[str] | set[str]) -> list[str]:
    """Return the pieces of a run of characters: from the left the longest of `words`, else one character."""
    pieces = []
    at = 0
    while at < len(run):
        longest = min(LONGEST_WORD, len(run) - at)
        length = next((n for n in range(longest, 1, -1) if run[at : at + n] in words), 1)
        pieces.append(run[at : at + length])
        at += length
    return pieces
