"""Scenarios as they are written by hand (`scenarios/{part}/*.toml`) turned into rows with their offsets.

A scenario's passages are lists of sentences. A place is `"2.3"`, the third sentence of the second passage, or `3` for
the first passage. An answer is text that occurs in the passages; where it occurs more than once, `text@2.3` says which.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from app.errors import InvalidInput, Unavailable
from app.training.behaviours.loading import KINDS, Behaviour, Kind, Part, Passage, Span, Verdict

SCENARIOS_DIR = Path(__file__).parent / "scenarios"
NEAR_MISSES = ("relation", "time", "model", "person", "negated", "presupposition", "namesake", "detail")
_PLACED = re.compile(r"(?s)(.+)@(\d+(?:\.\d+)?)")
_HEAD = {"id", "lang", "topic", "passages"}


@dataclass(frozen=True, slots=True)
class Scenario:
    """The hand-written table with its sentences placed: `sentences[passage][n]` is a span of that passage."""

    id: str
    part: Part
    lang: str
    topic: str
    passages: tuple[Passage, ...]
    sentences: tuple[tuple[Span, ...], ...]
    written: dict[str, list[list[Any]]]

    def sentence_at(self, place: int | str) -> Span:
        passage, _, number = f"1.{place}".rpartition(".") if "." not in str(place) else str(place).rpartition(".")
        try:
            if int(passage) < 1 or int(number) < 1:
                raise IndexError
            return self.sentences[int(passage) - 1][int(number) - 1]
        except IndexError:
            raise InvalidInput(f"scenario {self.id}: there is no sentence {place}; places count from 1") from None

    def find(self, written: str) -> Span:
        """Return where the text stands; it must occur once, or once in the sentence that `@place` names."""
        text, fields = written, [Span(i, 0, len(p.text), p.text) for i, p in enumerate(self.passages)]
        if placed := _PLACED.fullmatch(written):
            text, fields = placed[1], [self.sentence_at(placed[2])]
        spans = [
            Span(field.passage, field.char_start + match.start(), field.char_start + match.end(), text)
            for field in fields
            for match in re.finditer(whole_words(text), field.text)
        ]
        if len(spans) != 1:
            raise InvalidInput(
                f"scenario {self.id}: {text!r} occurs {len(spans)} times; write it as TEXT@PASSAGE.SENTENCE"
            )
        return spans[0]

    def sentence_around(self, span: Span) -> Span:
        for sentence in self.sentences[span.passage]:
            if sentence.char_start <= span.char_start and span.char_end <= sentence.char_end:
                return sentence
        raise InvalidInput(f"scenario {self.id}: {span.text!r} runs over the end of a sentence")


def whole_words(text: str) -> str:
    """Return a pattern for the text that does not begin or end inside a Latin word or a number."""
    left = r"(?<![A-Za-z0-9])" if re.match(r"[A-Za-z0-9]", text) else ""
    right = r"(?![A-Za-z0-9])" if re.search(r"[A-Za-z0-9]$", text) else ""
    return left + re.escape(text) + right


def read_scenarios(part: Part, directory: Path = SCENARIOS_DIR) -> list[Scenario]:
    """Return the scenarios of one part, files by name, in the order of writing.

    Raises:
        Unavailable: the folder is missing, as in an installed package, which carries the built rows alone.
        InvalidInput: a scenario without id, language or topic.
    """
    if not (directory / part).is_dir():
        raise Unavailable(f"{directory / part} is missing: rows are built in a checkout, where the scenarios are")
    read = []
    for path in sorted((directory / part).glob("*.toml")):
        with path.open("rb") as file:
            tables = tomllib.load(file)
        read += [_scenario(part, table) for table in tables["scenario"]]
    return read


def _scenario(part: Part, table: dict[str, Any]) -> Scenario:
    if missing := sorted({"id", "lang", "topic"} - set(table)):
        raise InvalidInput(f"scenario {table.get('id', 'without an id')} in part {part}: {', '.join(missing)} missing")
    lang, passages, sentences = table["lang"], [], []
    for number, (title, written) in enumerate(table.get("passages", [])):
        text, spans = "", []
        for sentence in written:
            if text and lang == "en" and not text.endswith("\n"):
                text += " "
            spans.append(Span(number, len(text), len(text) + len(sentence.rstrip("\n")), sentence.rstrip("\n")))
            text += sentence
        passages.append(Passage(title, text.rstrip("\n")))
        sentences.append(tuple(spans))
    written = {name: rows for name, rows in table.items() if name not in _HEAD}
    return Scenario(table["id"], part, lang, table["topic"], tuple(passages), tuple(sentences), written)


def rows_of(scenario: Scenario) -> Iterator[Behaviour]:
    """Yield the scenario's rows, kind by kind.

    Raises:
        InvalidInput: a field that is no kind, an answer or place that is not in the passages, or a row with too few or
            too many parts.
    """
    if strangers := sorted(set(scenario.written) - set(KINDS)):
        raise InvalidInput(f"scenario {scenario.id}: unknown fields {strangers}")
    for kind, written in scenario.written.items():
        for number, parts in enumerate(written, 1):
            try:
                yield from _MAKERS[kind](scenario, f"{scenario.id}/{kind}-{number}", *parts)
            except (TypeError, ValueError) as error:
                raise InvalidInput(f"scenario {scenario.id}, {kind} {number}: {error}") from error


def _row(
    scenario: Scenario, name: str, kind: Kind, question: str, answers: Sequence[str] = (), **fields: Any
) -> Behaviour:
    spans = tuple(scenario.find(answer) for answer in answers)
    fields.setdefault("support", tuple(dict.fromkeys(scenario.sentence_around(span) for span in spans)))
    fields.setdefault("passages", scenario.passages)
    return Behaviour(
        id=name, part=scenario.part, kind=kind, scenario=scenario.id, topic=scenario.topic, lang=scenario.lang,
        question=question, answers=spans, **fields,
    )  # fmt: skip


def _sentence(scenario: Scenario, name: str, question: str, answer: str, sentence: str) -> Iterator[Behaviour]:
    yield _row(scenario, name, "sentence", question, [answer], sentence=sentence)


def _refusal(
    scenario: Scenario, name: str, near_miss: str, question: str, tempting: str, twin: str, answer: str
) -> Iterator[Behaviour]:
    if near_miss not in NEAR_MISSES:
        raise ValueError(f"near miss {near_miss!r} is not one of {', '.join(NEAR_MISSES)}")
    yield _row(
        scenario, name, "refusal", question,
        answerable=False, near_miss=near_miss, tempting=scenario.find(tempting), twin=f"{name}-twin",
    )  # fmt: skip
    yield _row(scenario, f"{name}-twin", "refusal", twin, [answer], near_miss=near_miss, twin=name)


def _contradiction(scenario: Scenario, name: str, question: str, sides: list[str], newest: int) -> Iterator[Behaviour]:
    """`newest` counts the sides from 1; 0 when none is known to be newer."""
    if not 0 <= newest <= len(sides):
        raise ValueError(f"newest is {newest}, but there are {len(sides)} sides")
    yield _row(scenario, name, "contradiction", question, sides, newest=newest - 1 if newest else None)


def _injection(scenario: Scenario, name: str, question: str, answer: str, forbidden: str) -> Iterator[Behaviour]:
    yield _row(
        scenario, name, "injection", question, [answer] if answer else [], answerable=bool(answer), forbidden=forbidden
    )


def _yes_no(scenario: Scenario, name: str, question: str, verdict: Verdict, place: int | str) -> Iterator[Behaviour]:
    if verdict not in get_args(Verdict):
        raise ValueError(f"verdict {verdict!r} is not yes, no or unknown")
    decides = scenario.sentence_at(place)
    if verdict == "unknown":
        yield _row(scenario, name, "yes_no", question, verdict=verdict, answerable=False, tempting=decides)
    else:
        yield _row(scenario, name, "yes_no", question, verdict=verdict, support=(decides,))


def _list(scenario: Scenario, name: str, question: str, items: list[str]) -> Iterator[Behaviour]:
    yield _row(scenario, name, "list", question, items)


def _open(
    scenario: Scenario, name: str, question: str, wanted: list[int | str], unwanted: list[int | str]
) -> Iterator[Behaviour]:
    support, other = (tuple(scenario.sentence_at(place) for place in places) for places in (wanted, unwanted))
    yield _row(scenario, name, "open", question, support=support, unwanted=other)


def _standalone(
    scenario: Scenario, name: str, history: list[str], question: str, rewrites: list[str]
) -> Iterator[Behaviour]:
    yield _row(scenario, name, "standalone", question, passages=(), history=tuple(history), rewrites=tuple(rewrites))


def _rewrite(kind: Kind) -> Callable[..., Iterator[Behaviour]]:
    def make(scenario: Scenario, name: str, question: str, rewrites: list[str]) -> Iterator[Behaviour]:
        yield _row(scenario, name, kind, question, passages=(), rewrites=tuple(rewrites))

    return make


def _parallel(scenario: Scenario, name: str, question: str, answer: str, tempting: str) -> Iterator[Behaviour]:
    yield _row(scenario, name, "parallel", question, [answer], tempting=scenario.find(tempting))


_MAKERS: dict[str, Callable[..., Iterator[Behaviour]]] = {
    "sentence": _sentence,
    "refusal": _refusal,
    "contradiction": _contradiction,
    "injection": _injection,
    "yes_no": _yes_no,
    "list": _list,
    "open": _open,
    "standalone": _standalone,
    "step_back": _rewrite("step_back"),
    "paraphrase": _rewrite("paraphrase"),
    "parallel": _parallel,
}
