"""A language model first; where it can not answer, the bundled generator, and the answer says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from app.errors import Overloaded, Unavailable
from app.protocols import Generator, OnText, StreamingGenerator
from app.types import Generated, GenerationOptions, Prompt


class RescuedGenerator:
    """Implements `StreamingGenerator`: `first`, or `second` where `first` fails before anybody has read a word."""

    def __init__(self, first: StreamingGenerator, second: Generator) -> None:
        self._first = first
        self._second = second

    @property
    def name(self) -> str:
        return self._first.name

    def generate(
        self, prompt: Prompt, options: GenerationOptions, cancelled: Callable[[], bool] = lambda: False
    ) -> Generated:
        """The first generator's answer, or the second's with a warning."""
        return self.stream(prompt, options, cancelled, lambda *_: False)

    def stream(
        self, prompt: Prompt, options: GenerationOptions, cancelled: Callable[[], bool], on_text: OnText
    ) -> Generated:
        """As `generate`.

        Raises:
            Unavailable, Overloaded: the first generator broke off when a part of its answer had been shown.
        """
        shown = False

        def watched(piece: str, so_far: Generated) -> bool:
            nonlocal shown
            shown = on_text(piece, so_far) or shown
            return shown

        try:
            return self._first.stream(prompt, options, cancelled, watched)
        except (Unavailable, Overloaded) as error:
            if shown:
                raise
            answer = self._second.generate(prompt, replace(options, temperature=0.0), cancelled)  # it quotes: no dice
            warning = f"{error.message}; {answer.model} answered instead of {self._first.name}"
            return replace(answer, warnings=(*answer.warnings, warning))

    def forget(self, collection: str) -> None:
        """Drops what the first generator remembers of earlier prompts over the collection."""
        forget = getattr(self._first, "forget", None)
        if forget is not None:
            forget(collection)

    def close(self) -> None:
        """Gives the first generator's resources back."""
        close = getattr(self._first, "close", None)
        if close is not None:
            close()
