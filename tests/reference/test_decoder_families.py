"""Every decoder family against `transformers`: the same random folder, theirs and ours, in and back out."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from app.transformer import rotary
from app.transformer.causal_lm import CausalLM, greedy
from app.transformer.checkpoints.loading import LoadedModel, load_model
from app.transformer.checkpoints.saving import save_model
from app.transformer.decoding.generate import CausalSteps, decode, generate
from app.transformer.decoding.params import SamplingParams
from app.transformer.engine.engine import Engine
from app.transformer.fuse import fuse, unfuse
from app.transformer.stores import DenseStore

VOCAB = 97
LONG = (20, 11, 16)  # longer than every window and every "original" length below
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def _rope(kind: str, **fields: object) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10_000.0, **fields}}


LLAMA3 = _rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
LONG_ROPE = {
    **_rope(
        "longrope",
        partial_rotary_factor=0.75,
        short_factor=[1.0, 1.5, 2.0],
        long_factor=[1.0, 3.0, 5.0],
    ),
    "original_max_position_embeddings": 8,
}
CASES: dict[str, Callable[[], Any]] = {
    "llama 2": lambda: transformers.LlamaConfig(**SIZES),
    "llama 3": lambda: transformers.LlamaConfig(**SIZES, **LLAMA3, tie_word_embeddings=True),
    "llama, biases": lambda: transformers.LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True),
    "llama, multi-query, wide heads": lambda: transformers.LlamaConfig(
        **SIZES | {"num_key_value_heads": 1}, head_dim=12
    ),
    "llama, linear": lambda: transformers.LlamaConfig(**SIZES, **_rope("linear", factor=2.0)),
    "llama, dynamic": lambda: transformers.LlamaConfig(
        **SIZES | {"max_position_embeddings": 8}, **_rope("dynamic", factor=2.0)
    ),
    "llama, yarn": lambda: transformers.LlamaConfig(
        **SIZES, **_rope("yarn", factor=4.0, original_max_position_embeddings=16)
    ),
    "llama, yarn with mscale": lambda: transformers.LlamaConfig(
        **SIZES,
        **_rope(
            "yarn", factor=4.0, original_max_position_embeddings=16, mscale=0.7, mscale_all_dim=0.4, beta_fast=20.0
        ),
    ),
    "mistral": lambda: transformers.MistralConfig(**SIZES, sliding_window=5),
    "mistral, no window": lambda: transformers.MistralConfig(**SIZES, sliding_window=None),
    "qwen2": lambda: transformers.Qwen2Config(**SIZES, tie_word_embeddings=True),
    "qwen2, windows": lambda: transformers.Qwen2Config(
        **SIZES, use_sliding_window=True, sliding_window=4, max_window_layers=2
    ),
    "qwen3": lambda: transformers.Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=True),
    "smollm3": lambda: transformers.SmolLM3Config(**SIZES),
    "gemma 2": lambda: transformers.Gemma2Config(**SIZES, head_dim=8, sliding_window=5, query_pre_attn_scalar=12),
    "gemma 3": lambda: transformers.Gemma3TextConfig(
        **SIZES | {"num_hidden_layers": 7}, head_dim=8, sliding_window=5, query_pre_attn_scalar=12
    ),
    "gemma 3, stretched": lambda: transformers.Gemma3TextConfig(
        **SIZES | {"num_hidden_layers": 7},
        head_dim=8,
        sliding_window=5,
        query_pre_attn_scalar=12,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        },
    ),
    "phi-3": lambda: transformers.Phi3Config(**SIZES, sliding_window=6),
    "phi-3, long": lambda: transformers.Phi3Config(**SIZES, **LONG_ROPE),
    "gpt-2": lambda: transformers.GPT2Config(
        vocab_size=VOCAB, n_embd=32, n_layer=3, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2
    ),
}
# There the angles depend on the longest sequence of their batch; ours on each sequence alone.
BY_LENGTH = ("llama, dynamic", "phi-3, long")


@functools.cache
def _theirs(case: str) -> Any:
    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(CASES[case](), attn_implementation="eager").eval()
    for name, parameter in model.named_parameters():
        # Norms and biases too: at their initial 1 and 0 a mistake in them would not show.
        centre = 1.0 if ("norm" in name or "ln_" in name) and name.endswith("weight") else 0.0
        parameter.data = torch.randn_like(parameter) * 0.3 + centre
    return model


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def theirs(case: str) -> Any:
    # A copy: their dynamic rotary positions remember the longest sequence that they have ever seen.
    return copy.deepcopy(_theirs(case))


@pytest.fixture
def folder(theirs: Any, tmp_path: Path) -> Path:
    theirs.save_pretrained(tmp_path / "theirs")
    return tmp_path / "theirs"


@pytest.fixture
def loaded(folder: Path) -> LoadedModel:
    return load_model(folder)


@pytest.fixture
def ours(loaded: LoadedModel) -> CausalLM:
    assert isinstance(loaded.model, CausalLM)
    return loaded.model


def _prompts(*lengths: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(3, VOCAB, (length,), generator=generator).tolist() for length in lengths]


@torch.inference_mode()
def _logits(model: CausalLM, prompts: list[list[int]]) -> Tensor:
    store = DenseStore([len(prompt) for prompt in prompts])
    return model.logits(
        model(torch.tensor([token for prompt in prompts for token in prompt]), store.positions(), store)
    )


def test_logits_and_every_layers_states_are_theirs(theirs: Any, ours: CausalLM) -> None:
    [prompt] = _prompts(20)
    states: list[Tensor] = []
    hooks = [block.register_forward_hook(lambda _module, _args, out: states.append(out)) for block in ours.blocks]
    logits = _logits(ours, [prompt])
    for hook in hooks:
        hook.remove()
    with torch.inference_mode():
        expected = theirs(torch.tensor([prompt]), output_hidden_states=True)
    torch.testing.assert_close(logits, expected.logits[0], atol=1e-4, rtol=0)
    # Theirs: the embeddings, then each layer's output; the last of them after the final norm.
    for layer, (mine, other) in enumerate(zip(states[:-1], expected.hidden_states[1:-1], strict=True)):
        torch.testing.assert_close(mine, other[0], atol=1e-4, rtol=0, msg=lambda text, layer=layer: f"{layer}: {text}")


# Not those whose angles depend on the length so far, in transformers too.
@pytest.mark.parametrize("case", [case for case in CASES if case not in BY_LENGTH])
def test_token_by_token_and_in_chunks_equals_the_whole(ours: CausalLM) -> None:
    [prompt] = _prompts(20)
    whole = _logits(ours, [prompt])
    tokens = torch.tensor(prompt)
    for counts in ([1] * 20, [7, 1, 9, 3]):
        store, parts, begin = ours.new_store(capacity=20), [], 0
        with torch.inference_mode():
            for count in counts:
                parts.append(ours.logits(ours(tokens[begin : begin + count], store.begin([count]), store)))
                begin += count
        torch.testing.assert_close(torch.cat(parts), whole, atol=1e-4, rtol=0)


def test_packed_sequences_equal_their_left_padded_batch(case: str, theirs: Any, ours: CausalLM) -> None:
    prompts = _prompts(*LONG)
    packed = _logits(ours, prompts)
    if case in BY_LENGTH:
        with torch.inference_mode():
            expected = torch.cat([copy.deepcopy(theirs)(torch.tensor([prompt])).logits[0] for prompt in prompts])
    else:
        longest = max(LONG)
        ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (longest - length) + [1] * length for length in LONG])
        with torch.inference_mode():
            batch = theirs(ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0)).logits
        expected = batch[mask.bool()]
    torch.testing.assert_close(packed, expected, atol=1e-4, rtol=0)


def test_greedy_output_is_theirs(theirs: Any, ours: CausalLM) -> None:
    prompts = _prompts(*LONG)
    settings = {"max_new_tokens": 9, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    expected = [
        copy.deepcopy(theirs).generate(torch.tensor([prompt]), **settings)[0][len(prompt) :].tolist()
        for prompt in prompts
    ]
    assert greedy(ours, prompts, 9) == expected
    assert greedy(ours, prompts[1:2], 9) == expected[1:2]


def _grown(theirs: Any, prompts: list[list[int]], tokens: int, **settings: Any) -> list[list[int]]:
    """Their greedy continuation of each prompt alone; nothing is left of the text before it."""
    fixed = {"max_new_tokens": tokens, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    return [
        copy.deepcopy(theirs).generate(torch.tensor([prompt]), **fixed, **settings)[0][len(prompt) :].tolist()
        for prompt in prompts
    ]


@pytest.mark.parametrize("case", ["phi-3, long"])
@pytest.mark.parametrize("use_cache", [True, False])
def test_a_text_that_outgrows_its_original_length_while_it_is_written(
    theirs: Any, ours: CausalLM, use_cache: bool
) -> None:
    prompts = _prompts(3, 8, 6, 20)  # the original length is 8; the last one is past it from the start
    expected = _grown(theirs, prompts, 12, use_cache=use_cache)
    params = SamplingParams(12, temperature=0.0)
    assert [list(each.token_ids) for each in generate(ours, prompts, params)] == expected
    steps = CausalSteps(ours, prompts, max_tokens=12, prefill_chunk_tokens=3)  # in chunks, and read again in chunks
    assert [list(each.token_ids) for each in decode(steps, params)] == expected
    with Engine(ours, None, cache_bytes=1 << 20, prefill_chunk_tokens=4, alone_chunk_tokens=4, threads=1) as engine:
        requests = [engine.submit(prompt, params) for prompt in prompts]
        assert [list(request.result(60.0).token_ids) for request in requests] == expected


@pytest.mark.parametrize("case", ["phi-3, long"])
def test_beams_that_outgrow_the_original_length(theirs: Any, ours: CausalLM) -> None:
    prompts = _prompts(5, 7)
    expected = _grown(theirs, prompts, 9, num_beams=3, use_cache=False)
    assert [list(each.token_ids) for each in generate(ours, prompts, SamplingParams(9, num_beams=3))] == expected


@pytest.mark.parametrize("case", ["llama, dynamic"])
def test_dynamic_positions_are_theirs_without_a_cache(
    theirs: Any, ours: CausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ours.config.context_tokens == 16  # twice the 8 positions that it was trained for
    prompts = _prompts(3, 8, 11)
    expected = _grown(theirs, prompts, 5, use_cache=False)
    expected[0] += _grown(theirs, [[*prompts[0], *expected[0]]], 8, use_cache=False)[0]
    monkeypatch.setattr(rotary, "DYNAMIC_GROWTH", 0.0)  # read again at every token past the 8
    params = [SamplingParams(tokens, temperature=0.0) for tokens in (13, 5, 5)]
    assert [list(each.token_ids) for each in generate(ours, prompts, params)] == expected


def test_saved_back_it_is_the_same_folder(theirs: Any, folder: Path, loaded: LoadedModel, tmp_path: Path) -> None:
    [prompt] = _prompts(20)
    save_model(loaded, tmp_path / "ours")
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", attn_implementation="eager")
    with torch.inference_mode():
        expected = theirs(torch.tensor([prompt])).logits
        torch.testing.assert_close(again(torch.tensor([prompt])).logits, expected, atol=0, rtol=0)


def test_without_the_original_config_it_is_written_anew(
    theirs: Any, folder: Path, loaded: LoadedModel, tmp_path: Path
) -> None:
    model_type = json.loads((folder / "config.json").read_text())["model_type"]
    save_model(loaded.model, tmp_path / "ours", model_type=model_type)
    assert load_model(tmp_path / "ours").config == loaded.config
    [prompt] = _prompts(20)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", attn_implementation="eager")
    with torch.inference_mode():
        expected = theirs(torch.tensor([prompt])).logits
        torch.testing.assert_close(again(torch.tensor([prompt])).logits, expected, atol=1e-5, rtol=0)


def test_merged_projections_change_nothing_and_come_apart_again(ours: CausalLM) -> None:
    prompts = _prompts(*LONG)
    before, state = _logits(ours, prompts), ours.state_dict()
    torch.testing.assert_close(_logits(fuse(ours), prompts), before, atol=1e-4, rtol=0)
    assert not any("q_proj" in name for name in ours.state_dict())
    back = unfuse(ours).state_dict()
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


@pytest.mark.parametrize("case", ["qwen2", "gemma 2", "gemma 3", "gpt-2"])
def test_bfloat16_is_as_near_to_float32_as_theirs(case: str, theirs: Any, folder: Path) -> None:
    prompts = _prompts(20)
    with torch.inference_mode():
        exact = theirs(torch.tensor(prompts)).logits[0]
        narrow = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16, attn_implementation="eager"
        )
        their_error = (narrow(torch.tensor(prompts)).logits[0].float() - exact).abs().mean()
    model = load_model(folder, dtype=torch.bfloat16).model
    assert isinstance(model, CausalLM)
    our_error = (_logits(model, prompts) - exact).abs().mean()
    assert our_error < 1.3 * their_error
