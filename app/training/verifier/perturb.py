"""Questions that a sentence looks as if it answered, made from one that it does answer by changing a word or two.

Source: the kinds of change are those of SQuAD 2.0's own unanswerable questions: negation, antonym, entity swap, mutual
exclusion (Rajpurkar et al. 2018, table 2); by rules, as the rewritten questions of Jia & Liang 2017, section 4.1.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from app.training.verifier.exclusive_words import ANTONYMS, EXCLUSIVE

_NUMBER = re.compile(r"\b\d[\d,.]*\d\b|\b\d\b")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][\w'’-]+(?: (?:of |the |de |van )?[A-Z][\w'’-]+)*")
_AUXILIARY = re.compile(r"\b(did|does|do|is|are|was|were|can|could|has|have|had|will|would|should)\b", re.I)
_PLAIN = re.compile(r"\b[a-z]{4,}\b")
_ENDINGS = ("tion", "ment", "ing", "ed", "ity", "est", "ers", "s")
_FUNCTION = frozenset(
    re.findall(
        r"\w+",
        """
        about after also because been before being between called could does during each from have into just
        kind many more most much name only other over part should some such than that their them then there
        these they this those type under very were what when where which while whom whose will with would
        """,
    )
)
_YEARS = range(1000, 2030)


def entities(text: str) -> list[str]:
    """Return the names of a text: runs of capitalised words that do not begin a sentence."""
    return list(dict.fromkeys(match.group() for match in _NAME.finditer(text)))


def perturbed(
    question: str, text: str, rng: random.Random, *, names: Sequence[str] = (), words: Sequence[str] = ()
) -> str | None:
    """Return a question near `question` that the same answer does not answer, or None where no rule applies.

    Args:
        question: that the text answers.
        text: that answers it.
        rng: draws the rule and what it puts in.
        names: of other texts, to put in the place of the question's own.
        words: of other questions, to put in the place of a word of the question that the text has, too.
    """
    rules: list[Callable[[], str | None]] = [
        lambda: _relation(question, rng),
        lambda: _relation(question, rng),
        lambda: _antonym(question, rng),
        lambda: _name(question, [*entities(text), *entities(text), *names], rng),
        lambda: _number(question, rng),
        lambda: _word(question, text, words, rng),
        lambda: _word(question, text, words, rng),
    ]
    rng.shuffle(rules)
    if rng.random() < 0.1:
        rules.insert(0, lambda: _negation(question, rng))
    for rule in rules:
        changed = rule()
        if changed is not None and changed != question:
            return changed
    return None


def _relation(question: str, rng: random.Random) -> str | None:
    """One of several relations that exclude one another, for another: "founded" becomes "sold"."""
    held = [(match, group) for match in re.finditer(r"[a-z]+", question) for group in EXCLUSIVE.get(match.group(), ())]
    if not held:
        return None
    match, group = rng.choice(held)
    return _with(question, match, rng.choice([word for word in group if word != match.group()]))


def _antonym(question: str, rng: random.Random) -> str | None:
    held = [match for match in re.finditer(r"[a-z]+", question) if match.group() in ANTONYMS]
    if not held:
        return None
    match = rng.choice(held)
    return _with(question, match, ANTONYMS[match.group()])


def _negation(question: str, rng: random.Random) -> str | None:
    match = _AUXILIARY.search(question)
    if match is None:
        return None
    said = match.group()
    return _with(question, match, f"{said} {rng.choice(('not', 'never', 'no longer'))}")


def _name(question: str, names: Sequence[str], rng: random.Random) -> str | None:
    own = list(_NAME.finditer(question))
    if not own:
        return None
    match = rng.choice(own)
    asked = question.lower()
    others = [name for name in names if name.lower() not in asked and match.group().lower() not in name.lower()]
    return _with(question, match, rng.choice(others)) if others else None


def _number(question: str, rng: random.Random) -> str | None:
    own = list(_NUMBER.finditer(question))
    if not own:
        return None
    match = rng.choice(own)
    digits = match.group().replace(",", "")
    if digits.isdigit() and int(digits) in _YEARS:
        return _with(question, match, str(int(digits) + rng.choice((-50, -12, -10, -3, -2, -1, 1, 2, 3, 10, 12, 50))))
    value = float(digits) if re.fullmatch(r"\d+(\.\d+)?", digits) else 7.0
    return _with(question, match, f"{max(1, round(value * rng.choice((0.5, 0.8, 1.5, 2, 3)) + rng.randint(1, 3))):,}")


def _word(question: str, text: str, words: Sequence[str], rng: random.Random) -> str | None:
    """A word that the text has, for a word of another question with the same ending, which the text does not have."""
    lowered = text.lower()
    own = [
        match for match in _PLAIN.finditer(question) if match.group() not in _FUNCTION and match.group()[:5] in lowered
    ]
    if not own:
        return None
    match = rng.choice(own)
    ending = _ending(match.group())
    others = [
        word
        for word in rng.sample(words, min(len(words), 60))
        if _ending(word) == ending and word not in _FUNCTION and word[:5] not in lowered and word not in question
    ]
    return _with(question, match, others[0]) if others else None


def plain_words(question: str) -> list[str]:
    """Return the lower-case words of a question that carry meaning."""
    return [word for word in _PLAIN.findall(question) if word not in _FUNCTION]


def _ending(word: str) -> str:
    return next((ending for ending in _ENDINGS if word.endswith(ending)), "")


def _with(question: str, match: re.Match[str], word: str) -> str:
    return question[: match.start()] + word + question[match.end() :]
