"""One generator for the texts that it can read, another for the rest."""

from __future__ import annotations

from collections.abc import Callable

from app.protocols import Generator
from app.types import Generated, GenerationOptions, Prompt

LATIN_END = 0x250  # the first code point after Latin Extended-B
READABLE_SHARE = 0.7


def is_latin(text: str) -> bool:
    """Whether at least `READABLE_SHARE` of the letters are Latin; true where there are no letters."""
    letters = [character for character in text if character.isalpha()]
    return sum(ord(character) < LATIN_END for character in letters) >= READABLE_SHARE * len(letters)


class FallbackGenerator:
    """Implements `Generator`: asks `first` when it can read the question and some passage, otherwise `second`.

    The bundled reader's vocabulary spells English; a Chinese question would reach it as unknown tokens.
    `Generated.model` says who answered.
    """

    def __init__(self, first: Generator, second: Generator, can_read: Callable[[str], bool]) -> None:
        self._first = first
        self._second = second
        self._can_read = can_read

    @property
    def name(self) -> str:
        return self._first.name

    def generate(
        self, prompt: Prompt, options: GenerationOptions, cancelled: Callable[[], bool] = lambda: False
    ) -> Generated:
        readable = self._can_read(prompt.question) and any(self._can_read(p.text) for p in prompt.passages)
        chosen = self._first if readable else self._second
        return chosen.generate(prompt, options, cancelled)
