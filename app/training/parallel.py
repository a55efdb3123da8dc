"""Made-up sentences in which several facts stand side by side, with a question for each of them.

"Adults pay 12 euros, children 6 euros" answers what children pay only to a reader that pairs each value with its own
key; the verb is often left out from the second fact on (gapping). The sets that readers are trained on hold few such
sentences. Words and frames, in `parallel.txt` and `parallel_zh.txt`, were written for this project.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from app.training.made_up_values import made_up_values, without_unit
from app.training.verifier.relations import Language, capitalized, parted

_SECTION = re.compile(r"\[([^\]]+)\]\n(.*?)(?=\n\[|\Z)", re.S)
_SLOT = re.compile(r"\{(\w+)\}")
_RESPECTIVELY = "respectively "
_SIZES = (2, 2, 2, 3, 3, 4)
_FIRST_SHARE = 0.3
_REVERSED_SHARE = 0.25
_BARE_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class _Manner:
    """How a language puts facts side by side.

    `frames` go around the whole; `gaps` join facts of which the later ones lack their verb, `clauses` also whole ones;
    `enumerated` stand between the members of an enumeration and before its last, `respectively` after one of values.
    """

    file: str
    frames: tuple[str, ...]
    gaps: tuple[str, ...]
    clauses: tuple[str, ...]
    separators: tuple[str, str]
    enumerated: tuple[str, str]
    respectively: tuple[str, ...]


_MANNERS: dict[Language, _Manner] = {
    "en": _Manner(
        "parallel.txt",
        ("{0}.",) * 8
        + (
            "According to the report, {0}.",
            "Today {0}.",
            "It was agreed that {0}.",
            "Since the reform {0}.",
            "In a normal year {0}.",
            "{0}, as the notice at the door says.",
            "{0}, which nobody has changed since.",
            "{0} (see the table below).",
        ),
        (" and ", " and ", ", ", "; ", ", and ", ", but "),
        (" and ", " and ", ", ", "; ", ", and ", ", but ", ", while ", ", whereas "),
        (", ", "; "),
        (", ", " and "),
        (", respectively", " respectively", ", in that order"),
    ),
    "zh": _Manner(
        "parallel_zh.txt",
        ("{0}。",) * 6 + ("据了解，{0}。", "报告说，{0}。", "按照规定，{0}。", "目前，{0}。"),
        ("，", "，", "，", "；", "、"),
        ("，", "，", "；", "，而", "，但"),
        ("，", "；"),
        ("、", "和"),
        ("",),
    ),
}


@dataclass(frozen=True, slots=True)
class ParallelQuestion:
    """A question about one of the facts of `text`.

    `[start, end)` answers it, each of `others` is another fact's; `unanswered` asks for a fact that is not told.
    """

    text: str
    question: str
    start: int
    end: int
    others: tuple[tuple[int, int], ...]
    unanswered: str

    @property
    def answer(self) -> str:
        return self.text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Frame:
    """How facts of one kind are told, and asked for.

    `head` tells the first pair of `{k}` and `{v}`, each of `rests` the later ones; without any, `head` tells all at
    once, `{ks}` and `{vs}` in the same order. A rest that begins with "+" is a clause of its own. `by_key` ask for the
    value, `by_value` for the key.
    """

    values: str
    keys: str
    head: str
    rests: tuple[str, ...]
    by_key: tuple[str, ...]
    by_value: tuple[str, ...]


@lru_cache(maxsize=2)
def frames(language: Language = "en") -> tuple[tuple[Frame, ...], dict[str, tuple[str, ...]]]:
    """Return the frames and the lists of words of `parallel.txt`, or of `parallel_zh.txt`.

    A section `[places]` is a list, parted by semicolons; in a section `[numbers by places]` each line is
    `head / rest / rest | question; question | reversed question`. Sections that begin with "respectively" have no rest.
    `[#kg by foods]` says that values are numbers with this unit.
    """
    words: dict[str, tuple[str, ...]] = {}
    found = []
    for name, body in _SECTION.findall(Path(__file__).with_name(_MANNERS[language].file).read_text("utf-8")):
        if " by " not in name:
            words[name] = parted(body)
            continue
        values, keys = name.removeprefix(_RESPECTIVELY).split(" by ")
        for line in body.strip().splitlines():
            told, by_key, by_value = (*line.split("|"), "")[:3]
            head, *rests = parted(told, "/")
            found.append(Frame(values, keys, head, tuple(rests), parted(by_key), parted(by_value)))
    first, last, between = ("first_names", "last_names", " ") if language == "en" else ("surnames", "given_names", "")
    words["people"] = tuple(f"{a}{between}{b}" for a in words[first] for b in words[last])
    return tuple(found), words


def parallel_question(rng: random.Random, language: Language = "en") -> ParallelQuestion:
    """Return a question about one of two to four facts of a made-up sentence, the later ones asked for more often.

    A quarter of the questions go from the value to the key, where a frame has such questions.
    """
    known, words = frames(language)
    frame = rng.choice(known)
    size = rng.choice(_SIZES)
    *keys, stranger = _drawn(frame.keys, size + 1, words, rng, language)
    values = _drawn(frame.values, size, words, rng, language)
    fixed = {"firm": rng.choice(words["firms"])}
    shown = list(values)
    if rng.random() < _BARE_SHARE:
        shown[1:] = [without_unit(value) for value in values[1:]]
    slots = fixed | {f"k{i}": key for i, key in enumerate(keys)} | {f"v{i}": value for i, value in enumerate(shown)}
    text, spans = _filled(_template(frame, size, rng, _MANNERS[language]), slots)
    asked = 0 if rng.random() < _FIRST_SHARE else rng.randrange(1, size)
    unanswered = capitalized(rng.choice(frame.by_key).format(k=stranger, **fixed))
    if frame.by_value and rng.random() < _REVERSED_SHARE:
        question, slot = rng.choice(frame.by_value).format(v=values[asked], **fixed), "k"
    else:
        question, slot = rng.choice(frame.by_key).format(k=keys[asked], **fixed), "v"
    others = tuple(spans[f"{slot}{i}"] for i in range(size) if i != asked)
    return ParallelQuestion(text, capitalized(question), *spans[f"{slot}{asked}"], others, unanswered)


def _template(frame: Frame, size: int, rng: random.Random, manner: _Manner) -> str:
    if not frame.rests:
        told = frame.head + rng.choice(manner.respectively)
        between, last = manner.enumerated
        for slot in "kv":
            several = [f"{{{slot}{i}}}" for i in range(size)]
            told = told.replace(f"{{{slot}s}}", between.join(several[:-1]) + last + several[-1])
        return rng.choice(manner.frames).format(told)
    rest = rng.choice(frame.rests)
    last = rng.choice(manner.clauses if rest.startswith("+") else manner.gaps)
    between = manner.separators[last == manner.separators[1]]
    told = _numbered(frame.head, 0)
    for place in range(1, size):
        told += (last if place == size - 1 else between) + _numbered(rest.removeprefix("+"), place)
    return rng.choice(manner.frames).format(told)


def _numbered(piece: str, place: int) -> str:
    return piece.replace("{k}", f"{{k{place}}}").replace("{v}", f"{{v{place}}}")


def _filled(template: str, slots: dict[str, str]) -> tuple[str, dict[str, tuple[int, int]]]:
    """Return the sentence, its first letter a capital, and where the text of each slot stands in it."""
    text, spans, read = "", {}, 0
    for match in _SLOT.finditer(template):
        text += template[read : match.start()]
        filling = slots[match[1]]
        spans[match[1]] = (len(text), len(text) + len(filling))
        text += filling
        read = match.end()
    text += template[read:]
    return capitalized(text), spans


def _drawn(
    name: str, size: int, words: dict[str, tuple[str, ...]], rng: random.Random, language: Language
) -> list[str]:
    return rng.sample(words[name], size) if name in words else made_up_values(name, size, rng, language)
