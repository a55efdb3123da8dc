"""What the writer may say: nothing that its source does not hold. A text that fails here is not used.

The vocabulary leaves names and digits out already; copying the wrong ones, dropping the answer, or turning a statement
round is what is left to check.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from app.generation.declarative import is_verb
from app.generation.verb_forms import base_of, past, third_person
from app.index.analysis import STOP_WORDS, analyze

MOST_STEPS = 4
_NUMBER = re.compile(r"\d[\d.,:/]*\d|\d")
_NAME = re.compile(r"[^\W\d_][\w'’&.-]*", re.UNICODE)
_REFERENCE = re.compile(r"#\s*(\d)")
_WORD = re.compile(r"[^\W_]+(?:['’.&-][^\W_]+)*")
_KEPT_BY_A_STATEMENT, _KEPT_BY_A_WORDING, _KEPT_BY_STEPS = 0.6, 0.4, 0.75
_BEFORE_BARE = frozenset(
    {"to", "the", "a", "an", "of", "his", "her", "its", "their", "can", "could", "will", "would", "and"}
)
_LEANING = frozenset(
    analyze("it its he she they them their his her this that these those one ones about also same such")
)
_NEGATIVES = frozenset({"not", "no", "never", "none", "nobody", "nothing", "neither", "nor", "without", "cannot"})
_ASKED = re.compile(
    r"^(?:who|whom|whose|what|which|when|where|why|how|is|are|was|were|do|does|did|has|have|had|can|could|will|would|"
    r"should|in|on|at|to|for|from|by|of|with|under|after|before|during|tell|give|show|list|name)\b",
    re.IGNORECASE,
)
_ASKING = frozenset(analyze(
    "who what which when where why how name called many much kind type year date time place person people thing one"
)) | frozenset({"there", "other", "also"})  # fmt: skip


def strange_numbers(text: str, sources: Sequence[str]) -> set[str]:
    """The numbers of `text` that none of the sources holds."""
    known = {found for source in sources for found in _NUMBER.findall(source)}
    return set(_NUMBER.findall(_REFERENCE.sub(" ", text))) - known


def strange_names(text: str, sources: Sequence[str]) -> set[str]:
    """The capitalised words of `text`, but for the first of a sentence, that none of the sources holds in any case."""
    known = {word.casefold().rstrip(".'’") for source in sources for word in _NAME.findall(source)}
    found = set()
    for match in _NAME.finditer(text):
        before = text[: match.start()].rstrip(" \"“'(")
        if match.group()[:1].isupper() and before and before[-1] not in ".?!:|":
            plain = match.group().casefold().rstrip(".'’")
            if plain not in known and plain.removesuffix("'s").removesuffix("’s") not in known:
                found.add(match.group())
    return found


def strange_words(text: str, sources: Sequence[str]) -> set[str]:
    """The index terms of `text` that none of the sources holds, stop words and question words aside.

    Another form of an irregular verb counts as the same word: "won" beside "win".
    """
    known = {term for source in sources for term in analyze(source)}
    known |= {
        term for source in sources for word in source.lower().split() for term in analyze(base_of(word.strip(".,?")))
    }
    strange = set()
    for word in _NAME.findall(text):
        terms = set(analyze(word)) - STOP_WORDS - _ASKING
        if terms - known and not set(analyze(base_of(word.lower()))) <= known:
            strange |= terms - known
    return strange


def sentence_is_faithful(text: str, question: str, answer: str, source: str) -> bool:
    """Whether `text` is a statement that holds the answer, and no word, number or negation of its own."""
    sources = (question, answer, source)
    words = text.split()
    if not 3 <= len(words) <= 60 or text.endswith("?") or not _holds(text, answer):
        return False
    if len(analyze(answer)) >= len(analyze(text)) or _ends_open(text):
        return False
    said = {word.lower().strip(".,;") for word in words}
    told = {word.lower().strip(".,;?") for source_text in sources for word in source_text.split()}
    negated = said & _NEGATIVES or any(word.endswith("n't") for word in said)
    if negated and not (told & _NEGATIVES or any(word.endswith("n't") for word in told)):
        return False
    asked_negated = {word.lower().strip("?") for word in question.split()} & _NEGATIVES
    if asked_negated and not said & _NEGATIVES:
        return False
    if _share_kept(question, text) < _KEPT_BY_A_STATEMENT or _stumbles(text, question):
        return False
    return not (strange_numbers(text, sources) or strange_names(text, sources) or strange_words(text, sources))


def follow_up_is_faithful(text: str, question: str, earlier: str, told: str) -> bool:
    """Whether `text` asks what the follow-up `question` asks: all its content words and more, from the conversation."""
    if analyze(text) in (analyze(question), analyze(earlier)) or _share_kept(question, text) < 1:
        return False
    return question_is_faithful(text, (question, earlier, told))


def question_is_faithful(text: str, sources: Sequence[str]) -> bool:
    """Whether `text` is a question, or a request, of the sources' words alone."""
    if not 2 <= len(text.split()) <= 60 or _ends_open(text.rstrip("?")):
        return False
    return not (strange_numbers(text, sources) or strange_names(text, sources) or strange_words(text, sources))


def wording_is_faithful(text: str, question: str) -> bool:
    """Whether `text` may be another wording: other words are its purpose, but every name and number must stay."""
    if analyze(text) == analyze(question) or strange_numbers(text, [question]) or strange_names(text, [question]):
        return False
    kept = set(analyze(text))
    if not kept - set(analyze(question)) or _share_kept(question, text) < _KEPT_BY_A_WORDING:
        return False  # words left out, or others altogether
    numbers = set(_NUMBER.findall(question)) - set(_NUMBER.findall(text))
    return not numbers and all(set(analyze(name)) <= kept for name in _names(question))


def steps_are_faithful(steps: Sequence[str], question: str) -> bool:
    """Whether the steps are two to four questions of the question's words, each naming earlier steps alone."""
    if not 2 <= len(steps) <= MOST_STEPS or len(set(steps)) < len(steps):
        return False
    if _share_kept(question, " ".join(steps)) < _KEPT_BY_STEPS:
        return False
    for number, step in enumerate(steps, start=1):
        if any(int(reference) >= number for reference in _REFERENCE.findall(step)):
            return False
        if analyze(step) == analyze(question) or not _ASKED.match(step):
            return False
        if not question_is_faithful(step, [question]):
            return False
    return True


def _stumbles(text: str, question: str) -> bool:
    """Whether the statement still has the question's "did" or its bare verb, or a word twice in a row."""
    words, asked = ([word.lower() for word in _WORD.findall(one)] for one in (text, question))
    if any(one == two for one, two in pairwise(words)) or {"do", "does", "did"} & set(words):
        return True
    for helper, inflect in (("did", past), ("does", third_person)):
        if helper not in asked:
            continue
        bare = {word for word in asked[asked.index(helper) + 2 :] if is_verb(word) and inflect(word) != word}
        for before, word in pairwise(words):
            if word in bare and before not in _BEFORE_BARE:
                return True
    return False


def _share_kept(question: str, text: str) -> float:
    """The share of the question's content words that `text` holds in some form."""
    asked = {term for term in _forms(question) if term not in STOP_WORDS | _ASKING | _LEANING}
    return len(asked & _forms(text)) / len(asked) if asked else 1.0


def _forms(text: str) -> set[str]:
    return {term for word in _WORD.findall(text) for term in analyze(base_of(word.lower()))}


def _names(text: str) -> list[str]:
    return [
        match.group()
        for match in _NAME.finditer(text)
        if match.start() > 0 and match.group()[:1].isupper() and text[: match.start()].rstrip()[-1:] not in ".?!"
    ]


def _holds(text: str, answer: str) -> bool:
    return " ".join(answer.split()).casefold().rstrip(".") in " ".join(text.split()).casefold()


def _ends_open(text: str) -> bool:
    """Whether the text breaks off: at an article, a conjunction or an auxiliary."""
    last = text.rstrip(" .").split()[-1:] or [""]
    return last[0].lower() in {
        "the",
        "a",
        "an",
        "and",
        "or",
        "of the",
        "is",
        "was",
        "are",
        "were",
        "that",
        "which",
        "#",
    }
