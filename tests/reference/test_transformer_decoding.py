"""Our decoding against `transformers`' generate: greedy, beams, filters. Their models answer as our `StepModel`."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from app.transformer.causal_lm import CausalLM
from app.transformer.checkpoints.loading import load_model
from app.transformer.decoding.beam import beam_search
from app.transformer.decoding.candidates import candidates
from app.transformer.decoding.generate import decode, generate
from app.transformer.decoding.params import EarlyStopping, SamplingParams
from app.transformer.decoding.penalties import SeenTokens

VOCAB = 61


class TheirSteps:
    """A `transformers` model as a `StepModel`, computed anew from the whole history: nothing to get wrong in a cache.

    `sources` makes it an encoder–decoder.
    """

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], sources: Tensor | None = None) -> None:
        self._model = model
        self.prompts = [list(prompt) for prompt in prompts]
        self.sources = self.prompts if sources is None else sources.tolist()
        self.room_tokens = [1000] * len(prompts)
        self._rows = [list(prompt) for prompt in prompts]
        self._sources = sources

    def start(self) -> Tensor:
        logits = []
        for place, row in enumerate(self._rows):
            ids = torch.tensor([row])
            if self._sources is None:
                answer = self._model(input_ids=ids)
            else:
                answer = self._model(input_ids=self._sources[place : place + 1], decoder_input_ids=ids)
            logits.append(answer.logits[0, -1].float())
        return torch.stack(logits)

    def step(self, token_ids: Tensor) -> Tensor:
        self._rows = [[*row, token] for row, token in zip(self._rows, token_ids.tolist(), strict=True)]
        return self.start()

    def reorder(self, rows: Sequence[int]) -> None:
        self._rows = [list(self._rows[row]) for row in rows]
        if self._sources is not None:
            self._sources = self._sources[list(rows)]


@functools.cache
def tiny_model(kind: str) -> Any:
    torch.manual_seed({"gpt2": 1, "llama": 2, "bart": 3, "t5": 4}[kind])
    if kind == "gpt2":
        model: Any = GPT2LMHeadModel(
            GPT2Config(vocab_size=VOCAB, bos_token_id=1, eos_token_id=7, n_embd=16, n_layer=2, n_head=2, n_positions=64)
        )
    elif kind == "llama":
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=VOCAB,
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=64,
            )
        )
    elif kind == "bart":
        model = BartForConditionalGeneration(
            BartConfig(
                vocab_size=VOCAB,
                d_model=16,
                encoder_layers=2,
                decoder_layers=2,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=32,
                decoder_ffn_dim=32,
                max_position_embeddings=64,
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=7,
                decoder_start_token_id=2,
                forced_eos_token_id=None,
            )
        )
    else:
        model = T5ForConditionalGeneration(
            T5Config(vocab_size=VOCAB, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0)
        )
    with torch.no_grad():
        # Sharper distributions, in which the ending tokens come up now and then.
        for parameter in model.parameters():
            parameter.mul_(6.0 if parameter.dim() > 1 else 1.0)
    return model.eval()


@functools.cache
def ends_of(model: Any) -> tuple[int, ...]:
    """Return three tokens that the model likes; with them as ending tokens, sequences end at all lengths."""
    steps = [steps_for(model, inputs_of(seed, rows=3)) for seed in range(3)]
    likes = Counter[int]()
    for each in steps:
        for generation in decode(each, SamplingParams(8, temperature=0.0)):
            likes.update(generation.token_ids[2:])
    return tuple(token for token, _ in likes.most_common(3))


def their_answer(
    model: Any, inputs: Tensor, ends: Sequence[int], **settings: Any
) -> tuple[list[list[int]], list[float]]:
    """Return the new tokens of each sequence, cut behind the first ending token, and their scores."""
    with torch.no_grad():
        answer = model.generate(
            input_ids=inputs,
            attention_mask=torch.ones_like(inputs),
            do_sample=False,
            pad_token_id=0,
            eos_token_id=list(ends),
            return_dict_in_generate=True,
            output_scores=True,
            **settings,
        )
    begin = 1 if model.config.is_encoder_decoder else inputs.shape[1]
    rows = []
    for sequence in answer.sequences[:, begin:].tolist():
        end = next((place + 1 for place, token in enumerate(sequence) if token in ends), len(sequence))
        rows.append(sequence[:end])
    scores = getattr(answer, "sequences_scores", None)
    return rows, [] if scores is None else scores.tolist()


def steps_for(model: Any, inputs: Tensor) -> TheirSteps:
    if not model.config.is_encoder_decoder:
        return TheirSteps(model, inputs.tolist())
    return TheirSteps(model, [[model.config.decoder_start_token_id]] * len(inputs), inputs)


def inputs_of(seed: int, rows: int = 2) -> Tensor:
    return torch.randint(12, VOCAB, (rows, 6), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bart", "t5"])
@pytest.mark.parametrize(
    ("num_beams", "length_penalty", "early_stopping", "max_tokens"),
    [
        (2, 1.0, False, 10),
        (4, 1.0, True, 10),
        (4, 2.0, False, 9),
        (3, 0.0, "never", 8),
        (3, -1.0, False, 8),
        (4, 1.5, "never", 10),
        (5, 0.7, True, 1),
    ],
)
def test_beams_equal_transformers(
    kind: str, num_beams: int, length_penalty: float, early_stopping: EarlyStopping, max_tokens: int
) -> None:
    model = tiny_model(kind)
    ends = ends_of(model)
    reasons = set()
    for seed in range(3):
        inputs = inputs_of(seed)
        params = SamplingParams(
            max_tokens, num_beams=num_beams, length_penalty=length_penalty, early_stopping=early_stopping
        )
        theirs, their_scores = their_answer(
            model,
            inputs,
            ends,
            num_beams=num_beams,
            length_penalty=length_penalty,
            early_stopping=early_stopping,
            max_new_tokens=max_tokens,
            num_return_sequences=num_beams,
        )
        ours = beam_search(steps_for(model, inputs), [params] * len(inputs), eos_token_ids=ends)
        flat = [hypothesis for group in ours for hypothesis in group]
        assert [list(hypothesis.token_ids) for hypothesis in flat] == theirs
        assert [hypothesis.score for hypothesis in flat] == pytest.approx(their_scores, rel=1e-4)
        reasons |= {hypothesis.ended for hypothesis in flat}
    if max_tokens > 1:
        assert True in reasons  # the search was put to the test by hypotheses of different lengths


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_beams_with_repetition_penalty_and_min_tokens_equal_transformers(kind: str) -> None:
    model = tiny_model(kind)
    ends = ends_of(model)
    params = SamplingParams(10, num_beams=3, repetition_penalty=1.7, min_tokens=5)
    for seed in range(3):
        inputs = inputs_of(seed)
        theirs, _ = their_answer(
            model, inputs, ends, num_beams=3, repetition_penalty=1.7, min_new_tokens=5, max_new_tokens=10
        )
        ours = decode(steps_for(model, inputs), params, eos_token_ids=ends)
        assert [list(each.token_ids) for each in ours] == theirs
        assert all(len(each.token_ids) >= 5 for each in ours)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bart", "t5"])
@pytest.mark.parametrize("penalty", [1.0, 1.3, 0.8])
def test_greedy_equals_transformers(kind: str, penalty: float) -> None:
    model = tiny_model(kind)
    ends = ends_of(model)
    params = SamplingParams(12, temperature=0.0, repetition_penalty=penalty, min_tokens=2)
    for seed in range(3):
        inputs = inputs_of(seed, rows=3)
        theirs, _ = their_answer(model, inputs, ends, repetition_penalty=penalty, min_new_tokens=2, max_new_tokens=12)
        ours = decode(steps_for(model, inputs), params, eos_token_ids=ends)
        assert [list(each.token_ids) for each in ours] == theirs
        assert [each.finish_reason for each in ours] == ["stop" if row[-1] in ends else "length" for row in theirs]


BANS: dict[str, dict[str, Any]] = {
    "no bigram twice": {"no_repeat_ngram_size": 2},
    "no token twice": {"no_repeat_ngram_size": 1, "repetition_penalty": 1.2},
    "no trigram twice, long": {"no_repeat_ngram_size": 3, "min_length": 9},
    "nothing of the source": {"encoder_no_repeat_ngram_size": 1},
    "no bigram of the source": {"encoder_no_repeat_ngram_size": 2, "no_repeat_ngram_size": 4},
    "suppressed": {"suppress_tokens": [20, 33, 41, 50, 18], "min_new_tokens": 3},
}


def bad_words_of(rows: list[list[int]], ends: Sequence[int]) -> list[list[int]]:
    """Words out of what the model would write by itself, and an ending token, which can't be one."""
    long = max(rows, key=len)
    return [word for word in ([long[0]], long[1:3], long[2:5], [ends[0]]) if word]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bart", "t5"])
@pytest.mark.parametrize("num_beams", [1, 3])
def test_bans_equal_transformers(kind: str, num_beams: int) -> None:
    model = tiny_model(kind)
    ends = ends_of(model)[:1]
    changed = set()
    for seed in range(2):
        inputs = inputs_of(seed)
        plain, _ = their_answer(model, inputs, ends, num_beams=num_beams, max_new_tokens=12)
        words = {"bad_words_ids": bad_words_of(plain, ends), "repetition_penalty": 1.1}
        cases = {**BANS, "bad words": words, "normalised again": {**words, "renormalize_logits": True}}
        for name, settings in cases.items():
            theirs, _ = their_answer(model, inputs, ends, num_beams=num_beams, max_new_tokens=12, **settings)
            named = {"min_tokens" if key == "min_new_tokens" else key: value for key, value in settings.items()}
            params = SamplingParams(12, temperature=0.0, num_beams=num_beams, **named)
            ours = decode(steps_for(model, inputs), params, eos_token_ids=ends)
            assert [list(each.token_ids) for each in ours] == theirs, name
            changed |= {name} if theirs != plain else set()
    assert len(changed) >= 4, changed  # the settings did something


@pytest.mark.parametrize("spread", [0.3, 2.0, 8.0])
@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p", "min_p"),
    [
        (1.0, 0, 1.0, 0.0),
        (0.7, 5, 1.0, 0.0),
        (1.0, 0, 0.9, 0.0),
        (1.3, 40, 0.8, 0.0),
        (0.9, 0, 1.0, 0.05),
        (1.5, 300, 0.95, 0.1),
        (1.0, 0, 0.999, 0.0),
        (1.0, 100_000, 0.5, 0.0),
        (2.0, 1, 0.01, 1.0),
    ],
)
def test_filters_equal_transformers(spread: float, temperature: float, top_k: int, top_p: float, min_p: float) -> None:
    logits = torch.randn(3, 1500, generator=torch.Generator().manual_seed(5)) * spread
    params = SamplingParams(1, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    warpers = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if top_k:
        warpers.append(TopKLogitsWarper(top_k))
    if top_p < 1.0:
        warpers.append(TopPLogitsWarper(top_p))
    if min_p:
        warpers.append(MinPLogitsWarper(min_p))
    expected = torch.softmax(warpers(torch.zeros(3, 1, dtype=torch.int64), logits.clone()), dim=1)
    ours = candidates(logits, [params] * 3).logprobs(1500).exp()
    assert torch.equal(ours > 0, expected > 0)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-7)


def test_repetition_penalty_equals_transformers() -> None:
    logits = torch.randn(40, generator=torch.Generator().manual_seed(6)) * 3
    history = [3, 5, 5, 9, 30, 3]
    expected = RepetitionPenaltyLogitsProcessor(1.4)(torch.tensor([history]), logits.unsqueeze(0).clone())[0]
    seen = SeenTokens()
    seen.update(history[:4])
    seen.update(history)
    ours = logits.clone()
    seen.penalize(ours, SamplingParams(1, repetition_penalty=1.4))
    torch.testing.assert_close(ours, expected, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("num_beams", [1, 4])
def test_our_model_of_their_weights_generates_the_same(tmp_path: Path, kind: str, num_beams: int) -> None:
    theirs = tiny_model(kind)
    ends = ends_of(theirs)
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path).model
    assert isinstance(ours, CausalLM)
    params = SamplingParams(12, temperature=0.0, num_beams=num_beams, length_penalty=1.2)
    prompts = [inputs_of(seed, rows=1)[:, : 3 + seed] for seed in range(3)]  # lengths differ: no padding on our side
    settings = {"num_beams": num_beams, "max_new_tokens": 12} | ({"length_penalty": 1.2} if num_beams > 1 else {})
    expected = [their_answer(theirs, prompt, ends, **settings)[0][0] for prompt in prompts]
    answers = generate(ours, [prompt[0].tolist() for prompt in prompts], params, eos_token_ids=ends)
    assert [list(answer.token_ids) for answer in answers] == expected
