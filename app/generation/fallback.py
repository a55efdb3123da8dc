"""One generator for the texts that it can read, another for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.protocols import Generator
from app.types import Generated, GenerationOptions, Prompt

LATIN_END = 0x250  # the first code point after Latin Extended-B
READABLE_SHARE = 0.7
_MOST = 0.5


def is_latin(text: str) -> bool:
    """Whether at least `READABLE_SHARE` of the letters are Latin; true where there are no letters."""
    return _share_of_letters(text, _latin) >= READABLE_SHARE


def is_latin_or_chinese(text: str) -> bool:
    """Whether at least `READABLE_SHARE` of the letters are Latin or Chinese; Japanese with its kana is neither."""
    return _share_of_letters(text, lambda letter: _latin(letter) or _chinese(letter)) >= READABLE_SHARE


@dataclass(frozen=True, slots=True)
class Readable:
    """A generator and which texts it can read."""

    generator: Generator
    can_read: Callable[[str], bool]


class FallbackGenerator:
    """Implements `Generator`: asks the first of `readers` that can read the question and half of the passages.

    Where none can, the one that can read most of them, the question included; where none can read any, `last`. The
    bundled English reader's vocabulary spells English: a Chinese question would reach it as unknown tokens.
    `Generated.model` says who answered.

    Args:
        readers: in the order of preference, at least one.
        last: reads everything.
    """

    def __init__(self, readers: Sequence[Readable], last: Generator) -> None:
        self._readers = tuple(readers)
        self._last = last

    @property
    def name(self) -> str:
        return self._readers[0].generator.name

    def generate(
        self, prompt: Prompt, options: GenerationOptions, cancelled: Callable[[], bool] = lambda: False
    ) -> Generated:
        return self.chosen(prompt).generate(prompt, options, cancelled)

    def chosen(self, prompt: Prompt) -> Generator:
        """Return the generator that answers this prompt."""
        best, most = self._last, 0
        for reader in self._readers:
            if not reader.can_read(prompt.question):
                continue
            readable = sum(reader.can_read(passage.text) for passage in prompt.passages)
            if readable > most:
                best, most = reader.generator, readable
            if readable and readable >= _MOST * len(prompt.passages):
                break
        return best


def _share_of_letters(text: str, belongs: Callable[[str], bool]) -> float:
    letters = [character for character in text if character.isalpha()]
    return sum(map(belongs, letters)) / len(letters) if letters else 1.0


def _latin(letter: str) -> bool:
    return ord(letter) < LATIN_END


def _chinese(letter: str) -> bool:
    return "\u3400" <= letter <= "\u4dbf" or "\u4e00" <= letter <= "\u9fff" or "\uf900" <= letter <= "\ufaff"
