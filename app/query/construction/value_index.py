"""Which values of large tables a question could name: looked up by their words, so that most are never compared.

`find_values` then weighs the few that are left exactly as it would weigh all of them: a value is named only where its
first word is said (as it is, in another number or spelling, or with a slip of the finger) or where a part of it is said
that names it alone. Slips are searched among the first words with the same first letter and about the same length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rapidfuzz import process
from rapidfuzz.distance import DamerauLevenshtein

from app.query.construction.fields import MAX_FIELDS
from app.query.construction.values import Word, american, words_of

_SHORTEST = 5  # letters of a word in which a slip is allowed
_SLIPS = 2

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ValueIndex:
    """The values of numbered columns, by their words. Built once for a schema; safe to read from any thread."""

    columns: tuple[tuple[str, ...], ...]
    _by_first: dict[str, list[Place]] = field(default_factory=lambda: defaultdict(list), init=False, repr=False)
    _by_part: dict[str, list[Place]] = field(default_factory=lambda: defaultdict(list), init=False, repr=False)
    _spellings: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set), init=False, repr=False)
    _slips: dict[tuple[str, int], list[str]] = field(default_factory=lambda: defaultdict(list), init=False, repr=False)

    def __post_init__(self) -> None:
        for column, values in enumerate(self.columns):
            for number, value in enumerate(values):
                found = words_of(value)
                if found:
                    self._by_first[found[0].text.casefold()].append((column, number))
                parts = value.split()
                for part in parts if len(parts) > 1 else ():
                    self._by_part[part.casefold()].append((column, number))
        for first in self._by_first:
            self._spellings[american(first)].add(first)
            if len(first) >= _SHORTEST and first.isalpha():
                self._slips[first[0], len(first)].append(first)

    def candidates(self, words: Sequence[Word]) -> dict[int, tuple[str, ...]]:
        """Column number → its values, in their order, that the words could name; columns without any are left out.

        Of more than `MAX_FIELDS` columns, those are kept of which a value is said in all its words, then the others.
        """
        said = {word.text.casefold() for word in words}
        firsts = {first for text in said for first in self._alike(text)}
        places = {place for first in firsts for place in self._by_first[first]}
        places |= {place for text in said for place in self._by_part.get(text, ())}
        found: dict[int, list[int]] = defaultdict(list)
        for column, number in places:
            found[column].append(number)
        kept = sorted(found)
        if len(kept) > MAX_FIELDS:
            whole = {column for column in kept if any(self._is_said(column, number, said) for number in found[column])}
            kept = sorted(sorted(kept, key=lambda column: column not in whole)[:MAX_FIELDS])
        return {column: tuple(self.columns[column][number] for number in sorted(found[column])) for column in kept}

    def _is_said(self, column: int, number: int, said: set[str]) -> bool:
        return all(word.text.casefold() in said for word in words_of(self.columns[column][number]))

    def _alike(self, text: str) -> Iterable[str]:
        plain = american(text)
        forms = {plain, f"{plain}s", f"{plain}es", plain.removesuffix("s"), plain.removesuffix("es")}
        if plain.endswith("y"):
            forms.add(f"{plain[:-1]}ies")
        if plain.endswith("ies"):
            forms.add(f"{plain[:-3]}y")
        for form in forms:
            yield from self._spellings.get(form, ())
        if text in self._by_first:
            yield text
        if len(text) < _SHORTEST or not text.isalpha():
            return
        for length in range(max(_SHORTEST, len(text) - _SLIPS), len(text) + _SLIPS + 1):
            near = self._slips.get((text[0], length))
            if near:
                for first, _, _ in process.extract(
                    text, near, scorer=DamerauLevenshtein.distance, score_cutoff=_SLIPS, limit=None
                ):
                    yield first
