"""Questions made from running Chinese text: a name, date, number or quoted title of a sentence is asked for.

The sentence stays in the passage and the question keeps only some of its words, so that answering takes finding the
place by a partial match and seeing what kind of thing is missing. Few labelled Chinese questions exist.

Source: cloze questions for reading without labels, Lewis, Denoyer & Riedel 2019, section 2; recurring terms as
answers, Ram et al. 2021, section 3. Departure: no translation of the cloze; a question word stands in the gap.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from app.training.bilingual.words import HAN
from app.training.reading_sets import ReadingQuestion

_SENTENCE = re.compile(r"[^。！？\n]+[。！？\n]?")
_PATTERNS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (re.compile(r"(?:公元前?)?\d{1,4}年(?:\d{1,2}月(?:\d{1,2}日)?)?"), ("什么时候", "哪一年", "何時", "哪年")),
    (re.compile(r"\d{1,2}月\d{1,2}日"), ("什么时候", "哪一天", "何時")),
    (re.compile(rf"\d[\d,.，]*(?:%|％|[万億亿千百萬]+)?(?:[{HAN}](?=[，。、的,）]))?"), ("多少", "几", "多少")),
    (re.compile(r"(?<=《)[^《》]{2,20}(?=》)"), ("什么", "哪部作品", "什麼")),
    (re.compile(r"(?<=「)[^「」]{2,16}(?=」)"), ("什么", "什麼")),
    (re.compile(r"(?<=“)[^“”]{2,16}(?=”)"), ("什么", "什麼")),
    (re.compile(rf"[{HAN}]{{2,6}}(?:[·・][{HAN}]{{2,6}})+"), ("谁", "誰", "哪个人")),
    (re.compile(r"[A-Za-z][A-Za-z0-9 .\-]{2,30}[A-Za-z0-9]"), ("什么", "什麼")),
    (re.compile(rf"(?<=[为是於于在由])[{HAN}]{{2,8}}(?=[，。、）])"), ("什么", "哪里", "谁", "哪裡", "誰", "什麼")),
    (
        re.compile(
            rf"[{HAN}]{{2,5}}(?:大学|大學|公司|帝国|帝國|共和国|省|市|县|縣|州|岛|島|河|山|战争|戰爭|王朝|朝|党|黨)"
        ),
        ("哪个", "哪裡", "哪里", "什麼", "什么"),
    ),
)
_LONGEST_QUESTION = 60


def cloze_questions(
    contexts: Sequence[str], names: frozenset[str], rng: random.Random, per_context: int = 2
) -> list[ReadingQuestion]:
    """Return up to `per_context` questions for every passage, drawn anew by `rng`.

    Args:
        contexts: passages.
        names: proper nouns of 2 to 6 characters, which are asked for where they occur.
        rng: of the draws.
        per_context: most questions of one passage.
    """
    made = []
    for place, context in enumerate(contexts):
        sentences = [(m.start(), m.group()) for m in _SENTENCE.finditer(context) if 10 <= len(m.group()) <= 160]
        for number, (_, sentence) in enumerate(rng.sample(sentences, min(per_context, len(sentences)))):
            question = _ask(sentence, names, rng)
            if question is not None:
                text, answer = question
                made.append(ReadingQuestion(f"cloze-{place}-{number}", "cloze", "train", "", text, context, (answer,)))
    return made


def _ask(sentence: str, names: frozenset[str], rng: random.Random) -> tuple[str, str] | None:
    spans = []
    for pattern, words in _PATTERNS:
        spans += [(m.start(), m.end(), words) for m in pattern.finditer(sentence)]
    for length in (6, 5, 4, 3, 2):
        for at in range(len(sentence) - length + 1):
            if sentence[at : at + length] in names:
                spans.append((at, at + length, ("哪里", "谁", "什么", "哪个", "哪裡", "誰")))
    if not spans:
        return None
    start, end, words = rng.choice(spans)
    answer = sentence[start:end].strip()
    before = _thinned(sentence[:start], rng, keep_end=True)
    after = _thinned(sentence[end:].rstrip("。！？\n"), rng, keep_end=False)
    gap = rng.choice(words)
    if rng.random() < 0.5:  # Chinese questions put the question word last as often as in its place
        text = f"{before}{after}{gap}" if rng.random() < 0.5 else f"{after}{before}{gap}"
    else:
        text = f"{before}{gap}{after}"
    text = text.strip("，、；：,。 ")
    if len(text) - len(gap) < 4 or answer in text:
        return None
    return text[-_LONGEST_QUESTION:] + "？", answer


def _thinned(text: str, rng: random.Random, *, keep_end: bool) -> str:
    """The clauses nearest to the gap, with some pieces of two or three characters left out."""
    clauses = [c for c in re.split("[，、；：,（）()]", text) if c]
    near = (clauses[-rng.choice((1, 1, 2)) :] if keep_end else clauses[: rng.choice((1, 1, 2))]) if clauses else []
    share = rng.choice((0.0, 0.15, 0.35))
    kept, at, joined = [], 0, "".join(near)
    while at < len(joined):
        size = rng.choice((1, 2, 3))
        if rng.random() >= share:
            kept.append(joined[at : at + size])
        at += size
    return "".join(kept)
