"""Questions of our own about everyday documents: leases, handbooks, incident reports, price lists, minutes, manuals.

Reading sets ask about encyclopedias and abstracts, in their words; people ask "How much is the rent?" of a lease. The
passages and questions are written for Attest and stand in `everyday/`: `train/` and `heldout/`, apart from each other.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from app.training.reading_sets import ReadingQuestion, Role, article_bucket, load_reading_questions

Kind = Literal["Q", "B"]
Part = Literal["train", "heldout"]
Language = Literal["en", "zh"]
EVERYDAY, EVERYDAY_YES_NO, EVERYDAY_ZH, EVERYDAY_ZH_YES_NO = COLLECTIONS = (
    "everyday",
    "everyday_yes_no",
    "everyday_zh",
    "everyday_zh_yes_no",
)
_CHINESE_FILE = "zh_"
_DEV_BUCKETS = range(28, 40)
_HEADING = " › "
_QUESTION = re.compile(r"[QB] ")


@dataclass(frozen=True, slots=True)
class EverydayQuestion:
    """`kind` "B" is a yes-or-no question, whose answer is the sentence that decides; no answers: it is not told."""

    kind: Kind
    question: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EverydayPassage:
    """One passage of a document, under its heading, with what is asked of it."""

    document: str
    heading: str
    text: str
    questions: tuple[EverydayQuestion, ...]


def parse(text: str, name: str = "everyday") -> list[EverydayPassage]:
    """Return the passages of a file.

    A passage begins with a line `== document | heading`; its text goes on to the first question. `Q` or `B` begins a
    question, each `A` after it is an accepted answer, `N` says that the passage does not tell.

    Args:
        text: of the file.
        name: of the file, for messages.

    Raises:
        ValueError: a line has no place there, an answer is not in its passage, or a question has neither answer nor N.
    """
    passages = []
    for at, block in _blocks(text.splitlines(), name):
        head, *lines = block
        document, _, heading = head.removeprefix("== ").partition(" | ")
        first = next((i for i, line in enumerate(lines) if _QUESTION.match(line)), len(lines))
        passage = "\n".join(lines[:first]).strip()
        questions = _questions(lines[first:], passage, name, at + first + 2)
        passages.append(EverydayPassage(document.strip(), heading.strip(), passage, questions))
    return passages


def everyday_passages(part: Part, language: Language = "en") -> list[tuple[str, EverydayPassage]]:
    """Return the passages in `language` that ship, each with the name of its file."""
    return [(file, one) for file, one in _shipped(part) if file.startswith(_CHINESE_FILE) == (language == "zh")]


def everyday_questions(kinds: Collection[str] = ("Q",), language: Language = "en") -> list[ReadingQuestion]:
    """Return the questions of all roles: of those not held out, whole documents are for development.

    Args:
        kinds: "Q" for questions with a short answer, "B" for yes or no; each is a collection of its own.
        language: of documents and questions; a collection holds one.
    """
    names = (EVERYDAY, EVERYDAY_YES_NO) if language == "en" else (EVERYDAY_ZH, EVERYDAY_ZH_YES_NO)
    found: list[ReadingQuestion] = []
    parts: tuple[Part, ...] = ("train", "heldout")
    for part in parts:
        for file, passage in everyday_passages(part, language):
            role: Role = "heldout" if part == "heldout" else _role(passage.document)
            title = _HEADING.join(name for name in (passage.document, passage.heading) if name)
            for asked in passage.questions:
                if asked.kind in kinds:
                    name = names[asked.kind == "B"]
                    identity = f"{name}-{part}-{file}-{len(found)}"
                    found.append(
                        ReadingQuestion(identity, name, role, title, asked.question, passage.text, asked.answers)
                    )
    return found


def document_of(q: ReadingQuestion) -> str:
    """Return the document that an everyday question is asked of: its other passages do not answer, others may."""
    return q.title.partition(_HEADING)[0]


def all_reading_questions(data_dir: Path) -> list[ReadingQuestion]:
    """Return the questions of the sets in `data_dir` and the everyday ones.

    Raises:
        Unavailable: a file of the sets is not there.
    """
    return [*load_reading_questions(data_dir), *everyday_questions()]


def _role(document: str) -> Role:
    return "dev" if article_bucket(document) in _DEV_BUCKETS else "train"


@functools.cache
def _shipped(part: Part) -> tuple[tuple[str, EverydayPassage], ...]:
    folder = resources.files("app.training") / "everyday" / part
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".txt")), key=lambda file: file.name)
    return tuple(
        (file.name.removesuffix(".txt"), passage)
        for file in files
        for passage in parse(file.read_text(encoding="utf-8"), file.name)
    )


def _blocks(lines: Sequence[str], name: str) -> Iterator[tuple[int, list[str]]]:
    """The lines of each passage with its head, and the number of the head's line less one."""
    starts = [i for i, line in enumerate(lines) if line.startswith("== ")]
    stray = next((i for i, line in enumerate(lines[: starts[0] if starts else None]) if line.strip()), None)
    if stray is not None:
        raise ValueError(f"{name}, line {stray + 1}: a passage must begin with '== document | heading'")
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield start, list(lines[start:end])


def _questions(lines: Sequence[str], passage: str, name: str, first: int) -> tuple[EverydayQuestion, ...]:
    """The questions in `lines`, the first of which is line `first` of the file."""
    found: list[EverydayQuestion] = []
    asked: tuple[Kind, str] | None = None
    answers: list[str] = []
    untold = False

    def close() -> None:
        if asked is None:
            return
        if untold == (not answers):
            found.append(EverydayQuestion(*asked, tuple(answers)))
        else:
            raise ValueError(f"{name}, before line {number + 1}: {asked[1]!r} needs either A lines or N")

    number = first
    for number, line in enumerate((line.strip() for line in lines), first):
        if not line:
            continue
        sign, _, rest = line.partition(" ")
        if sign in ("Q", "B") and rest:
            close()
            asked, answers, untold = ("Q" if sign == "Q" else "B", rest.strip()), [], False
        elif sign == "A" and rest.strip() in passage:
            answers.append(rest.strip())
        elif line == "N":
            untold = True
        else:
            raise ValueError(
                f"{name}, line {number}: {line!r} is no question, no N, and no answer that the passage holds"
            )
    close()
    return tuple(found)
