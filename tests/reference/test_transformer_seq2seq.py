"""T5 and BART against `transformers`: logits, states, greedy and beam search, padded batches, out and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from app.transformer.checkpoints import LoadedModel, load_model, save_model
from app.transformer.decoding.generate import decode
from app.transformer.decoding.params import SamplingParams
from app.transformer.seq2seq import Seq2Seq
from app.transformer.seq2seq_steps import Seq2SeqSteps

T5: dict[str, Any] = {
    "vocab_size": 40,
    "d_model": 24,
    "d_kv": 8,  # not d_model / num_heads
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
    "decoder_start_token_id": 0,
}
BART: dict[str, Any] = {
    "vocab_size": 40,
    "d_model": 24,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 40,
    "max_position_embeddings": 40,
}
CASES = {
    "t5 v1.0": ("T5", T5),
    "t5 v1.1": ("T5", {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "t5 gated silu": ("T5", {**T5, "feed_forward_proj": "gated-silu"}),
    # Sizes that differ between the stacks; its cache is too short in transformers, so it is not decoded there.
    "t5 uneven": ("T5", {**T5, "num_decoder_layers": 3}),
    "mt5": ("MT5", {**T5, "feed_forward_proj": "gated-gelu"}),
    "bart": ("Bart", BART),
    "bart scaled": ("Bart", {**BART, "scale_embedding": True, "activation_function": "relu"}),
    "bart forced": ("Bart", {**BART, "forced_bos_token_id": 0}),
}
DECODED = [name for name in CASES if name != "t5 uneven"]
SOURCES = [[5, 7, 9, 11, 14, 13, 15, 17, 19, 21, 23, 25], [6, 8, 33, 2], [31]]


def theirs_in(folder: Path, name: str) -> Any:
    family, choices = CASES[name]
    torch.manual_seed(5)
    model = getattr(transformers, f"{family}ForConditionalGeneration")(
        getattr(transformers, f"{family}Config")(**choices)
    ).eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    if family == "Bart":
        model.final_logits_bias += torch.randn_like(model.final_logits_bias)
    if name == "t5 v1.1":  # what Flan-T5 folders hold: a head of their own, states not scaled
        model.lm_head.weight = torch.nn.Parameter(torch.randn(40, 24) * 0.3)
    model.save_pretrained(folder)
    return model


def padded(pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, SOURCES))
    ids = torch.tensor([[*source, *[pad] * (longest - len(source))] for source in SOURCES])
    mask = torch.tensor([[place < len(source) for place in range(longest)] for source in SOURCES])
    return ids, mask


@pytest.mark.parametrize("name", CASES)
def test_logits_and_states_equal_transformers(tmp_path: Path, name: str) -> None:
    theirs = theirs_in(tmp_path, name)
    ours = load_model(tmp_path).model
    assert isinstance(ours, Seq2Seq)
    ids, mask = padded(theirs.config.pad_token_id)
    start = theirs.config.decoder_start_token_id
    target = torch.tensor([[start, *range(4, 4 + 20)], [start, *range(18, 38)], [start, *range(10, 30)]])
    with torch.inference_mode():
        expected = theirs(input_ids=ids, attention_mask=mask.long(), decoder_input_ids=target, use_cache=False)
        encoded = ours.encode(ids, mask)
        got = ours(ids, mask, target)
    torch.testing.assert_close(encoded[mask], expected.encoder_last_hidden_state[mask], atol=1e-5, rtol=0)
    torch.testing.assert_close(got, expected.logits, atol=1e-4, rtol=0)


def ours_generates(loaded: LoadedModel, sources: list[list[int]], params: SamplingParams) -> list[list[int]]:
    assert isinstance(loaded.model, Seq2Seq)
    said = loaded.generation
    steps = Seq2SeqSteps(
        loaded.model,
        sources,
        max_tokens=params.max_tokens,
        forced_bos_token_id=said.forced_bos_token_id,
        forced_eos_token_id=said.forced_eos_token_id,
    )
    return [list(each.token_ids) for each in decode(steps, params, eos_token_ids=said.eos_token_ids)]


def theirs_generates(theirs: Any, **choices: Any) -> list[list[int]]:
    config = theirs.generation_config
    ids, mask = padded(config.pad_token_id)
    with torch.inference_mode():
        out = theirs.generate(input_ids=ids, attention_mask=mask.long(), do_sample=False, **choices)
    rows = [row[1:] for row in out.tolist()]  # without the decoder's start
    return [row[: row.index(config.eos_token_id) + 1] if config.eos_token_id in row else row for row in rows]


@pytest.mark.parametrize("name", DECODED)
@pytest.mark.parametrize("use_cache", [True, False])
def test_greedy_decoding_equals_transformers(tmp_path: Path, name: str, use_cache: bool) -> None:
    theirs = theirs_in(tmp_path, name)
    expected = theirs_generates(theirs, max_new_tokens=14, num_beams=1, use_cache=use_cache)
    got = ours_generates(load_model(tmp_path), SOURCES, SamplingParams(max_tokens=14, temperature=0.0))
    assert got == expected
    assert len(got) == len(SOURCES)


@pytest.mark.parametrize("name", DECODED)
@pytest.mark.parametrize(("length_penalty", "early_stopping"), [(1.0, False), (2.0, True)])
def test_beam_search_equals_transformers(
    tmp_path: Path, name: str, length_penalty: float, early_stopping: bool
) -> None:
    theirs = theirs_in(tmp_path, name)
    choices: dict[str, Any] = {"num_beams": 3, "length_penalty": length_penalty, "early_stopping": early_stopping}
    expected = theirs_generates(theirs, max_new_tokens=9, **choices)
    got = ours_generates(load_model(tmp_path), SOURCES, SamplingParams(max_tokens=9, **choices))
    assert got == expected


@pytest.mark.parametrize("name", ["bart forced", "t5 v1.1"])
def test_what_the_makers_say_is_obeyed_as_there(tmp_path: Path, name: str) -> None:
    theirs = theirs_in(tmp_path, name)
    said = {"num_beams": 3, "length_penalty": 2.0, "early_stopping": True, "min_length": 9, "max_length": 14}
    bans = {"no_repeat_ngram_size": 2, "encoder_no_repeat_ngram_size": 3, "bad_words_ids": [[7, 9], [31]]}
    free = theirs_generates(theirs, max_new_tokens=13)
    theirs.generation_config.update(**said, **bans)
    theirs.save_pretrained(tmp_path)
    expected = theirs_generates(theirs)
    loaded = load_model(tmp_path)
    assert loaded.generation.max_length == 14
    assert loaded.generation.unsupported == ()
    assert ours_generates(loaded, SOURCES, loaded.generation.params(14 - 1)) == expected != free


@pytest.mark.parametrize("name", CASES)
def test_what_we_save_is_the_same_model_there(tmp_path: Path, name: str) -> None:
    theirs = theirs_in(tmp_path / "theirs", name)
    loaded = load_model(tmp_path / "theirs")
    save_model(loaded, tmp_path / "ours")
    again, report = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True, local_files_only=True)
    assert not any(report.values()), report
    before, after = theirs.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    ids, mask = padded(theirs.config.pad_token_id)
    target = torch.tensor([[theirs.config.decoder_start_token_id, 4, 5]] * 3)
    given = {"input_ids": ids, "attention_mask": mask.long(), "decoder_input_ids": target, "use_cache": False}
    with torch.inference_mode():
        torch.testing.assert_close(again(**given).logits, theirs(**given).logits, atol=1e-6, rtol=0)
    saved = load_model(tmp_path / "ours")
    assert saved.config == loaded.config
    assert saved.generation == loaded.generation


def test_an_untied_head_is_seen_in_the_tensors(tmp_path: Path) -> None:
    theirs_in(tmp_path / "v1.1", "t5 v1.1")
    untied = load_model(tmp_path / "v1.1").config
    assert (untied.tied_head, untied.logit_scale) == (False, 1.0)
    theirs_in(tmp_path / "v1.0", "t5 v1.0")
    tied = load_model(tmp_path / "v1.0").config
    assert (tied.tied_head, tied.logit_scale) == (True, pytest.approx(24**-0.5))


@pytest.mark.parametrize("name", ["t5 v1.1", "bart"])
def test_half_the_precision_is_near_the_whole(tmp_path: Path, name: str) -> None:
    theirs = theirs_in(tmp_path, name)
    ids, mask = padded(theirs.config.pad_token_id)
    target = torch.tensor([[theirs.config.decoder_start_token_id, 4, 5, 6]] * 3)
    with torch.inference_mode():
        whole = load_model(tmp_path).model(ids, mask, target)
        half = load_model(tmp_path, dtype=torch.bfloat16).model(ids, mask, target)
        expected = theirs.bfloat16()(input_ids=ids, attention_mask=mask.long(), decoder_input_ids=target).logits
    assert half.dtype == torch.float32
    ours, their = ((logits.float() - whole).abs().mean() for logits in (half, expected))
    assert ours < 1.5 * their  # rounding, no more than theirs
