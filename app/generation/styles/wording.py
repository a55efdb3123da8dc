"""Composed answers of several quotes: the text with its `[n]`, and for each stretch the span that it is copied from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.generation.citations import one_line
from app.types import Claim, PassageSpan, Prompt


@dataclass
class Wording:
    """Builds the text of an answer; only what `quote` puts in is a claim.

    Args of the constructor: the prompt whose passages are quoted.
    """

    prompt: Prompt
    text: str = ""
    spans: list[PassageSpan] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    def say(self, words: str) -> None:
        """Adds words that are ours: separators, a title, a date."""
        self.text += words

    def quote(self, span: PassageSpan, support: float, *, cited: PassageSpan | None = None) -> str:
        """Adds the passage's words at `span` and returns the marker that belongs behind them, not yet added.

        Args:
            span: that is shown.
            support: of the claim, in [0, 1].
            cited: the stretch around it that the citation quotes; by default the span itself.
        """
        source = cited or span
        if source not in self.spans:
            self.spans.append(source)
        number = self.spans.index(source)
        words = shown(self.prompt, span)
        self.claims.append(Claim(len(self.text), len(self.text) + len(words), number, min(1.0, max(0.0, support))))
        self.text += words
        return f"[{number + 1}]"

    def also(self, cited: PassageSpan, support: float) -> str:
        """Returns the marker of another stretch that says the words quoted last; it holds them as they are shown."""
        if cited not in self.spans:
            self.spans.append(cited)
        number, last = self.spans.index(cited), self.claims[-1]
        self.claims.append(Claim(last.char_start, last.char_end, number, min(1.0, max(0.0, support))))
        return f"[{number + 1}]"


def shown(prompt: Prompt, span: PassageSpan) -> str:
    """Return the words at a span on one line, as answers show them."""
    return one_line(prompt.passages[span.passage].text[span.char_start : span.char_end])


def mass_of(prompt: Prompt, spans: Sequence[PassageSpan]) -> tuple[float, ...]:
    """Return each passage's share of the spans."""
    return tuple(sum(span.passage == n for span in spans) / max(1, len(spans)) for n in range(len(prompt.passages)))
