"""A decoder as documents of the RAG modes: cached steps and scores against whole forward passes, and enumeration."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from app.errors import Cancelled, InvalidInput, TooLarge
from app.generation.causal_documents import CausalDocuments
from app.generation.marginalize import Search, Written
from app.generation.rag_sequence import rag_sequence
from app.generation.rag_token import rag_token
from app.transformer.causal_lm import CausalLM, DecoderConfig, build_causal_lm
from app.transformer.rotary import RotaryConfig
from app.transformer.stores import DenseStore

ENDS = (0, 3)
WORDS = (1, 2, 4)  # what is neither an end
PROMPTS = ([1, 2, 4, 4], [1, 2, 1], [1, 2, 4, 2, 2, 1])
PRIOR = [math.log(0.5), math.log(0.4), math.log(0.1)]


@pytest.fixture(scope="module")
def model() -> CausalLM:
    torch.manual_seed(3)
    config = DecoderConfig(
        vocab_size=5,
        embed_dim=16,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        head_dim=8,
        ff_dim=32,
        max_positions=64,
        rotary=(RotaryConfig(10_000.0, 8),) * 2,
    )
    built = build_causal_lm(config).eval()
    torch.nn.init.normal_(built.embed.weight, std=0.6)
    return built


def documents(model: CausalLM, max_tokens: int = 3, **more: object) -> CausalDocuments:
    return CausalDocuments(model, PROMPTS, eos_token_ids=ENDS, max_tokens=max_tokens, rows=300, **more)  # type: ignore[arg-type]


def table(model: CausalLM, z: int, prefix: tuple[int, ...]) -> list[float]:
    """Probabilities of the next token by one forward pass over everything; END is last, all its tokens together."""
    tokens = torch.tensor([*PROMPTS[z], *prefix])
    store = DenseStore([len(tokens)])
    with torch.inference_mode():
        probs = torch.softmax(model.logits(model(tokens, store.positions(), store)[-1]), dim=0).tolist()
    end = sum(probs[each] for each in ENDS)
    return [0.0 if token in ENDS else probs[token] for token in range(5)] + [end]


def every(max_tokens: int) -> list[Written]:
    return [
        Written(tokens, ended=length < max_tokens)
        for length in range(1, max_tokens + 1)
        for tokens in itertools.product(WORDS, repeat=length)
    ]


def steps(written: Written) -> list[int]:
    return [*written.tokens, *([5] if written.ended else [])]


def test_rag_sequence_is_the_enumeration(model: CausalLM) -> None:
    expected = {
        written: sum(
            math.exp(p)
            * math.prod(table(model, z, written.tokens[:place])[token] for place, token in enumerate(steps(written)))
            for z, p in enumerate(PRIOR)
        )
        for written in every(3)
    }
    for width in (1, 100):  # with one beam most pairs are scored, with a hundred all are found
        found = rag_sequence(documents(model), PRIOR, Search(width, 3), max_hypotheses=1_000)
        assert {h.written: math.exp(h.logprob) for h in found.hypotheses} == pytest.approx(
            {h.written: expected[h.written] for h in found.hypotheses}, rel=1e-4
        )
    assert {h.written for h in found.hypotheses} == set(expected)
    empty = [table(model, z, ())[5] for z in range(3)]
    assert [math.exp(each) for each in found.empty_logprobs] == pytest.approx(empty, rel=1e-4)


def test_rag_token_is_the_enumeration(model: CausalLM) -> None:
    expected = {
        written: math.prod(
            sum(math.exp(p) * table(model, z, written.tokens[:place])[token] for z, p in enumerate(PRIOR))
            for place, token in enumerate(steps(written))
        )
        for written in every(3)
    }
    found = rag_token(documents(model), PRIOR, Search(100, 3))
    assert {h.written: math.exp(h.logprob) for h in found.hypotheses} == pytest.approx(expected, rel=1e-4)


def test_long_answers_outgrow_the_first_memory(model: CausalLM) -> None:
    each = documents(model, max_tokens=58)
    each.start()
    prefix = tuple(itertools.islice(itertools.cycle((1, 4, 2)), 57))
    logprobs = torch.empty(0)
    for token in prefix:
        logprobs = each.step([0, 1, 2], [token] * 3)
    for z in range(3):
        assert logprobs[z].exp().tolist() == pytest.approx(table(model, z, prefix), abs=1e-5)


def test_scores_of_answers_of_all_lengths_and_a_fresh_start_behind_them(model: CausalLM) -> None:
    each = documents(model, max_tokens=50)
    long = tuple(itertools.islice(itertools.cycle((2, 1, 4)), 40))
    pairs = [(z, Written(long[:length], ended)) for z in (2, 0) for length in (1, 5, 40) for ended in (True, False)] * 2
    expected = [
        sum(math.log(table(model, z, written.tokens[:place])[token]) for place, token in enumerate(steps(written)))
        for z, written in pairs
    ]
    assert each.score(pairs) == pytest.approx(expected, rel=1e-3)
    assert each.start()[1].exp().tolist() == pytest.approx(table(model, 1, ()), abs=1e-5)


def test_one_prompt_and_equal_prompts(model: CausalLM) -> None:
    twins = CausalDocuments(model, [[1, 2], [1, 2]], eos_token_ids=ENDS, max_tokens=4, rows=8)
    start = twins.start()
    assert start[0].tolist() == pytest.approx(start[1].tolist(), abs=1e-5)
    single = CausalDocuments(model, [[1]], eos_token_ids=ENDS, max_tokens=4, rows=4)
    assert rag_token(single, [0.0], Search(2, 4)).hypotheses


def test_limits_are_named(model: CausalLM) -> None:
    assert documents(model, max_tokens=500).max_tokens == 64 - 6  # the longest prompt has six tokens
    assert documents(model, max_tokens=500, context_tokens=10).max_tokens == 4
    with pytest.raises(TooLarge, match="6 tokens, and the model takes 6"):
        documents(model, context_tokens=6)
    with pytest.raises(TooLarge, match="fewer context_chunks"):
        documents(model, max_bytes=1_000)
    for prompts, ends in (([], ENDS), ([[1], []], ENDS), ([[1]], ())):
        with pytest.raises(InvalidInput, match="at least one"):
            CausalDocuments(model, prompts, eos_token_ids=ends, max_tokens=1, rows=1)
    with pytest.raises(InvalidInput, match="before start"):
        documents(model).step([0], [1])


def test_reading_the_prompts_can_be_cancelled(model: CausalLM) -> None:
    def check() -> None:
        raise Cancelled("gone")

    with pytest.raises(Cancelled):
        documents(model, check=check).start()
