"""The bundled reader with more than one form of answer: a fact, a sentence, a paragraph, a list, a verdict.

Everything that is claimed is copied from the passages. What the reader does with a question for a fact is not changed,
and costs nothing more, unless other documents answer differently: then both are named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from app.errors import Cancelled
from app.generation.fallback import FallbackGenerator
from app.generation.quantities import quantities
from app.generation.styles.bearing import bearing
from app.generation.styles.composing import (
    bearing_text,
    disagreement_text,
    enumeration_text,
    gathered_text,
    list_text,
    paragraph_text,
    sentence_text,
    verdict_text,
)
from app.generation.styles.disagreement import differs, rivals, said_in
from app.generation.styles.gathering import gather, of_kind, possible, with_readers
from app.generation.styles.item import Item
from app.generation.styles.kinds import Asked, asked_of
from app.generation.styles.listing import listing_of
from app.generation.styles.lists import Items, enumeration, listed
from app.generation.styles.orders import is_order
from app.generation.styles.paragraph import paragraph
from app.generation.styles.totals import total_of
from app.generation.styles.verdicts import verdict
from app.generation.styles.wording import shown
from app.protocols import Encoder, Generator, SentenceWriter
from app.types import Generated, GenerationOptions, Passage, PassageSpan, Prompt, Style

THRESHOLD = 0.5
"""`Evidence.style_probability` from which a styled answer is given."""
_ROW_RIGHT = 0.8  # as of the cells that a question names by row and column (`abstention._NAMED_CELL_RIGHT`)
_UNSURE = 0.25  # of a reader's list that the passages can't bear out
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
        made = replace(self._reader.generate(call.prompt, call.options, call.cancelled), style="short")
        told = total_of(call.prompt.question, call.prompt.passages, made.spans[0]) if len(made.spans) == 1 else None
        if told is None:
            return self._why(made, call, "the reader's answer")
        if isinstance(told, str):
            unsure = replace(made.evidence, style_probability=min(_UNSURE, self._judge(made)[0]))
            made = replace(made, evidence=unsure, warnings=(*made.warnings, told))
            return self._why(made, call, "one part's number is no total")
        if not self._stands(made) or told != made.spans[0]:
            sure = replace(made.evidence, style_probability=_ROW_RIGHT)
            made = replace(made, text=shown(call.prompt, told), spans=(told,), answered=True, evidence=sure)
        return self._why(made, call, "the cell of the row that is asked for")

    def _stands(self, made: Generated) -> bool:
        confidence, threshold = self._judge(made)
        return confidence >= threshold and bool(made.spans)

    def _fact(self, call: _Call) -> Generated:
        """The reader's answer, beside it those of documents that answer differently."""
        return self._beside_rivals(call, self._read(call))

    def _beside_rivals(self, call: _Call, made: Generated) -> Generated:
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
        """Points or a column that the question names; the items of the sentences that bear on it; the
        enumeration around the reader's answer; or that answer."""
        found = listed(call.prompt.question, call.prompt.passages)
        made = self._read(call)
        around = enumeration(call.prompt.passages, made.spans[0]) if len(made.spans) == 1 else None
        if found is not None and (not self._stands(made) or around is None or _within(found.spans, made.spans)):
            return self._why(
                list_text(call.prompt, found, self._model(call.prompt)), call, f"{len(found.spans)} {found.form}"
            )
        if (gathered := self._gathered(call, made, around)) is not None:
            return gathered
        if around is not None:
            return self._why(enumeration_text(made, call.prompt, around), call, f"{len(around.spans)} items in a row")
        return made

    def _gathered(self, call: _Call, made: Generated, around: Items | None) -> Generated | None:
        """The items of every sentence that bears on the question; one alone only where the reader, shown all passages,
        means the same and is not sure of it."""
        listing, passages = listing_of(call.prompt.question), call.prompt.passages
        if listing is None or call.options.temperature > 0:
            return None
        items = gather(listing, passages, lambda sentence: self._read_sentence(call, sentence))
        if _amounts(passages, items):
            return self._beside_rivals(call, made)
        if not self._stands(made) and not of_kind(listing, passages, items):
            return None  # that they are such things only the reader could tell
        if items and around is not None and self._stands(made) and not _within(around.spans, _spans_of(items)):
            items = with_readers(listing, passages, items, around.spans)
        one = len(items) == 1 and not self._stands(made) and _within((items[0].span,), made.spans)
        if len(items) > 1 or one:
            return self._why(gathered_text(made, call.prompt, items), call, f"{len(items)} items of their sentences")
        if not items and self._stands(made) and not possible(listing, passages):
            unsure = replace(made.evidence, style_probability=_UNSURE)
            return self._why(replace(made, evidence=unsure), call, "no passage speaks of what is asked about")
        return None

    def _read_sentence(self, call: _Call, sentence: PassageSpan) -> PassageSpan | None:
        """What the reader answers from one sentence, sure of it or not."""
        passage = call.prompt.passages[sentence.passage]
        start = passage.char_start + sentence.char_start
        text = passage.text[sentence.char_start : sentence.char_end]
        alone = replace(passage, text=text, char_start=start, char_end=start + len(text))
        made = self._reader.generate(replace(call.prompt, passages=(alone,)), call.options, call.cancelled)
        if not made.spans:
            return None
        first, last = min(s.char_start for s in made.spans), max(s.char_end for s in made.spans)
        return PassageSpan(sentence.passage, sentence.char_start + first, sentence.char_start + last)

    def _verdict(self, call: _Call) -> Generated | None:
        told = verdict(call.prompt.question, call.prompt.passages)
        if told is None:
            return None
        return self._why(verdict_text(call.prompt, told, self._model(call.prompt)), call, f"verdict by {told.rule}")

    def _bearing(self, call: _Call) -> Generated:
        """The sentence that bears most on the question, if it is near enough, else the reader's; no verdict."""
        made = self._read(call)
        read = made.spans[0] if len(made.spans) == 1 else None
        found = bearing(call.prompt, self._encoder, read, self._judge(made)[0])
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


def _spans_of(items: Sequence[Item]) -> tuple[PassageSpan, ...]:
    return tuple(item.span for item in items)


def _amounts(passages: Sequence[Passage], items: Sequence[Item]) -> bool:
    """Whether the items are amounts that several documents give: what they disagree on, not what they add up to."""
    documents = [passages[item.span.passage].hit.chunk.document_id for item in items]
    if len(set(documents)) < 2 or len(set(documents)) < len(items):
        return False
    texts = [passages[i.span.passage].text[i.span.char_start : i.span.char_end] for i in items]
    return all(quantities(text).numbers for text in texts)


def _within(items: tuple[PassageSpan, ...], spans: tuple[PassageSpan, ...]) -> bool:
    """Whether the copied span touches one of the items."""
    return any(
        item.passage == span.passage and item.char_start < span.char_end and span.char_start < item.char_end
        for item in items
        for span in spans
    )
