"""Made-up statements with the question that each answers and the ones that it only seems to.

"The chief executive of Norvane is Ida Brandt" speaks of the right company and of a person, and says nothing of who
founded it. Real sets hold few such twins for everyday relations; here every relation of a family is asked of every
other's statement. Names and sentences, in `relations.txt` and `relations_zh.txt`, were written for this project.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

Language = Literal["en", "zh"]

_FRAMES: dict[Language, tuple[str, ...]] = {
    "en": (
        "{0}.",
        "{0}, the report says.",
        "According to the local paper, {0}.",
        "As far as is known, {0}.",
        "Today {0}.",
    ),
    "zh": ("{0}。", "据当地报纸报道，{0}。", "报告说，{0}。", "据了解，{0}。", "资料显示，{0}。"),
}
_FILES: dict[Language, str] = {"en": "relations.txt", "zh": "relations_zh.txt"}
_BETWEEN: dict[Language, str] = {"en": " ", "zh": ""}
_SECTION = re.compile(r"\[(\w+)(?:: (\w+) of (\w+))?\]\n(.*?)(?=\n\[|\Z)", re.S)


@dataclass(frozen=True, slots=True)
class Twin:
    """A sentence, its answer at `[start, end)`, a question that it answers with that, and one that it does not."""

    text: str
    start: int
    end: int
    asked: str
    unanswered: str


@dataclass(frozen=True, slots=True)
class Family:
    """Relations between things of two kinds: the statements of each, `{x}` the answer, and the questions for it."""

    relations: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    answers: tuple[str, ...]
    subjects: tuple[str, ...]


@lru_cache(maxsize=2)
def families(language: Language = "en") -> tuple[tuple[Family, ...], dict[str, tuple[str, ...]]]:
    """Return the families and the lists of words of `relations.txt`, or of `relations_zh.txt`.

    A section `[people]` is a list, parted by semicolons; in a section `[rules: spans of goods]` each line is
    `statement; statement | question; question` about one of the goods, answered by one of the spans.
    """
    words: dict[str, tuple[str, ...]] = {}
    found = []
    for name, answers, subjects, body in _SECTION.findall(
        Path(__file__).with_name(_FILES[language]).read_text("utf-8")
    ):
        if not answers:
            words[name] = parted(body)
            continue
        halves = [line.split("|") for line in body.strip().splitlines()]
        relations = tuple((parted(statements), parted(questions)) for statements, questions in halves)
        found.append(Family(relations, words[answers], words[subjects]))
    return tuple(found), words


def twin(rng: random.Random, language: Language = "en") -> Twin:
    """Return a made-up statement with a question that it answers and one, of the same kind, that it does not.

    Half of the statements stand beside another about the same subject: there the unanswered question is that other
    one's, whose answer is not the marked one, or a third one's. Of the rest a third is asked about another subject,
    and a question that names the year now and then about another year.
    """
    known, words = families(language)
    family = rng.choices(known, [len(each.relations) for each in known])[0]
    told, other, third = rng.sample(family.relations, 3)
    answer, rival = rng.sample(family.answers, 2)
    subject, stranger = rng.sample(family.subjects, 2)
    blanks = {"year": rng.choice(words["years"]), "place": rng.choice(words["places"])}
    first = _sentence(rng.choice(told[0]).format(x="\0", y=subject, **blanks), rng, language)
    question = rng.choice(told[1])
    asked = question.format(y=subject, **blanks)
    if rng.random() < 0.5:
        second = _sentence(rng.choice(other[0]).format(x=rival, y=subject, **blanks), rng, language)
        text = _BETWEEN[language].join((first, second) if rng.random() < 0.5 else (second, first))
        unanswered = rng.choice((other if rng.random() < 0.5 else third)[1]).format(y=subject, **blanks)
    elif "{year}" in question and rng.random() < 0.4:
        text = first
        blanks["year"] = rng.choice([year for year in words["years"] if year != blanks["year"]])
        unanswered = question.format(y=subject, **blanks)
    else:
        text = first
        about = stranger if rng.random() < 1 / 3 else subject
        unanswered = rng.choice((told if about != subject else other)[1]).format(y=about, **blanks)
    start = text.index("\0")
    return Twin(text.replace("\0", answer), start, start + len(answer), capitalized(asked), capitalized(unanswered))


def parted(text: str, separator: str = ";") -> tuple[str, ...]:
    """Return the parts of a list that are not empty, without spaces at their ends."""
    return tuple(part.strip() for part in text.split(separator) if part.strip())


def _sentence(statement: str, rng: random.Random, language: Language) -> str:
    frames = _FRAMES[language]
    framed = rng.choice(frames[:1] * 4 + frames[1:]).format(statement)
    return capitalized(framed)


def capitalized(text: str) -> str:
    """Return the text with a capital first letter; the rest stays, unlike with `str.capitalize`."""
    return text[:1].upper() + text[1:]
