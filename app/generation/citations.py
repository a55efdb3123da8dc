"""From spans to an answer whose every claim points at verified characters of its source.

The reader copies its short answer from the passages; the sentence around each copied span becomes the quote. A language
model writes the whole answer, and `cited_text` found the quote for each marked claim. Either way a citation leaves this
module only if `document_text[char_start:char_end] == quote` holds against the text in the catalog.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.errors import IntegrityError
from app.generation.table_cells import row_of
from app.index.analysis import sentence_spans
from app.index.languages import detect_language
from app.types import Citation, Generated, Passage, PassageSpan, Prompt

MAX_QUOTE_CHARS = 600

_SPACE = re.compile(r"\s+")
_CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_MARKER = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Composed:
    """The answer as text and its citations; `[n]` in `text` is the citation with index n."""

    text: str
    short_answer: str
    citations: tuple[Citation, ...]


def abstention_text(question: str) -> str:
    """The honest refusal, in Chinese for a Chinese question and in English otherwise."""
    if detect_language(question) == "zh":
        return "所提供的文档中没有这个问题的答案。"
    return "The documents don't say."


def compose(generated: Generated, prompt: Prompt, texts: Mapping[int, str]) -> Composed:
    """The answer to show: the short answer, then the sentence or sentences that carry it, each with its `[n]`.

    Args:
        generated: the generator's text; `spans` name where in the prompt's passages each part comes from. With `claims`
            the text is shown as it is, its `[k]` naming `spans[k - 1]`.
        prompt: the passages that the generator saw.
        texts: version id → the whole extracted text, from the catalog, against which quotes are checked.

    Returns:
        Text and citations; citations are numbered from 1 in the order in which the answer uses them.

    Raises:
        IntegrityError: a quote is not what the catalog holds at its offsets; nothing unverified is returned.
    """
    if generated.claims is not None:
        return _written(generated, prompt, texts)
    quotes = _distinct([quote_span(prompt.passages[span.passage], span) for span in generated.spans])
    short = one_line(generated.text)
    if not quotes:
        return Composed(short, short, ())

    markers = "".join(f"[{number}]" for number in range(1, len(quotes) + 1))
    sentences = [one_line(_text_of(prompt, quote)) for quote in quotes]
    if len(sentences) == 1 and _same(short, sentences[0]):
        text = f"{short} {markers}"
        claim_ends = [len(short)]
    else:
        text = f"{short} {markers}"
        claim_ends = [len(short)] * len(quotes)
        for number, sentence in enumerate(sentences, start=1):
            text += f"\n\n“{sentence}” [{number}]"
    mass = generated.evidence.passage_mass
    scores = [float(mass[quote.passage]) if quote.passage < len(mass) else 0.0 for quote in quotes]
    citations = tuple(
        _cite(number, prompt.passages[quote.passage], quote, texts, (0, claim_ends[number - 1]), scores[number - 1])
        for number, quote in enumerate(quotes, start=1)
    )
    return Composed(text, short, citations)


def _written(generated: Generated, prompt: Prompt, texts: Mapping[int, str]) -> Composed:
    """A free writer's answer: each of its quotes once, with the first claim that rests on it."""
    first = {claim.span: claim for claim in reversed(generated.claims or ())}
    citations = tuple(
        _cite(
            number,
            prompt.passages[quote.passage],
            quote,
            texts,
            (first[number - 1].char_start, first[number - 1].char_end),
            first[number - 1].support,
        )
        for number, quote in enumerate(generated.spans, start=1)
    )
    return Composed(generated.text, generated.text, citations)


def quote_span(passage: Passage, span: PassageSpan) -> PassageSpan:
    """The sentence (or run of sentences) of the passage that holds the span, cut to `MAX_QUOTE_CHARS` around it; of a
    table its row."""
    row = row_of(passage.text, span)
    if row is not None and row.char_end - row.char_start <= MAX_QUOTE_CHARS:
        return row
    covering = [
        (start, end) for start, end in sentence_spans(passage.text) if start < span.char_end and end > span.char_start
    ]
    start = min([span.char_start, *(start for start, _ in covering)])
    end = max([span.char_end, *(end for _, end in covering)])
    if end - start > MAX_QUOTE_CHARS:
        room = max(0, MAX_QUOTE_CHARS - (span.char_end - span.char_start)) // 2
        start = _word_start(passage.text, max(start, span.char_start - room), span.char_start)
        end = _word_end(passage.text, min(end, span.char_end + room), span.char_end)
    return PassageSpan(span.passage, start, end)


def _word_start(text: str, position: int, stop: int) -> int:
    if position == 0 or text[position - 1].isspace() or _CJK.match(text[position]):
        return position
    space = text.find(" ", position, stop)
    return space + 1 if space >= 0 else position


def _word_end(text: str, position: int, stop: int) -> int:
    if position >= len(text) or text[position].isspace() or _CJK.match(text[position - 1]):
        return position
    space = text.rfind(" ", stop, position)
    return space if space >= 0 else position


def _distinct(spans: Sequence[PassageSpan]) -> list[PassageSpan]:
    """Each quoted stretch once, overlapping ones joined, in order of first use."""
    merged: list[PassageSpan] = []
    for span in spans:
        for place, other in enumerate(merged):
            if (
                other.passage == span.passage
                and other.char_start <= span.char_end
                and span.char_start <= other.char_end
            ):
                merged[place] = PassageSpan(
                    span.passage, min(other.char_start, span.char_start), max(other.char_end, span.char_end)
                )
                break
        else:
            merged.append(span)
    return merged


def _cite(
    index: int, passage: Passage, quote: PassageSpan, texts: Mapping[int, str], claim: tuple[int, int], score: float
) -> Citation:
    chunk = passage.hit.chunk
    char_start = passage.char_start + quote.char_start
    char_end = passage.char_start + quote.char_end
    quoted = passage.text[quote.char_start : quote.char_end]
    if texts[chunk.version_id][char_start:char_end] != quoted:
        raise IntegrityError(
            f"the passage {chunk.chunk_id} is not the stored text at [{char_start}, {char_end}); "
            "run `attest doctor` and re-ingest the document"
        )
    return Citation(
        index=index,
        document_id=chunk.document_id,
        version=chunk.version,
        title=chunk.title,
        source_url=chunk.source_url,
        page=chunk.page,
        char_start=char_start,
        char_end=char_end,
        quote=quoted,
        answer_start=claim[0],
        answer_end=claim[1],
        score=score,
        chunk_id=chunk.chunk_id,
    )


def _text_of(prompt: Prompt, span: PassageSpan) -> str:
    return prompt.passages[span.passage].text[span.char_start : span.char_end]


def one_line(text: str) -> str:
    """For showing: single spaces, and a source's own `[7]` as `(7)`, since `[n]` in an answer is a citation."""
    return _SPACE.sub(" ", _MARKER.sub(r"(\1)", text)).strip()


def _same(short: str, sentence: str) -> bool:
    return short.strip(" .。") == sentence.strip(" .。") or len(short) >= 0.9 * len(sentence)
