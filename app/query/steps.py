"""The steps of a plan, answered in order: a later one is asked with the answers of the earlier ones in their places."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from app.errors import AttestError, Cancelled
from app.protocols import TextModel
from app.query.step_plan import Plan, filled, plan_by_model, plan_steps
from app.telemetry import Trace
from app.types import Generated, Hit, Prompt

STEP_CONFIDENCE = 0.05
"""Confidence from which a step's answer takes its place in later steps; below it what it was to find stands there."""
_ANSWER_CHARS = 200
_MARK = re.compile(r"\s*\[\d+\]")


@dataclass(frozen=True, slots=True)
class StepAnswer:
    """What was found for one question. `text` is empty where nothing was sure enough; `generated` then still says what.

    `hits` are the ranked chunks, best first; `prompt` is what the generator read. `stands`: as the answer to a question
    of its own it would be given.
    """

    text: str
    confidence: float
    hits: tuple[Hit, ...] = ()
    prompt: Prompt | None = None
    generated: Generated | None = None
    stands: bool = False


@dataclass(frozen=True, slots=True)
class StepDone:
    """Step `number` (from 1): the question as it was asked, and its answer; `error` where it could not be asked."""

    number: int
    question: str
    answer: StepAnswer
    error: str = ""


@dataclass(frozen=True, slots=True)
class Stepped:
    """A plan with its answered steps, in order.

    `last` is the question of the step that was left to the caller, `last_hits` what was found for it.
    """

    plan: Plan
    done: tuple[StepDone, ...]
    last: str | None = None
    answers: Mapping[int, str] = field(default_factory=dict)
    last_hits: tuple[Hit, ...] = ()

    def question_to_read(self, question: str, *, instructed: bool) -> str:
        """What is read over the passages of all steps: the last step; an instructed model reads the whole question."""
        return question if self.last is None or instructed else self.last

    def told(self) -> list[dict[str, Any]]:
        """The steps as the trace shows them: question, answer, and the chunks that it was read from."""
        return [
            {
                "step": step.number,
                "question": step.question,
                "answer": step.answer.text,
                "guess": step.answer.generated.text if step.answer.generated is not None else "",
                "confidence": round(step.answer.confidence, 4),
                "evidence": _evidence(step.answer),
                **({"error": step.error} if step.error else {}),
            }
            for step in self.done
        ]


def step_through(
    question: str,
    kinds: str | Sequence[str],
    answer: Callable[[str, bool], StepAnswer],
    trace: Trace,
    *,
    model: TextModel | None = None,
    threads: int = 1,
) -> Stepped | None:
    """The answers to the parts of a question; None where "decompose" is not among `kinds`, or it has no parts.

    "auto" asks for it where the rules find parts and the whole question has no answer that stands: a plan costs
    questions that are simple after all more than it gives them (docs/decomposition.md). No model is asked for a plan
    then. The trace's stage `decompose` shows the plan and each step's question, answer and evidence.

    Args:
        question: standalone.
        kinds: of translation, as the request names them.
        answer: finds the passages for a question and, where the flag says so, reads the answer in them.
        trace: of the request.
        model: writes the plan; None leaves the rules alone.
        threads: questions asked at once.

    Raises:
        Cancelled: the request was cancelled.
    """
    if kinds == "auto":
        if plan_steps(question) is None:
            return None
        model = None
    elif "decompose" not in kinds:
        return None
    with trace.stage("decompose") as stage:
        if kinds == "auto":
            at_once = answer(question, True)
            stage.detail["at_once"] = {"answer": at_once.text, "confidence": round(at_once.confidence, 4)}
            if at_once.stands:
                stage.detail["plan"] = []
                return None
        plan, error = plan_of(question, model, trace.cancelled)
        if error:
            stage.degrade(error)
        stage.detail["plan"] = [step.text for step in plan.steps] if plan else []
        if plan is None:
            return None
        stepped = run_steps(plan, lambda text: answer(text, True), threads=threads, cancelled=trace.cancelled)
        if stepped.last is not None and stepped.last != question:
            stepped = replace(stepped, last_hits=answer(stepped.last, False).hits)
        stage.detail.update(how=plan.how, combine=plan.combine, steps=stepped.told(), last=stepped.last)
    return stepped


def step_answer(
    hits: tuple[Hit, ...], prompt: Prompt, generated: Generated | None, confidence: float, threshold: float
) -> StepAnswer:
    """What a generator's output is as the answer of a step: without text where it is too unsure to build on.

    Args:
        hits: ranked chunks, best first.
        prompt: what was read.
        generated: None where there was nothing to read.
        confidence: in [0, 1].
        threshold: the confidence from which such an answer stands by itself.
    """
    if generated is None or not generated.spans:
        return StepAnswer("", confidence, hits, prompt, generated)
    # A generator without probabilities goes by shared words, and a sentence about a part of the question shares many.
    read = generated.evidence.answer_logprob is not None or generated.claims is not None
    text = short_text(generated) if confidence >= STEP_CONFIDENCE else ""
    return StepAnswer(text, confidence, hits, prompt, generated, stands=read and confidence >= threshold)


def plan_of(
    question: str, model: TextModel | None, cancelled: Callable[[], bool] = lambda: False
) -> tuple[Plan | None, str]:
    """(the plan of the model where there is one and it can write one, else the one by rules; what failed).

    Raises:
        Cancelled: `cancelled()` was true.
    """
    if model is None:
        return plan_steps(question), ""
    try:
        return plan_by_model(question, model, cancelled), ""
    except Cancelled:
        raise
    except AttestError as error:
        return plan_steps(question), error.message


def short_text(generated: Generated) -> str:
    """The answer as it can stand in another question: without marks, on one line, cut where it is long."""
    return " ".join(_MARK.sub("", generated.text).split())[:_ANSWER_CHARS].strip(" .")


def run_steps(
    plan: Plan,
    answer: Callable[[str], StepAnswer],
    *,
    threads: int = 1,
    cancelled: Callable[[], bool] = lambda: False,
) -> Stepped:
    """All steps of a comparison; of other plans all but the last, whose filled question is `last`.

    A step waits for those that it names and for nothing else; those that wait for nothing run beside each other.

    Args:
        plan: the steps.
        answer: asks one question; an error of it (but cancellation) is kept in the step, which then has no answer.
        threads: questions asked at once.
        cancelled: asked before each round.

    Raises:
        Cancelled: `cancelled()` was true, or `answer` raised it.
    """
    wanted = plan.steps if plan.combine != "last" else plan.steps[:-1]
    answers: dict[int, str] = {}
    descriptions = {number: step.described for number, step in enumerate(plan.steps, start=1) if step.described}
    done: dict[int, StepDone] = {}

    def ask(number: int) -> StepDone:
        question = filled(plan.steps[number - 1], answers, descriptions)
        try:
            return StepDone(number, question, answer(question))
        except Cancelled:
            raise
        except AttestError as error:
            return StepDone(number, question, StepAnswer("", 0.0), error.message)

    waiting = list(range(1, len(wanted) + 1))
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="attest-step") as pool:
        while waiting:
            if cancelled():
                raise Cancelled("the request was cancelled")
            ready = [number for number in waiting if all(need in done for need in plan.steps[number - 1].needs)]
            waiting = [number for number in waiting if number not in ready]
            found = list(pool.map(ask, ready)) if threads > 1 and len(ready) > 1 else [ask(number) for number in ready]
            for step in found:
                done[step.number] = step
                if step.answer.text:
                    answers[step.number] = step.answer.text
    last = filled(plan.steps[-1], answers, descriptions) if plan.combine == "last" else None
    return Stepped(plan, tuple(done[number] for number in sorted(done)), last, answers)


def merged_hits(main: tuple[Hit, ...], stepped: Stepped, *, rrf_k: int = 10) -> tuple[Hit, ...]:
    """The main ranking with the steps' rankings (reciprocal rank fusion), the chunks that a step was read from first.

    Each chunk once; ties keep the main ranking's order. A step's rank stands beside the others as `step N`.
    """
    best: dict[str, Hit] = {}
    scores: dict[str, float] = {}
    steps = ((f"step {step.number}", step.answer.hits) for step in stepped.done)
    for name, hits in (("", main), *steps, ("last step", stepped.last_hits)):
        for rank, hit in enumerate(hits, start=1):
            chunk = hit.chunk.chunk_id
            scores[chunk] = scores.get(chunk, 0.0) + 1.0 / (rrf_k + rank)
            known = best.setdefault(chunk, hit)
            if name:
                best[chunk] = Hit(known.chunk, known.scores, {**known.ranks, name: rank})
    order = list(best)
    read = (chunk for step in stepped.done if step.answer.text for chunk in _evidence(step.answer))
    evidence = list(dict.fromkeys(read))
    rest = sorted((chunk for chunk in order if chunk not in evidence), key=lambda chunk: -scores[chunk])
    return tuple(best[chunk] for chunk in (*evidence, *rest) if chunk in best)


def _evidence(answer: StepAnswer) -> list[str]:
    """Ids of the chunks that the answer's spans lie in."""
    if answer.prompt is None or answer.generated is None:
        return []
    passages = answer.prompt.passages
    return list(dict.fromkeys(passages[span.passage].hit.chunk.chunk_id for span in answer.generated.spans))
