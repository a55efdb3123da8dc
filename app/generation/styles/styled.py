"""The bundled reader with more than one form of answer: a fact, a sentence, a paragraph, a list, a verdict.

Everything that is claimed is copied from the passages. What the reader does with a question for a fact is not changed,
and costs nothing more, unless other documents answer differently: then both are named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from app.errors import Cancelled
from app.generation.fallback import FallbackGenerator
from app.generation.styles.bearing import bearing
from app.generation.styles.composing import (
    bearing_text,
    disagreement_text,
    enumeration_text,
    list_text,
    paragraph_text,
    sentence_text,
    verdict_text,
)
from app.generation.styles.disagreement import differs, rivals, said_in
from app.generation.styles.kinds import Asked, asked_of
from app.generation.styles.lists import enumeration, listed
from app.generation.styles.orders import is_order
from app.generation.styles.paragraph import paragraph
from app.generation.styles.verdicts import verdict
from app.protocols import Encoder, Generator, SentenceWriter
from app.types import Generated, GenerationOptions, PassageSpan, Prompt, Style

THRESHOLD = 0.5
"""`Evidence.style_probability` from which a styled answer is given."""
_MOST_RIVALS = 2  # read one by one: each costs as much as its share of the answer

Judge = Callable[[Generated], tuple[float, float]]
Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class _Call:
    """One request on its way through the styles."""

    prompt: Prompt
    options: GenerationOptions
    cancelled: Stop
    asked: Asked


class StyledGenerator:
    """Implements `Generator` around another that copies its answer.

    Args:
        reader: answers questions for facts.
        judge: an output of the reader → (confidence, threshold), as the service judges it.
        encoder: chooses sentences beside their words; None: by their words alone.
        writer: of full sentences; None: the source's own sentence.
    """

    def __init__(
        self,
        reader: Generator,
        judge: Judge,
        *,
        encoder: Encoder | None = None,
        writer: SentenceWriter | None = None,
    ) -> None:
        self._reader = reader
        self._judge = judge
        self._encoder = encoder
        self._writer = writer

    @property
    def name(self) -> str:
        return self._reader.name

    def generate(self, prompt: Prompt, options: GenerationOptions, cancelled: Stop = lambda: False) -> Generated:
        """The answer in the style asked for; "auto" is told by the question's words. Raises as the reader does."""
        style = options.style or "auto"
        if not prompt.passages or options.mode != "fusion":
            made = replace(self._reader.generate(prompt, options, cancelled), style="short")
            if options.mode != "fusion" and style in ("sentence", "paragraph", "list"):
                warning = f"style {style} was not used: mode {options.mode} gives one short answer"
                made = replace(made, warnings=(*made.warnings, warning))
            return made
        call = _Call(prompt, options, cancelled, asked_of(prompt.question))
        return self._auto(call) if style == "auto" else self._as_told(style, call)

    def _auto(self, call: _Call) -> Generated:
        wanted = call.asked.wanted
        if wanted == "open":
            return self._paragraph(call, strict=False) or self._fact(call)
        if wanted == "list":
            return self._list(call)
        if wanted == "yes_no":
            return self._verdict(call) or self._bearing(call)
        made = self._fact(call)
        if wanted == "explain" and not self._stands(made):
            explained = self._paragraph(call, strict=True)
            if explained is not None and self._stands(explained):
                return explained
        return made

    def _as_told(self, style: Style, call: _Call) -> Generated:
        if style == "paragraph":
            return self._paragraph_around(call)
        if style == "list":
            return self._list(call)
        made = self._fact(call)
        return self._sentence(call, made) if style == "sentence" else made

    def _read(self, call: _Call) -> Generated:
        made = self._reader.generate(call.prompt, call.options, call.cancelled)
        return self._why(replace(made, style="short"), call, "the reader's answer")

    def _stands(self, made: Generated) -> bool:
        confidence, threshold = self._judge(made)
        return confidence >= threshold and bool(made.spans)

    def _fact(self, call: _Call) -> Generated:
        """The reader's answer, beside it those of documents that answer differently."""
        made = self._read(call)
        if call.asked.wanted == "yes_no" or call.options.temperature > 0 or len(made.spans) != 1:
            return made
        places = rivals(call.prompt.question, call.prompt.passages, made.spans[0])
        if not places or not self._stands(made):
            return made
        answer = made.spans[0]
        found: list[PassageSpan] = []
        for place in places[:_MOST_RIVALS]:
            span = self._read_alone(call, place)
            if span is not None and all(
                differs(call.prompt.question, call.prompt.passages, one, span) for one in (answer, *found)
            ):
                found.append(span)
        if not found:
            return made
        said = [said_in(call.prompt.passages, span) for span in (answer, *found)]
        return self._why(disagreement_text(made, call.prompt, said), call, f"{len(said)} documents answer differently")

    def _read_alone(self, call: _Call, place: PassageSpan) -> PassageSpan | None:
        """What the reader answers from one passage, if it is sure and finds it in the sentence at `place`."""
        alone = replace(call.prompt, passages=(call.prompt.passages[place.passage],))
        made = self._reader.generate(alone, call.options, call.cancelled)
        if len(made.spans) != 1 or not self._stands(made):
            return None
        span = replace(made.spans[0], passage=place.passage)
        inside = place.char_start <= span.char_start and span.char_end <= place.char_end
        return span if inside else None

    def _paragraph_around(self, call: _Call) -> Generated:
        """A paragraph that was asked for: an open question's, or the reader's answer with what stands around it."""
        if call.asked.wanted == "open":
            return self._paragraph(call, strict=False) or self._read(call)
        made = self._read(call)
        if len(made.spans) == 1 and self._stands(made):
            around = self._paragraph(call, strict=True, around=made.spans[0])
            if around is not None:
                sure = replace(around.evidence, style_probability=max(THRESHOLD, self._judge(made)[0]))
                return replace(around, evidence=sure)
        return self._paragraph(call, strict=True) or made

    def _paragraph(self, call: _Call, *, strict: bool, around: PassageSpan | None = None) -> Generated | None:
        if call.cancelled():
            raise Cancelled("the caller cancelled the answer while its sentences were being chosen")
        tokens = call.options.max_tokens
        chosen = paragraph(call.prompt, self._encoder, max_tokens=tokens, strict=strict, around=around)
        if chosen is None:
            return None
        return self._why(paragraph_text(call.prompt, chosen, self._model(call.prompt)), call, chosen.why)

    def _list(self, call: _Call) -> Generated:
        """Points or a column that the question names; the enumeration around the reader's answer; or that answer."""
        found = listed(call.prompt.question, call.prompt.passages)
        made = self._read(call)
        around = enumeration(call.prompt.passages, made.spans[0]) if len(made.spans) == 1 else None
        if found is not None and (not self._stands(made) or around is None or _within(found.spans, made.spans)):
            return self._why(
                list_text(call.prompt, found, self._model(call.prompt)), call, f"{len(found.spans)} {found.form}"
            )
        if around is not None:
            return self._why(enumeration_text(made, call.prompt, around), call, f"{len(around.spans)} items in a row")
        return made

    def _verdict(self, call: _Call) -> Generated | None:
        told = verdict(call.prompt.question, call.prompt.passages)
        if told is None:
            return None
        return self._why(verdict_text(call.prompt, told, self._model(call.prompt)), call, f"verdict by {told.rule}")

    def _bearing(self, call: _Call) -> Generated:
        """The reader's sentence if it is sure of it, else the one that bears most on the question; no verdict."""
        made = self._read(call)
        if self._stands(made):
            return made
        found = bearing(call.prompt, self._encoder)
        if found is None or found.probability < THRESHOLD:
            return made
        return self._why(
            bearing_text(call.prompt, found, made), call, f"it bears on the question ({found.probability:.2f})"
        )

    def _sentence(self, call: _Call, made: Generated) -> Generated:
        if made.claims is not None or len(made.spans) != 1:
            return made
        writer = self._writer if self._stands(made) and not is_order(made.text) else None
        return self._why(sentence_text(made, call.prompt, writer), call, "the sentence around the answer")

    def _model(self, prompt: Prompt) -> str:
        """Who would have read the prompt."""
        reader = self._reader
        return reader.chosen(prompt).name if isinstance(reader, FallbackGenerator) else reader.name

    def _why(self, made: Generated, call: _Call, why: str) -> Generated:
        told = {"style": made.style, "style_why": why, "asked": call.asked.wanted, "asked_why": call.asked.why}
        return replace(made, detail={**made.detail, **told})


def _within(items: tuple[PassageSpan, ...], spans: tuple[PassageSpan, ...]) -> bool:
    """Whether the copied span touches one of the items."""
    return any(
        item.passage == span.passage and item.char_start < span.char_end and span.char_start < item.char_end
        for item in items
        for span in spans
    )
