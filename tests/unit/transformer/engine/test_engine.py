from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from app.errors import Cancelled, InvalidInput, Overloaded, Unavailable
from app.transformer.causal_lm import CausalLM
from app.transformer.decoding.params import GrammarSpec, SamplingParams
from app.transformer.decoding.sequence import Step
from app.transformer.engine.engine import Engine
from app.transformer.engine.requests import End
from tests.unit.transformer.engine.tiny import (
    BYTES_PER_TOKEN,
    CONTEXT,
    VOCAB,
    greedy_alone,
    random_prompt,
    tiny_model,
)

WAIT_S = 60.0
PROMPT = random_prompt(random.Random(0), 20)
LETTERS = {chr(0x4E00 + number): number for number in range(VOCAB)}


def greedy(tokens: int, **others: object) -> SamplingParams:
    return SamplingParams(max_tokens=tokens, temperature=0.0, **others)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model() -> CausalLM:
    return tiny_model()


@pytest.fixture
def engine(model: CausalLM) -> Iterator[Engine]:
    with Engine(model, None, cache_bytes=1 << 20, block_tokens=4, max_batch=2, max_waiting=2, threads=1) as made:
        yield made


class Gate:
    """Holds the engine's thread inside a request's first step until it is opened."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, event: Step | End) -> None:
        self.reached.set()
        assert self.open.wait(WAIT_S)

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()


def test_steps_come_one_by_one_and_the_last_says_why(model: CausalLM, engine: Engine) -> None:
    request = engine.submit(PROMPT, greedy(5))
    steps = list(request)
    assert [step.token_id for step in steps] == greedy_alone(model, PROMPT, 5)
    assert [step.finish_reason for step in steps] == [None] * 4 + ["length"]
    assert list(request) == []
    assert request.result(WAIT_S).finish_reason == "length"
    assert request.first_token_at is not None
    assert request.first_token_at >= request.submitted_at


def test_a_seen_prefix_is_not_computed_again_and_changes_nothing(model: CausalLM, engine: Engine) -> None:
    engine.submit(PROMPT, greedy(3)).result(WAIT_S)
    longer = [*PROMPT, 1, 2, 3]
    second = engine.submit(longer, greedy(6))
    assert list(second.result(WAIT_S).token_ids) == greedy_alone(model, longer, 6)
    assert second.cached_tokens == 20
    same = engine.submit(longer, greedy(6))
    assert list(same.result(WAIT_S).token_ids) == greedy_alone(model, longer, 6)
    assert same.cached_tokens == 20  # of 23 tokens five whole blocks; the last token must go through the model
    assert engine.statistics().cached_prompt_tokens == 40


def test_the_answer_is_remembered_for_the_next_turn(model: CausalLM, engine: Engine) -> None:
    answer = list(engine.submit(PROMPT, greedy(10)).result(WAIT_S).token_ids)
    turn = [*PROMPT, *answer, 5, 6]
    request = engine.submit(turn, greedy(4))
    assert list(request.result(WAIT_S).token_ids) == greedy_alone(model, turn, 4)
    assert request.cached_tokens == 28  # the tenth token of the answer never went through the model


def test_prompts_that_arrive_together_share_the_work_of_their_prefix(model: CausalLM) -> None:
    prompts = [[*PROMPT, *PROMPT[::-1], number] for number in range(4)]
    with Engine(
        model, None, cache_bytes=1 << 20, block_tokens=4, alone_chunk_tokens=8, prefill_chunk_tokens=8, threads=1
    ) as engine:
        with Gate() as gate:
            engine.submit([7], greedy(1), on_event=gate)
            assert gate.reached.wait(WAIT_S)
            requests = [engine.submit(prompt, greedy(2)) for prompt in prompts]
        for prompt, request in zip(prompts, requests, strict=True):
            assert list(request.result(WAIT_S).token_ids) == greedy_alone(model, prompt, 2)
        counted = engine.statistics()
    assert counted.prompt_tokens - counted.cached_prompt_tokens <= 1 + 41 + 3 * 16


def test_namespaces_share_no_prefix_and_can_be_forgotten(engine: Engine) -> None:
    def cached(namespace: str) -> int:
        request = engine.submit(PROMPT, greedy(1), namespace=namespace)
        request.result(WAIT_S)
        return request.cached_tokens

    assert cached("a") == 0
    assert cached("b") == 0
    assert cached("a") == 16
    engine.forget_prefixes("a".__eq__)
    assert cached("a") == 0
    assert cached("b") == 16


def test_cancelling_frees_the_memory_and_keeps_what_was_given(model: CausalLM, engine: Engine) -> None:
    request = engine.submit(PROMPT, greedy(70))
    first = next(iter(request))
    request.cancel()
    request.cancel()
    result = request.result(WAIT_S)
    assert result.finish_reason == "cancelled"
    assert result.token_ids[0] == first.token_id
    assert list(result.token_ids) == greedy_alone(model, PROMPT, len(result.token_ids))
    with pytest.raises(Cancelled):
        list(request)
    counted = engine.statistics()
    assert (counted.cancelled, counted.running, counted.memory_tokens_used) == (1, 0, 0)


def test_a_request_that_waits_can_be_cancelled(engine: Engine) -> None:
    with Gate() as gate:
        held = [engine.submit([1], greedy(1), on_event=gate), engine.submit([2], greedy(1), on_event=gate)]
        assert gate.reached.wait(WAIT_S)
        waiting = [engine.submit([number], greedy(1)) for number in (3, 4)]
        waiting[0].cancel()
    with pytest.raises(Cancelled, match="waited"):
        waiting[0].result(WAIT_S)
    for request in (*held, waiting[1]):
        assert request.result(WAIT_S).finish_reason == "length"


def test_a_full_queue_refuses_and_says_when_to_come_back(engine: Engine) -> None:
    with Gate() as gate:
        engine.submit([1], greedy(2), on_event=gate)
        assert gate.reached.wait(WAIT_S)
        # One place is free in the batch, two in the queue.
        accepted = [engine.submit([number], greedy(2)) for number in (2, 3, 4)]
        with pytest.raises(Overloaded, match="max_waiting=2") as refused:
            engine.submit([5], greedy(2))
    assert refused.value.retry_after_s >= 1
    for request in accepted:
        request.result(WAIT_S)
    counted = engine.statistics()
    assert (counted.refused, counted.requests, counted.finished) == (1, 4, 4)


def test_what_does_not_fit_now_waits_for_memory(model: CausalLM) -> None:
    with Engine(model, None, cache_bytes=CONTEXT * BYTES_PER_TOKEN, prefix_share=0.0, max_batch=4, threads=1) as engine:
        with Gate() as gate:
            first = engine.submit(PROMPT, greedy(50), on_event=gate)
            assert gate.reached.wait(WAIT_S)
            second = engine.submit(PROMPT, greedy(50))
            ended: list[bool] = []
            third = engine.submit([3], greedy(1), on_event=lambda _: ended.append(first.end is not None))
            counted = engine.statistics()
            assert (counted.running, counted.waiting, counted.memory_tokens_used) == (1, 2, 69)
        expected = greedy_alone(model, PROMPT, 50)
        assert list(first.result(WAIT_S).token_ids) == expected
        assert list(second.result(WAIT_S).token_ids) == expected
        assert third.result(WAIT_S).finish_reason == "length"
        assert engine.statistics().cached_prompt_tokens == 0
    # The small one would have fitted beside the first; if it went first, large ones could wait for ever.
    assert ended == [True, True]


def test_a_long_prompt_is_read_between_the_tokens_of_others(model: CausalLM) -> None:
    long = random_prompt(random.Random(6), 60)
    given: list[str] = []
    with Engine(
        model, None, cache_bytes=1 << 20, prefill_chunk_tokens=4, alone_chunk_tokens=64, prefix_share=0.0, threads=1
    ) as engine:
        with Gate() as gate:

            def decodes(event: Step | End) -> None:
                given.append("decoded")
                gate(event)

            first = engine.submit(PROMPT, greedy(40), on_event=decodes)
            assert gate.reached.wait(WAIT_S)
            second = engine.submit(long, greedy(3), on_event=lambda _: given.append("long"))
        assert list(first.result(WAIT_S).token_ids) == greedy_alone(model, PROMPT, 40)
        assert list(second.result(WAIT_S).token_ids) == greedy_alone(model, long, 3)
    # One token before it came, and one with each of its fifteen chunks; the last chunk's may be given after its own.
    assert given.index("long") in (15, 16)


@pytest.mark.parametrize(
    ("prompt", "params", "message"),
    [
        ([], greedy(1), "prompt_ids is empty"),
        ([1] * CONTEXT, greedy(1), f"{CONTEXT} tokens, the limit is {CONTEXT - 1}"),
        ([1, VOCAB], greedy(1), f"token id {VOCAB}"),
        ([-1], greedy(1), "token id -1"),
        ([1], SamplingParams(max_tokens=1, num_beams=2), "num_beams=2"),
        ([1], greedy(1, stop=("x",)), "need a tokenizer"),
        ([1], greedy(1, grammar=GrammarSpec.choice(["x"])), "need a tokenizer"),
    ],
)
def test_a_request_that_can_not_be_fulfilled_is_refused_at_once(
    engine: Engine, prompt: list[int], params: SamplingParams, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        engine.submit(prompt, params)
    assert engine.statistics().requests == 0


def test_the_longest_prompt_gets_the_one_token_that_the_context_leaves(model: CausalLM, engine: Engine) -> None:
    prompt = random_prompt(random.Random(4), CONTEXT - 1)
    result = engine.submit(prompt, greedy(100)).result(WAIT_S)
    assert list(result.token_ids) == greedy_alone(model, prompt, 1)
    assert result.finish_reason == "length"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cache_bytes": 1000}, f"max_context_tokens={CONTEXT} needs cache_bytes="),
        ({"max_context_tokens": CONTEXT + 1}, f"the model's {CONTEXT} positions"),
        ({"max_context_tokens": 1}, "max_context_tokens=1"),
        ({"prefix_share": 1.0}, "prefix_share=1.0"),
        ({"max_batch": 0}, "max_batch=0"),
        ({"max_waiting": -1}, "max_waiting=-1"),
        ({"block_tokens": 0}, "block_tokens=0"),
        ({"prefill_chunk_tokens": 0}, "prefill_chunk_tokens=0"),
    ],
)
def test_a_bad_setting_is_named(model: CausalLM, arguments: dict, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Engine(model, None, **arguments)


def test_the_memory_that_the_message_asks_for_is_enough(model: CausalLM) -> None:
    with pytest.raises(InvalidInput) as refused:
        Engine(model, None, cache_bytes=1000, prefix_share=0.3)
    needed = int(refused.value.message.split("needs cache_bytes=")[1].split()[0])
    with Engine(model, None, cache_bytes=needed, prefix_share=0.3, threads=1) as engine:
        assert engine.submit([1] * (CONTEXT - 1), greedy(1)).result(WAIT_S).finish_reason == "length"


def test_a_model_that_breaks_fails_every_request_with_the_reason() -> None:
    broken = tiny_model()
    calls = []
    forward = broken.forward

    def breaks(*arguments: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 4:  # the first call is the engine's probe
            raise RuntimeError("the memory is full")
        return forward(*arguments)  # type: ignore[arg-type]

    broken.forward = breaks  # type: ignore[method-assign]
    with Engine(broken, None, cache_bytes=1 << 20, max_batch=1, threads=1) as engine:
        ends: list[Step | End] = []
        with Gate() as gate:
            first = engine.submit([1], greedy(9), on_event=gate)
            second = engine.submit([2], greedy(9))
            third = engine.submit([3], greedy(9), on_event=ends.append)
        for request in (first, second, third):
            with pytest.raises(Unavailable, match="RuntimeError: the memory is full"):
                request.result(WAIT_S)
        with pytest.raises(Unavailable, match="the memory is full"):
            list(second)
        assert isinstance(ends[-1], End)
        assert ends[-1].reason == "error"
        assert not engine.healthy
        with pytest.raises(Unavailable, match="the memory is full"):
            engine.submit([1], greedy(1))
        counted = engine.statistics()
    assert counted.failure == "RuntimeError: the memory is full"
    assert (counted.healthy, counted.failed, counted.running, counted.waiting) == (False, 3, 0, 0)


def test_one_request_with_damaged_logits_fails_alone() -> None:
    damaged = tiny_model()
    with torch.no_grad():
        damaged.embed.weight[5] = float("nan")
    with Engine(damaged, None, cache_bytes=1 << 20, threads=1) as engine:
        with Gate() as gate:
            engine.submit([7], greedy(1), on_event=gate)
            assert gate.reached.wait(WAIT_S)
            bad, good = engine.submit([1, 5], greedy(4)), engine.submit([1, 6], greedy(4))
        with pytest.raises(Unavailable, match="not finite"):
            bad.result(WAIT_S)
        assert list(good.result(WAIT_S).token_ids) == greedy_alone(damaged, [1, 6], 4)
        assert engine.healthy
        # Its rows held NaN; whoever gets them next must not notice.
        assert list(engine.submit([1, 6], greedy(4)).result(WAIT_S).token_ids) == greedy_alone(damaged, [1, 6], 4)


def test_a_callback_that_raises_ends_its_request_only(engine: Engine) -> None:
    def raises(_: Step | End) -> None:
        raise ValueError("the socket is closed")

    bad, good = engine.submit(PROMPT, greedy(4), on_event=raises), engine.submit(PROMPT, greedy(4))
    with pytest.raises(Unavailable, match="on_event raised ValueError: the socket is closed"):
        bad.result(WAIT_S)
    assert good.result(WAIT_S).finish_reason == "length"
    assert engine.healthy
    assert engine.statistics().memory_tokens_used == 0


def test_closing_fails_what_is_under_way_and_ends_the_thread(model: CausalLM) -> None:
    engine = Engine(model, None, cache_bytes=1 << 20, max_batch=1, threads=1)
    gate = Gate()
    running = engine.submit(PROMPT, greedy(70), on_event=gate)
    assert gate.reached.wait(WAIT_S)
    waiting = engine.submit(PROMPT, greedy(5))
    closing = threading.Thread(target=engine.close)
    closing.start()
    gate.open.set()
    closing.join(WAIT_S)
    assert not closing.is_alive()
    for request in (running, waiting):
        with pytest.raises(Unavailable, match="it was closed"):
            request.result(WAIT_S)
    engine.close()
    assert not engine.healthy
    assert "inference-engine" not in [thread.name for thread in threading.enumerate()]
    with pytest.raises(Unavailable, match="closed"):
        engine.submit(PROMPT, greedy(1))


def test_waiting_for_a_result_can_time_out_and_go_on(engine: Engine) -> None:
    with Gate() as gate:
        request = engine.submit(PROMPT, greedy(2), on_event=gate)
        assert gate.reached.wait(WAIT_S)
        with pytest.raises(TimeoutError, match=r"timeout_s=0\.001"):
            request.result(0.001)
        silent = engine.submit(PROMPT, greedy(2))
        assert silent.next_event(0.001) is None
    assert request.result(WAIT_S).finish_reason == "length"
    events = [silent.next_event(WAIT_S) for _ in range(4)]
    assert [type(event) for event in events] == [Step, Step, End, End]


async def test_an_event_loop_awaits_steps_without_blocking(model: CausalLM, engine: Engine) -> None:
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Step | End] = asyncio.Queue()
    engine.submit(PROMPT, greedy(3), on_event=lambda event: loop.call_soon_threadsafe(events.put_nowait, event))
    got = [await asyncio.wait_for(events.get(), WAIT_S) for _ in range(4)]
    assert [event.token_id for event in got[:3] if isinstance(event, Step)] == greedy_alone(model, PROMPT, 3)
    assert got[3] == End("length")


def letters() -> Tokenizer:
    made = Tokenizer(models.WordLevel(LETTERS, unk_token=next(iter(LETTERS))))
    made.decoder = decoders.BPEDecoder()
    return made


def test_text_stops_before_a_stop_string_and_at_an_ending_token(model: CausalLM) -> None:
    expected = greedy_alone(model, PROMPT, 12)
    spelled = [chr(0x4E00 + token) for token in expected]
    with Engine(model, letters(), cache_bytes=1 << 20, threads=1) as engine:
        whole = engine.submit(PROMPT, greedy(12)).result(WAIT_S)
        assert whole.text == "".join(spelled)
        stop = "".join(spelled[4:6])
        result = engine.submit(PROMPT, greedy(12, stop=(stop,))).result(WAIT_S)
        assert result.finish_reason == "stop"
        assert result.text == whole.text[: whole.text.index(stop)]
    with Engine(model, letters(), eos_token_ids=(expected[3],), cache_bytes=1 << 20, threads=1) as engine:
        ended = engine.submit(PROMPT, greedy(12)).result(WAIT_S)
        first = expected.index(expected[3])
        assert ended.token_ids == tuple(expected[: first + 1])
        assert (ended.finish_reason, ended.text) == ("stop", "".join(spelled[:first]))
        assert len(engine.submit(PROMPT, greedy(12, ignore_eos=True)).result(WAIT_S).token_ids) == 12


def test_a_grammar_holds_among_free_requests() -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    spelling = Tokenizer(models.BPE({letter: number for number, letter in enumerate([*alphabet, "<end>"])}, []))
    spelling.add_special_tokens(["<end>"])
    spelling.decoder = decoders.ByteLevel()
    wide = tiny_model(vocab_size=len(alphabet) + 1)
    with Engine(wide, spelling, eos_token_ids=(len(alphabet),), cache_bytes=1 << 20, threads=1) as engine:
        grammar = GrammarSpec.choice(["yes", "no", "perhaps"])
        bound = [engine.submit([number, 9], greedy(10, grammar=grammar)) for number in range(3)]
        free = engine.submit([1, 9], greedy(10, ignore_eos=True))
        texts = {request.result(WAIT_S).text for request in bound}
        assert texts <= {"yes", "no", "perhaps"}
        assert list(free.result(WAIT_S).token_ids) == greedy_alone(wide, [1, 9], 10)
        with pytest.raises(InvalidInput, match="regular expression"):
            engine.submit([1], greedy(2, grammar=GrammarSpec.regex("(")))
