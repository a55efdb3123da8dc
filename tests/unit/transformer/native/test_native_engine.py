"""The inference engine over our kernels: what a request gets does not depend on what runs beside it or came before."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from app.transformer.causal_lm import CausalLM, greedy
from app.transformer.decoding.params import SamplingParams
from app.transformer.engine.engine import Engine
from app.transformer.engine.memory import KeyValueMemory
from tests.unit.transformer.native.decoders import BASE, both, covered, needs_kernels

pytestmark = needs_kernels

WAIT_S = 60.0
GREEDY = SamplingParams(max_tokens=8, temperature=0.0)
TOKENS = 2_000


def model() -> CausalLM:
    """Its logits are far apart: rounding in another order decides nothing."""
    ours = both(replace(BASE, qkv_bias=True), "int8")[1]
    assert all(covered(ours))
    return ours


def engine(ours: CausalLM, **options: object) -> Engine:
    size = KeyValueMemory.bytes_per_token(ours.specs, torch.float32)
    given = {"max_context_tokens": 256, "cache_bytes": TOKENS * size, "block_tokens": 8, "threads": 1, **options}
    return Engine(ours, None, **given)  # type: ignore[arg-type]


def prompt(seed: int, tokens: int) -> list[int]:
    chosen = random.Random(seed)
    return [chosen.randrange(160) for _ in range(tokens)]


def test_many_at_once_get_what_each_gets_alone() -> None:
    ours = model()
    prompts = [prompt(seed, 5 + 11 * seed) for seed in range(9)]
    with engine(ours, max_batch=9, prefill_chunk_tokens=20, prefix_share=0.0) as running:
        requests = [running.submit(each, GREEDY) for each in prompts]
        gone = running.submit(prompt(50, 30), SamplingParams(max_tokens=200, temperature=0.0))
        gone.cancel()
        got = [list(request.result(WAIT_S).token_ids) for request in requests]
    assert got == [greedy(ours, [each], 8)[0] for each in prompts]


def test_a_prefix_seen_before_is_copied_and_changes_nothing() -> None:
    ours = model()
    shared = prompt(1, 120)
    with engine(ours, prefix_share=0.5) as running:
        first = running.submit(shared + prompt(2, 9), GREEDY)
        first.result(WAIT_S)
        second = running.submit(shared + prompt(3, 9), GREEDY)
        got = list(second.result(WAIT_S).token_ids)
        assert second.cached_tokens == 120
    assert got == greedy(ours, [shared + prompt(3, 9)], 8)[0]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_passages_are_kept_moved_and_partly_computed_again(share: float) -> None:
    ours = model()
    head, one, two, question = prompt(1, 6), prompt(2, 20), prompt(3, 17), prompt(4, 5)
    text, spans = head + one + two + question, [(6, 26), (26, 43)]
    other, turned = head + two + one + question, [(6, 23), (23, 43)]
    with engine(ours, prefix_share=0.0, passage_reuse=share) as running:
        first = list(running.submit(text, GREEDY, passages=spans).result(WAIT_S).token_ids)
        running.submit(other, GREEDY, passages=turned).result(WAIT_S)
        again = list(running.submit(text, GREEDY, passages=spans).result(WAIT_S).token_ids)
    assert again == first  # what is kept depends on the passage alone
    if share == 1.0:
        assert first == greedy(ours, [text], 8)[0]
