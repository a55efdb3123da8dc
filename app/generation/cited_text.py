"""A model's text as it comes: markers are taken out, checked, and put back where the passage carries the claim.

The text that leaves here is final. A marker `[n]` of the model names passage n; the `[k]` put in its place names the
k-th quote, counted in order of first use. So a reader's `[k]` is always a citation, and never changes afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from app.generation.citations import quote_span
from app.generation.refusals import is_refusal
from app.generation.support import SUPPORTED, Source, Support, support
from app.index.analysis import analyze, sentence_spans
from app.types import Claim, PassageSpan, Prompt

_NUMBERS = r"\d{1,3}(?:\s*(?:[,，、;；&-]|and|和|与)\s*\d{1,3})*"
_LABEL = r"(?:(?:passages?|sources?|documents?|doc|refs?|段落|文档|来源)\s*)?"
MARKER = re.compile(rf"[\[【［]\s*{_LABEL}(?P<numbers>{_NUMBERS})\s*(?:†[^\]】］]*)?[\]】］]", re.IGNORECASE)
_OPENING = re.compile(r"[\[【［]")
_UNFINISHED = re.compile(
    r"[\[【［]\s*[a-z段落文档来源]{0,9}\s*[\d\s,，、;；&和与and-]*(?:†[^\]】］]{0,60})?", re.IGNORECASE
)
_MAX_MARKER_CHARS = 60
_SENTENCE_END = re.compile(r"[。！？!?.](?=\s)|[。！？]|\n")
_OPENING_CHARS = 240  # past this, the first sentence is no refusal, whether it has ended or not
_FORGED = re.compile(r"\[\s*\d+\s*$")
_RANGE = re.compile(r"(\d+)\s*-\s*(\d+)")


@dataclass
class CitedText:
    """Feed it the model's pieces; what `feed` and `finish` return joins to `text`.

    Args of the constructor: the prompt whose passages the markers number.
    """

    prompt: Prompt
    text: str = ""
    spans: list[PassageSpan] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    _pending: str = ""  # not yet decided: white space before a marker, or what may become one
    _bare: str = ""  # `text` without its markers, to find sentences in
    _starts: list[tuple[int, int]] = field(
        default_factory=list
    )  # (position in `_bare`, in `text`) after each marker put
    _seen: list[int] = field(default_factory=list)  # position in `_bare` of every marker of the model's, dropped or put

    def feed(self, piece: str) -> str:
        """The text that is decided by now."""
        self._pending += piece
        return self._advance(final=False)

    def finish(self) -> str:
        """The rest, once the model has ended."""
        return self._advance(final=True)

    @property
    def verified(self) -> bool:
        return bool(self.claims)

    @property
    def begun(self) -> bool:
        """Whether the answer's first sentence is known, and is no refusal."""
        first = _SENTENCE_END.search(self._bare)
        if first is None and len(self._bare) < _OPENING_CHARS:
            return False
        return not is_refusal(self._bare[: first.end() if first else None])

    @property
    def refused(self) -> bool:
        """Whether the text, now that it is whole, says no more than that the passages do not hold the answer."""
        first = _SENTENCE_END.search(self._bare)
        return not self.claims and is_refusal(self._bare[: first.end() if first else None])

    @property
    def support(self) -> float:
        """In [0, 1]: 0 without a verified claim, else at least `SUPPORTED`; 1 when every sentence is carried wholly.

        `SUPPORTED + (1 − SUPPORTED) · mean over the sentences of (support − SUPPORTED) / (1 − SUPPORTED)`, a sentence
        without a verified marker counting 0: one that can be pointed at is worth more than one that can not.
        """
        if not self.claims:
            return 0.0
        sentences = [(a, b) for a, b in sentence_spans(self._bare) if analyze(self._bare[a:b])]
        places = [(self._bare_at(c.char_start), self._bare_at(c.char_end), c.support) for c in self.claims]
        excess = 0.0
        for start, end in sentences:
            best = max((each for a, b, each in places if a < end and b > start), default=SUPPORTED)
            excess += (best - SUPPORTED) / (1 - SUPPORTED) / len(sentences)
        return SUPPORTED + (1 - SUPPORTED) * min(1.0, excess)

    @cached_property
    def _sources(self) -> list[Source]:
        return [Source(passage) for passage in self.prompt.passages]

    def _advance(self, *, final: bool) -> str:
        before = len(self.text)
        while self._pending:
            opening = _OPENING.search(self._pending)
            plain = self._pending[: opening.start()] if opening else self._pending
            body = plain.rstrip()  # white space before a marker goes with it, at the end it is nothing
            self._emit(body)
            self._pending = self._pending[len(body) :]
            if opening is None:
                break
            space = plain[len(body) :]
            rest = self._pending[len(space) :]
            marker = MARKER.match(rest)
            if marker is not None and marker.end() <= _MAX_MARKER_CHARS:
                self._mark(space, marker["numbers"])
                self._pending = rest[marker.end() :]
            elif not final and len(rest) < _MAX_MARKER_CHARS and _UNFINISHED.fullmatch(rest):
                break
            else:
                self._emit(space + rest[0])
                self._pending = rest[1:]
        return self.text[before:]

    def _emit(self, body: str) -> None:
        body = body if self.text else body.lstrip()
        plain = ""
        for character in body:
            # "[1" before a dropped marker and "]" behind it would join to a citation that nobody checked
            forged = character == "]" and _FORGED.search((self.text + plain)[-_MAX_MARKER_CHARS:])
            plain += ")" if forged else character
        self.text += plain
        self._bare += plain

    def _mark(self, space: str, numbers: str) -> None:
        """Puts `[k]` where a claim ends for each passage that carries it, and notes the markers that it drops."""
        claims = [claim for number in _expand(numbers) if (claim := self._verify(number)) is not None]
        self._seen.append(len(self._bare))
        put = "".join(dict.fromkeys(f"[{claim.span + 1}]" for claim in claims))
        if put and not self.text.endswith(put):
            behind_another = bool(self._starts) and self._starts[-1][1] == len(self.text)
            self.text += put if behind_another else space + put
            self._starts.append((len(self._bare), len(self.text)))

    def _verify(self, number: int) -> Claim | None:
        candidates = self._candidates()
        if not 1 <= number <= len(self.prompt.passages):
            self._drop(number, candidates[0], Support(0.0, 0, 0, f"there are {len(self.prompt.passages)} passages"))
            return None
        source = self._sources[number - 1]
        found = Support(0.0, 0, 0, "no claim stands before it")
        for start, end in candidates:
            said = self._bare[start:end]
            if not said.strip() or is_refusal(said):
                continue
            found = support(said, source, self.prompt.question)
            if found.holds:
                quote = quote_span(
                    self.prompt.passages[number - 1], PassageSpan(number - 1, found.char_start, found.char_end)
                )
                claim = Claim(self._text_at(start), self._text_at(end, ending=True), self._index_of(quote), found.score)
                if claim not in self.claims:
                    self.claims.append(claim)
                return claim
        self._drop(number, candidates[0], found)
        return None

    def _candidates(self) -> list[tuple[int, int]]:
        """Where in `_bare` the claim before a marker may stand: since the last marker of its sentence, or all of it."""
        end = len(self._bare.rstrip(" ,;，；、"))
        spans = sentence_spans(self._bare)
        sentence = spans[-1][0] if spans else 0
        previous = max((bare for bare in self._seen if sentence < bare < end), default=sentence)
        part = previous + len(self._bare[previous:end]) - len(self._bare[previous:end].lstrip(" ,;，；、"))
        return (
            [(part, end), (sentence, end)]
            if previous > sentence and analyze(self._bare[part:end])
            else [(sentence, end)]
        )

    def _index_of(self, quote: PassageSpan) -> int:
        """The place of the quote among those used, an earlier one that holds it or is the same included."""
        for place, other in enumerate(self.spans):
            if (
                other.passage == quote.passage
                and other.char_start <= quote.char_start
                and quote.char_end <= other.char_end
            ):
                return place
        self.spans.append(quote)
        return len(self.spans) - 1

    def _text_at(self, bare: int, *, ending: bool = False) -> int:
        """The position in `text` of a position in `_bare`; of an end that a marker follows, the place before it."""
        shift = 0
        for place, text in self._starts:
            if place < bare or (place == bare and not ending):
                shift = text - place
        return bare + shift

    def _bare_at(self, position: int) -> int:
        shift = 0
        for place, text in self._starts:
            if text <= position:
                shift = text - place
        return position - shift

    def _drop(self, number: int, claim: tuple[int, int], found: Support) -> None:
        said = self._bare[claim[0] : claim[1]]
        self.dropped.append(
            {"passage": number, "claim": said, "support": round(found.score, 3), "reason": found.reason}
        )


def _expand(numbers: str) -> Sequence[int]:
    """ "1, 3-5" → 1, 3, 4, 5, each once."""
    spread = _RANGE.sub(
        lambda m: " ".join(str(n) for n in range(int(m[1]), min(int(m[2]), int(m[1]) + 20) + 1)) or m[0], numbers
    )
    return list(dict.fromkeys(int(number) for number in re.findall(r"\d+", spread)))
