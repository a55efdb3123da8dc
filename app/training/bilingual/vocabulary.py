"""An English WordPiece vocabulary with Chinese characters and words added, every token's offsets exact.

BERT's tokenizer sets every Chinese character apart. Here a run of Chinese is cut greedily into the longest words that
the vocabulary has: a passage has some 30% fewer tokens. Traditional and simplified spellings share one id: the model
sees one script, the offsets stay those of the text.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.index.unsegmented import fold_han
from app.training.bilingual.words import HAN, RUN, longest_matches, spellings

RARE_IDS = 128
"""Characters too rare for an id of their own share these, by code point, so that equal ones still look equal."""

SAME_MARKS = {"，": ",", "。": ".", "？": "?", "！": "!", "：": ":", "；": ";", "（": "(", "）": ")", "％": "%"}
"""Marks that mean what an English one does take its id."""

NEW_MARKS = {"、": ",", "《": '"', "》": '"', "「": '"', "」": '"', "『": '"', "』": '"', "〈": '"', "〉": '"'} | {
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "·": ".",
    "—": "-",
    "…": ".",
    "～": "-",
    "【": "[",
    "】": "]",
    "〔": "(",
    "〕": ")",
}
"""Marks with ids of their own, and the English ones that they start from."""


@dataclass(frozen=True, slots=True)
class BilingualVocabulary:
    """`words[i]` has the id `first_id + i`; `tokenizer` is the parsed tokenizer.json that spells with them."""

    first_id: int
    words: tuple[str, ...]
    counts: Mapping[str, float]
    tokenizer: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Rows of the embedding table."""
        return self.first_id + len(self.words) + RARE_IDS


def build_vocabulary(
    base: Path,
    possible: frozenset[str],
    texts: Iterable[tuple[str, float]],
    *,
    num_words: int = 12_000,
    min_count: float = 3.0,
) -> BilingualVocabulary:
    """Return the vocabulary of `base` with the frequent Chinese characters and words of `texts`.

    Args:
        base: tokenizer.json of a WordPiece model.
        possible: simplified words that may become tokens.
        texts: each with the weight of its counts.
        num_words: the most frequent ones of `possible`.
        min_count: weighted count from which a character, or a word, has an id of its own.
    """
    counts: dict[str, float] = defaultdict(float)
    for text, weight in texts:
        for run in RUN.findall(text):
            for piece in longest_matches(fold_han(run), possible):
                counts[piece] += weight
    frequent = sorted((w for w in counts if len(w) > 1 and counts[w] >= min_count), key=lambda w: (-counts[w], w))
    words = frequent[:num_words]
    for word in {w for w in counts if len(w) > 1}.difference(words):
        for character in word:
            counts[character] += counts[word]
    characters = {c for w in words for c in w} | {c for c in counts if len(c) == 1 and counts[c] >= min_count}
    chosen = sorted({*words, *characters}, key=lambda w: (-counts[w], w))
    described = json.loads(base.read_text(encoding="utf-8"))
    first_id = max(described["model"]["vocab"].values()) + 1
    ordered = (*NEW_MARKS, *chosen)
    _extend(described, first_id, ordered)
    return BilingualVocabulary(first_id, ordered, {w: float(counts[w]) for w in ordered}, described)


def _extend(described: dict[str, Any], first_id: int, ordered: Sequence[str]) -> None:
    vocab: dict[str, int] = {
        token: index for token, index in described["model"]["vocab"].items() if not re.search(f"[{HAN}]", token)
    }

    def spell(token: str, index: int) -> None:
        # A token within a run and one at its start are the same word; so they share the id.
        vocab[token] = vocab["##" + token] = index

    ids = {word: first_id + place for place, word in enumerate(ordered)}
    rare = first_id + len(ordered)
    for point in (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000), *range(0xF900, 0xFB00)):
        folded = fold_han(chr(point))
        spell(chr(point), ids.get(folded, rare + ord(folded) % RARE_IDS))
    for word, index in ids.items():
        for spelling in spellings(word) if len(word) > 1 else [word]:
            spell(spelling, index)
    for mark, english in SAME_MARKS.items():
        spell(mark, vocab[english])
    for code in (*range(0xFF10, 0xFF1A), *range(0xFF41, 0xFF5B)):  # full-width digits and (folded) letters
        narrow = chr(code - 0xFEE0)
        vocab[chr(code)], vocab["##" + chr(code)] = vocab[narrow], vocab["##" + narrow]
    described["model"]["vocab"] = vocab
    described["model"]["max_input_chars_per_word"] = 1_000_000  # a run of Chinese is one "word"
    described["normalizer"]["handle_chinese_chars"] = False
    described["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "BertPreTokenizer"},
            {"type": "Split", "pattern": {"Regex": f"[{HAN}]+"}, "behavior": "Isolated", "invert": False},
        ],
    }
    described["truncation"] = described["padding"] = None
