"""A question that leans on the one before it: two questions of one passage, the shared name left out of the second."""

from __future__ import annotations

import functools
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from app.generation.declarative import declarative
from app.query.surface import names
from app.training.reading_sets import ReadingQuestion, article_bucket
from app.training.writer.pairs import WritingPair

_HE, _SHE = re.compile(r"\b(?:he|his|him)\b", re.IGNORECASE), re.compile(r"\b(?:she|her|hers)\b", re.IGNORECASE)
_OBJECT = {"he": "him", "she": "her", "they": "them", "it": "it"}
_OWNED = {"he": "his", "she": "her", "they": "their", "it": "its"}
_PER_CONTEXT = 6
_NOUN_PHRASE = re.compile(r"\b(?:the|a|an)\s+(?:[a-z]+\s+){0,2}[a-z]+\b")


def follow_up_pairs(
    questions: Sequence[ReadingQuestion], rng: random.Random, *, limit: int = 9000, kept_share: float = 0.12
) -> Iterator[WritingPair]:
    """Yield follow-ups; `kept_share` of them stand alone already and are to be left as they are."""
    by_context: defaultdict[str, list[ReadingQuestion]] = defaultdict(list)
    for q in questions:
        if q.answers:
            by_context[q.context].append(q)
    found: list[WritingPair] = []
    contexts = sorted(by_context)
    rng.shuffle(contexts)
    for context in contexts:
        members = by_context[context]
        for second in rng.sample(members, min(_PER_CONTEXT, len(members))):
            others = [q for q in members if q is not second]
            for first in rng.sample(others, min(2, len(others))):
                pair = _leaning(first, second, context, rng)
                if pair is not None:
                    found.append(pair)
        if len(found) >= limit:
            break
    found = found[:limit]
    yield from found
    for pair in rng.sample(found, int(kept_share * len(found))):
        yield WritingPair(pair.task, "standing", pair.role, pair.target, pair.target, pair.heading, pair.passage)


def _leaning(first: ReadingQuestion, second: ReadingQuestion, context: str, rng: random.Random) -> WritingPair | None:
    text = second.question.strip()
    said = first.answers[0]
    spoken = f"{first.question} {said}".lower()
    candidates = [span.text for span in names(text)] + [m.group() for m in _NOUN_PHRASE.finditer(text)]
    if len(said) > 3 and said in text:
        candidates.insert(0, said)
    shared = [name for name in candidates if name.lower() in spoken and len(name) > 3]
    if not shared:
        return None
    name = max(shared, key=len)
    at = text.find(name)
    if at <= 0 and not text.startswith(name):
        return None
    pronoun = _pronoun(name, context)
    tail = text[at + len(name) :]
    if tail.startswith(("'s", "’s")):
        asked = text[:at] + _OWNED[pronoun] + tail[2:]
    elif (
        re.match(r"\s*[a-z]+", tail)
        and not re.match(
            r"\s*(?:\w+ed|is|was|are|were|in|on|to|for|by|from|have|has|do|get|go|make|take|at|with|and|of)\b", tail
        )
        and rng.random() < 0.5
    ):
        return None  # perhaps a part of a longer name
    else:
        before = text[:at].rstrip().split()[-1:] or [""]
        form = (
            _OBJECT[pronoun]
            if before[0].lower() in ("of", "to", "by", "for", "with", "from", "about", "in")
            else pronoun
        )
        asked = re.sub(r"\b(?:the|a|an)\s+$", "", text[:at]) + form + tail
    if asked.lower() == text.lower():
        return None
    statement = declarative(first.question, said, context)
    told = statement if statement is not None and rng.random() < 0.5 else said if rng.random() < 0.6 else ""
    role = second.role
    if second.collection == "qamr_sentence":  # no article is known: by its sentence
        bucket = article_bucket(context)
        role = "heldout" if bucket < 8 else "dev" if bucket < 14 else "train"
    return WritingPair("standalone", f"pronoun-{second.collection}", role, asked, text, first.question, told)


@functools.lru_cache(maxsize=4096)
def _persons(context: str) -> tuple[int, int]:
    return len(_HE.findall(context)), len(_SHE.findall(context))


def _pronoun(name: str, context: str) -> str:
    """What a writer of this passage would call it: plural by form, a person by the passage's own pronouns."""
    if name.islower() and name.endswith("s") and not name.endswith("ss"):
        return "they"
    he, she = _persons(context)
    if name[:1].isupper() and not name.lower().startswith("the ") and max(he, she) > 0:
        return "he" if he >= she else "she"
    return "it"
