"""Training examples of the reader: tokenised rows with the positions that answer, distractors, and batches."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from app.index.analysis import sentence_spans
from app.training.distractors import find_distractors
from app.training.reading_sets import ReadingQuestion
from app.training.sentence_pairs import SENTENCE_PAIRS
from app.training.verifier.perturb import entities, perturbed, plain_words
from app.transformer.pointer_rows import SourceRow, SpecialIds, build_row, room_for_passage
from app.transformer.tokenizers import TextTokenizer, TokenizedText

SENTENCE_SETS = frozenset({"qamr_sentence", SENTENCE_PAIRS})
"""Whose questions come with one sentence: passages are joined for them."""
_ANSWERED_ANYWHERE = frozenset({"policyqa"})
"""Whose questions other passages of the collection may answer as well: nothing says which do not."""
_MAX_OCCURRENCES = 16
_DROPPED_SENTENCES = 0.4
_MAX_HEADING_TOKENS = 24
_MAX_QUESTION_TOKENS = 64


@dataclass(frozen=True, slots=True)
class ReadingExample:
    """Rows of one group and what answers them.

    `candidates`: each a list of `(row, column)` in copying order; any of them is right; empty = NO ANSWER.
    """

    rows: tuple[SourceRow, ...]
    candidates: tuple[tuple[tuple[int, int], ...], ...]

    @property
    def padded_tokens(self) -> int:
        return len(self.rows) * max(len(row.ids) for row in self.rows)


@dataclass(frozen=True, slots=True)
class MixtureOptions:
    """Shares of one pass over the questions.

    `negative_share` of the answerable questions are asked of a passage that does not answer them; `group_share` of all
    are asked of `group_sizes` passages at once, `goldless_share` of these without the one that answers;
    `perturbed_share` of the questions about one sentence are changed so that it does not answer them any more;
    `thinned_share` of the answered passages shown alone lose some of the sentences around the answer, so that a passage
    is not the same in every pass; `heading_share` of the rows carry their title; `sentence_questions` of QAMR are drawn
    per pass, and of a collection in `draws` only as many as it says; `show_matches` as in `build_row`.
    """

    negative_share: float = 0.12
    group_share: float = 0.18
    group_sizes: tuple[int, ...] = (2, 3)
    goldless_share: float = 0.2
    perturbed_share: float = 0.08
    thinned_share: float = 0.0
    heading_share: float = 0.6
    sentence_questions: int = 7000
    joined_sentences: tuple[int, ...] = (1, 2, 4, 6)
    max_tokens: int = 384
    max_answer_tokens: int = 48
    draws: tuple[tuple[str, int], ...] = ()
    show_matches: bool = False


class ExampleBuilder:
    """Builds examples from questions: tokenises once, finds the answers, and picks distractors by term overlap."""

    def __init__(
        self,
        questions: Sequence[ReadingQuestion],
        tokenizer: TextTokenizer,
        special: SpecialIds,
        options: MixtureOptions,
    ) -> None:
        self.questions = list(questions)
        self.options = options
        self._tokenizer = tokenizer
        self._special = special
        self._cache: dict[str, TokenizedText] = {}
        texts = {text for q in questions for text in (q.question, q.context, q.title)}
        ordered = sorted(texts)
        for text, tokens in zip(ordered, tokenizer.encode(ordered), strict=True):
            self._cache[text] = tokens
        whole = [q for q in self.questions if q.collection != "qamr_sentence"]
        self._distractors = find_distractors(whole, lambda text: self._tokens(text).ids)
        sentences = [q.question for q in self.questions if q.collection in SENTENCE_SETS]
        self._names = sorted({name for question in sentences for name in entities(question)})
        self._words = sorted({word for question in sentences for word in plain_words(question)})
        self._pool = sorted({q.context for q in self.questions if q.collection == "qamr_sentence"})

    def one_pass(self, rng: random.Random) -> list[ReadingExample]:
        """Return one shuffled pass over the questions, drawn anew each time."""
        draws = {"qamr_sentence": self.options.sentence_questions, **dict(self.options.draws)}
        drawn: list[ReadingQuestion] = []
        for collection in dict.fromkeys(q.collection for q in self.questions):
            members = [q for q in self.questions if q.collection == collection]
            drawn += rng.sample(members, min(draws.get(collection, len(members)), len(members)))
        examples = [self.joined(q, rng) if q.collection in SENTENCE_SETS else self.mixed(q, rng) for q in drawn]
        kept = [example for example in examples if example is not None]
        rng.shuffle(kept)
        return kept

    def mixed(self, q: ReadingQuestion, rng: random.Random) -> ReadingExample | None:
        """Return one example of `q`: alone, among distractors, or with a passage that does not answer it."""
        options = self.options
        others = [] if q.collection in _ANSWERED_ANYWHERE else self._distractors[q.id]
        if rng.random() < options.group_share and others:
            size = min(rng.choice(options.group_sizes), len(others) + 1)
            contexts = rng.sample(others, size - 1)
            if rng.random() < options.goldless_share and len(others) >= size:
                return self.build(q, rng.sample(others, size), rng, answers=())
            contexts.insert(rng.randrange(size), q.context)
            return self.build(q, contexts, rng)
        if q.answers and others and rng.random() < options.negative_share:
            return self.build(q, [rng.choice(others)], rng, answers=())
        shorter = thinned(q, rng) if rng.random() < self.options.thinned_share else q
        return self._once(shorter, rng) if shorter.context != q.context else self.build(q, [q.context], rng)

    def build(
        self,
        q: ReadingQuestion,
        contexts: Sequence[str],
        rng: random.Random,
        answers: tuple[str, ...] | None = None,
    ) -> ReadingExample | None:
        """Return the example of `q` over `contexts`, or `None` when no answer fits the row and answer lengths.

        Args:
            q: the question.
            contexts: the passages, one row each; a long one is cut to a window around an answer, else at random.
            rng: draws windows and whether the title is shown.
            answers: `()` says that none of the passages answers; `None` means those of `q`, wherever they occur.
        """
        question_ids = self._tokens(q.question).ids[:_MAX_QUESTION_TOKENS]
        wanted = q.answers if answers is None else answers
        rows: list[SourceRow] = []
        candidates: list[tuple[tuple[int, int], ...]] = []
        for context in contexts:
            titled = rng.random() < self.options.heading_share and q.title
            heading = self._tokens(q.title).ids[:_MAX_HEADING_TOKENS] if titled else []
            tokens = self._tokens(context)
            room = room_for_passage(question_ids, heading, self.options.max_tokens)
            spans = self._answer_spans(context, tokens, wanted, q.parts) if context == q.context else []
            window = _window(len(tokens.ids), room, spans, rng)
            row = build_row(
                self._special, question_ids, heading, tokens.ids, window, show_matches=self.options.show_matches
            )
            for span in spans:
                if all(window[0] <= token < window[1] for token in span):
                    shift = row.copy_start - window[0]
                    candidates.append(tuple((len(rows), token + shift) for token in span))
            rows.append(row)
        if wanted and not candidates:
            return None
        return ReadingExample(tuple(rows), tuple(candidates[:_MAX_OCCURRENCES]))

    def joined(self, q: ReadingQuestion, rng: random.Random) -> ReadingExample | None:
        """Return a one-sentence question over several sentences, its own among them or not.

        It may be changed so that none answers. A question that `find_distractors` knows stands among the sentences most
        like its own, others among any of QAMR.
        """
        others = self._distractors.get(q.id, self._pool)
        sentences = rng.sample(others, min(len(others), rng.choice(self.options.joined_sentences)))
        changed = None
        if rng.random() < self.options.perturbed_share:
            names = rng.sample(self._names, min(4, len(self._names)))
            changed = perturbed(q.question, q.context, rng, names=names, words=self._words)
        held = changed is not None or rng.random() >= self.options.negative_share
        if held and sentences:
            sentences[rng.randrange(len(sentences))] = q.context
        elif q.context in sentences or not (held or sentences):
            return None
        context = " ".join(dict.fromkeys(sentences)) or q.context
        answers = q.answers if changed is None else ()
        joined = ReadingQuestion(q.id, q.collection, q.role, "", changed or q.question, context, answers)
        return self._once(joined, rng, None if held else ())

    def _once(
        self, q: ReadingQuestion, rng: random.Random, answers: tuple[str, ...] | None = None
    ) -> ReadingExample | None:
        """The example of `q` over a context that no other example will have: its tokens are not kept."""
        known = q.context in self._cache
        example = self.build(q, [q.context], rng, answers)
        if not known:
            del self._cache[q.context]
        return example

    def _answer_spans(
        self, context: str, tokens: TokenizedText, answers: tuple[str, ...], parts: bool
    ) -> list[tuple[int, ...]]:
        """Token positions of every occurrence of every answer; of the parts of a list, their first occurrences."""
        found = [occurrences(context, tokens, answer) for answer in answers]
        if parts:
            if not all(found):
                return []
            together = tuple(token for spans in sorted(spans[0] for spans in found) for token in spans)
            fits = len(set(together)) == len(together) <= self.options.max_answer_tokens
            return [together] if fits else []
        spans = dict.fromkeys(span for one in found for span in one)
        return [span for span in spans if len(span) <= self.options.max_answer_tokens]

    def _tokens(self, text: str) -> TokenizedText:
        if text not in self._cache:
            self._cache[text] = self._tokenizer.encode([text])[0]
        return self._cache[text]


def thinned(q: ReadingQuestion, rng: random.Random) -> ReadingQuestion:
    """Return `q` over its context less some sentences, none of which holds an answer; `q` itself where there are none.

    What is left stands in its order, so the passage reads on; a question without an answer keeps its passage whole, for
    what makes it tempting is in there.
    """
    spans = sentence_spans(q.context) if q.answers and not q.parts else []
    bare = [(a, b) for a, b in spans if not any(answer in q.context[a:b] for answer in q.answers)]
    dropped = {span for span in bare if rng.random() < _DROPPED_SENTENCES}
    context = " ".join(q.context[a:b].strip() for a, b in spans if (a, b) not in dropped)
    # An answer may run over the end of a sentence: then the passage stays as it is.
    held = bool(dropped) and all(answer in context for answer in q.answers)
    return replace(q, context=context) if held else q


def occurrences(context: str, tokens: TokenizedText, answer: str) -> list[tuple[int, ...]]:
    """Return the token positions of each occurrence of `answer`; those at word boundaries only, if there are any."""
    spans: list[tuple[int, int]] = []
    start = context.find(answer)
    while start >= 0 and len(spans) < 4 * _MAX_OCCURRENCES:
        spans.append((start, start + len(answer)))
        start = context.find(answer, start + 1)
    whole = [span for span in spans if _at_boundaries(context, *span)]
    found = []
    for first, last in whole or spans:
        covered = tuple(i for i, (a, b) in enumerate(tokens.offsets) if a < last and b > first)
        if covered:
            found.append(covered)
    return found


def batches(examples: Iterable[ReadingExample], batch_tokens: int, rng: random.Random) -> list[list[ReadingExample]]:
    """Return shuffled batches of examples with equally many rows and similar length, padded size ≤ `batch_tokens`."""
    keyed = sorted(examples, key=lambda e: (len(e.rows), e.padded_tokens, rng.random()))
    done: list[list[ReadingExample]] = []
    batch: list[ReadingExample] = []
    for example in keyed:
        longest = max(e.padded_tokens for e in [*batch[-1:], example])
        if batch and (len(batch[0].rows) != len(example.rows) or longest * (len(batch) + 1) > batch_tokens):
            done.append(batch)
            batch = []
        batch.append(example)
    if batch:
        done.append(batch)
    rng.shuffle(done)
    return done


def _window(num_tokens: int, room: int, spans: Sequence[tuple[int, ...]], rng: random.Random) -> tuple[int, int]:
    if num_tokens <= room:
        return 0, num_tokens
    if not spans:
        first = rng.randint(0, num_tokens - room)
        return first, first + room
    span = rng.choice(spans)
    low = max(0, max(span) + 1 - room)
    high = min(min(span), num_tokens - room)
    first = rng.randint(min(low, high), max(low, high))
    return first, first + room


def _at_boundaries(text: str, start: int, end: int) -> bool:
    left = start == 0 or not (_in_word(text[start - 1]) and _in_word(text[start]))
    right = end == len(text) or not (_in_word(text[end - 1]) and _in_word(text[end]))
    return left and right


def _in_word(character: str) -> bool:
    """Whether spaces set words of this character apart; Chinese and Japanese have none."""
    return character.isalnum() and not ("\u3040" <= character <= "\u9fff" or "\uf900" <= character <= "\ufaff")
