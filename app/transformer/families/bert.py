"""BERT: bert-base, MiniLM, BGE and the other encoders with `model_type` "bert", and cross-encoders on top of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from app.transformer.encoder import BertConfig
from app.transformer.encoder_heads import EncoderConfig, EncoderModel
from app.transformer.families import ConfigKeys, Family, harmless_keys
from app.transformer.families.activations import read_activation, write_activation
from app.transformer.families.names import from_names, present, to_names

_WORD = "embeddings.word_embeddings.weight"
_ENCODER = {
    "embeddings.word.weight": "embeddings.word_embeddings.weight",
    "embeddings.position.weight": "embeddings.position_embeddings.weight",
    "embeddings.token_type.weight": "embeddings.token_type_embeddings.weight",
    "embeddings.norm.weight": "embeddings.LayerNorm.weight",
    "embeddings.norm.bias": "embeddings.LayerNorm.bias",
}
_BLOCK = {
    "attention.q_proj": "attention.self.query",
    "attention.k_proj": "attention.self.key",
    "attention.v_proj": "attention.self.value",
    "attention.out_proj": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward.up": "intermediate.dense",
    "feed_forward.down": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}
_HEADS = {
    "pooler.dense.weight": "pooler.dense.weight",
    "pooler.dense.bias": "pooler.dense.bias",
    "masked_lm.dense.weight": "cls.predictions.transform.dense.weight",
    "masked_lm.dense.bias": "cls.predictions.transform.dense.bias",
    "masked_lm.norm.weight": "cls.predictions.transform.LayerNorm.weight",
    "masked_lm.norm.bias": "cls.predictions.transform.LayerNorm.bias",
    "masked_lm.output.weight": "cls.predictions.decoder.weight",
    "masked_lm.bias": "cls.predictions.bias",
    "next_sentence.weight": "cls.seq_relationship.weight",
    "next_sentence.bias": "cls.seq_relationship.bias",
    "classifier.output.weight": "classifier.weight",
    "classifier.output.bias": "classifier.bias",
}
# The same numbers again, or none of the model's.
_COPIES = (
    "embeddings.position_ids",
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
    "cls.predictions.bias",
)
# Where the head is not tied, transformers computes with this bias and carries the other one along unused.
_UNTIED_BIAS = "cls.predictions.decoder.bias"


def bert_tensor_names(num_layers: int) -> dict[str, str]:
    """Return our tensor names of a `BertEncoder` → the Hugging Face names, without any prefix."""
    names = dict(_ENCODER)
    for layer in range(num_layers):
        for ours, theirs in _BLOCK.items():
            for kind in ("weight", "bias"):
                names[f"blocks.{layer}.{ours}.{kind}"] = f"encoder.layer.{layer}.{theirs}.{kind}"
    return names


def bert_config_from(keys: ConfigKeys, *, pad_token_id: int = 0) -> BertConfig:
    """Return our sizes from a BERT-like config.json; shared with RoBERTa, whose keys are the same.

    Raises:
        Unavailable: a key is missing, or its value does not run here.
    """
    keys.expect("position_embedding_type", "absolute")
    return BertConfig(
        vocab_size=keys.need("vocab_size"),
        embed_dim=keys.need("hidden_size"),
        num_layers=keys.need("num_hidden_layers"),
        num_heads=keys.need("num_attention_heads"),
        ff_dim=keys.need("intermediate_size"),
        max_positions=keys.need("max_position_embeddings"),
        type_vocab_size=keys.take("type_vocab_size", 2),
        activation=read_activation(keys, "hidden_act", "gelu"),
        norm_eps=keys.take("layer_norm_eps", 1e-12),
        pad_token_id=keys.take("pad_token_id", pad_token_id),
    )


def bert_config_to(sizes: BertConfig) -> dict[str, Any]:
    """Return the keys of config.json that `bert_config_from` reads."""
    return {
        "vocab_size": sizes.vocab_size,
        "hidden_size": sizes.embed_dim,
        "num_hidden_layers": sizes.num_layers,
        "num_attention_heads": sizes.num_heads,
        "intermediate_size": sizes.ff_dim,
        "max_position_embeddings": sizes.max_positions,
        "type_vocab_size": sizes.type_vocab_size,
        "hidden_act": write_activation(sizes.activation),
        "layer_norm_eps": sizes.norm_eps,
        "pad_token_id": sizes.pad_token_id,
        "position_embedding_type": "absolute",
    }


def architecture(config: EncoderConfig) -> str:
    """Return the `transformers` class that has the heads of `config`."""
    if config.num_labels:
        return "BertForSequenceClassification"
    if config.masked_lm:
        return "BertForPreTraining" if config.next_sentence else "BertForMaskedLM"
    return "BertForNextSentencePrediction" if config.next_sentence else "BertModel"


def _to_config(described: Mapping[str, Any]) -> EncoderConfig:
    keys = ConfigKeys(described, "BERT")
    sizes = bert_config_from(keys)
    keys.expect("add_cross_attention", False)
    keys.expect("is_decoder", False)
    keys.take("tie_word_embeddings")
    keys.finish()
    return EncoderConfig(model_type="bert", encoder=sizes)


def _from_config(config: EncoderConfig, described: Mapping[str, Any] | None) -> dict[str, Any]:
    said = {"model_type": "bert", "tie_word_embeddings": config.tied_masked_lm}
    heading = {"architectures": [architecture(config)]}
    return {**harmless_keys(described), **heading, **said, **bert_config_to(config.encoder)}


def _settle(config: EncoderConfig, theirs: Mapping[str, Tensor]) -> EncoderConfig:
    head, word = theirs.get("cls.predictions.decoder.weight"), present(theirs, _WORD, "bert.")
    labels = theirs.get("classifier.weight")
    return replace(
        config,
        pooler=present(theirs, "pooler.dense.weight", "bert.") is not None,
        masked_lm="cls.predictions.transform.dense.weight" in theirs,
        tied_masked_lm=head is None or (word is not None and head.equal(theirs[word])),
        next_sentence="cls.seq_relationship.weight" in theirs,
        num_labels=0 if labels is None else labels.shape[0],
    )


def _names(config: EncoderConfig) -> dict[str, str]:
    names = {f"encoder.{ours}": theirs for ours, theirs in bert_tensor_names(config.encoder.num_layers).items()}
    there = {
        "pooler": config.pooler,
        "masked_lm": config.masked_lm,
        "next_sentence": config.next_sentence,
        "classifier": config.num_labels > 0,
    }
    names |= {ours: theirs for ours, theirs in _HEADS.items() if there[ours.partition(".")[0]]}
    if config.tied_masked_lm:
        names.pop("masked_lm.output.weight", None)
    elif config.masked_lm:
        names["masked_lm.bias"] = _UNTIED_BIAS
    return names


def _to_ours(theirs: Mapping[str, Tensor], config: EncoderConfig) -> dict[str, Tensor]:
    return to_names(theirs, _names(config), prefix="bert.", copies=_COPIES)


def _to_theirs(ours: Mapping[str, Tensor], config: EncoderConfig) -> dict[str, Tensor]:
    prefix = "" if architecture(config) == "BertModel" else "bert."
    theirs = from_names(ours, _names(config), prefix=prefix, unprefixed=("cls.", "classifier."))
    if _UNTIED_BIAS in theirs:
        theirs["cls.predictions.bias"] = theirs[_UNTIED_BIAS].clone()
    return theirs


def build(config: EncoderConfig) -> nn.Module:
    """Return the encoder and its heads with random weights."""
    return EncoderModel(config)


FAMILY = Family(
    model_types=("bert",),
    architectures=(
        "BertModel",
        "BertForPreTraining",
        "BertForMaskedLM",
        "BertForNextSentencePrediction",
        "BertForSequenceClassification",
    ),
    kind="encoder",
    to_config=_to_config,
    from_config=_from_config,
    build=build,
    to_ours=_to_ours,
    to_theirs=_to_theirs,
    settle=_settle,
)
