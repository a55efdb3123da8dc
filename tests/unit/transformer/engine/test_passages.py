from __future__ import annotations

import math
import random

import pytest
import torch
from torch import Tensor

from app.errors import InvalidInput
from app.transformer.causal_attention import AttentionSpec
from app.transformer.causal_lm import CausalLM
from app.transformer.decoding.params import SamplingParams
from app.transformer.decoding.sequence import GeneratedSequence
from app.transformer.engine.engine import Engine
from app.transformer.engine.memory import BatchStore, Extent, KeyValueMemory, Segment
from app.transformer.engine.passages import PassageBlender
from app.transformer.engine.requests import Request
from app.transformer.engine.schedule import Running
from app.transformer.rotary import YarnScaling
from app.transformer.stores import DenseStore
from tests.unit.transformer.engine.tiny import BYTES_PER_TOKEN, greedy_alone, random_prompt, tiny_model

WAIT_S = 60.0
GREEDY = SamplingParams(max_tokens=6, temperature=0.0)
CHOSEN = random.Random(8)
ONE, TWO = random_prompt(CHOSEN, 11), random_prompt(CHOSEN, 9)
HEAD, QUESTION = random_prompt(CHOSEN, 5), random_prompt(CHOSEN, 4)


def joined(*parts: list[int]) -> tuple[list[int], list[tuple[int, int]]]:
    """A prompt of `HEAD`, passages and `QUESTION`, and where the passages stand."""
    text, spans = list(HEAD), []
    for part in parts:
        spans.append((len(text), len(text) + len(part)))
        text += part
    return text + QUESTION, spans


class BlockStore:
    """Written out: a passage's tokens see their passage alone, all others see everything before them."""

    def __init__(self, tokens: int, spans: list[tuple[int, int]]) -> None:
        self.mask = torch.ones(tokens, tokens, dtype=torch.bool).tril()
        for start, end in spans:
            self.mask[start:end, :start] = False

    def attend(self, spec: AttentionSpec, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        groups = spec.num_heads // spec.num_kv_heads
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        scores = torch.einsum("qhd,khd->hqk", query, key) * spec.scale
        weights = scores.masked_fill(~self.mask, -math.inf).softmax(-1)
        return torch.einsum("hqk,khd->qhd", weights, value)


@torch.inference_mode()
def block_attention(model: CausalLM, prompt: list[int], spans: list[tuple[int, int]], tokens: int) -> list[int]:
    text = list(prompt)
    for _ in range(tokens):
        hidden = model(torch.tensor(text), torch.arange(len(text)), BlockStore(len(text), spans))
        text.append(int(model.logits(hidden[-1]).argmax()))
    return text[len(prompt) :]


def engine(model: CausalLM, share: float | None, **others: int) -> Engine:
    return Engine(
        model,
        None,
        cache_bytes=1 << 20,
        block_tokens=2,
        prefill_chunk_tokens=5,
        alone_chunk_tokens=7,
        passage_reuse=share,
        threads=1,
        **others,
    )


@pytest.mark.parametrize(
    "scaling", [None, YarnScaling(factor=4.0, original_max_positions=24, attention_factor=1.2)], ids=["plain", "yarn"]
)
def test_without_corrections_it_is_block_attention(scaling: YarnScaling | None) -> None:
    model = tiny_model(scaling=scaling)
    with engine(model, 0.0) as blending:
        for parts in ((ONE, TWO), (TWO, ONE), (ONE, ONE)):
            prompt, spans = joined(*parts)
            request = blending.submit(prompt, GREEDY, passages=spans)
            assert list(request.result(WAIT_S).token_ids) == block_attention(model, prompt, spans, 6)
            assert request.cached_tokens >= sum(map(len, parts))
            assert list(request.result().token_ids) != greedy_alone(model, prompt, 6)


def test_with_every_token_corrected_it_is_the_ordinary_prompt() -> None:
    model = tiny_model()
    prompt, spans = joined(ONE, TWO)
    with engine(model, 1.0) as blending:
        assert list(blending.submit(prompt, GREEDY, passages=spans).result(WAIT_S).token_ids) == greedy_alone(
            model, prompt, 6
        )


def test_a_passage_at_the_beginning_loses_nothing() -> None:
    model = tiny_model()
    prompt = ONE + QUESTION
    with engine(model, 0.0) as blending:
        got = blending.submit(prompt, GREEDY, passages=[(0, len(ONE))]).result(WAIT_S)
        whole = blending.submit(ONE, GREEDY, passages=[(0, len(ONE))]).result(WAIT_S)
    assert list(got.token_ids) == greedy_alone(model, prompt, 6)
    assert list(whole.token_ids) == greedy_alone(model, ONE, 6)  # its last token gave the logits


def test_an_answer_does_not_depend_on_what_was_kept_or_on_neighbours() -> None:
    model = tiny_model()
    prompts = [joined(ONE, TWO), joined(TWO, ONE), joined(TWO)]
    alone = []
    for prompt, spans in prompts:
        with engine(model, 0.3) as fresh:
            alone.append(fresh.submit(prompt, GREEDY, passages=spans).result(WAIT_S).token_ids)
    with engine(model, 0.3) as blending:
        plain = random_prompt(random.Random(1), 30)
        requests = [blending.submit(prompt, GREEDY, passages=spans) for prompt, spans in prompts * 2]
        beside = blending.submit(plain, GREEDY)
        gone = blending.submit(prompts[0][0], GREEDY, passages=prompts[0][1])
        gone.cancel()
        assert [request.result(WAIT_S).token_ids for request in requests] == alone * 2
        assert list(beside.result(WAIT_S).token_ids) == greedy_alone(model, plain, 6)
        reused = blending.statistics().reused_passage_tokens
        assert blending.statistics().memory_tokens_used == 0
    # Of 20, 20 and 9 tokens 30 percent, rounded up, are computed again; the cancelled request may add its own 14.
    assert reused in (2 * (14 + 14 + 6), 2 * (14 + 14 + 6) + 14)


def test_what_follows_a_reused_passage_never_serves_as_an_exact_prefix() -> None:
    model = tiny_model()
    prompt, spans = joined(ONE, TWO)
    with engine(model, 0.0) as blending:
        blending.submit(prompt, GREEDY, passages=spans).result(WAIT_S)
        ordinary = blending.submit(prompt, GREEDY)
        assert list(ordinary.result(WAIT_S).token_ids) == greedy_alone(model, prompt, 6)
        assert ordinary.cached_tokens == 4  # whole blocks of the five tokens before the first passage
        again = blending.submit(prompt, GREEDY, passages=spans)
        assert list(again.result(WAIT_S).token_ids) == block_attention(model, prompt, spans, 6)


def test_passages_mean_nothing_while_reuse_is_off() -> None:
    model = tiny_model()
    prompt, spans = joined(ONE, TWO)
    with engine(model, None) as plain:
        assert list(plain.submit(prompt, GREEDY, passages=spans).result(WAIT_S).token_ids) == greedy_alone(
            model, prompt, 6
        )


@pytest.mark.parametrize("spans", [[(-1, 3)], [(2, 2)], [(4, 6), (5, 7)], [(6, 8), (2, 4)], [(0, 99)]])
def test_spans_that_are_none_are_refused(spans: list[tuple[int, int]]) -> None:
    with engine(tiny_model(), 0.1) as blending, pytest.raises(InvalidInput, match="passages="):
        blending.submit(ONE, GREEDY, passages=spans)


def test_bad_shares_and_models_without_movable_keys_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"passage_reuse=1\.5"):
        engine(tiny_model(), 1.5)
    model = tiny_model()
    object.__setattr__(model.config, "attention_softcap", 30.0)
    with pytest.raises(InvalidInput, match=r"attention_softcap=30\.0"):
        engine(model, 0.1)


def blender(model: CausalLM, share: float, capacity_bytes: int = 1 << 20) -> tuple[PassageBlender, KeyValueMemory]:
    memory = KeyValueMemory(model.specs, 60, dtype=torch.float32, device="cpu")
    return PassageBlender(model, memory, share=share, capacity_bytes=capacity_bytes), memory


def prepare(
    blending: PassageBlender, prompt: list[int], spans: list[tuple[int, int]], namespace: str = ""
) -> tuple[Running, int]:
    """The prepared request, and how many passes of the model that took."""
    request = Request(prompt, GREEDY, namespace, tuple(spans), None, lambda: None)
    running = Running(request, GeneratedSequence(prompt, GREEDY), Extent(10, 50))
    with torch.inference_mode():
        return running, sum(1 for _ in blending.prepare(running, spans))


class Recorder(DenseStore):
    def __init__(self, lengths: list[int]) -> None:
        super().__init__(lengths)
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def attend(self, spec: AttentionSpec, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.keys.append(key)
        self.values.append(value)
        return super().attend(spec, query, key, value)


@torch.inference_mode()
def test_the_tokens_computed_again_are_those_that_differ_most() -> None:
    model = tiny_model()
    prompt, spans = joined(ONE, TWO)
    blending, memory = blender(model, 0.25)
    running, _ = prepare(blending, prompt, spans)
    full = Recorder([len(prompt)])
    model(torch.tensor(prompt), torch.arange(len(prompt)), full)
    gaps = torch.zeros(len(prompt))
    inside = [place for start, end in spans for place in range(start, end)]
    for start, end in spans:
        alone = Recorder([end - start])
        model(torch.tensor(prompt[start:end]), torch.arange(start, end), alone)
        rows = slice(10 + start, 10 + end)
        for layer in range(2):
            torch.testing.assert_close(memory.keys[layer, rows], alone.keys[layer], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(memory.values[layer, rows], alone.values[layer], atol=1e-4, rtol=1e-4)
        for mine, theirs in ((full.keys[1], alone.keys[1]), (full.values[1], alone.values[1])):
            scale = mine[inside].square().sum((1, 2)).mean()
            gaps[start:end] += (mine[start:end] - theirs).square().sum((1, 2)) / scale
    assert running.reused == set(inside) - set(gaps.topk(5).indices.tolist())
    assert running.pending == len(prompt) - 15


def test_kept_passages_are_not_read_again_until_memory_or_their_owner_says_so() -> None:
    model = tiny_model()
    room = 2 * len(ONE) * BYTES_PER_TOKEN  # ONE and TWO fit, a third one pushes the oldest out
    blending, _ = blender(model, 0.0, room)
    passes = [prepare(blending, *joined(ONE, TWO), name)[1] for name in ("a", "a")]
    assert passes == [2, 0]
    assert prepare(blending, *joined(ONE), "b")[1] == 1
    assert prepare(blending, *joined(TWO), "a")[1] == 0
    assert prepare(blending, *joined(ONE), "a")[1] == 1
    blending.forget("a".__eq__)
    assert prepare(blending, *joined(ONE), "a")[1] == 1


@pytest.mark.parametrize("window", [None, 4])
def test_scattered_tokens_attend_to_everything_before_them(window: int | None) -> None:
    torch.manual_seed(0)
    spec = AttentionSpec(0, num_heads=4, num_kv_heads=2, head_dim=4, scale=0.5, window=window)
    memory = KeyValueMemory([spec], 12, dtype=torch.float32, device="cpu")
    query, key, value = torch.randn(9, 4, 4), torch.randn(9, 2, 4), torch.randn(9, 2, 4)
    expected = DenseStore([9]).attend(spec, query, key, value)
    memory.keys[0, 2:11], memory.values[0, 2:11] = key, value
    scattered = [1, 2, 6, 8]
    memory.keys[0, [2 + place for place in scattered]] = float("nan")  # written by the pass itself
    store = BatchStore(memory, [Segment(Extent(2, 9), tuple(scattered))])
    mixed = store.attend(spec, query[scattered], key[scattered], value[scattered])
    torch.testing.assert_close(mixed, expected[scattered], atol=1e-5, rtol=1e-5)
