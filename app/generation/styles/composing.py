"""From what a style has chosen to a generator's output: quotes and their citations, in the question's language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from app.generation.citations import one_line, quote_span
from app.generation.quantities import quantities
from app.generation.styles.bearing import Bearing
from app.generation.styles.candidates import candidates_of
from app.generation.styles.disagreement import Said
from app.generation.styles.item import Item
from app.generation.styles.lists import BETWEEN, Items
from app.generation.styles.orders import is_order
from app.generation.styles.paragraph import Paragraph
from app.generation.styles.topic import held
from app.generation.styles.verdicts import Verdict
from app.generation.styles.wording import Wording, mass_of, shown
from app.index.analysis import STOP_WORDS, analyze, detect_language
from app.protocols import SentenceWriter
from app.types import Evidence, Generated, PassageSpan, Prompt, Style

_VERDICT_RIGHT = 0.9
_LIST_RIGHT = 0.9
_GATHERED_RIGHT = 0.85
_MAX_SENTENCE_CHARS = 400


def paragraph_text(prompt: Prompt, chosen: Paragraph, model: str) -> Generated:
    """The sentences one after another, each with its own `[n]`."""
    wording = Wording(prompt)
    for span, relevance in zip(chosen.sentences, chosen.relevance, strict=True):
        if wording.text:
            wording.say(" " if wording.text[-1] == "]" and not _chinese(shown(prompt, span)) else "")
        marker = wording.quote(span, relevance)
        wording.say(marker if _chinese(wording.text) else f" {marker}")
    evidence = Evidence(
        style_probability=chosen.probability,
        question_coverage=chosen.coverage,
        passage_mass=mass_of(prompt, wording.spans),
    )
    return _made(wording, evidence, model, "paragraph")


def list_text(prompt: Prompt, found: Items, model: str) -> Generated:
    """One item a line, each citing the point or the row that it stands in."""
    return _lines(prompt, found.items, _LIST_RIGHT * found.coverage, found.coverage, model)


def _lines(prompt: Prompt, items: Sequence[Item], probability: float, coverage: float, model: str) -> Generated:
    """One item a line, with the `[n]` of every stretch that says it."""
    wording = Wording(prompt)
    for item in items:
        wording.say("\n- " if wording.text else "- ")
        marks = wording.quote(item.span, probability, cited=item.said[0])
        marks += "".join(wording.also(other, probability) for other in item.said[1:])
        wording.say(f" {marks}")
    evidence = Evidence(
        style_probability=probability, question_coverage=coverage, passage_mass=mass_of(prompt, wording.spans)
    )
    return _made(wording, evidence, model, "list")


def enumeration_text(made: Generated, prompt: Prompt, items: Items) -> Generated:
    """The reader's answer widened to the whole enumeration that it is a part of; its evidence stays."""
    span = PassageSpan(items.spans[0].passage, items.spans[0].char_start, items.spans[-1].char_end)
    return replace(made, text=shown(prompt, span), spans=(span,), style="list")


def gathered_text(made: Generated, prompt: Prompt, items: Sequence[Item]) -> Generated:
    """One item a line with every sentence that says it; a single item, or those of one run of words, as they stand."""
    spans = [item.span for item in items]
    if len(items) > 1 and not _in_a_row(prompt, spans):
        return _lines(prompt, items, _GATHERED_RIGHT, 1.0, made.model)
    run = PassageSpan(spans[0].passage, spans[0].char_start, spans[-1].char_end)
    evidence = Evidence(style_probability=_GATHERED_RIGHT, question_coverage=1.0, passage_mass=mass_of(prompt, [run]))
    style: Style = "list" if len(items) > 1 else "short"
    return replace(made, text=shown(prompt, run), spans=(run,), answered=True, evidence=evidence, style=style)


def _in_a_row(prompt: Prompt, spans: Sequence[PassageSpan]) -> bool:
    """Whether nothing but commas and "and" stand between the items."""
    if len({span.passage for span in spans}) > 1:
        return False
    text = prompt.passages[spans[0].passage].text
    between = [text[one.char_end : two.char_start] for one, two in pairwise(spans)]
    return all(BETWEEN.fullmatch(words) for words in between)


def verdict_text(prompt: Prompt, told: Verdict, model: str) -> Generated:
    """Yes or no; the sentence that decides follows as its quote."""
    if _chinese(prompt.question):
        word = "是的" if told.yes else "否"
    else:
        word = "Yes" if told.yes else "No"
    evidence = Evidence(
        style_probability=_VERDICT_RIGHT, question_coverage=1.0, passage_mass=mass_of(prompt, [told.span])
    )
    return Generated(word, (told.span,), True, evidence, prompt.tokens, 1, model, style="short")


def bearing_text(prompt: Prompt, found: Bearing, made: Generated) -> Generated:
    """The sentence as it stands, in the place of what the reader was not sure of."""
    evidence = Evidence(
        style_probability=found.probability,
        question_coverage=found.coverage,
        passage_mass=mass_of(prompt, [found.span]),
    )
    text = shown(prompt, found.span)
    return replace(
        made,
        text=text,
        spans=(found.span,),
        answered=True,
        evidence=evidence,
        completion_tokens=len(analyze(text)),
        style="sentence",
    )


def disagreement_text(made: Generated, prompt: Prompt, said: Sequence[Said]) -> Generated:
    """Each document's answer with its title and `[n]`, the newest first where dates tell; the evidence stays."""
    newest = _newest(said)
    chinese = _chinese(prompt.question)
    wording = Wording(prompt)
    for one in sorted(said, key=lambda each: each is not newest):
        if wording.text:
            wording.say("；" if chinese else "; ")
        marker = wording.quote(one.span, 1.0, cited=quote_span(prompt.passages[one.span.passage], one.span))
        told = [one_line(one.title)] if one.title else []
        if one is newest:
            told.append("较新" if chinese else "newer")
        about = ("，" if chinese else ", ").join(told)
        if about:
            wording.say(f"（{about}）" if chinese else f" ({about})")
        wording.say(f" {marker}")
    return replace(
        made,
        text=wording.text,
        spans=tuple(wording.spans),
        claims=tuple(wording.claims),
        style="short",
        completion_tokens=len(analyze(wording.text)),
    )


def sentence_text(made: Generated, prompt: Prompt, writer: SentenceWriter | None) -> Generated:
    """A full sentence: the writer's, if it holds the answer and adds nothing; else the source's own sentence."""
    span = made.spans[0]
    quote = quote_span(prompt.passages[span.passage], span)
    answer, source = shown(prompt, span), shown(prompt, quote)
    written = writer.sentence(prompt.question, answer, source) if writer is not None else None
    if written is not None and _faithful(written, prompt.question, answer, source):
        return replace(made, text=one_line(written), style="sentence")
    whole = _with_antecedent(prompt, quote)
    return replace(made, text=shown(prompt, whole), spans=(whole,), style="sentence")


def _faithful(written: str, question: str, answer: str, source: str) -> bool:
    """Whether the sentence holds the answer, but for its capitals, and nothing that neither question nor source has."""
    if answer.casefold() not in written.casefold() or len(written) > _MAX_SENTENCE_CHARS or is_order(written):
        return False
    known = frozenset(analyze(f"{question}\n{source}"))
    if quantities(written).missing_from(quantities(source), quantities(question)):
        return False
    return all(held(term, known) for term in set(analyze(written)) - STOP_WORDS)


def _with_antecedent(prompt: Prompt, quote: PassageSpan) -> PassageSpan:
    """The sentence, and the one before it where it opens with a word that points back there."""
    said = candidates_of([prompt.passages[quote.passage]])
    own = next((each for each in said if each.span.char_start == quote.char_start), None)
    if own is None or not own.leaning or own.previous is None:
        return quote
    return replace(quote, char_start=said[own.previous].span.char_start)


def _newest(said: Sequence[Said]) -> Said | None:
    """The one that all the others are older than; None where a date is missing or shared."""
    if any(not each.dated for each in said):
        return None
    last = max(each.dated for each in said)
    found = [each for each in said if each.dated == last]
    return (
        found[0] if len(found) == 1 and not any(last.startswith(e.dated) for e in said if e is not found[0]) else None
    )


def _made(wording: Wording, evidence: Evidence, model: str, style: Style) -> Generated:
    return Generated(
        text=wording.text,
        spans=tuple(wording.spans),
        answered=True,
        evidence=evidence,
        prompt_tokens=wording.prompt.tokens,
        completion_tokens=len(analyze(wording.text)),
        model=model,
        claims=tuple(wording.claims),
        style=style,
    )


def _chinese(text: str) -> bool:
    return detect_language(text) == "zh"
