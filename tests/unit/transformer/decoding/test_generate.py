from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from app.errors import InvalidInput
from app.transformer.causal_lm import CausalLM, DecoderConfig, build_causal_lm
from app.transformer.decoding.detokenize import Detokenizer
from app.transformer.decoding.generate import decode, generate
from app.transformer.decoding.params import GrammarSpec, SamplingParams
from app.transformer.decoding.sequence import GeneratedSequence, Step
from app.transformer.decoding.steps import CausalSteps
from app.transformer.rotary import RotaryConfig
from app.transformer.stores import DenseStore
from tests.unit.transformer.decoding.scripted import ScriptedSteps, random_logits
from tests.unit.transformer.decoding.vocabularies import tokenizer_of

VOCAB = 50
PROMPTS = [[3, 4, 5], [6], [7, 8, 9, 10, 11, 12, 13]]


def tiny_model(max_positions: int = 64) -> CausalLM:
    torch.manual_seed(8)
    model = build_causal_lm(
        DecoderConfig(
            vocab_size=VOCAB,
            embed_dim=16,
            num_layers=2,
            num_heads=4,
            num_kv_heads=2,
            head_dim=4,
            ff_dim=32,
            max_positions=max_positions,
            rotary=(RotaryConfig(10_000.0, 4),) * 2,
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0 if parameter.dim() > 1 else 1.0)
    return model.eval()


def logits_from_scratch(model: CausalLM, history: Sequence[int]) -> torch.Tensor:
    store = DenseStore([len(history)])
    with torch.inference_mode():
        return model.logits(model(torch.tensor(history), store.positions(), store))[-1]


def test_greedy_with_a_store_equals_the_whole_forward_each_time() -> None:
    model = tiny_model()
    answers = generate(model, PROMPTS, SamplingParams(12, temperature=0.0), eos_token_ids=[1])
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        history = list(prompt)
        for token, logprob in zip(answer.token_ids, answer.logprobs, strict=True):
            logits = logits_from_scratch(model, history)
            assert token == int(logits.argmax())
            assert logprob == pytest.approx(float(torch.log_softmax(logits, dim=0)[token]), abs=1e-5)
            history.append(token)
        assert answer.score == pytest.approx(sum(answer.logprobs))
        assert answer.finish_reason == ("stop" if answer.token_ids[-1] == 1 else "length")


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(14, seed=3, top_p=0.9, repetition_penalty=1.2, stop_token_ids=tuple(range(10, 20))),
        SamplingParams(10, num_beams=3, length_penalty=0.8, stop_token_ids=tuple(range(10, 14))),
    ],
)
def test_a_batch_gives_what_each_prompt_gives_alone(params: SamplingParams) -> None:
    model = tiny_model()
    together = generate(model, PROMPTS, params)
    alone = [generate(model, [prompt], params)[0] for prompt in PROMPTS]
    assert [each.token_ids for each in together] == [each.token_ids for each in alone]
    assert [each.finish_reason for each in together] == [each.finish_reason for each in alone]
    assert [each.score for each in together] == pytest.approx([each.score for each in alone], abs=1e-4)
    assert len({len(each.token_ids) for each in together}) > 1  # they ended at different steps


def test_prefill_in_chunks_changes_nothing() -> None:
    model = tiny_model()
    with torch.inference_mode():
        whole = CausalSteps(model, PROMPTS, max_tokens=4).start()
        for chunk in (1, 2, 5):
            parts = CausalSteps(model, PROMPTS, max_tokens=4, prefill_chunk_tokens=chunk).start()
            torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)


def test_beams_over_a_store_find_what_beams_over_whole_forwards_find() -> None:
    model = tiny_model()
    params = SamplingParams(9, num_beams=4)
    plain = ScriptedSteps(PROMPTS, lambda history: logits_from_scratch(model, history).tolist())
    assert [each.token_ids for each in generate(model, PROMPTS, params, eos_token_ids=[2, 3])] == [
        each.token_ids for each in decode(plain, params, eos_token_ids=[2, 3])
    ]


def test_limits_are_each_row_s_own_and_rows_leave_when_they_end() -> None:
    steps = ScriptedSteps([[1], [2], [3]], random_logits(30))
    answers = decode(steps, [SamplingParams(2, seed=0), SamplingParams(6, seed=1), SamplingParams(4, seed=2)])
    assert [len(answer.token_ids) for answer in answers] == [2, 6, 4]
    assert {answer.finish_reason for answer in answers} == {"length"}
    assert steps.rows_of_step == [3, 3, 2, 2, 1, 1]


def test_the_model_s_context_is_a_limit_too() -> None:
    model = tiny_model(max_positions=9)
    answers = generate(model, [[3] * 7, [4]], SamplingParams(50, temperature=0.0))
    assert [len(answer.token_ids) for answer in answers] == [2, 8]
    with pytest.raises(InvalidInput, match="leaves no room in the model's context of 9 tokens"):
        generate(model, [[3] * 9], SamplingParams(5))


@pytest.mark.parametrize(
    ("prompts", "message"),
    [([], "prompts"), ([[]], "prompts"), ([[3], []], "prompts"), ([[VOCAB]], "outside"), ([[-1]], "outside")],
)
def test_bad_prompts_are_refused(prompts: list[list[int]], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        generate(tiny_model(), prompts, SamplingParams(3))


def test_parameters_that_do_not_fit_are_refused() -> None:
    steps = ScriptedSteps([[1], [2]], random_logits(9))
    for params, message in (
        ([SamplingParams(1)], "1 entries for 2 prompts"),
        ([SamplingParams(1), SamplingParams(1, num_beams=2)], "split the batch"),
        (SamplingParams(1, stop=("a",)), "detokenizer"),
        (SamplingParams(1, grammar=GrammarSpec.regex("a")), "GrammarCompiler"),
    ):
        with pytest.raises(InvalidInput, match=message):
            decode(steps, params)


def spelling(text: str) -> ScriptedSteps:
    """Return a model that writes `text` byte by byte, whatever was chosen, then the ending token."""
    ids = [3 + byte for byte in text.encode()]

    def logits_of(history: Sequence[int]) -> list[float]:
        place = len(history) - 1
        wanted = ids[place] if place < len(ids) else 0
        return [9.0 if token == wanted else 0.0 for token in range(300)]

    return ScriptedSteps([[1]], logits_of)


def written(text: str, params: SamplingParams) -> tuple[list[Step], str, str]:
    steps: list[Step] = []
    answer = decode(
        spelling(text),
        params,
        eos_token_ids=[0],
        detokenizer=Detokenizer(tokenizer_of("byte_fallback")),
        on_step=lambda _, step: steps.append(step),
    )[0]
    assert "".join(step.text for step in steps) == answer.text
    assert tuple(step.token_id for step in steps) == answer.token_ids
    assert [step.finish_reason for step in steps[:-1]] == [None] * (len(steps) - 1)
    assert steps[-1].finish_reason == answer.finish_reason
    return steps, answer.text, answer.finish_reason


def test_text_streams_by_whole_characters() -> None:
    steps, text, reason = written("hé 你!", SamplingParams(50, temperature=0.0))
    assert [step.text for step in steps] == ["h", "", "é", " ", "", "", "你", "!", ""]
    assert (text, reason) == ("hé 你!", "stop")


def test_a_stop_string_ends_it_and_is_not_text() -> None:
    steps, text, reason = written("one STOP two", SamplingParams(50, temperature=0.0, stop=(" STOP",)))
    assert (text, reason) == ("one", "stop")
    assert len(steps) == len("one STOP")


def test_what_was_held_back_comes_with_the_end() -> None:
    assert written("one ST", SamplingParams(50, temperature=0.0, stop=(" STOP",)))[1:] == ("one ST", "stop")
    assert written("one STOP", SamplingParams(6, temperature=0.0, stop=(" STOP",)))[1:] == ("one ST", "length")
    assert written("你", SamplingParams(2, temperature=0.0))[1:] == ("\ufffd\ufffd", "length")


def test_the_limit_falls_on_the_ending_token() -> None:
    assert written("ab", SamplingParams(3, temperature=0.0))[1:] == ("ab", "stop")
    assert written("ab", SamplingParams(2, temperature=0.0))[1:] == ("ab", "length")


def test_stop_tokens_and_ignore_eos() -> None:
    assert written("abc", SamplingParams(9, temperature=0.0, stop_token_ids=(3 + ord("b"),)))[1:] == ("a", "stop")
    steps, text, reason = written("ab", SamplingParams(5, temperature=0.0, ignore_eos=True))
    assert (text, reason, len(steps)) == ("ab", "length", 5)


def test_a_cancelled_row_keeps_what_it_has_and_the_others_go_on() -> None:
    counts = [0, 0]

    def on_step(row: int, step: Step) -> None:
        counts[row] += 1

    steps = ScriptedSteps([[1], [2]], random_logits(30))
    answers = decode(
        steps, SamplingParams(8, temperature=0.0), on_step=on_step, cancelled=lambda row: row == 0 and counts[0] == 3
    )
    assert [(len(each.token_ids), each.finish_reason) for each in answers] == [(3, "cancelled"), (8, "length")]
    alone = decode(ScriptedSteps([[2]], random_logits(30)), SamplingParams(8, temperature=0.0))[0]
    assert answers[1].token_ids == alone.token_ids


def test_cancelled_before_the_start_computes_nothing() -> None:
    steps = ScriptedSteps([[1], [2]], random_logits(9))
    answers = decode(steps, SamplingParams(4), cancelled=lambda _: True)
    assert [(each.token_ids, each.finish_reason) for each in answers] == [((), "cancelled")] * 2
    assert steps.rows_of_step == []
    answers = decode(steps, SamplingParams(4), cancelled=lambda row: row == 0)
    assert [each.finish_reason for each in answers] == ["cancelled", "length"]


def test_a_beam_search_reports_its_best_at_the_end_with_its_text() -> None:
    steps: list[Step] = []
    answer = decode(
        spelling("你 ok"),
        SamplingParams(20, num_beams=2),
        eos_token_ids=[0],
        detokenizer=Detokenizer(tokenizer_of("byte_fallback")),
        on_step=lambda _, step: steps.append(step),
    )[0]
    assert (answer.text, answer.finish_reason) == ("你 ok", "stop")
    assert answer.score == pytest.approx(sum(answer.logprobs) / len(answer.token_ids), abs=1e-5)
    assert "".join(step.text for step in steps) == "你 ok"


def test_a_beam_search_cancelled_says_so() -> None:
    calls: list[int] = []

    def cancelled(row: int) -> bool:
        calls.append(row)
        return len(calls) > 3

    answer = decode(ScriptedSteps([[1]], random_logits(30)), SamplingParams(20, num_beams=2), cancelled=cancelled)[0]
    assert answer.finish_reason == "cancelled"
    assert 0 < len(answer.token_ids) < 20


def test_top_logprobs_come_with_each_step_and_in_the_result() -> None:
    steps: list[Step] = []
    answer = decode(
        ScriptedSteps([[1]], random_logits(30)),
        SamplingParams(3, temperature=0.0, logprobs=2),
        on_step=lambda _, step: steps.append(step),
    )[0]
    assert [len(top) for top in answer.tops] == [2, 2, 2]
    assert [step.top for step in steps] == list(answer.tops)
    assert all(
        top[0] == (token, logprob)
        for top, token, logprob in zip(answer.tops, answer.token_ids, answer.logprobs, strict=True)
    )


def test_a_sequence_without_tokenizer_has_no_text_but_ends_all_the_same() -> None:
    sequence = GeneratedSequence([1, 2], SamplingParams(5), eos_token_ids=[9])
    assert sequence.cancel() == ""
    assert sequence.cancel() == ""
    assert sequence.result().finish_reason == "cancelled"
    assert sequence.history == [1, 2]
