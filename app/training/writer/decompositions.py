"""Questions and their steps: Break's and MuSiQue's as questions, and two questions of one passage made into one.

A later step names the answer of an earlier one as `#1`; steps are joined by `STEP_BREAK`. A simple question has none.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.generation.writer_checks import MOST_STEPS
from app.training.reading_sets import ReadingQuestion
from app.training.writer.pairs import WritingPair, read_rows, role_of, tidy
from app.transformer.writer_checkpoints import STEP_BREAK

_PERSON = re.compile(
    r"^(?:the\s+)?(?:[\w-]+\s+){0,3}?(?:actor|actress|person|people|man|woman|singer|president|director|author|writer|player|"
    r"composer|king|queen|politician|founder|artist|musician|leader|wife|husband|son|daughter|father|mother|character)\b",
    re.IGNORECASE,
)
_WH = re.compile(r"^(?:who|what|when|where|which|why|how|whose|in what|in which)\b", re.IGNORECASE)
_IF = re.compile(r"^if\s+(?P<subject>.+?)\s+(?P<be>is|are|was|were|has|had|can|did)\s+(?P<rest>.+)$", re.IGNORECASE)
_OF_REFERENCE = re.compile(
    r"^#(?P<ref>\d)\s+(?P<how>that|who|which|with|in|from|of|by|on|at|for)\s+(?P<rest>.+)$", re.I
)
_RELATION = re.compile(r"^(?P<thing>.+?)\s*>>\s*(?P<relation>.+)$")
_CALCULATED = re.compile(
    r"\b(?:difference|sum|multiplication|division|both #|either #|true|besides #)\b|^\d", re.IGNORECASE
)
_WHO = re.compile(r"^who\s+(?P<rest>(?:is|was|are|were|[a-z]+(?:ed|s)|led|won|wrote|made|said|gave|took)\s+.+)$", re.I)
_WHAT_BE = re.compile(r"^(?:what|who|which)\s+(?:is|was|are|were)\s+(?P<rest>the\s+.+)$", re.IGNORECASE)


def decomposition_pairs(
    data_dir: Path,
    questions: Sequence[ReadingQuestion],
    rng: random.Random,
    *,
    composed: int = 6000,
    simple: int = 1500,
) -> Iterator[WritingPair]:
    """Yield pairs of Break (high level), MuSiQue, `composed` questions, and `simple` ones without steps."""
    for row in read_rows(data_dir, "decomp/break_high_level_dev"):
        role = role_of(_family(row["id"]))
        stated = [step.removeprefix("return ").strip() for step in row["steps"]]
        if len(stated) == 1:
            yield WritingPair("decompose", "break", role, row["question"], "")
            continue
        steps = [as_question(step) for step in stated]
        known = [step for step in steps if step is not None]
        if len(known) < len(steps) or len(steps) > MOST_STEPS:
            continue
        yield WritingPair("decompose", "break", role, row["question"], STEP_BREAK.join(known))
    for row in read_rows(data_dir, "decomp/musique_steps"):
        related = [_related(step) for step in row["steps"]]
        yield WritingPair("decompose", "musique", role_of(row["question"]), row["question"], STEP_BREAK.join(related))
    yield from _drawn(list(_composed(questions)), composed, rng)
    plain = [q for q in questions if q.collection in ("nq_oracle", "squad2_dev_half", "qamr_sentence")]
    for q in rng.sample(plain, min(simple, len(plain))):
        yield WritingPair("decompose", f"simple-{q.collection}", q.role, q.question, "")


def as_question(step: str) -> str | None:
    """Return a step of Break ("actor of #1") as a question; None where it calculates, or no plain question says it."""
    text = tidy(step).rstrip(" ?.").replace(" '", "'")
    if not text or _CALCULATED.search(text):
        return None
    if _WH.match(text):
        return f"{text[0].upper()}{text[1:]}?"
    found = _IF.match(text)
    if found is not None:
        return f"{found['be'].capitalize()} {found['subject']} {found['rest']}?"
    if text.lower().startswith("if "):
        return None
    found = _OF_REFERENCE.match(text)
    if found is not None:
        how = found["how"].lower()
        verb = "" if how in ("that", "who", "which") else "has " if how == "with" else f"is {how} "
        return f"Which #{found['ref']} {verb}{found['rest']}?"
    if text.startswith("#"):
        return None
    if text.lower().startswith("number of "):
        return f"How many {text[10:]}?" if "#" not in text else f"What is the {text}?"
    known = re.match(r"(?:the|a|an)\b|[A-Z#]", text)
    named = text if known else f"the {text}"
    if text[:4].lower() == "the ":
        named = f"the {text[4:]}"
    return f"{'Who' if _PERSON.match(text) else 'What'} is {named}?"


def _related(step: str) -> str:
    found = _RELATION.match(step)
    if found is None:
        text = tidy(step).rstrip(" ?")
        return f"{text[0].upper()}{text[1:]}?"
    return f"What is the {found['relation'].strip()} of {found['thing'].strip()}?"


def _family(identity: str) -> str:
    """Break's paraphrases of one question share the first parts of their identity."""
    return "_".join(identity.split("_")[:3])


def _composed(questions: Sequence[ReadingQuestion]) -> Iterator[WritingPair]:
    """Two questions of a passage, the answer of one named in the other: the other with what the one describes."""
    by_context: dict[str, list[ReadingQuestion]] = {}
    for q in questions:
        if q.answers and not q.parts:
            by_context.setdefault(q.context, []).append(q)
    for members in by_context.values():
        for inner in members:
            described = description(inner.question)
            answer = inner.answers[0]
            if described is None or len(answer) < 3 or not answer[0].isupper():
                continue
            for outer in members:
                text = outer.question.strip()
                found = re.search(rf"(?<!\w){re.escape(answer)}(?!['’\w])", text)
                if outer is inner or found is None or found.start() == 0 or outer.answers[0] in inner.question:
                    continue
                whole = text[: found.start()] + described + text[found.end() :]
                whole = re.sub(r"\bthe the\b", "the", whole)
                if len(whole.split()) > 32:
                    continue
                second = text[: found.start()] + "#1" + text[found.end() :]
                first = inner.question.strip()
                yield WritingPair(
                    "decompose", f"composed-{inner.collection}", inner.role, whole, f"{first}{STEP_BREAK}{second}"
                )


def description(question: str) -> str | None:
    """Return "the one who …" for "Who …?", "the X of Y" for "What is the X of Y?"; None for other questions."""
    text = tidy(question).rstrip(" ?")
    found = _WHAT_BE.match(text)
    if found is not None:
        return found["rest"]
    found = _WHO.match(text)
    if found is not None and not found["rest"].startswith(("does ", "is the", "was the")):
        return f"the person who {found['rest']}"
    found = re.match(
        r"^(?:what|which)\s+(?P<noun>[a-z]+)\s+(?P<rest>(?:is|was|are|were|has|had)\s+.+|\w+ed\s+.+)$", text, re.I
    )
    if found is not None and found["noun"] not in ("kind", "type", "is", "was", "has", "did"):
        return f"the {found['noun']} that {found['rest']}"
    return None


def _drawn(pairs: list[WritingPair], limit: int, rng: random.Random) -> list[WritingPair]:
    return rng.sample(pairs, min(limit, len(pairs)))
