"""RoBERTa and its kin with `model_type` "roberta" or "xlm-roberta": BERT's encoder, other positions and head names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from app.transformer.encoder_heads import EncoderConfig
from app.transformer.families import ConfigKeys, Family, harmless_keys
from app.transformer.families.bert import bert_config_from, bert_config_to, bert_tensor_names, build
from app.transformer.families.names import from_names, present, to_names

_CLASSES = {"roberta": "Roberta", "xlm-roberta": "XLMRoberta"}
_WORD = "embeddings.word_embeddings.weight"
_PREFIX = "roberta."
_HEADS = {
    "pooler.dense.weight": "pooler.dense.weight",
    "pooler.dense.bias": "pooler.dense.bias",
    "masked_lm.dense.weight": "lm_head.dense.weight",
    "masked_lm.dense.bias": "lm_head.dense.bias",
    "masked_lm.norm.weight": "lm_head.layer_norm.weight",
    "masked_lm.norm.bias": "lm_head.layer_norm.bias",
    "masked_lm.output.weight": "lm_head.decoder.weight",
    "masked_lm.bias": "lm_head.bias",
    "classifier.dense.weight": "classifier.dense.weight",
    "classifier.dense.bias": "classifier.dense.bias",
    "classifier.output.weight": "classifier.out_proj.weight",
    "classifier.output.bias": "classifier.out_proj.bias",
}
_COPIES = ("embeddings.position_ids", "lm_head.decoder.weight", "lm_head.decoder.bias", "lm_head.bias")
_UNTIED_BIAS = "lm_head.decoder.bias"  # see BERT


def _architecture(config: EncoderConfig) -> str:
    name = _CLASSES[config.model_type]
    if config.num_labels:
        return f"{name}ForSequenceClassification"
    return f"{name}ForMaskedLM" if config.masked_lm else f"{name}Model"


def _to_config(described: Mapping[str, Any]) -> EncoderConfig:
    keys = ConfigKeys(described, "RoBERTa")
    sizes = replace(bert_config_from(keys, pad_token_id=1), positions_after_padding=True)
    keys.expect("add_cross_attention", False)
    keys.expect("is_decoder", False)
    keys.take("tie_word_embeddings")
    keys.finish()
    return EncoderConfig(model_type=described["model_type"], encoder=sizes)


def _from_config(config: EncoderConfig, described: Mapping[str, Any] | None) -> dict[str, Any]:
    said = {"model_type": config.model_type, "tie_word_embeddings": config.tied_masked_lm}
    heading = {"architectures": [_architecture(config)]}
    return {**harmless_keys(described), **heading, **said, **bert_config_to(config.encoder)}


def _settle(config: EncoderConfig, theirs: Mapping[str, Tensor]) -> EncoderConfig:
    head, word = theirs.get("lm_head.decoder.weight"), present(theirs, _WORD, _PREFIX)
    labels = theirs.get("classifier.out_proj.weight")
    return replace(
        config,
        pooler=present(theirs, "pooler.dense.weight", _PREFIX) is not None,
        masked_lm="lm_head.dense.weight" in theirs,
        tied_masked_lm=head is None or (word is not None and head.equal(theirs[word])),
        num_labels=0 if labels is None else labels.shape[0],
    )


def _names(config: EncoderConfig) -> dict[str, str]:
    names = {f"encoder.{ours}": theirs for ours, theirs in bert_tensor_names(config.encoder.num_layers).items()}
    there = {"pooler": config.pooler, "masked_lm": config.masked_lm, "classifier": config.num_labels > 0}
    names |= {ours: theirs for ours, theirs in _HEADS.items() if there[ours.partition(".")[0]]}
    if config.tied_masked_lm:
        names.pop("masked_lm.output.weight", None)
    elif config.masked_lm:
        names["masked_lm.bias"] = _UNTIED_BIAS
    return names


def _to_ours(theirs: Mapping[str, Tensor], config: EncoderConfig) -> dict[str, Tensor]:
    return to_names(theirs, _names(config), prefix=_PREFIX, copies=_COPIES)


def _to_theirs(ours: Mapping[str, Tensor], config: EncoderConfig) -> dict[str, Tensor]:
    bare = not config.num_labels and not config.masked_lm
    unprefixed = ("lm_head.", "classifier.")
    theirs = from_names(ours, _names(config), prefix="" if bare else _PREFIX, unprefixed=unprefixed)
    if _UNTIED_BIAS in theirs:
        theirs["lm_head.bias"] = theirs[_UNTIED_BIAS].clone()
    return theirs


FAMILY = Family(
    model_types=tuple(_CLASSES),
    architectures=("RobertaModel", "RobertaForMaskedLM", "RobertaForSequenceClassification"),
    kind="encoder",
    to_config=_to_config,
    from_config=_from_config,
    build=build,
    to_ours=_to_ours,
    to_theirs=_to_theirs,
    settle=_settle,
)
