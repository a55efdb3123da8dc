"""A question and its short answer as one statement, by rules: "When was X built?" and "1889" → "X was built in 1889."

No parser is at hand offline; what is unsure is left out, so the rules speak on plain questions only.

Source: the task: Demszky et al. 2018, "Transforming question answering datasets into natural language inference
datasets", section 3; the rules are ours and lean on the source sentence for prepositions, articles and verb forms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.generation.verb_forms import (
    base_of_third_person,
    is_irregular,
    is_participle,
    is_past,
    past,
    third_person,
)

_MOST_WORDS = 34
_WORD = re.compile(r"\S+")
_BE = frozenset({"is", "are", "was", "were"})
_DO = frozenset({"do", "does", "did"})
_HAVE = frozenset({"has", "have", "had"})
_MODAL = frozenset({"can", "could", "will", "would", "should", "may", "might", "must"})
_AUXILIARIES = _BE | _DO | _HAVE | _MODAL
_BARE = frozenset({"who", "what", "where", "when", "why", "how", "which"})
_PREPOSITIONS = frozenset({
    "in", "on", "at", "by", "from", "to", "for", "of", "with", "during", "since", "until", "about", "after",
    "before", "near", "around", "between", "under", "into", "through", "as", "against", "over", "within",
    "across", "because", "due", "along", "off", "outside", "inside", "above", "below", "behind",
})  # fmt: skip
_DETERMINERS = frozenset({"the", "a", "an", "his", "her", "its", "their", "our", "this", "that", "these", "those"})
_JOINTS = frozenset(
    {"and", "or", "but", "that", "which", "who", "when", "where", "while", "so", "then", "has", "have", "had"}
)
_PLACING = {
    "when": frozenset(
        {"in", "on", "at", "during", "since", "until", "after", "before", "between", "around", "from", "by"}
    ),
    "where": frozenset(
        {"in", "on", "at", "near", "from", "around", "between", "under", "within", "across", "outside", "inside"}
    ),
}
_ADVERBS = frozenset({
    "first", "most", "last", "originally", "officially", "usually", "often", "also", "now", "still", "ever",
    "best", "currently", "initially", "finally", "recently",
})  # fmt: skip
_SUBJECT_PRONOUNS = frozenset({"he", "she", "it", "they", "we", "you", "i", "there"})
_HARD = re.compile(
    r"[,;:\"“”()]|\b(?:and what|and which|and who|and when|and how|or what|if|does not|n't)\b", re.IGNORECASE
)
_MONTH = re.compile(
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december)\b", re.I
)
_YEAR = re.compile(r"(?:early |late |mid-)?(?:the )?1?\d{3}s?$|20\d\d$", re.I)
_COMMON = frozenset({
    "work", "live", "play", "use", "call", "help", "start", "want", "like", "move", "serve", "die", "create",
    "open", "close", "join", "visit", "receive", "cause", "refer", "contain", "include", "produce", "provide",
    "allow", "occur", "happen", "study", "attend", "publish", "release", "record", "direct", "marry",
    "travel", "return", "arrive", "end", "begin", "control", "support", "describe", "discover", "drop",
    "merge", "compose", "retain", "obtain", "acquire", "collect", "select", "found", "invent", "design",
    "develop", "appear", "perform", "compete", "defeat", "attack", "kill", "sign", "establish", "introduce",
    "replace", "represent", "belong", "believe", "claim", "require", "reach", "cover", "measure", "weigh",
    "own", "operate", "manage", "carry", "reject", "consider", "suggest", "propose", "refuse", "decide",
    "try", "plan", "announce", "show", "increase", "decrease", "expect", "remain", "stay", "change", "add",
    "learn", "need", "look", "turn", "offer", "graduate", "protect", "cross",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Asked:
    """`lead` preposition, `wh` word, `noun` what it counts or chooses, `rest` the words after these."""

    lead: str
    wh: str
    noun: list[str]
    rest: list[str]


def declarative(question: str, answer: str, source: str) -> str | None:
    """The statement, with a capital and a full stop; None where the rules are not sure of one.

    Args:
        question: one plain question.
        answer: its short answer, as the source spells it.
        source: the sentence or passage that the answer stands in.
    """
    text = " ".join(question.split()).rstrip(" ?.")
    said = answer.strip().rstrip(".,;:")
    if not text or not said or _HARD.search(text) or said.lower() in ("yes", "no") or len(said.split()) > 16:
        return None
    asked = _parse(text)
    if asked is None:
        return None
    body = _stated(asked, _Answer(said, " ".join(source.split())))
    if body is None:
        return None
    words = " ".join(body.split())
    if len(words.split()) > _MOST_WORDS or re.search(r"\b(?:what|which|whom|who)\s*$", words, re.IGNORECASE):
        return None
    return f"{words[0].upper()}{words[1:]}."


class _Answer:
    """The answer in the forms in which it can stand, by what stands before it in the source."""

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source_words = frozenset(re.findall(r"[\w'-]+", source.lower()))
        found = re.search(rf"(?:(\S+)\s+)?(?:(\S+)\s+)?(?<!\w){re.escape(text)}(?!\w)(?:\s+(\w+))?", source)
        before = [word for word in (found.group(1), found.group(2)) if word] if found else []
        last = before[-1].lower() if before else ""
        after = (found.group(3) or "").lower() if found else ""
        alone = (
            not after or after in _PREPOSITIONS | _AUXILIARIES | _JOINTS or is_past(after)
        )  # no part of a longer name
        fits = last in _DETERMINERS and alone and text.split()[0].lower() not in _DETERMINERS and not text[0].isdigit()
        self._article = before[-1] if fits else ""
        ahead = before[-2].lower() if self._article and len(before) > 1 else last
        self._preposition = ahead if ahead in _PREPOSITIONS else ""
        self.starts_with_preposition = text.split()[0].lower() in _PREPOSITIONS | {"when", "while", "once"}

    @property
    def named(self) -> str:
        """With the article that the source gives it."""
        return f"{self._article.lower()} {self.text}" if self._article else self.text

    def placed(self, wh: str) -> str | None:
        """After its preposition."""
        if self.starts_with_preposition:
            return self.text
        if wh == "why" or wh == "how":
            return None
        if self._preposition in _PLACING[wh]:
            return f"{self._preposition} {self.named}"
        if wh == "when":
            if _YEAR.match(self.text):
                return f"in {self.text}"
            if _MONTH.match(self.text):
                return f"{'on' if re.match(r'[A-Za-z]+ [0-9]{1,2}(?![0-9])', self.text) else 'in'} {self.text}"
        return None


def _parse(text: str) -> _Asked | None:
    words = _WORD.findall(text)
    lead = ""
    if len(words) > 3 and words[0].lower() in _PREPOSITIONS and words[1].lower() in ("what", "which", "whom", "how"):
        lead, words = words[0].lower(), words[1:]
    wh = words[0].lower()
    if wh == "whom":
        wh = "who"
    if wh not in _BARE or len(words) < 3:
        return None
    first = words[1].lower()
    if wh in ("where", "when", "why") or first in _AUXILIARIES or wh == "who":
        return _Asked(lead, wh, [], words[1:])
    if wh == "how" and first not in ("many", "much"):
        return None
    start = 2 if wh == "how" else 1
    for place in range(start, min(start + 6, len(words) - 1)):
        plain = words[place].lower()
        if plain in _AUXILIARIES:
            return _Asked(lead, wh, words[start:place], words[place:])
        if plain not in ("of", "the") and is_past(plain):
            return _Asked(lead, wh, words[start:place], words[place:]) if wh == "how" or place >= 1 else None
    return None


def _stated(asked: _Asked, answer: _Answer) -> str | None:
    first, rest = asked.rest[0].lower(), asked.rest[1:]
    if asked.wh in ("what", "which") and asked.noun[:2] in (
        ["kind", "of"],
        ["type", "of"],
        ["kinds", "of"],
        ["types", "of"],
    ):
        return None  # "what kind of X" asks for an adjective or a noun: one can not tell
    if not rest:
        return None
    if first in _DO:
        return _with_do(asked, first, rest, answer)
    if first in _BE:
        return _with_be(asked, first, rest, answer)
    if first in _HAVE | _MODAL:
        return _with_helper(asked, first, rest, answer)
    base = base_of_third_person(first)
    finite = is_past(first) or (base is not None and is_verb(base) and asked.wh in ("who", "what") and not asked.noun)
    return _as_subject(asked, answer, " ".join(asked.rest)) if finite else None


def _as_subject(asked: _Asked, answer: _Answer, predicate: str) -> str | None:
    if asked.lead or asked.wh in ("where", "when", "why"):
        return None
    if predicate.lower().startswith(("happened", "is the", "was the")):
        return None
    if asked.wh == "how":
        return f"{_counted(asked, answer)} {predicate}"
    return f"{answer.named} {predicate}"


def _counted(asked: _Asked, answer: _Answer) -> str:
    noun = " ".join(asked.noun)
    return answer.text if noun.lower().split()[-1:] == answer.text.lower().split()[-1:] else f"{answer.text} {noun}"


def _object(asked: _Asked, answer: _Answer) -> str:
    return _counted(asked, answer) if asked.wh == "how" and asked.noun else answer.named


_INFLECTED: Mapping[str, Callable[[str], str]] = {"did": past, "does": third_person, "do": str}


def _with_do(asked: _Asked, helper: str, rest: list[str], answer: _Answer) -> str | None:
    inflect = _INFLECTED[helper]
    place = _verb_place(rest, [inflect(word.lower()) in answer.source_words for word in rest])
    if place is None or "do" in (word.lower() for word in rest[place:]):
        return None
    form = inflect(rest[place].lower())
    return _around(asked, [*rest[:place], form], rest[place + 1 :], answer)


def _verb_place(rest: list[str], supported: list[bool]) -> int | None:
    """Where the main verb stands after its subject: the one verb we know, or the one that the source inflects so."""
    places = [
        place
        for place in range(1, len(rest))
        if rest[place] == rest[place].lower()
        and rest[place - 1].lower() not in _DETERMINERS | _PREPOSITIONS
        and is_verb(rest[place])
    ]
    if any(word.lower() in ("and", "or") for word in rest[: max(places, default=0) + 2]):
        return None
    if len(places) > 1:
        places = [place for place in places if supported[place]]
    return places[0] if len(places) == 1 else None


def is_verb(plain: str) -> bool:
    """Whether the word is the base form of a verb that the rules know; many nouns are, too."""
    return is_irregular(plain) or plain in _COMMON


def _around(asked: _Asked, head: list[str], tail: list[str], answer: _Answer) -> str | None:
    """Subject and verb, the answer, and what follows: in the place that the question word left."""
    front = " ".join(head)
    if asked.lead:
        return " ".join([front, *tail, asked.lead, answer.named])
    if asked.wh in ("when", "where", "why", "how") and not asked.noun:
        if tail and tail[-1].lower() in _PREPOSITIONS:
            return None if answer.starts_with_preposition else " ".join([front, *tail, answer.named])
        placed = answer.placed(asked.wh)
        return None if placed is None else " ".join([front, *tail, placed])
    if asked.noun and asked.wh == "what" and asked.noun[-1].lower() in ("year", "month", "day", "date", "time"):
        placed = answer.placed("when")
        return None if placed is None else " ".join([front, *tail, placed])
    chosen = _object(asked, answer)
    if not tail:
        return f"{front} {chosen}"
    if tail[-1].lower() in _PREPOSITIONS:
        return " ".join([front, *tail, chosen])
    if tail[0].lower() == "to" and len(tail) == 2:
        return " ".join([front, *tail, chosen])
    if tail[0].lower() in _PREPOSITIONS - {"to", "as", "about"}:
        return " ".join([front, chosen, *tail])
    return None


def _with_be(asked: _Asked, verb: str, rest: list[str], answer: _Answer) -> str | None:
    first = rest[0].lower()
    begins_noun = first in _DETERMINERS | _SUBJECT_PRONOUNS or rest[0][:1].isupper() or rest[0].endswith(("'s", "’s"))
    if asked.wh == "how":
        if first == "there":
            return " ".join(["there", verb, _counted(asked, answer), *rest[1:]])
        return f"{_counted(asked, answer)} {verb} {' '.join(rest)}" if is_participle(first) else None
    if rest[-1].lower() in ("doing", "done", "being"):
        return None
    place = next((i for i in range(1, len(rest)) if is_participle(rest[i]) and rest[i - 1].lower() != "the"), None)
    if place is not None and rest[place].lower() in ("being", "known"):
        place = None
    if asked.wh in ("when", "where", "why") or asked.lead:
        if asked.wh == "where" and place is None and any(word in _COMMON for word in rest):
            return None
        subject = rest if place is None else rest[:place]
        if place is not None and len(subject) > 1 and subject[-1].lower() in _ADVERBS:
            subject, rest = (
                subject[:-1],
                [*rest[: place - 1], " ".join(rest[place - 1 : place + 1]), *rest[place + 1 :]],
            )
            place -= 1
        if place is None and (len(subject) > 4 or any(w.lower() in _PREPOSITIONS for w in subject)):
            return None
        participle, tail = ([], []) if place is None else ([rest[place]], rest[place + 1 :])
        return _around(asked, [*subject, verb, *participle], tail, answer)
    if not begins_noun:
        if is_participle(first) or first in _PREPOSITIONS:
            return _as_subject(asked, answer, f"{verb} {' '.join(rest)}")
        return None
    if (
        place is not None
        and not rest[place].endswith("ing")
        and all(word.lower() in _PREPOSITIONS for word in rest[place + 1 :])
    ):
        adverb = rest[place - 1].lower() in _ADVERBS
        return " ".join([*rest[: place - adverb], verb, *rest[place - adverb :], answer.named])
    if first in _SUBJECT_PRONOUNS and len(rest) > 1:
        return None
    if rest[-1].lower() in _PREPOSITIONS:
        return " ".join([*rest[:-1], verb, rest[-1], answer.named]) if len(rest) < 6 else None
    if asked.noun and place is not None:
        return None
    return " ".join([*rest, verb, answer.named])


def _with_helper(asked: _Asked, helper: str, rest: list[str], answer: _Answer) -> str | None:
    first = rest[0].lower()
    if rest[-1].lower() in ("do", "done", "doing") or "do" in rest:
        return None
    fits = is_participle if helper in _HAVE else is_verb
    if asked.wh in ("who", "what", "which") and not asked.lead and (fits(first) or first == "be" or first == "been"):
        return _as_subject(asked, answer, f"{helper} {' '.join(rest)}")
    start = 1 if first not in _DETERMINERS else 2
    place = next((i for i in range(start, len(rest)) if fits(rest[i].lower()) and rest[i].islower()), None)
    if place is None or rest[place - 1].lower() in _DETERMINERS | _PREPOSITIONS:
        return None
    return _around(asked, [*rest[:place], helper, rest[place]], rest[place + 1 :], answer)
