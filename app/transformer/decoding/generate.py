"""Prompts in, generated sequences out, for any model that answers as a `StepModel`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from app.errors import InvalidInput
from app.transformer.causal_lm import CausalLM
from app.transformer.decoding.beam import Hypothesis, beam_search
from app.transformer.decoding.constraints import GrammarCompiler, GrammarConstraint
from app.transformer.decoding.detokenize import Detokenizer
from app.transformer.decoding.params import SamplingParams
from app.transformer.decoding.sampling import Sampled, sample_batch
from app.transformer.decoding.sequence import GeneratedSequence, Generation, Step
from app.transformer.decoding.steps import CausalSteps, StepModel

__all__ = ["CausalSteps", "Generation", "Step", "StepModel", "decode", "generate"]

OnStep = Callable[[int, Step], None]


def generate(
    model: CausalLM,
    prompts: Sequence[Sequence[int]],
    params: SamplingParams | Sequence[SamplingParams],
    *,
    eos_token_ids: Sequence[int] = (),
    detokenizer: Detokenizer | None = None,
    grammars: GrammarCompiler | None = None,
    on_step: OnStep | None = None,
    cancelled: Callable[[int], bool] = lambda _: False,
) -> list[Generation]:
    """Return the continuation of each prompt, decoded together. Arguments and errors: see `decode`."""
    every = _for_each(params, len(prompts))
    steps = CausalSteps(model, prompts, max_tokens=max((each.max_tokens for each in every), default=1))
    return decode(
        steps,
        every,
        eos_token_ids=eos_token_ids,
        detokenizer=detokenizer,
        grammars=grammars,
        on_step=on_step,
        cancelled=cancelled,
    )


@torch.inference_mode()
def decode(
    steps: StepModel,
    params: SamplingParams | Sequence[SamplingParams],
    *,
    eos_token_ids: Sequence[int] = (),
    detokenizer: Detokenizer | None = None,
    grammars: GrammarCompiler | None = None,
    on_step: OnStep | None = None,
    cancelled: Callable[[int], bool] = lambda _: False,
) -> list[Generation]:
    """Return what each row of `steps` generates.

    Args:
        steps: a model with its prompts or sources, not started yet.
        params: for all rows, or one for each. Either all rows search with beams or none does.
        eos_token_ids: the model's ending tokens.
        detokenizer: gives the text; needed for `stop`.
        grammars: of the model's tokenizer; needed for `grammar`.
        on_step: called with the row's place and what each token added, as soon as it is chosen. A beam search knows
            its text only at the end and calls it for each token of the best hypothesis then.
        cancelled: asked with a row's place before every step; a cancelled row keeps what it has.

    Raises:
        InvalidInput: the parameters do not fit the rows or each other, or a grammar can't be compiled.
        Unavailable: the logits are not finite, or a grammar allows none of the tokenizer's tokens.
    """
    every = _for_each(params, len(steps.prompts))
    beams = {each.num_beams > 1 for each in every}
    if len(beams) > 1:
        raise InvalidInput("num_beams must be 1 for all rows of a batch or above 1 for all: split the batch")
    if detokenizer is None and any(each.stop for each in every):
        raise InvalidInput("stop needs the model's detokenizer: pass one, or use stop_token_ids")
    sequences = [
        GeneratedSequence(
            prompt,
            each,
            eos_token_ids=eos_token_ids,
            detokenizer=detokenizer,
            constraint=_compiled(each, grammars),
            room_tokens=room,
            source_ids=source,
        )
        for prompt, each, room, source in zip(steps.prompts, every, steps.room_tokens, steps.sources, strict=True)
    ]
    report = on_step or (lambda _row, _step: None)
    if True in beams:
        found = beam_search(steps, every, eos_token_ids=eos_token_ids, cancelled=cancelled)
        return [
            _replayed(row, sequence, best[0], report)
            for row, (sequence, best) in enumerate(zip(sequences, found, strict=True))
        ]
    _run(steps, sequences, report, cancelled)
    return [sequence.result() for sequence in sequences]


def _run(
    steps: StepModel, sequences: list[GeneratedSequence], report: OnStep, cancelled: Callable[[int], bool]
) -> None:
    live: list[int] = []  # the sequence of each row of the model
    for row, sequence in enumerate(sequences):
        if cancelled(row):
            sequence.cancel()
        else:
            live.append(row)
    if not live:
        return
    logits = steps.start()
    if len(live) < len(sequences):
        logits = logits[live]
        steps.reorder(live)
    while True:
        running = [sequences[row] for row in live]
        chosen = sample_batch(logits, [each.sampler for each in running], [each.history for each in running])
        for row, sampled in zip(live, chosen, strict=True):
            report(row, sequences[row].next(sampled))
            if cancelled(row):
                sequences[row].cancel()
        going = [place for place, row in enumerate(live) if sequences[row].finish_reason is None]
        if not going:
            return
        if len(going) < len(live):
            steps.reorder(going)
            live = [live[place] for place in going]
        newest = [sequences[row].history[-1] for row in live]
        logits = steps.step(torch.tensor(newest, device=logits.device))


def _replayed(row: int, sequence: GeneratedSequence, best: Hypothesis, report: OnStep) -> Generation:
    """Return the best hypothesis as a sequence; a search that was cancelled before any had finished has a live one."""
    for token_id, logprob in zip(best.token_ids, best.logprobs, strict=True):
        report(row, sequence.next(Sampled(token_id, logprob)))
    sequence.cancel()
    return replace(sequence.result(), score=best.score)


def _compiled(params: SamplingParams, grammars: GrammarCompiler | None) -> GrammarConstraint | None:
    if params.grammar is None:
        return None
    if grammars is None:
        raise InvalidInput("grammar needs a GrammarCompiler of the model's tokenizer: pass grammars=")
    return grammars.compile(params.grammar)


def _for_each(params: SamplingParams | Sequence[SamplingParams], rows: int) -> list[SamplingParams]:
    every = [params] * rows if isinstance(params, SamplingParams) else list(params)
    if len(every) != rows:
        raise InvalidInput(f"params has {len(every)} entries for {rows} prompts: pass one for all, or one for each")
    return every
