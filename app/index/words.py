"""Words, numbers and codes of the scripts that put spaces between words → index terms."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import Stemmer

from app.index.scripts import JOINERS, WORD
from app.index.stop_words import CAPITAL_NAMES, ENGLISH

Term = tuple[str, int, int]

MAX_TERM_CHARS = 128  # longer runs (base64, hashes of hashes) are cut; an index term is not a blob store
# Any connector joins; `_terms` decides which joined runs are codes that keep their whole form as well.
COMPOUND = rf"{WORD}(?:[-\u2010\u2011\u2013_.'\u2019\u02bc@&/:]{WORD})*+"
NUMBER = r"[0-9]{1,3}(?:,[0-9]{3})++(?:\.[0-9]++)?(?!\w)"
ACRONYM = r"(?:[A-Za-z]\.){2,}(?:[A-Za-z](?!\w))?"
LANGUAGE_NAME = r"[A-Za-z](?:\+\+|\#)(?!\w)"  # C++, C#, F#
WORD_TOKEN = rf"{NUMBER}|{ACRONYM}|{LANGUAGE_NAME}|{COMPOUND}"

_PART = re.compile(WORD)
_LETTERS_OR_DIGITS = re.compile(r"\d+|[^\W\d_]+")
_ACRONYM = re.compile(ACRONYM)
_JOINERS = dict.fromkeys(map(ord, JOINERS))
_CODE_CONNECTOR = re.compile(r"[._@&]")
_DECIMAL = re.compile(r"[0-9]+\.[0-9]+")
_APOSTROPHES = str.maketrans("\u2019\u02bc", "''")
_HYPHENS = str.maketrans("\u2010\u2011\u2013", "---")
# One Snowball stemmer per script, English for Latin: the script is known from one word, the language is not.
_STEMMER_OF = {
    "LATIN": "english", "CYRILLIC": "russian", "GREEK": "greek", "ARABIC": "arabic", "DEVANAGARI": "hindi",
    "ARMENIAN": "armenian", "TAMIL": "tamil",
}  # fmt: skip
_MAX_CODE_RUNS = (
    4  # "a320neo" falls into 3 runs of letters or digits; a hexadecimal hash falls into dozens: keep it whole
)


@lru_cache(maxsize=8)
def _stemmer(language: str) -> Stemmer.Stemmer:
    return Stemmer.Stemmer(language)


def fold(raw: str) -> str:
    """The word under NFKC and case folding, Latin letters without their accents ("Café" → "cafe")."""
    if raw.isascii():
        return raw.lower()
    text = unicodedata.normalize("NFKC", raw.translate(_JOINERS)).casefold()
    decomposed = unicodedata.normalize("NFD", text)
    if "LATIN" in unicodedata.name(decomposed[:1] or " ", ""):
        text = "".join(c for c in decomposed if not unicodedata.combining(c))
    return "".join(text.translate(_APOSTROPHES).split())


@lru_cache(maxsize=200_000)
def _stem(folded: str) -> str:
    script = "LATIN" if folded.isascii() else unicodedata.name(folded[0], "").partition(" ")[0]
    language = _STEMMER_OF.get(script)
    return str(_stemmer(language).stemWord(folded)) if language else folded


def _plain(raw: str, start: int) -> list[Term]:
    """A run without connectors: a word is stemmed; letters mixed with digits keep the whole and give their runs."""
    folded = fold(raw)[:MAX_TERM_CHARS]
    if not folded or (folded in ENGLISH and raw not in CAPITAL_NAMES):
        return []
    end = start + len(raw)
    if not any(c.isdigit() for c in folded):
        return [(folded if raw in CAPITAL_NAMES else _stem(folded), start, end)]
    terms = [(folded, start, end)]
    if not folded.isdigit():
        runs = list(_LETTERS_OR_DIGITS.finditer(raw))
        if 1 < len(runs) <= _MAX_CODE_RUNS:
            for run in runs:
                part = fold(run.group())
                if (len(part) > 1 or part.isdigit()) and part not in ENGLISH:
                    terms.append((_stem(part), start + run.start(), start + run.end()))
    return terms


def _apostrophe(raw: str) -> list[Term]:
    """ "company's" is the word "company", "don't" a stop word, "O'Brien" two words."""
    folded = fold(raw.translate(_APOSTROPHES))
    if folded in ENGLISH:
        return []
    if folded.endswith("'s"):
        return _plain(raw[:-2], 0)
    return [term for part in _PART.finditer(raw) for term in _plain(part.group(), part.start())]


def word_terms(raw: str) -> tuple[Term, ...]:
    """The index terms of one match of `WORD_TOKEN`, each with its `[start, end)` inside `raw`, by start.

    Numbers lose their thousands separators; a code (anything with a digit, or joined by `. _ @ &`) gives its whole
    folded form and then its parts; words joined by hyphens give their parts; dotted acronyms lose their dots.
    """
    size = len(raw)
    if raw.isalpha():  # by far the commonest case
        return tuple(_plain(raw, 0))
    if _ACRONYM.fullmatch(raw):
        joined = raw.replace(".", "").lower()
        return () if joined in {"eg", "ie"} else ((joined, 0, size),)
    if raw[-1] in "+#":
        return ((raw.lower(), 0, size),)
    if "," in raw:
        return ((raw.replace(",", ""), 0, size),)
    parts = list(_PART.finditer(raw))
    if len(parts) == 1:
        return tuple(_plain(raw, 0))
    whole = fold(raw).translate(_HYPHENS)[:MAX_TERM_CHARS]
    if _DECIMAL.fullmatch(whole):
        return ((whole, 0, size),)
    has_digit = any(c.isdigit() for c in whole)
    if not has_digit and "'" in raw.translate(_APOSTROPHES) and not _CODE_CONNECTOR.search(raw):
        return tuple(_apostrophe(raw))
    terms: list[Term] = []
    if has_digit or _CODE_CONNECTOR.search(raw):
        terms.append((whole, 0, size))
        if has_digit and len(whole) > 1 and whole[0] == "v" and whole[1].isdigit() and "." in whole:
            terms.append((whole[1:], 1, size))  # "v1.2.3" is also found as "1.2.3"
    numeric = all(fold(p.group()).isdigit() for p in parts)
    for part in parts:
        if not (numeric and len(part.group()) == 1):  # the 2 of "1.2.3" or of "5/2/2024" says nothing
            terms.extend(_plain(part.group(), part.start()))
    return tuple(terms)
