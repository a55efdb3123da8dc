"""Text → index terms: the one analyser of the index and of queries.

NFKC and case folding everywhere; Snowball stems and no stop words for Latin text; codes and numbers exact; jieba words
for Chinese with Traditional folded to Simplified; bigrams for the other scripts without spaces.
"""

from __future__ import annotations

import re

from app.index.languages import detect_language
from app.index.scripts import HAN, HANGUL, KANA, SOUTH_EAST
from app.index.sentences import sentence_spans
from app.index.stop_words import STOP_WORDS
from app.index.unsegmented import bigram_terms, han_terms, hangul_terms
from app.index.words import MAX_TERM_CHARS, WORD_TOKEN, Term, word_terms

__all__ = ["ANALYSER_VERSION", "STOP_WORDS", "analyze", "analyze_spans", "detect_language", "sentence_spans"]

ANALYSER_VERSION = "1"  # raise it with every change of the terms: an index holds the terms of one version

_TOKEN = re.compile(rf"{WORD_TOKEN}|(?P<han>[{HAN}]+)|(?P<bigram>[{KANA}{SOUTH_EAST}]+)|(?P<hangul>[{HANGUL}]+)")
_CACHED_CHARS = 40
_CACHE_SIZE = 300_000
# token → its terms; words repeat, so most tokens cost one look-up. Emptied when full (cheaper than an LRU).
_cache: dict[str, tuple[Term, ...]] = {}


def _terms_of(kind: str | None, token: str) -> tuple[Term, ...]:
    cached = _cache.get(token)
    if cached is not None:
        return cached
    if kind is None:
        terms = word_terms(token)
    else:
        run = han_terms if kind == "han" else bigram_terms if kind == "bigram" else hangul_terms
        terms = tuple(term for term in run(token) if len(term[0]) <= MAX_TERM_CHARS)
    if len(token) <= _CACHED_CHARS:
        if len(_cache) >= _CACHE_SIZE:
            _cache.clear()
        _cache[token] = terms
    return terms


def analyze(text: str) -> list[str]:
    """The index terms of `text`, in order, repeated as often as they occur. No term is empty or holds white space."""
    terms: list[str] = []
    get = _cache.get
    for match in _TOKEN.finditer(text):
        token = match.group()
        found = get(token)
        for term in _terms_of(match.lastgroup, token) if found is None else found:
            terms.append(term[0])  # noqa: PERF401 - a nested comprehension is slower here
    return terms


def analyze_spans(text: str) -> list[tuple[str, int, int]]:
    """`(term, char_start, char_end)` in the order of `analyze`; the offsets are into `text` as given."""
    return [
        (term, match.start() + start, match.start() + end)
        for match in _TOKEN.finditer(text)
        for term, start, end in _terms_of(match.lastgroup, match.group())
    ]
