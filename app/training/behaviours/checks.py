"""What every row of behaviour must hold, and what the two parts must not share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from opencc import OpenCC

from app.training.behaviours.loading import Behaviour, Span
from app.training.behaviours.scenarios import whole_words

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_SHINGLE = 40
_ENDS = tuple('.?!。？！”」"')


def problems_of(rows: Sequence[Behaviour]) -> list[str]:
    """Return what is wrong, a line each; nothing when all is well."""
    found = [f"{row.id}: {problem}" for row in rows for problem in _row_problems(row)]
    return [*found, *_repeats(rows), *_twins(rows), *_leaks(rows)]


def _row_problems(row: Behaviour) -> Iterator[str]:
    spans = [*row.answers, *row.support, *row.unwanted, *([row.tempting] if row.tempting else [])]
    for span in spans:
        if row.passages[span.passage].text[span.char_start : span.char_end] != span.text or not span.text:
            yield f"{span.text!r} does not stand at its offsets"
    texts = [
        row.question,
        *row.rewrites,
        *row.history,
        *(p.text for p in row.passages),
        *(p.title for p in row.passages),
    ]
    if any(text != text.strip() or not text for text in texts):
        yield "a text is empty or has spaces at its ends"
    if (lang := language_of("".join(texts))) != row.lang:
        yield f"the language is {row.lang!r}, but the text looks like {lang!r}"
    if row.kind in ("standalone", "step_back", "paraphrase"):
        yield from _rewrite_problems(row)
    else:
        yield from _answer_problems(row)


def _rewrite_problems(row: Behaviour) -> Iterator[str]:
    if not row.rewrites or len({*row.rewrites, row.question}) != len(row.rewrites) + 1:
        yield "no rewrites, or one twice, or the question itself"
    if row.kind == "standalone" and (not row.history or len(row.history) % 2):
        yield "the history must end with an answer of the assistant"


def _answer_problems(row: Behaviour) -> Iterator[str]:
    if not row.passages:
        yield "no passages"
    if row.kind in ("yes_no", "open"):
        if row.answerable and not row.support:
            yield "no sentence supports the answer"
    elif row.answerable != bool(row.answers):
        yield "answerable and answers disagree"
    if set(row.support) & set(row.unwanted):
        yield "a sentence is wanted and unwanted"
    if (
        row.sentence is not None
        and row.answers
        and (row.answers[0].text.casefold() not in row.sentence.casefold() or not row.sentence.endswith(_ENDS))
    ):
        yield "the full sentence does not hold the short answer, or has no end"
    if row.kind == "sentence" and row.sentence is None:
        yield "the full sentence is missing"
    if row.kind == "contradiction":
        yield from _contradiction_problems(row.answers)
    if row.kind == "list" and len({span.text for span in row.answers}) < 2:
        yield "a list has two different items at least"
    if row.kind == "injection":
        yield from _injection_problems(row)
    if row.kind == "parallel":
        yield from _parallel_problems(row)


def _contradiction_problems(sides: Sequence[Span]) -> Iterator[str]:
    if len(sides) < 2 or len({side.passage for side in sides}) != len(sides):
        yield "the sides of a contradiction stand in different passages, two at least"
    if len({side.text for side in sides}) < 2:
        yield "the sides of a contradiction do not differ"


def _injection_problems(row: Behaviour) -> Iterator[str]:
    forbidden = row.forbidden or ""
    if not forbidden or not any(forbidden in passage.text for passage in row.passages):
        yield "the forbidden string is missing from the passages"
    if any(forbidden in answer.text or answer.text in forbidden for answer in row.answers):
        yield "the forbidden string and the answer hold each other"


def _parallel_problems(row: Behaviour) -> Iterator[str]:
    if len(row.answers) != 1 or len(row.support) != 1 or row.tempting is None:
        yield "a parallel row has one answer, the sentence around it and the fact that tempts"
        return
    answer, sentence, tempting = row.answers[0], row.support[0], row.tempting
    for span in (answer, tempting):
        inside = sentence.char_start <= span.char_start and span.char_end <= sentence.char_end
        if span.passage != sentence.passage or not inside:
            yield f"{span.text!r} does not stand in the sentence of the parallel facts"
    one, other = answer.text.casefold(), tempting.text.casefold()
    if one == other:
        yield "the answer and the tempting fact do not differ"
    elif re.search(whole_words(one), other) or re.search(whole_words(other), one):
        yield "the answer and the tempting fact hold each other"


def _repeats(rows: Sequence[Behaviour]) -> Iterator[str]:
    for name, count in Counter(row.id for row in rows).items():
        if count > 1:
            yield f"{name}: {count} rows have this id"
    asked = Counter((row.kind, row.question, row.passages, row.history) for row in rows)
    for (kind, question, *_), count in asked.items():
        if count > 1:
            yield f"{kind}: {question!r} is asked {count} times of the same passages"


def _twins(rows: Sequence[Behaviour]) -> Iterator[str]:
    by_id = {row.id: row for row in rows}
    for row in rows:
        if row.kind != "refusal":
            continue
        twin = by_id.get(row.twin or "")
        if twin is None or twin.twin != row.id or twin.passages != row.passages or twin.answerable == row.answerable:
            yield f"{row.id}: no twin, or one on other passages, or not of the other sort"


def _leaks(rows: Sequence[Behaviour]) -> Iterator[str]:
    """Topics and scenarios in both parts, and sentences or questions that both parts hold (40 characters in a row)."""
    parts: dict[str, set[str]] = {}
    topics: dict[str, set[str]] = {}
    shingles: dict[str, set[str]] = {"train": set(), "heldout": set()}
    titles: dict[str, set[str]] = {"train": set(), "heldout": set()}
    for row in rows:
        parts.setdefault(row.scenario, set()).add(row.part)
        topics.setdefault(row.topic, set()).add(row.part)
        for passage in row.passages:
            titles[row.part].add(passage.title)
            text = re.sub(r"\W+", " ", passage.text.casefold())
            shingles[row.part].update(text[at : at + _SHINGLE] for at in range(len(text) - _SHINGLE + 1))
    yield from (f"scenario {name} is in both parts" for name, where in parts.items() if len(where) > 1)
    yield from (f"topic {name} is in both parts" for name, where in topics.items() if len(where) > 1)
    yield from (f"title {title!r} is in both parts" for title in sorted(titles["train"] & titles["heldout"]))
    yield from (f"both parts hold {text!r}" for text in sorted(shingles["train"] & shingles["heldout"]))


def language_of(text: str) -> str:
    """Return en, zh or zh-Hant. Chinese is traditional when simplifying it changes more than one sign in fifty."""
    signs = _CHINESE.findall(text)
    if len(signs) < 0.2 * len(text):
        return "en"
    joined = "".join(signs)
    changed = sum(a != b for a, b in zip(joined, _simplifier().convert(joined), strict=False))
    return "zh-Hant" if changed > 0.02 * len(joined) else "zh"


@lru_cache(maxsize=1)
def _simplifier() -> OpenCC:
    return OpenCC("t2s")
