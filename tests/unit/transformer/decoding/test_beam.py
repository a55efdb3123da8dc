from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from app.errors import Unavailable
from app.transformer.decoding.beam import BeamGroup, Continuation, beam_search
from app.transformer.decoding.params import EarlyStopping, SamplingParams
from tests.unit.transformer.decoding.scripted import ScriptedSteps, random_logits

END = 0


def log(*numbers: float) -> list[float]:
    return [math.log(number) if number else -math.inf for number in numbers]


def garden_path(history: Sequence[int]) -> list[float]:
    """`1` looks best at first, but everything behind it is improbable; behind `2` all is certain."""
    return {
        (): log(0, 0.6, 0.4, 0),
        (1,): log(0.1, 0.3, 0.3, 0.3),
        (2,): log(0, 0, 0, 1),
        (2, 3): log(1, 0, 0, 0),
    }.get(tuple(history[1:]), log(0.25, 0.25, 0.25, 0.25))


def search(
    num_beams: int, length_penalty: float = 1.0, early_stopping: EarlyStopping = False, max_tokens: int = 3
) -> list[tuple[list[int], float]]:
    params = SamplingParams(
        max_tokens, num_beams=num_beams, length_penalty=length_penalty, early_stopping=early_stopping
    )
    found = beam_search(ScriptedSteps([[3]], garden_path), [params], eos_token_ids=[END])[0]
    return [(list(each.token_ids), each.score) for each in found]


def test_beams_find_what_greedy_misses() -> None:
    assert search(1)[0][0][0] == 1
    tokens, score = search(2)[0]
    assert tokens == [2, 3, END]
    assert score == pytest.approx(math.log(0.4) / 3, abs=1e-6)


def test_scores_are_divided_by_length_to_the_penalty() -> None:
    for penalty in (0.0, 0.5, 2.0, -1.0):
        for tokens, score in search(3, length_penalty=penalty, early_stopping="never"):
            total, history = 0.0, [3]
            for token in tokens:
                total += torch.log_softmax(torch.tensor(garden_path(history)), dim=0)[token].item()
                history.append(token)
            assert score == pytest.approx(total / len(tokens) ** penalty, abs=1e-5)


def group(early_stopping: EarlyStopping, length_penalty: float = 1.0, limit: int = 9) -> BeamGroup:
    return BeamGroup(
        num_beams=2, length_penalty=length_penalty, early_stopping=early_stopping, ends=frozenset({END}), limit=limit
    )


def fill(beams: BeamGroup, live_total: float) -> None:
    """Two hypotheses end at the second token with totals −2 and −3; the live one has `live_total`."""
    beams.advance([Continuation(0, 1, -0.5, -0.5), Continuation(0, 2, -0.6, -0.6)])
    parents = beams.advance(
        [
            Continuation(0, END, -1.5, -2.0),
            Continuation(1, END, -2.4, -3.0),
            Continuation(1, 3, live_total + 0.6, live_total),
        ]
    )
    assert parents == [1]
    assert [each.total for each in beams.finished] == [-2.0, -3.0]
    assert beams.live[0].token_ids == (2, 3)


@pytest.mark.parametrize(
    ("early_stopping", "live_total", "done"),
    [
        (True, -2.5, True),  # two are finished: enough
        (False, -2.5, False),  # −2.5/2 is better than the worse finished one, −3/2
        (False, -3.5, True),  # −3.5/2 is not, although …
        ("never", -3.5, False),  # … −3.5/9 would be, if it went on to the limit for nothing
        ("never", -14.0, True),
    ],
)
def test_when_a_search_ends(early_stopping: EarlyStopping, live_total: float, done: bool) -> None:
    beams = group(early_stopping)
    fill(beams, live_total)
    assert beams.done is done


def test_an_end_beyond_the_first_num_beams_does_not_count() -> None:
    beams = group(False)
    beams.advance([Continuation(0, 1, -1, -1), Continuation(0, 2, -2, -2), Continuation(0, END, -3, -3)])
    assert beams.finished == []
    assert [each.token_ids for each in beams.live] == [(1,), (2,)]


def test_at_the_limit_all_are_finished_and_none_ended() -> None:
    beams = group(False, limit=1)
    assert beams.advance([Continuation(0, 1, -1, -1), Continuation(0, 2, -2, -2), Continuation(0, 3, -3, -3)]) == []
    assert beams.done
    assert [(each.token_ids, each.ended) for each in beams.best()] == [((1,), False), ((2,), False)]


def test_a_prompt_gives_the_same_beams_alone_and_beside_others() -> None:
    prompts = [[1, 2], [5], [7, 7, 7]]
    params = [
        SamplingParams(7, num_beams=3),
        SamplingParams(4, num_beams=2, length_penalty=0.3),
        SamplingParams(9, num_beams=4, early_stopping=True, stop_token_ids=(4,)),
    ]
    steps = ScriptedSteps(prompts, random_logits(12))
    together = beam_search(steps, params, eos_token_ids=[END])
    for prompt, each, found in zip(prompts, params, together, strict=True):
        alone = beam_search(ScriptedSteps([prompt], random_logits(12)), [each], eos_token_ids=[END])[0]
        assert [(h.token_ids, h.score) for h in found] == [(h.token_ids, h.score) for h in alone]
    assert steps.rows_of_step[0] == 3  # one row a prompt until the beams fork
    assert steps.rows_of_step[1] == 3 + 2 + 4
    assert steps.rows_of_step[-1] < 9  # searches that ended give their rows back


def test_every_hypothesis_follows_its_own_history() -> None:
    logits_of = random_logits(9)
    for hypothesis in beam_search(
        ScriptedSteps([[4, 4]], logits_of), [SamplingParams(6, num_beams=4)], eos_token_ids=[END]
    )[0]:
        history = [4, 4]
        for token, logprob in zip(hypothesis.token_ids, hypothesis.logprobs, strict=True):
            expected = torch.log_softmax(torch.tensor(logits_of(history)), dim=0)[token]
            assert logprob == pytest.approx(float(expected), abs=1e-5)
            history.append(token)


def test_more_beams_than_tokens_is_no_error() -> None:
    found = beam_search(ScriptedSteps([[1]], random_logits(3)), [SamplingParams(3, num_beams=8)], eos_token_ids=[END])[
        0
    ]
    assert len({each.token_ids for each in found}) == len(found) == 8


def test_a_cancelled_search_gives_what_it_has() -> None:
    calls = []

    def cancelled(place: int) -> bool:
        calls.append(place)
        return len(calls) > 4

    found = beam_search(ScriptedSteps([[1]], random_logits(40)), [SamplingParams(50, num_beams=2)], cancelled=cancelled)
    assert 1 <= len(found[0][0].token_ids) <= 4


def test_logits_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(Unavailable, match="not finite"):
        beam_search(ScriptedSteps([[1]], lambda _: [0.0, math.nan]), [SamplingParams(3, num_beams=2)])
