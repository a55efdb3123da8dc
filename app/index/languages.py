"""Which language a text is in: by script, and for Latin script by a model when asked."""

from __future__ import annotations

import re

from app.index.scripts import HAN, HANGUL, KANA
from app.index.stop_words import ENGLISH

_SAMPLE_CHARS = 4_000
_SCRIPTS = {
    "latin": re.compile("[A-Za-z\u00c0-\u024f]"),
    "han": re.compile(f"[{HAN}]"),
    "kana": re.compile(f"[{KANA}]"),
    "ko": re.compile(f"[{HANGUL}]"),
    "ru": re.compile("[\u0400-\u052f]"),
    "ar": re.compile("[\u0600-\u06ff\u0750-\u077f]"),
    "el": re.compile("[\u0370-\u03ff]"),
    "he": re.compile("[\u0590-\u05ff]"),
    "hi": re.compile("[\u0900-\u097f]"),
    "th": re.compile("[\u0e00-\u0e7f]"),
    "ta": re.compile("[\u0b80-\u0bff]"),
    "hy": re.compile("[\u0530-\u058f]"),
    "km": re.compile("[\u1780-\u17ff]"),
    "my": re.compile("[\u1000-\u109f]"),
    "lo": re.compile("[\u0e80-\u0eff]"),
}
_WORD = re.compile("[A-Za-z\u00c0-\u024f']+")
_ENGLISH_SHARE = 0.2  # of words that are English function words: English prose has about .4, other languages under .15
_LEAST_WORDS = 4
# a letter of these scripts carries more than a Latin one: a Chinese sentence with an English name in it is Chinese
_WEIGHT = {"latin": 1, "han": 3, "kana": 2, "ko": 2}


def detect_language(text: str, *, identify_latin: bool = False) -> str:
    """ISO 639-1 code of the text's language from its first 4,000 characters; "und" when it holds no letters.

    Scripts are counted; Han with kana is Japanese, without it Chinese; Cyrillic is called "ru" and Arabic "ar". Latin
    text is "en" unless `identify_latin`, where text poor in English function words goes to py3langid.
    """
    sample = text[:_SAMPLE_CHARS]
    counts = {name: len(pattern.findall(sample)) * _WEIGHT.get(name, 1) for name, pattern in _SCRIPTS.items()}
    if counts["kana"] * 8 > counts["han"]:
        counts["kana"] += counts.pop("han")
    best = max(counts, key=lambda name: counts[name])
    if not counts[best]:
        return "und"
    if best != "latin":
        return {"han": "zh", "kana": "ja"}.get(best, best)
    if not identify_latin:
        return "en"
    words = _WORD.findall(sample.lower())
    if len(words) < _LEAST_WORDS or sum(w in ENGLISH for w in words) >= _ENGLISH_SHARE * len(words):
        return "en"
    import py3langid  # its model takes a while to load: only when it is needed

    return str(py3langid.classify(sample)[0])
