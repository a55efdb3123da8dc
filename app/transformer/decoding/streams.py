"""The text of one generated sequence while it grows: whole characters only, and never part of a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from app.transformer.decoding.detokenize import Detokenizer

_JOINER = "\u200d"  # joins emoji to one: a piece that ends in it would show half of the picture


class TokenStream:
    """Gives out a sequence's text token by token; all pieces together are the whole text, up to the first stop string.

    A stop string counts where it ends first, so it does not matter how tokens cut the text. What could still become
    a stop string is held back.

    Args:
        detokenizer: of the model's tokenizer.
        stop: texts that end the sequence; they are not given out.
        keep_space: keep a leading space that the tokenizer's own decoding would drop, for text that continues another.
    """

    def __init__(self, detokenizer: Detokenizer, stop: Sequence[str] = (), *, keep_space: bool = False) -> None:
        self._detokenizer = detokenizer
        self._decoder = detokenizer.decoder(keep_space=keep_space)
        self._stop = tuple(stop)
        self._held = ""
        self.stopped = False

    def push(self, token_id: int) -> str:
        """Return the text that has become certain with this token; empty once a stop string was found."""
        token = self._detokenizer.token(token_id)
        if self.stopped or token is None:
            return ""
        return self._give(self._decoder.push(token), final=False)

    def finish(self) -> str:
        """Return the text still held back; after this the stream is at its end."""
        if self.stopped:
            return ""
        return self._give(self._decoder.finish(), final=True)

    def _give(self, text: str, *, final: bool) -> str:
        if not text and not (final and self._held):
            return ""
        text = self._held + text
        # By the end, then the start: a stop string inside a longer one is complete before it.
        ends = [(start + len(stop), start) for stop in self._stop if (start := text.find(stop)) >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return text[: min(ends)[1]]
        keep = len(text) if final else len(text) - self._unsure(text)
        self._held = text[keep:]
        return text[:keep]

    def _unsure(self, text: str) -> int:
        """Return how many characters at the end may belong to a stop string or to a joined character."""
        longest = max((len(stop) for stop in self._stop), default=1) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stop):
                return length
        return 1 if text.endswith(_JOINER) else 0
