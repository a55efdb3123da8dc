"""BERT and RoBERTa with every head against `transformers`, out of its folders and back into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from app.errors import InvalidInput
from app.transformer.checkpoints import load_model, save_model
from app.transformer.encoder_heads import EncoderModel

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 20,
}
# RoBERTa's padding id is 1: both sides of a row are padded once, and one row is whole.
IDS = torch.tensor([[2, 7, 9, 11, 3, 8], [2, 5, 3, 1, 1, 1], [1, 1, 2, 17, 18, 3]])
MASK = IDS != 1
TYPES = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1]])

CASES = [
    ("BertModel", "BertConfig", {}),
    ("BertForMaskedLM", "BertConfig", {"hidden_act": "gelu_new"}),
    ("BertForMaskedLM", "BertConfig", {"tie_word_embeddings": False}),
    ("BertForPreTraining", "BertConfig", {"hidden_act": "relu"}),
    ("BertForNextSentencePrediction", "BertConfig", {}),
    ("BertForSequenceClassification", "BertConfig", {"num_labels": 3}),
    ("RobertaModel", "RobertaConfig", {"type_vocab_size": 2}),
    ("RobertaForMaskedLM", "RobertaConfig", {"layer_norm_eps": 1e-5, "type_vocab_size": 2}),
    ("RobertaForMaskedLM", "RobertaConfig", {"tie_word_embeddings": False, "type_vocab_size": 2}),
    ("RobertaForSequenceClassification", "RobertaConfig", {"num_labels": 1, "type_vocab_size": 2}),
    ("XLMRobertaModel", "XLMRobertaConfig", {"type_vocab_size": 2}),
]


def theirs_in(folder: Path, architecture: str, config: str, choices: dict[str, Any]) -> Any:
    torch.manual_seed(3)
    described = getattr(transformers, config)(**SIZES, pad_token_id=1, **choices)
    model = getattr(transformers, architecture)(described).eval()
    for parameter in model.parameters():  # norms at 1 and biases at 0 would hide a swapped name
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return model


def compare(ours: EncoderModel, theirs: Any) -> None:
    base = getattr(theirs, theirs.base_model_prefix, theirs)
    states: list[torch.Tensor] = []
    hooks = [block.register_forward_hook(lambda _m, _i, out: states.append(out)) for block in ours.encoder.blocks]
    with torch.inference_mode():
        given = {"input_ids": IDS, "attention_mask": MASK.long(), "token_type_ids": TYPES}
        expected = base(**given, output_hidden_states=True)
        got = ours(IDS, MASK, TYPES)
        heads = theirs(**given)
        for hook in hooks:
            hook.remove()
        for mine, their in zip(states, expected.hidden_states[1:], strict=True):
            torch.testing.assert_close(mine[MASK], their[MASK], atol=1e-5, rtol=0)
        if ours.pooler is not None:
            torch.testing.assert_close(ours.pooled(got), expected.pooler_output, atol=1e-5, rtol=0)
        if ours.masked_lm is not None:
            logits = heads.get("prediction_logits", heads.get("logits"))
            torch.testing.assert_close(ours.masked_lm_logits(got)[MASK], logits[MASK], atol=1e-4, rtol=0)
        if ours.next_sentence is not None:
            logits = heads.get("seq_relationship_logits", heads.get("logits"))
            torch.testing.assert_close(ours.next_sentence_logits(got), logits, atol=1e-5, rtol=0)
        if ours.classifier is not None:
            torch.testing.assert_close(ours.class_logits(got), heads["logits"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("architecture", "config", "choices"), CASES)
def test_equals_transformers_and_goes_back(
    tmp_path: Path, architecture: str, config: str, choices: dict[str, Any]
) -> None:
    theirs = theirs_in(tmp_path / "theirs", architecture, config, choices)
    loaded = load_model(tmp_path / "theirs")
    assert isinstance(loaded.model, EncoderModel)
    assert not loaded.model.training
    compare(loaded.model, theirs)

    save_model(loaded, tmp_path / "ours")
    again, report = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True, local_files_only=True)
    assert not any(report.values()), report
    before, after = theirs.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    unused = {"cls.predictions.bias", "lm_head.bias"} if choices.get("tie_word_embeddings") is False else set()
    assert all(torch.equal(before[name], after[name]) for name in before.keys() - unused)
    assert load_model(tmp_path / "ours").config == loaded.config


def test_heads_are_those_that_the_folder_has(tmp_path: Path) -> None:
    theirs_in(tmp_path / "masked", "BertForMaskedLM", "BertConfig", {})
    masked = load_model(tmp_path / "masked").model
    assert isinstance(masked, EncoderModel)
    assert masked.masked_lm is not None
    with pytest.raises(InvalidInput, match="without a pooler head"):
        masked.pooled(torch.zeros(1, 2, 24))
    with pytest.raises(InvalidInput, match="BertForPreTraining"):
        masked.next_sentence_logits(torch.zeros(1, 2, 24))
    theirs_in(tmp_path / "bare", "BertModel", "BertConfig", {})
    bare = load_model(tmp_path / "bare").model
    assert isinstance(bare, EncoderModel)
    assert bare.pooler is not None
    with pytest.raises(InvalidInput, match="masked-language"):
        bare.masked_lm_logits(torch.zeros(1, 2, 24))


def test_a_norm_under_its_old_name_is_found(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    theirs = theirs_in(tmp_path, "BertModel", "BertConfig", {})
    weights = tmp_path / "model.safetensors"
    old = {
        f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in load_file(weights).items()
    }
    old["bert.embeddings.position_ids"] = torch.arange(20).unsqueeze(0)
    save_file(old, weights)
    loaded = load_model(tmp_path).model
    assert isinstance(loaded, EncoderModel)
    compare(loaded, theirs)
