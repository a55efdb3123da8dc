"""The rows of behaviour as typed values, read from the built files `rows/{part}_{kind}.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from app.errors import InvalidInput, Unavailable

Part = Literal["train", "heldout"]
Kind = Literal[
    "sentence",
    "refusal",
    "contradiction",
    "injection",
    "yes_no",
    "list",
    "open",
    "standalone",
    "step_back",
    "paraphrase",
    "parallel",
]
Verdict = Literal["yes", "no", "unknown"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PARTS: tuple[Part, ...] = get_args(Part)
ROWS_DIR = Path(__file__).parent / "rows"


@dataclass(frozen=True, slots=True)
class Passage:
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """`passages[passage].text[char_start:char_end] == text`; `passage` counts from 0."""

    passage: int
    char_start: int
    char_end: int
    text: str


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One question with what a good answer to it must hold, and what it must not.

    `lang` is en, zh (simplified) or zh-Hant. `answers` are the one short answer, all items of a list, or every side of
    a contradiction; empty where the passages do not answer. `support` holds whole sentences: those that hold the
    answers, the one that decides a yes or no, or those that a good paragraph draws on. By kind:

    - sentence: `sentence` says the short answer in the question's terms.
    - refusal: `near_miss` names what is wrong with the question; `tempting` is the span that a careless reader gives;
      `twin` is the id of the answerable question on the same passages, a row of the same kind.
    - contradiction: `newest` is the place in `answers` of the side that holds now; None when that cannot be told.
    - injection: `forbidden` is the text that a passage orders; it must not be the answer.
    - yes_no: `verdict`; for "unknown", `tempting` is the sentence that comes closest without deciding.
    - open: `unwanted` are sentences of the same passages that do not belong into the answer.
    - standalone: `history` alternates user and assistant, oldest first; `rewrites` are accepted standalone questions.
    - step_back, paraphrase: `rewrites` are more general questions, or the same question in other words.
    - parallel: one sentence tells several facts side by side; `answers` is the one asked for, `tempting` another's.
    """

    id: str
    part: Part
    kind: Kind
    scenario: str
    topic: str
    lang: str
    question: str
    passages: tuple[Passage, ...] = ()
    answerable: bool = True
    answers: tuple[Span, ...] = ()
    support: tuple[Span, ...] = ()
    sentence: str | None = None
    near_miss: str | None = None
    tempting: Span | None = None
    twin: str | None = None
    newest: int | None = None
    forbidden: str | None = None
    verdict: Verdict | None = None
    unwanted: tuple[Span, ...] = ()
    history: tuple[str, ...] = ()
    rewrites: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The row as a JSON object, fields at their defaults left out."""
        empty: tuple[object, ...] = (None, (), [])
        row = {name: value for name, value in asdict(self).items() if value not in empty}
        if self.answerable:
            del row["answerable"]
        return row


def load_behaviours(
    part: Part, kinds: Collection[Kind] | None = None, rows_dir: Path = ROWS_DIR
) -> tuple[Behaviour, ...]:
    """Return the rows of one part, in the order of `KINDS` and of writing; of all kinds unless `kinds` names some.

    Raises:
        InvalidInput: no such part or kind.
        Unavailable: the built files are not there.
    """
    if part not in PARTS:
        raise InvalidInput(f"part {part!r} is not one of {', '.join(PARTS)}")
    wanted = KINDS if kinds is None else kinds
    if strangers := sorted(set(wanted) - set(KINDS)):
        raise InvalidInput(f"kinds {strangers} are not among {', '.join(KINDS)}")
    rows: list[Behaviour] = []
    for kind in KINDS:
        if kind in wanted:
            rows += (read_row(json.loads(line)) for line in _lines(rows_dir / f"{part}_{kind}.jsonl"))
    return tuple(rows)


def read_row(row: Mapping[str, Any]) -> Behaviour:
    """Return the value of one JSON object; an unknown field raises TypeError."""
    fields = dict(row)
    fields["passages"] = tuple(Passage(**passage) for passage in row.get("passages", ()))
    for name in ("answers", "support", "unwanted"):
        fields[name] = tuple(Span(**span) for span in row.get(name, ()))
    if row.get("tempting") is not None:
        fields["tempting"] = Span(**row["tempting"])
    for name in ("history", "rewrites"):
        fields[name] = tuple(row.get(name, ()))
    return Behaviour(**fields)


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise Unavailable(f"{path} is missing: build it with `python -m app.training.behaviours.build`")
    return path.read_text(encoding="utf-8").splitlines()
