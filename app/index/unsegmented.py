"""Runs of scripts that write no spaces → index terms: jieba words for Han, bigrams for the others."""

from __future__ import annotations

import importlib.resources
import logging
import re
import threading
import unicodedata
import warnings
from functools import lru_cache
from itertools import pairwise
from typing import Any

from app.index.scripts import JOINERS, MARKS
from app.index.stop_words import CHINESE

Term = tuple[str, int, int]

_LOADING = threading.Lock()
_tokenizer: Any = None
# one syllable: conjoining jamo, or a letter with its marks (half-width voiced marks are letters to Unicode)
_CLUSTER = re.compile(
    rf"[\u1100-\u115f][\u1160-\u11a7]*[\u11a8-\u11ff]*|[^{MARKS}{JOINERS}][{MARKS}{JOINERS}\uff9e\uff9f]*|[{MARKS}{JOINERS}]+"
)


def jieba_tokenizer() -> Any:
    """jieba's tokenizer, its dictionary read from the package at the first Chinese text; nothing written anywhere.

    jieba itself would print to stderr and leave a cache in the shared temporary folder.
    """
    global _tokenizer
    if _tokenizer is None:
        with _LOADING:
            if _tokenizer is None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    import jieba
                logging.getLogger("jieba").setLevel(logging.WARNING)
                tokenizer = jieba.Tokenizer()
                tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
                tokenizer.initialized = True
                _tokenizer = tokenizer
    return _tokenizer


@lru_cache(maxsize=1)
def _simplified() -> dict[int, str]:
    """Traditional → Simplified, one character to one character, from OpenCC's table.

    Not OpenCC's phrases: they depend on the neighbours, so that a query's single word could fold otherwise than the
    same word in a document; and some change the length.
    """
    table = importlib.resources.files("opencc").joinpath("dictionary", "TSCharacters.txt").read_text("utf-8")
    pairs = (line.split("\t") for line in table.splitlines() if "\t" in line)
    mapping = {ord(old): new.split()[0] for old, new in pairs}
    return {old: new for old, new in mapping.items() if len(new) == 1}


def fold_han(run: str) -> str:
    """The run with compatibility forms unified and Traditional characters Simplified; its length never changes."""
    if not unicodedata.is_normalized("NFKC", run):
        folded = [unicodedata.normalize("NFKC", c) for c in run]
        run = "".join(new if len(new) == 1 else old for new, old in zip(folded, run, strict=True))
    return run.translate(_simplified())


def han_terms(run: str) -> list[Term]:
    """jieba's words in search mode (a long word also gives the dictionary words of 2 and 3 characters inside it).

    Without jieba's hidden Markov model, which cuts the same unknown name differently in different sentences:
    characters outside every dictionary word are indexed singly and as bigrams instead.
    """
    tokenizer = jieba_tokenizer()
    frequency = tokenizer.FREQ
    terms: list[Term] = []
    at = 0
    single_before = False
    previous = ""
    for word in tokenizer.cut(fold_han(run), HMM=False):
        size = len(word)
        if word in CHINESE:
            single_before = False
        elif size == 1:
            if single_before:
                terms.append((previous + word, at - 1, at + 1))
            terms.append((word, at, at + 1))
            single_before = True
        else:
            for width in (2, 3):
                if size > width:
                    inner = ((word[i : i + width], at + i, at + i + width) for i in range(size - width + 1))
                    terms.extend(term for term in inner if frequency.get(term[0]))
            terms.append((word, at, at + size))
            single_before = False
        previous = word
        at += size
    terms.sort(key=lambda term: (term[1], term[2]))
    return terms


def bigram_terms(run: str) -> list[Term]:
    """Overlapping pairs of syllables (kana, Thai, Khmer …); a run of one gives itself."""
    clusters = [(unicodedata.normalize("NFKC", m.group()), m.start(), m.end()) for m in _CLUSTER.finditer(run)]
    clusters = [(text, a, b) for text, a, b in clusters if text.strip(JOINERS)]
    if len(clusters) == 1:
        return clusters
    return [(a[0] + b[0], a[1], b[2]) for a, b in pairwise(clusters)]


def hangul_terms(run: str) -> list[Term]:
    """The word as written, then its bigrams, so that a noun is found under its particles."""
    bigrams = bigram_terms(run)
    if len(bigrams) < 2:
        return bigrams
    return [(unicodedata.normalize("NFKC", run), 0, len(run)), *bigrams]
