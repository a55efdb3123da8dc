"""Rows that the verifier learns from, in groups: one question's right and wrong answers, one answer's right and wrong
questions."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from app.evaluation.metrics import f1
from app.generation.verifier import Claim, RowBuilder
from app.training.behaviours.loading import Behaviour
from app.training.parallel import parallel_question
from app.training.reading_sets import ReadingQuestion
from app.training.sentence_pairs import SENTENCE_PAIRS
from app.training.verifier.agreement import agrees, apart
from app.training.verifier.mining import Mined
from app.training.verifier.perturb import entities, perturbed, plain_words
from app.training.verifier.perturb_zh import asked_kind, content_words, is_chinese, names_of, perturbed_zh
from app.training.verifier.relations import Language, twin
from app.transformer.tokenizers import TextTokenizer, TokenizedText
from app.transformer.verifier import MarkedRow

_SURE_SENTENCE_SCORE = 0.0
"""Of the reader's best span in a sentence that is known to answer: below it the span is too doubtful to learn from."""
_NOT_TOLD_SHARE = 0.25
"""Of the sentences with several facts: so many are asked for one more, the rest show another fact's value."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The answer `text[start:end]` to a question, and whether the text carries it."""

    question: str
    heading: str
    text: str
    start: int
    end: int
    right: bool


@dataclass(frozen=True, slots=True)
class Mixture:
    """Shares of one pass.

    `perturbed_share` of the groups with a right answer get a question that it does not answer, `other_question_share`
    of these another question about the same text, where there is one; `heading_share` of the rows show their title;
    `wrong_per_group` is how many of the reader's own mistakes are kept at most. `twins` made-up pairs, `parallel`
    made-up sentences with several facts and `sentence_questions` of QAMR are drawn; every behaviour row is told
    `behaviour_repeats` times. Twins and sentences are made in `language`, and behaviours are
    those of the languages `behaviour_languages`.
    """

    perturbed_share: float = 0.5
    other_question_share: float = 0.5
    heading_share: float = 0.6
    wrong_per_group: int = 1
    twins: int = 1500
    parallel: int = 2000
    sentence_questions: int = 4000
    behaviour_repeats: int = 2
    language: Language = "en"
    behaviour_languages: tuple[str, ...] = ("en",)


@dataclass(frozen=True, slots=True)
class VerifierSource:
    """What groups are made from, all of role "train": mined rows, QAMR's questions, and refusals with their twins."""

    mined: Sequence[Mined]
    sentences: Sequence[ReadingQuestion] = ()
    behaviours: Sequence[Behaviour] = ()
    mixture: Mixture = field(default_factory=Mixture)


class GroupBuilder:
    """Draws groups of `Judged` rows, anew for each pass."""

    def __init__(self, source: VerifierSource) -> None:
        self._source = source
        by_question: dict[str, list[Mined]] = defaultdict(list)
        self._asked: dict[str, list[Mined]] = defaultdict(list)
        for one in source.mined:
            by_question[one.id].append(one)
            if one.own and one.answers:
                self._asked[one.text].append(one)
        self._mined = list(by_question.values())
        names: dict[bool, set[str]] = {False: set(), True: set()}
        self._words: dict[str, list[str]] = defaultdict(list)
        for question, topic in {(one.question, one.title or one.collection): None for one in source.mined}:
            chinese = is_chinese(question)
            names[chinese].update(names_of(question) if chinese else entities(question))
            self._words[topic].extend(content_words(question) if chinese else plain_words(question))
        self._names = {chinese: sorted(found) for chinese, found in names.items()}
        self._by_sentence: dict[str, list[ReadingQuestion]] = defaultdict(list)
        for q in source.sentences:
            self._by_sentence[q.context].append(q)

    def one_pass(self, rng: random.Random) -> list[tuple[Judged, ...]]:
        """Return one shuffled pass of groups, each with at least one row."""
        mixture = self._source.mixture
        groups = [self._of_question(rows, rng) for rows in self._mined]
        drawn = rng.sample(self._source.sentences, min(mixture.sentence_questions, len(self._source.sentences)))
        groups += [self._of_sentence(q, rng) for q in drawn]
        groups += [_of_twin(rng, mixture.language) for _ in range(mixture.twins)]
        groups += [_of_parallel(rng, mixture.language) for _ in range(mixture.parallel)]
        told = behaviour_groups(self._source.behaviours, mixture.behaviour_languages)
        groups += [group for _ in range(mixture.behaviour_repeats) for group in told]
        rng.shuffle(groups)
        return [group for group in groups if group]

    def _of_question(self, rows: Sequence[Mined], rng: random.Random) -> tuple[Judged, ...]:
        right = [judged for one in rows for judged in rights(one)]
        wrong = [judged for one in rows for judged in wrongs(one)]
        group = rng.sample(right, 1) if right else []
        # The most tempting come first; the rest are drawn now and then, for the second guess is judged in service, too.
        keep = self._source.mixture.wrong_per_group
        group += wrong[:keep] if rng.random() < 0.6 else rng.sample(wrong, min(keep, len(wrong)))
        if right and rng.random() < self._source.mixture.perturbed_share:
            group += self._changed(group[0], rows[0].title or rows[0].collection, rng)
        return self._titled(group, rng)

    def _of_sentence(self, q: ReadingQuestion, rng: random.Random) -> tuple[Judged, ...]:
        """A QAMR question, and the answer of another question about the same sentence."""
        answer = max(q.answers, key=len)
        start = q.context.find(answer)
        group = [Judged(q.question, "", q.context, start, start + len(answer), True)]
        others = [
            (other.context.find(text), text)
            for other in self._by_sentence[q.context]
            for text in other.answers[:1]
            if f1(text, q.answers) == 0.0
        ]
        if others:
            at, text = rng.choice(others)
            group.append(Judged(q.question, "", q.context, at, at + len(text), False))
        if rng.random() < self._source.mixture.perturbed_share / 2:
            group += self._changed(group[0], q.collection, rng)
        return tuple(group)

    def _changed(self, right: Judged, topic: str, rng: random.Random) -> list[Judged]:
        """The same answer to a question that it does not answer: another one about its text, or the same one changed.

        The former are well formed, so a clumsy question does not give the wrong ones away.
        """
        answer = right.text[right.start : right.end]
        others = [one.question for one in self._asked[right.text] if apart(answer, one.answers)]
        alike = [question for question in others if _asked_for(question) == _asked_for(right.question)]
        if others and rng.random() < self._source.mixture.other_question_share:
            return [replace(right, question=rng.choice(alike or others), right=False)]
        chinese = is_chinese(right.question)
        names = rng.sample(self._names[chinese], min(4, len(self._names[chinese])))
        change = perturbed_zh if chinese else perturbed
        question = change(right.question, right.text, rng, names=names, words=self._words[topic])
        return [] if question is None else [replace(right, question=question, right=False)]

    def _titled(self, group: Sequence[Judged], rng: random.Random) -> tuple[Judged, ...]:
        if rng.random() < self._source.mixture.heading_share:
            return tuple(group)
        return tuple(replace(judged, heading="") for judged in group)


def rights(one: Mined) -> list[Judged]:
    """Return the right answers of a mined row: the best of its own places, and what the reader found that agrees.

    Of a sentence that answers without its answer being known, the reader's best span stands for it where it is sure.
    """
    if not one.own:
        return []
    if one.collection == SENTENCE_PAIRS:
        return [
            _judged(one, span.start, span.end, right=True)
            for span in one.found[:1]
            if span.score > _SURE_SENTENCE_SCORE
        ]
    places = {(span.start, span.end) for span in one.gold[:1]}
    places |= {(span.start, span.end) for span in one.found if agrees(one.text[span.start : span.end], one.answers)}
    return [_judged(one, start, end, right=True) for start, end in sorted(places)]


def wrongs(one: Mined) -> list[Judged]:
    """Return the reader's wrong guesses, the most tempting first."""
    if one.own and one.collection == SENTENCE_PAIRS:
        return []
    return [
        _judged(one, span.start, span.end, right=False)
        for span in one.found
        if not one.answers or apart(one.text[span.start : span.end], one.answers)
    ]


def behaviour_groups(behaviours: Iterable[Behaviour], languages: Collection[str] = ("en",)) -> list[tuple[Judged, ...]]:
    """Return a group for each refusal and its twin: the tempting span is wrong for the one and right for the other."""
    rows = [one for one in behaviours if one.kind in {"refusal", "sentence"} and one.lang in languages]
    twins = {one.id: one for one in rows}
    groups = []
    for one in rows:
        if one.answerable and one.kind == "sentence":
            groups.append(_told(one))
        elif not one.answerable and one.tempting is not None:
            passage = one.passages[one.tempting.passage]
            wrong = Judged(
                one.question, passage.title, passage.text, one.tempting.char_start, one.tempting.char_end, False
            )
            other = twins.get(one.twin or "")
            groups.append(((*_told(other), wrong)) if other is not None else (wrong,))
    return groups


def _told(one: Behaviour) -> tuple[Judged, ...]:
    return tuple(
        Judged(
            one.question,
            one.passages[span.passage].title,
            one.passages[span.passage].text,
            span.char_start,
            span.char_end,
            True,
        )
        for span in one.answers[:1]
    )


def _of_twin(rng: random.Random, language: Language) -> tuple[Judged, ...]:
    made = twin(rng, language)
    right = Judged(made.asked, "", made.text, made.start, made.end, True)
    return right, replace(right, question=made.unanswered, right=False)


def _of_parallel(rng: random.Random, language: Language) -> tuple[Judged, ...]:
    """A fact of several in one sentence, beside another one's value, or beside the question for a fact not told."""
    made = parallel_question(rng, language)
    right = Judged(made.question, "", made.text, made.start, made.end, True)
    if rng.random() < _NOT_TOLD_SHARE:
        return right, replace(right, question=made.unanswered, right=False)
    start, end = rng.choice(made.others)
    return right, replace(right, start=start, end=end, right=False)


def _judged(one: Mined, start: int, end: int, *, right: bool) -> Judged:
    return Judged(one.question, one.title, one.text, start, end, right)


def _asked_for(question: str) -> str:
    """The question word: English questions begin with it."""
    return asked_kind(question) if is_chinese(question) else question.partition(" ")[0]


class Rows:
    """Judged answers as the verifier reads them; texts are tokenised once.

    Args:
        tokenizer: of the reader that the verifier stands on.
        builder: of the rows.
    """

    def __init__(self, tokenizer: TextTokenizer, builder: RowBuilder) -> None:
        self._tokenizer = tokenizer
        self._builder = builder
        self._cache: dict[str, TokenizedText] = {}

    def of(self, judged: Judged) -> MarkedRow | None:
        """Return the row, None where its span holds no token."""
        claim = Claim(
            judged.text, self._tokens(judged.text), self._tokens(judged.heading).ids, judged.start, judged.end
        )
        return self._builder.row(self._tokens(judged.question).ids, claim)

    def _tokens(self, text: str) -> TokenizedText:
        if text not in self._cache:
            self._cache[text] = self._tokenizer.encode([text])[0]
        return self._cache[text]
