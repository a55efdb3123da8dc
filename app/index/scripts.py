"""Which characters make a word, script by script. Decisions follow the script alone, never a guessed language:
an index and a query must be cut alike, however short the query is."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

HAN = "\u2e80-\u2fd5\u3005\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KANA = "\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7fb\uffa0-\uffdc"
# Thai, Lao, Tibetan, Myanmar, Khmer: letters and marks, not their digits
SOUTH_EAST = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecd\u0edc-\u0edf\u0f40-\u0fbc\u1000-\u103f\u1050-\u108f"
    "\u109a-\u109d\u1780-\u17d3"
)


def _ranges(codes: list[int]) -> str:
    """The codes as the inside of a regular expression's character class."""
    starts = [codes[0], *(b for a, b in pairwise(codes) if b != a + 1)]
    ends = [*(a for a, b in pairwise(codes) if b != a + 1), codes[-1]]
    return "".join(rf"\u{a:04x}-\u{b:04x}" for a, b in zip(starts, ends, strict=True))


# Combining marks are not `\w` to Python, and without them Hindi or decomposed "é" would fall apart. Soft hyphen and
# the zero-width (non-)joiner do not end a word either.
MARKS = _ranges([c for c in range(0x300, 0x10000) if unicodedata.category(chr(c))[0] == "M"])
JOINERS = "\u00ad\u200c\u200d"
WORD = rf"(?:[^\W_{HAN}{KANA}{HANGUL}{SOUTH_EAST}]++[{MARKS}{JOINERS}]*+)++"
