"""Model folders: shards, precisions, ties, what is carried along, and every way in which a folder can be wrong."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from app.errors import IntegrityError, InvalidInput, Unavailable
from app.transformer.causal_lm import CausalLM, DecoderConfig, build_causal_lm
from app.transformer.checkpoints import GenerationDefaults, load_bert_encoder, load_model, save_model
from app.transformer.decoding.params import SamplingParams
from app.transformer.encoder import BertConfig
from app.transformer.encoder_heads import EncoderConfig, EncoderModel
from app.transformer.rotary import RotaryConfig
from app.transformer.stores import DenseStore

TINY = EncoderConfig(
    encoder=BertConfig(vocab_size=30, embed_dim=16, num_layers=2, num_heads=4, ff_dim=32, max_positions=12)
)
IDS, MASK = torch.tensor([[2, 7, 9, 3]]), torch.ones(1, 4, dtype=torch.bool)
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny BERT on disk."""
    torch.manual_seed(0)
    save_model(EncoderModel(TINY), tmp_path)
    return tmp_path


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), encoding="utf-8")


def states(folder: Path) -> torch.Tensor:
    with torch.inference_mode():
        out: torch.Tensor = load_model(folder).model(IDS, MASK)
    return out


def tiny_llama(*, tied: bool) -> CausalLM:
    torch.manual_seed(1)
    config = DecoderConfig(
        vocab_size=30,
        embed_dim=16,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=4,
        ff_dim=32,
        max_positions=32,
        rotary=(RotaryConfig(10_000.0, 4),) * 2,
        tie_embeddings=tied,
    )
    return build_causal_lm(config).eval()


# ---- out and in


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = EncoderModel(replace(TINY, pooler=True, masked_lm=True, next_sentence=True)).eval()
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert (loaded.kind, loaded.config, loaded.folder) == ("encoder", model.config, tmp_path)
    assert not loaded.model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor), name


@pytest.mark.parametrize("tied", [True, False])
def test_a_decoder_of_our_own_is_saved_under_a_family(tmp_path: Path, tied: bool) -> None:
    model = tiny_llama(tied=tied)
    with pytest.raises(InvalidInput, match="model_type=None"):
        save_model(model, tmp_path)
    save_model(model, tmp_path, model_type="llama")
    assert ("lm_head.weight" in load_file(tmp_path / WEIGHTS)) is not tied
    again = load_model(tmp_path).model
    assert isinstance(again, CausalLM)
    assert again.config == model.config
    assert (again.lm_head.weight is again.embed.weight) is tied
    ids = torch.tensor([1, 5, 9])
    with torch.inference_mode():
        expected, got = (each(ids, torch.arange(3), DenseStore([3])) for each in (model, again))
    torch.testing.assert_close(got, expected, atol=0, rtol=0)


def test_shards_hold_what_one_file_holds(folder: Path, tmp_path: Path) -> None:
    before = states(folder)
    save_model(load_model(folder), tmp_path / "shards", max_shard_bytes=4_000)
    shards = sorted(path.name for path in (tmp_path / "shards").glob("*.safetensors"))
    assert len(shards) > 2
    assert shards[0] == f"model-00001-of-{len(shards):05d}.safetensors"
    index = json.loads((tmp_path / "shards" / INDEX).read_text("utf-8"))
    whole = load_file(folder / WEIGHTS)
    assert set(index["weight_map"]) == set(whole)
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in whole.values())
    assert all((tmp_path / "shards" / name).stat().st_size < 6_000 for name in shards)
    assert torch.equal(states(tmp_path / "shards"), before)


def test_saving_over_the_folder_that_is_mapped_keeps_the_numbers(folder: Path) -> None:
    before = states(folder)
    loaded = load_model(folder)
    save_model(loaded, folder, max_shard_bytes=4_000)  # one file becomes several
    assert not (folder / WEIGHTS).exists()
    assert torch.equal(states(folder), before)
    save_model(load_model(folder), folder)  # and one again
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", WEIGHTS]
    assert torch.equal(states(folder), before)
    with torch.inference_mode():
        assert torch.equal(loaded.model(IDS, MASK), before)  # still reads the file that is gone


def test_mapped_weights_can_be_trained_and_the_file_stays(folder: Path) -> None:
    before = (folder / WEIGHTS).read_bytes()
    model = load_model(folder).model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert (folder / WEIGHTS).read_bytes() == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_are_cast_or_kept(folder: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    cast = load_model(folder, dtype=dtype)
    assert {parameter.dtype for parameter in cast.model.parameters()} == {dtype}
    save_model(cast, tmp_path / "cast")
    kept = load_model(tmp_path / "cast")
    assert {parameter.dtype for parameter in kept.model.parameters()} == {dtype}
    with pytest.raises(InvalidInput, match="int8"):
        load_model(folder, dtype=torch.int8)


def test_a_folder_of_mixed_precision_becomes_one(folder: Path) -> None:
    tensors = {
        name: tensor if "LayerNorm" in name else tensor.bfloat16()
        for name, tensor in load_file(folder / WEIGHTS).items()
    }
    save_file(tensors, folder / WEIGHTS)
    assert {parameter.dtype for parameter in load_model(folder).model.parameters()} == {torch.bfloat16}


def test_what_belongs_to_a_model_is_carried_along(folder: Path, tmp_path: Path) -> None:
    carried = {
        "tokenizer.json": '{"version": "1.0"}',
        "tokenizer_config.json": '{"chat_template": "{{ messages }}"}',
        "chat_template.jinja": "{{ messages }}",
        "generation_config.json": '{"eos_token_id": [3, 4], "temperature": 0.6, "top_p": 0.9, "do_sample": true}',
        "LICENSE": "Apache",
    }
    for name, text in carried.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "optimizer.bin").write_bytes(b"not ours")
    edit_config(folder, label2id={"yes": 0}, hidden_dropout_prob=0.25)
    loaded = load_model(folder)
    assert loaded.generation == GenerationDefaults(
        eos_token_ids=(3, 4), pad_token_id=0, do_sample=True, temperature=0.6, top_p=0.9
    )
    save_model(loaded, tmp_path / "again")
    for name, text in carried.items():
        assert (tmp_path / "again" / name).read_text("utf-8") == text
    assert not (tmp_path / "again" / "optimizer.bin").exists()
    described = json.loads((tmp_path / "again" / "config.json").read_text("utf-8"))
    assert described["label2id"] == {"yes": 0}
    assert described["hidden_dropout_prob"] == 0.25
    assert load_model(tmp_path / "again").generation == loaded.generation


def test_generation_config_counts_before_config(folder: Path) -> None:
    edit_config(folder, eos_token_id=2, forced_eos_token_id=2, num_beams=4, temperature=0.1)
    assert load_model(folder).generation == GenerationDefaults(
        eos_token_ids=(2,), pad_token_id=0, forced_eos_token_id=2, num_beams=4
    )
    (folder / "generation_config.json").write_text('{"eos_token_id": 5, "num_beams": null}', encoding="utf-8")
    said = load_model(folder).generation
    assert (said.eos_token_ids, said.num_beams) == ((5,), 4)
    (folder / "generation_config.json").write_text('{"eos_token_id": "</s>"}', encoding="utf-8")
    with pytest.raises(IntegrityError, match="eos_token_id"):
        load_model(folder)


def test_what_the_makers_say_becomes_parameters_and_what_does_nothing_here_is_named(folder: Path) -> None:
    said = {  # as the folder of a summarizer says it
        "eos_token_id": 2,
        "num_beams": 4,
        "length_penalty": 2.0,
        "early_stopping": True,
        "min_length": 56,
        "max_length": 142,
        "no_repeat_ngram_size": 3,
        "bad_words_ids": [[7], [8, 9]],
        "suppress_tokens": [5],
        "typical_p": 1.0,
        "num_beam_groups": 1,
        "use_cache": True,
        "transformers_version": "4.9",
    }
    path = folder / "generation_config.json"
    path.write_text(json.dumps(said), encoding="utf-8")
    defaults = load_model(folder).generation
    assert (defaults.max_length, defaults.unsupported) == (142, ())
    assert defaults.params(100, length_penalty=1.5) == SamplingParams(
        100,
        temperature=0.0,
        num_beams=4,
        length_penalty=1.5,
        early_stopping=True,
        min_length=56,
        no_repeat_ngram_size=3,
        bad_words_ids=((7,), (8, 9)),
        suppress_tokens=(5,),
    )
    more = {"typical_p": 0.5, "guidance_scale": 1.5, "do_sample": True, "something_new": 3, "top_h": None}
    path.write_text(json.dumps({**more, "min_new_tokens": 9, "temperature": 0.3}), encoding="utf-8")
    edit_config(folder, diversity_penalty=0.5)
    defaults = load_model(folder).generation
    assert defaults.unsupported == ("diversity_penalty=0.5", "typical_p=0.5", "guidance_scale=1.5", "something_new=3")
    assert defaults.params(4) == SamplingParams(4, temperature=0.3, min_tokens=4)
    for wrong in ({"bad_words_ids": [7]}, {"min_length": -1}, {"early_stopping": 3}, {"suppress_tokens": ["a"]}):
        path.write_text(json.dumps(wrong), encoding="utf-8")
        with pytest.raises(IntegrityError, match=next(iter(wrong))):
            load_model(folder)


def test_the_bare_encoder_of_a_folder_with_heads(tmp_path: Path) -> None:
    model = EncoderModel(replace(TINY, pooler=True, masked_lm=True))
    save_model(model, tmp_path)
    encoder, config = load_bert_encoder(tmp_path)
    assert config == TINY.encoder
    for name, tensor in model.encoder.state_dict().items():
        assert torch.equal(encoder.state_dict()[name], tensor)
    save_model(tiny_llama(tied=True), tmp_path / "llama", model_type="llama")
    with pytest.raises(Unavailable, match="'llama' is no encoder"):
        load_bert_encoder(tmp_path / "llama")


def test_a_changed_model_is_not_saved(folder: Path) -> None:
    loaded = load_model(folder)
    assert isinstance(loaded.model, EncoderModel)
    loaded.model.encoder.blocks[0].attention.q_proj = nn.Identity()  # type: ignore[union-attr]
    before = (folder / WEIGHTS).read_bytes()
    with pytest.raises(InvalidInput, match="before it is fused or quantized"):
        save_model(loaded, folder)
    assert (folder / WEIGHTS).read_bytes() == before
    with pytest.raises(InvalidInput, match="max_shard_bytes=0"):
        save_model(EncoderModel(TINY), folder, max_shard_bytes=0)


# ---- what can not be run


def test_an_unknown_family_is_named_with_those_that_run(folder: Path) -> None:
    edit_config(folder, model_type="mamba")
    with pytest.raises(Unavailable, match=r"model_type='mamba'; what runs here is .*bart, bert, .*llama"):
        load_model(folder)
    edit_config(folder, model_type=None, auto_map={"AutoModel": "modeling.Thing"})
    with pytest.raises(Unavailable, match=r"no model_type, and asks for code of its own .* never run"):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "mish"}, "hidden_act='mish'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type='relative_key'"),
        ({"quantization_config": {"quant_method": "gptq"}}, r"quantization_config, quant_method='gptq'"),
        ({"use_magic": True}, "use_magic=True"),
        ({"hidden_size": None}, "'hidden_size'"),
    ],
)
def test_the_unknown_part_is_named(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit_config(folder, **changes)
    with pytest.raises(Unavailable, match=message) as raised:
        load_model(folder)
    assert str(folder) in raised.value.message


def test_a_config_value_of_the_wrong_kind_is_the_files_fault(folder: Path) -> None:
    for changes in ({"hidden_size": "sixteen"}, {"num_attention_heads": 5}, {"num_hidden_layers": 1.5}):
        before = (folder / "config.json").read_text("utf-8")
        edit_config(folder, **changes)
        with pytest.raises(IntegrityError, match=r"config\.json describes no model"):
            load_model(folder)
        (folder / "config.json").write_text(before, encoding="utf-8")
    (folder / "config.json").write_text("{ not json", encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"config\.json is not JSON"):
        load_model(folder)
    (folder / "config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(IntegrityError, match="holds a list"):
        load_model(folder)
    (folder / "config.json").unlink()
    with pytest.raises(Unavailable, match=r"config\.json is missing"):
        load_model(folder)


def test_missing_unexpected_and_wrongly_shaped_tensors_are_named(folder: Path) -> None:
    good = load_file(folder / WEIGHTS)
    query, key = (f"encoder.layer.1.attention.self.{name}.weight" for name in ("query", "key"))

    save_file({name: tensor for name, tensor in good.items() if name not in (query, key)}, folder / WEIGHTS)
    with pytest.raises(IntegrityError, match=rf"missing '{key}', '{query}': .*fetch both again"):
        load_model(folder)

    save_file({**good, "adapter.down.weight": torch.zeros(2, 2)}, folder / WEIGHTS)
    with pytest.raises(IntegrityError, match=r"unexpected 'adapter\.down\.weight'"):
        load_model(folder)

    save_file({**good, query: torch.zeros(16, 8)}, folder / WEIGHTS)
    with pytest.raises(IntegrityError, match=rf"wrongly shaped '{query}' is \[16, 8\], not \[16, 16\]"):
        load_model(folder)

    save_file({**good, query: torch.zeros(16, 16, dtype=torch.int8)}, folder / WEIGHTS)
    with pytest.raises(IntegrityError, match=r"stored as torch\.int8"):
        load_model(folder)

    save_file({"nothing": torch.zeros(1)}, folder / WEIGHTS)
    with pytest.raises(IntegrityError, match="and 32 more"):
        load_model(folder)


def test_a_decoder_names_tensors_as_its_folder_does(tmp_path: Path) -> None:
    save_model(tiny_llama(tied=True), tmp_path, model_type="llama")
    good = load_file(tmp_path / WEIGHTS)
    lost = "model.layers.1.mlp.up_proj.weight"
    save_file({name: tensor for name, tensor in good.items() if name != lost}, tmp_path / WEIGHTS)
    with pytest.raises(IntegrityError, match=lost):
        load_model(tmp_path)
    save_file({**good, "model.layers.0.mlp.experts.0.weight": torch.zeros(1)}, tmp_path / WEIGHTS)
    with pytest.raises(IntegrityError, match=r"experts\.0"):
        load_model(tmp_path)
    save_file({**good, lost: torch.zeros(3, 16)}, tmp_path / WEIGHTS)
    with pytest.raises(IntegrityError, match=rf"{lost}' is \[3, 16\], not \[32, 16\]"):
        load_model(tmp_path)


@pytest.mark.parametrize("kept_bytes", [0, 4, 100, -1])
def test_a_cut_off_file_is_found(folder: Path, kept_bytes: int) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:kept_bytes])
    with pytest.raises(IntegrityError, match=r"model\.safetensors .* no whole safetensors file"):
        load_model(folder)


def test_garbage_is_no_safetensors_file(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(os.urandom(4_096))
    with pytest.raises(IntegrityError, match="no whole safetensors file"):
        load_model(folder)


def test_a_pickle_is_refused_with_the_way_out(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save({"weight": torch.zeros(1)}, folder / "pytorch_model.bin")
    with pytest.raises(Unavailable, match=r"'pytorch_model\.bin'.*runs whatever code.*save_pretrained"):
        load_model(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.gguf", "GGUF"),
        ("tf_model.h5", "TensorFlow"),
        ("adapter_config.json", "merge it into its base model"),
        ("README.md", "neither model.safetensors nor"),
    ],
)
def test_other_formats_are_told_apart(folder: Path, name: str, message: str) -> None:
    (folder / WEIGHTS).unlink()
    (folder / name).write_bytes(b"{}")
    with pytest.raises(Unavailable, match=message):
        load_model(folder)


def test_shards_that_do_not_fit_their_index(folder: Path) -> None:
    save_model(load_model(folder), folder, max_shard_bytes=4_000)
    index = json.loads((folder / INDEX).read_text("utf-8"))
    shards = sorted(folder.glob("*.safetensors"))

    def write(weight_map: object) -> None:
        (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")

    write({**index["weight_map"], "ghost.weight": shards[0].name})
    with pytest.raises(IntegrityError, match=r"does not hold 'ghost\.weight'"):
        load_model(folder)
    write({**index["weight_map"], "ghost.weight": "../elsewhere.safetensors"})
    with pytest.raises(IntegrityError, match=r"must be a \.safetensors file of the same folder"):
        load_model(folder)
    write({**index["weight_map"], "ghost.weight": "pytorch_model.bin"})
    with pytest.raises(IntegrityError, match=r"must be a \.safetensors file of the same folder"):
        load_model(folder)
    write(["not", "a", "map"])
    with pytest.raises(IntegrityError, match="no weight_map"):
        load_model(folder)
    write(index["weight_map"])
    shards[1].unlink()
    with pytest.raises(Unavailable, match=rf"shard {shards[1].name} is missing"):
        load_model(folder)
