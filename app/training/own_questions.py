"""Reading questions of our own making: near misses with their answerable twins, and made-up sentences."""

from __future__ import annotations

import random
from collections.abc import Iterable

from app.training.behaviours.loading import Behaviour
from app.training.parallel import parallel_question
from app.training.reading_sets import ReadingQuestion
from app.training.verifier.relations import twin

OWN_EXAMPLES, MADE_UP, PARALLEL = "own_examples", "made_up", "parallel"
_NOT_TOLD_SHARE = 0.15


def own_questions(behaviours: Iterable[Behaviour]) -> list[ReadingQuestion]:
    """Return the English refusals and short answers among `behaviours`, each over the passage that it turns on."""
    questions = []
    for one in behaviours:
        span = one.answers[0] if one.answers else one.tempting
        if one.kind in {"refusal", "sentence"} and one.lang == "en" and span is not None:
            passage = one.passages[span.passage]
            answers = (span.text,) if one.answerable else ()
            questions.append(
                ReadingQuestion(one.id, OWN_EXAMPLES, "train", passage.title, one.question, passage.text, answers)
            )
    return questions


def made_up_questions(rng: random.Random, number: int) -> list[ReadingQuestion]:
    """Return `number` answerable questions about made-up statements, and for about half a twin that is not answered."""
    questions = []
    for index in range(number):
        made = twin(rng)
        answer = made.text[made.start : made.end]
        questions.append(ReadingQuestion(f"{index}", MADE_UP, "train", "", made.asked, made.text, (answer,)))
        # Of two statements the second may answer the other question: then it is no near miss.
        if ". " not in made.text:
            questions.append(ReadingQuestion(f"{index}-not", MADE_UP, "train", "", made.unanswered, made.text, ()))
    return questions


def parallel_questions(rng: random.Random, number: int) -> list[ReadingQuestion]:
    """Return `number` English questions about one of several facts of a sentence; some ask for one that is not told."""
    questions = []
    for index in range(number):
        made = parallel_question(rng)
        told = rng.random() >= _NOT_TOLD_SHARE
        asked, answers = (made.question, (made.answer,)) if told else (made.unanswered, ())
        questions.append(ReadingQuestion(f"parallel-{index}", PARALLEL, "train", "", asked, made.text, answers))
    return questions
