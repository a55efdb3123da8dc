from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from app.errors import InvalidInput, Unavailable
from app.transformer.decoding.candidates import candidates
from app.transformer.decoding.params import SamplingParams
from app.transformer.decoding.sampling import Sampler, sample_batch

LOGITS = torch.log(torch.tensor([0.1, 0.5, 0.05, 0.25, 0.1]))


def probabilities(**settings: Any) -> list[float]:
    """Return what is drawn from LOGITS, in hundredths."""
    params = SamplingParams(1, **settings)
    found = candidates(LOGITS.unsqueeze(0), [params]).logprobs(5)[0].exp()
    return [round(100 * number, 2) for number in found.tolist()]


def test_each_filter_by_hand() -> None:
    assert probabilities() == [10, 50, 5, 25, 10]
    assert probabilities(top_k=2) == [0, 66.67, 0, 33.33, 0]
    assert probabilities(top_p=0.49) == [0, 100, 0, 0, 0]  # the first token alone reaches it
    assert probabilities(top_p=0.51) == [0, 66.67, 0, 33.33, 0]
    assert probabilities(top_k=2, top_p=0.6) == [0, 100, 0, 0, 0]  # of what top-k left, .667 reaches .6
    assert probabilities(min_p=0.3) == [0, 66.67, 0, 33.33, 0]
    assert probabilities(temperature=0.5) == [2.99, 74.63, 0.75, 18.66, 2.99]  # squares, normalised
    assert probabilities(temperature=0.5, top_p=0.8) == [0, 80, 0, 20, 0]


def test_tokens_as_likely_as_the_last_of_top_k_stay() -> None:
    assert probabilities(top_k=3) == [10.53, 52.63, 0, 26.32, 10.53]
    even = torch.zeros(1, 500)
    kept = candidates(even, [SamplingParams(1, top_k=3)]).logprobs(500)
    assert int((kept > -math.inf).sum()) == 500  # beyond the first width, too


def test_the_draw_follows_the_distribution() -> None:
    rows = 4000
    found = candidates(LOGITS.repeat(rows, 1), [SamplingParams(1, top_p=0.94)] * rows)
    drawn = Counter(found.draw([(row + 0.5) / rows for row in range(rows)]).tolist())
    assert set(drawn) == {0, 1, 3, 4}
    for token, share in ((0, 0.1 / 0.95), (1, 0.5 / 0.95), (3, 0.25 / 0.95), (4, 0.1 / 0.95)):
        assert drawn[token] / rows == pytest.approx(share, abs=0.001)


@pytest.mark.parametrize("vocab_size", [100, 128, 129, 1000, 1024])
def test_drawing_by_blocks_is_drawing_from_the_running_sum(vocab_size: int) -> None:
    generator = torch.Generator().manual_seed(vocab_size)
    logits = torch.randn(1, vocab_size, generator=generator) * 3
    logits[0, torch.randperm(vocab_size, generator=generator)[: vocab_size // 3]] = -math.inf
    running = torch.softmax(logits[0].double(), dim=0).cumsum(dim=0)
    uniforms = [0.0, 1 - 2**-53, *torch.rand(300, generator=generator, dtype=torch.float64).tolist()]
    drawn = candidates(logits.repeat(len(uniforms), 1), [SamplingParams(1)] * len(uniforms)).draw(uniforms).tolist()
    for uniform, token in zip(uniforms, drawn, strict=True):
        assert logits[0, token] > -math.inf
        before = float(running[token - 1]) if token else 0.0
        assert before - 1e-6 <= uniform <= float(running[token]) + 1e-6


def test_every_uniform_lands_on_a_token_in_play() -> None:
    masked = torch.tensor([[-math.inf, 0.0, -math.inf, 0.0, -math.inf]])
    for params in (SamplingParams(1), SamplingParams(1, top_p=0.999), SamplingParams(1, top_k=4)):
        found = candidates(masked, [params])
        assert [int(found.draw([u])[0]) for u in (0.0, 0.4999, 0.5, 1 - 2**-53)] == [1, 1, 3, 3]


def draws(params: SamplingParams, beside: list[SamplingParams], steps: int = 12) -> list[int]:
    """Return what a request draws in a batch with others, step by step, over the same logits."""
    generator = torch.Generator().manual_seed(9)
    samplers = [Sampler(each) for each in (*beside, params)]
    chosen: list[int] = []
    for _ in range(steps):
        mine = torch.randn(300, generator=generator) * 2
        logits = torch.stack([*(torch.randn(300) for _ in beside), mine])
        chosen.append(sample_batch(logits, samplers, [[1]] * len(samplers))[-1].token_id)
    return chosen


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(20, seed=5),
        SamplingParams(20, seed=5, top_k=7),
        SamplingParams(20, seed=5, top_p=0.9, temperature=1.4),
        SamplingParams(20, seed=5, min_p=0.1),
    ],
)
def test_a_seed_gives_the_same_tokens_whatever_runs_beside_it(params: SamplingParams) -> None:
    alone = draws(params, [])
    others = [
        SamplingParams(20, seed=1),
        SamplingParams(20, temperature=0.0),
        SamplingParams(20, top_k=150),
        SamplingParams(20, top_p=0.9999, temperature=3.0),
    ]
    torch.manual_seed(0)
    assert draws(params, others) == alone
    assert draws(params, others[:1]) == alone
    assert len(set(alone)) > 3
    assert draws(SamplingParams(20, seed=6, top_k=params.top_k, top_p=params.top_p), []) != alone


def test_without_a_seed_two_requests_differ() -> None:
    flat = torch.zeros(100_000)
    one, other = Sampler(SamplingParams(1)), Sampler(SamplingParams(1))
    assert [one.next(flat, [0]).token_id for _ in range(4)] != [other.next(flat, [0]).token_id for _ in range(4)]


def test_greedy_takes_the_lowest_id_among_equals() -> None:
    logits = torch.tensor([0.0, 3.0, 3.0, 1.0])
    assert Sampler(SamplingParams(1, temperature=0.0)).next(logits, [0]).token_id == 1
    assert Sampler(SamplingParams(1, top_k=1, seed=2)).next(logits, [0]).token_id == 1


def test_logprobs_of_the_model_ignore_what_sampling_changed() -> None:
    params = SamplingParams(5, temperature=0.0, repetition_penalty=9.0, logprobs=2)
    sampled = Sampler(params).next(LOGITS, [1])
    assert sampled.token_id == 3  # token 1 was in the prompt: its logit −.69 became −6.2
    assert sampled.logprob == pytest.approx(math.log(0.25), abs=1e-6)
    assert [token for token, _ in sampled.top] == [1, 3]
    assert [value for _, value in sampled.top] == pytest.approx([math.log(0.5), math.log(0.25)], abs=1e-6)


def test_logprobs_of_what_was_sampled_count_every_change() -> None:
    params = SamplingParams(5, top_k=2, temperature=0.5, logprobs=4, logprobs_of="sampled", seed=1)
    sampled = Sampler(params).next(LOGITS, [0])
    assert dict(sampled.top) == pytest.approx({1: math.log(0.8), 3: math.log(0.2)}, abs=1e-6)
    assert sampled.logprob == pytest.approx(dict(sampled.top)[sampled.token_id])


def test_presence_and_frequency_count_generated_tokens_alone() -> None:
    logits = torch.tensor([1.0, 1.5, 1.2])
    sampler = Sampler(SamplingParams(9, temperature=0.0, presence_penalty=0.25, frequency_penalty=0.1))
    history = [1, 1, 1]  # the prompt
    for expected in (1, 2, 1, 1, 0):
        # 1.5, 1.2, 1.0 → 1.15 after one `1` → .85 after one `2` → 1.05, .95 with more `1`
        history.append(sampler.next(logits, history).token_id)
        assert history[-1] == expected
    assert torch.equal(logits, torch.tensor([1.0, 1.5, 1.2]))  # the caller's logits stay


def test_min_tokens_holds_ends_back() -> None:
    logits = torch.tensor([5.0, 4.0, 1.0, 0.0])
    params = SamplingParams(9, temperature=0.0, min_tokens=2, stop_token_ids=(1,))
    sampler = Sampler(params, eos_token_ids=(0,))
    assert [sampler.next(logits, [3]).token_id for _ in range(3)] == [2, 2, 0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_an_error(bad: float) -> None:
    with pytest.raises(Unavailable, match="not finite"):
        Sampler(SamplingParams(1)).next(torch.tensor([0.0, bad, 1.0]), [0])


class NoToken:
    finished = False

    def mask(self) -> Tensor:
        return torch.zeros(5, dtype=torch.bool)

    def accept(self, token_id: int) -> None:
        raise AssertionError("nothing can be accepted")


def test_a_constraint_that_allows_nothing_is_an_error_not_a_wrong_token() -> None:
    with pytest.raises(Unavailable, match="allows none of the tokenizer's tokens"):
        Sampler(SamplingParams(1), constraint=NoToken()).next(LOGITS, [0])


class OnlyTheEnd:
    """A constraint whose text is complete."""

    finished = False

    def mask(self) -> Tensor:
        return torch.tensor([False, False, True, False, False])

    def accept(self, token_id: int) -> None:
        assert token_id == 2


def test_where_nothing_else_may_follow_the_end_comes_before_min_tokens() -> None:
    params = SamplingParams(9, temperature=0.0, min_tokens=5)
    assert Sampler(params, eos_token_ids=(2,), constraint=OnlyTheEnd()).next(LOGITS, [0]).token_id == 2


class Tangled:
    """A constraint that chokes on every token."""

    finished = False

    def mask(self) -> None:
        return None

    def accept(self, token_id: int) -> None:
        raise InvalidInput("too deep")


def test_a_row_that_fails_leaves_the_others_undrawn() -> None:
    logits = torch.randn(3, 60, generator=torch.Generator().manual_seed(4))
    good, tangled = Sampler(SamplingParams(9, seed=1)), Sampler(SamplingParams(9, seed=2), constraint=Tangled())
    lonely = Sampler(SamplingParams(9, seed=1))
    expected = [lonely.next(row, [0]).token_id for row in logits]
    got = [sample_batch(logits[:1].repeat(2, 1), [tangled, good], [[0], [0]])[1].token_id]  # its failure comes next
    with pytest.raises(InvalidInput, match="too deep"):
        sample_batch(logits[1:2].repeat(2, 1), [good, tangled], [[0], [0]])
    got += [good.next(row, [0]).token_id for row in logits[1:]]
    assert got == expected


def test_a_batch_of_all_kinds_gives_what_each_gives_alone() -> None:
    params = [
        SamplingParams(9, temperature=0.0, logprobs=3),
        SamplingParams(9, seed=4, top_p=0.8, repetition_penalty=1.3),
        SamplingParams(9, seed=5),
        SamplingParams(9, seed=6, top_k=3, min_tokens=4, stop_token_ids=(2,)),
        SamplingParams(9, seed=7, min_p=0.2, frequency_penalty=0.5, logprobs=2, logprobs_of="sampled"),
        SamplingParams(9, top_k=1),
    ]
    logits = torch.randn(4, len(params), 90, generator=torch.Generator().manual_seed(2)) * 2
    together = [Sampler(each) for each in params]
    alone = [Sampler(each) for each in params]
    histories: list[list[int]] = [[3, 5, 8]] * len(params)
    for step in logits:
        batch = sample_batch(step, together, histories)
        single = [sampler.next(row, history) for sampler, row, history in zip(alone, step, histories, strict=True)]
        assert [each.token_id for each in batch] == [each.token_id for each in single]
        assert [each.logprob for each in batch] == pytest.approx([each.logprob for each in single], abs=1e-6)
        assert [len(each.top) for each in batch] == [3, 0, 0, 0, 2, 0]
        histories = [[*history, each.token_id] for history, each in zip(histories, batch, strict=True)]
