"""What a request gets does not depend on what runs beside it, came before it, or was cut out of the batch."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.transformer.decoding.generate import generate
from app.transformer.decoding.params import SamplingParams
from app.transformer.engine.engine import Engine
from app.transformer.rotary import DynamicScaling, LongRopeScaling, RotaryScaling
from tests.unit.transformer.engine.tiny import BYTES_PER_TOKEN, CONTEXT, greedy_alone, random_prompt, tiny_model

WAIT_S = 60.0


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    max_batch=st.integers(1, 8),
    chunk=st.integers(1, 30),
    alone_chunk=st.integers(1, 60),
    block=st.integers(1, 9),
    tokens=st.integers(CONTEXT, 4 * CONTEXT),
    prefix_share=st.sampled_from([0.0, 0.2, 0.6]),
    windowed=st.booleans(),
)
def test_greedy_output_is_that_of_the_request_alone(
    seed: int,
    max_batch: int,
    chunk: int,
    alone_chunk: int,
    block: int,
    tokens: int,
    prefix_share: float,
    windowed: bool,
) -> None:
    chosen = random.Random(seed)
    model = tiny_model(windows=(7, None) if windowed else ())
    shared = random_prompt(chosen, 40)
    prompts = [shared[: chosen.randrange(41)] + random_prompt(chosen, chosen.randrange(1, 30)) for _ in range(10)]
    lengths = [chosen.randrange(1, 12) for _ in prompts]
    with Engine(
        model,
        None,
        cache_bytes=int(tokens / (1 - prefix_share) + 2) * BYTES_PER_TOKEN,
        prefix_share=prefix_share,
        max_batch=max_batch,
        prefill_chunk_tokens=chunk,
        alone_chunk_tokens=alone_chunk,
        block_tokens=block,
        threads=1,
    ) as engine:
        requests = []
        for number, (prompt, length) in enumerate(zip(prompts, lengths, strict=True)):
            # Every third one goes away after its first token, whenever that is.
            gone = number % 3 == 2
            request = engine.submit(
                prompt,
                SamplingParams(max_tokens=length + 20 * gone, temperature=0.0),
                namespace=chosen.choice("ab"),
                on_event=(lambda _, number=number: requests[number].cancel()) if gone else None,
            )
            requests.append(request)
            if chosen.random() < 0.3:
                request.result(WAIT_S)
        got = [request.result(WAIT_S) for request in requests]
        assert engine.statistics().memory_tokens_used == 0
    for prompt, result in zip(prompts, got, strict=True):
        assert list(result.token_ids) == greedy_alone(model, prompt, len(result.token_ids))
    assert [len(each.token_ids) for n, each in enumerate(got) if n % 3 != 2] == [
        length for n, length in enumerate(lengths) if n % 3 != 2
    ]


def test_a_seed_draws_the_same_tokens_alone_and_among_seven_others() -> None:
    chosen = random.Random(1)
    model = tiny_model()
    prompts = [random_prompt(chosen, 5 + n) for n in range(8)]
    params = [SamplingParams(max_tokens=12, temperature=0.9, top_p=0.95, seed=n) for n in range(8)]
    with Engine(model, None, cache_bytes=1 << 20, max_batch=8, threads=1) as engine:
        alone = [
            engine.submit(prompt, its).result(WAIT_S).token_ids for prompt, its in zip(prompts, params, strict=True)
        ]
        together = [engine.submit(prompt, its) for prompt, its in zip(prompts, params, strict=True)]
        assert [request.result(WAIT_S).token_ids for request in together] == alone
    assert len(set(alone)) == 8


def test_log_probabilities_are_the_models_own() -> None:
    model = tiny_model()
    prompt = random_prompt(random.Random(2), 9)
    with Engine(model, None, cache_bytes=1 << 20, prefill_chunk_tokens=4, alone_chunk_tokens=4, threads=1) as engine:
        result = engine.submit(prompt, SamplingParams(max_tokens=6, temperature=0.0, logprobs=2)).result(WAIT_S)
    store = model.new_store(capacity=32)
    import torch

    with torch.inference_mode():
        text = prompt + list(result.token_ids)
        hidden = model(torch.tensor(text), store.begin([len(text)]), store)
        expected = model.logits(hidden[len(prompt) - 1 : -1]).log_softmax(-1)
    chosen = expected[torch.arange(6), torch.tensor(result.token_ids)]
    assert result.logprobs == pytest.approx(chosen.tolist(), abs=1e-4)
    for top, row in zip(result.tops, expected, strict=True):
        assert [token for token, _ in top] == row.topk(2).indices.tolist()


@pytest.mark.parametrize(
    "scaling",
    [
        DynamicScaling(factor=4.0, max_positions=16),
        LongRopeScaling((1.0, 1.2, 1.5, 2.0), (1.0, 3.0, 6.0, 9.0), original_max_positions=16, attention_factor=1.1),
    ],
)
def test_texts_that_outgrow_their_angles_are_read_again_and_not_remembered(scaling: RotaryScaling) -> None:
    model = tiny_model(scaling=scaling)
    chosen = random.Random(3)
    prompts = [random_prompt(chosen, tokens) for tokens in (30, 31, 12, 29)]
    prompts.append([*prompts[0], 3, 4])
    with Engine(
        model, None, cache_bytes=1 << 20, prefill_chunk_tokens=5, alone_chunk_tokens=5, block_tokens=4, threads=1
    ) as engine:
        requests = [engine.submit(prompt, SamplingParams(max_tokens=10, temperature=0.0)) for prompt in prompts]
        got = [list(request.result(WAIT_S).token_ids) for request in requests]
        assert engine.statistics().prefix_tokens == 0
    # The third one outgrows its 16 tokens on the way, beside others that are read in parts.
    greedy = SamplingParams(max_tokens=10, temperature=0.0)
    assert got == [list(generate(model, [prompt], greedy)[0].token_ids) for prompt in prompts]
