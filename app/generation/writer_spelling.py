"""Written tokens as text: what was copied gets the source's own characters back, the rest is joined and capitalised.

The vocabulary is without case and accents. A run of written tokens that stands in the source is spelled as the source
spells it; among several places that spell one word differently, that inside a sentence counts before its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.transformer.tokenizers import TextTokenizer

_NO_SPACE_BEFORE = frozenset(".,;:!?%)]}'’”")
_NO_SPACE_AFTER = frozenset("([{$£€#“")
_ENDS_SENTENCE = frozenset('.!?:"“”\n')
_SHORT_FORMS = frozenset({"s", "t", "re", "ve", "ll", "d", "m"})


@dataclass(frozen=True, slots=True)
class Place:
    """Source token `index` of source `text`."""

    text: int
    index: int


class Speller:
    """Returns texts of written tokens, for one source.

    Args:
        tokenizer: that wrote them.
        pieces: its vocabulary, a token for every id.
        texts: of the source, in the order of preference where they spell a word differently.
    """

    def __init__(self, tokenizer: TextTokenizer, pieces: Sequence[str], texts: Sequence[str]) -> None:
        self._texts = [text for text in texts if text]
        self._tokens = tokenizer.encode(self._texts)
        self._pieces = pieces
        self._places: dict[int, list[Place]] = {}
        for number, tokens in enumerate(self._tokens):
            for index, token in enumerate(tokens.ids):
                self._places.setdefault(token, []).append(Place(number, index))

    def spell(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`, beginning with a capital if it begins with a letter."""
        parts: list[str] = []
        at = 0
        while at < len(ids):
            place, length = self._longest(ids, at)
            if place is None:
                end = at + 1
                while end < len(ids) and self._pieces[ids[end]].startswith("##"):
                    end += 1
                word = "".join(self._pieces[token].removeprefix("##") for token in ids[at:end])
                length = end - at
            else:
                word = self._characters(place, length)
            parts.append(word)
            at += length
        text = _joined(parts)
        return text[:1].upper() + text[1:]

    def holds(self, ids: Sequence[int]) -> bool:
        """Whether these tokens stand in the source in a row."""
        return self._longest(ids, 0)[1] == len(ids)

    def _longest(self, ids: Sequence[int], at: int) -> tuple[Place | None, int]:
        """The place of the longest run of whole words in the source that begins `ids[at:]`, and its length."""
        best: tuple[tuple[int, bool, int], Place] | None = None
        for order, place in enumerate(self._places.get(ids[at], ())):
            source = self._tokens[place.text].ids
            length = 0
            while (
                at + length < len(ids)
                and place.index + length < len(source)
                and source[place.index + length] == ids[at + length]
            ):
                length += 1
            length = self._whole_words(ids, at, place, length)
            if length == 0:
                continue
            rank = (length, not self._begins_sentence(place) or at == 0, -order)
            if best is None or rank > best[0]:
                best = rank, place
        return (None, 0) if best is None else (best[1], best[0][0])

    def _whole_words(self, ids: Sequence[int], at: int, place: Place, length: int) -> int:
        """`length` cut back so that neither side of its end splits a word."""
        source = self._tokens[place.text].ids
        while length and (self._goes_on(ids, at + length) or self._goes_on(source, place.index + length)):
            length -= 1
        return length

    def _goes_on(self, ids: Sequence[int], at: int) -> bool:
        return at < len(ids) and self._pieces[ids[at]].startswith("##")

    def _begins_sentence(self, place: Place) -> bool:
        text, offsets = self._texts[place.text], self._tokens[place.text].offsets
        before = text[: offsets[place.index][0]].rstrip()
        return not before or before[-1] in _ENDS_SENTENCE

    def _characters(self, place: Place, length: int) -> str:
        offsets, text = self._tokens[place.text].offsets, self._texts[place.text]
        start, end = offsets[place.index][0], offsets[place.index + length - 1][1]
        word = " ".join(text[start:end].split())
        first = text[offsets[place.index][0] : offsets[place.index][1]]
        lone = self._begins_sentence(place) and first[:1].isupper() and first[1:].islower()
        if lone and first.lower() in FUNCTION_WORDS:  # a capital that only the sentence's beginning gave it
            word = word[:1].lower() + word[1:]
        return word


FUNCTION_WORDS = frozenset({
    "a", "an", "the", "this", "that", "these", "those", "and", "or", "but", "if", "in", "on", "at", "by",
    "for", "from", "to", "of", "with", "as", "is", "are", "was", "were", "be", "been", "do", "does", "did",
    "has", "have", "had", "can", "could", "will", "would", "should", "may", "might", "must", "what", "which",
    "who", "whom", "whose", "when", "where", "why", "how", "it", "its", "they", "their", "he", "his", "she",
    "her", "we", "our", "you", "your", "i", "my", "not", "no", "there", "then", "than", "so", "such", "some",
    "any", "all", "each", "every", "both", "most", "many", "much", "more", "one", "about", "after", "before",
    "during", "since", "until", "between", "under", "over", "near", "into", "through", "because", "while",
    "also", "only", "very",
})  # fmt: skip
"""Words whose capital at a sentence's beginning says nothing about them."""


def _joined(parts: Sequence[str]) -> str:
    text = ""
    open_quote = False
    for part in parts:
        if part == '"':
            text += part if open_quote or not text else f" {part}"
            open_quote = not open_quote
            continue
        tight = (
            not text
            or part[0] in _NO_SPACE_BEFORE
            or text[-1] in _NO_SPACE_AFTER
            or (text[-1] == '"' and open_quote)
            or (text[-1] in "'’" and part in _SHORT_FORMS)
            or part == "-"
            or (text[-1] == "-" and text[-2:-1] != " ")
        )
        text += part if tight else f" {part}"
    return text
