"""BART: post-norm blocks with biases over learned positions whose first two rows are never used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from app.transformer.families import ConfigKeys, Family, harmless_keys
from app.transformer.families.activations import read_activation, write_activation
from app.transformer.families.names import from_names, present, to_names
from app.transformer.seq2seq import Seq2Seq, Seq2SeqConfig

_PREFIX = "model."
_UNUSED_POSITIONS = 2  # fairseq counted positions from the padding id on
_WORDS = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
_ATTENTION = {name: name for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
_FEED_FORWARD = {"feed_forward.up": "fc1", "feed_forward.down": "fc2", "feed_forward_norm": "final_layer_norm"}


def _to_config(described: Mapping[str, Any]) -> Seq2SeqConfig:
    keys = ConfigKeys(described, "BART")
    width = int(keys.need("d_model"))
    heads = int(keys.need("encoder_attention_heads"))
    keys.expect("normalize_before", False)
    keys.expect("add_final_layer_norm", False)
    keys.expect("normalize_embedding", True)
    keys.expect("static_position_embeddings", False)
    keys.expect("extra_pos_embeddings", _UNUSED_POSITIONS)
    keys.expect("decoder_attention_heads", heads)
    for no_mathematics in (
        "tie_word_embeddings",
        "encoder_layerdrop",
        "decoder_layerdrop",
        "init_std",
        "classif_dropout",
    ):
        keys.take(no_mathematics)
    for repeated in ("num_hidden_layers", "add_bias_logits", "force_bos_token_to_be_generated"):
        keys.take(repeated)
    config = Seq2SeqConfig(
        model_type="bart",
        vocab_size=int(keys.need("vocab_size")),
        embed_dim=width,
        encoder_layers=int(keys.need("encoder_layers")),
        decoder_layers=int(keys.need("decoder_layers")),
        encoder_heads=heads,
        decoder_heads=heads,
        head_dim=width // heads,
        encoder_ff_dim=int(keys.need("encoder_ffn_dim")),
        decoder_ff_dim=int(keys.need("decoder_ffn_dim")),
        activation=read_activation(keys, "activation_function", "gelu"),
        embedding_norm=True,
        positions="learned",
        first_position=_UNUSED_POSITIONS,
        max_positions=int(keys.need("max_position_embeddings")),
        embedding_scale=math.sqrt(width) if keys.take("scale_embedding", False) else 1.0,
        pad_token_id=int(keys.take("pad_token_id", 1)),
        decoder_start_token_id=int(keys.take("decoder_start_token_id", 2)),
    )
    keys.finish()
    return config


def _from_config(config: Seq2SeqConfig, described: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        **harmless_keys(described),
        "architectures": ["BartForConditionalGeneration"],
        "model_type": "bart",
        "is_encoder_decoder": True,
        "vocab_size": config.vocab_size,
        "d_model": config.embed_dim,
        "encoder_layers": config.encoder_layers,
        "decoder_layers": config.decoder_layers,
        "encoder_attention_heads": config.encoder_heads,
        "decoder_attention_heads": config.decoder_heads,
        "encoder_ffn_dim": config.encoder_ff_dim,
        "decoder_ffn_dim": config.decoder_ff_dim,
        "activation_function": write_activation(config.activation),
        "max_position_embeddings": config.max_positions,
        "scale_embedding": config.embedding_scale != 1.0,
        "tie_word_embeddings": config.tied_head,
        "pad_token_id": config.pad_token_id,
        "decoder_start_token_id": config.decoder_start_token_id,
    }


def _settle(config: Seq2SeqConfig, theirs: Mapping[str, Tensor]) -> Seq2SeqConfig:
    head, word = theirs.get("lm_head.weight"), _word(theirs)
    return replace(
        config,
        tied_head=head is None or word is None or head.equal(theirs[word]),
        logit_bias="final_logits_bias" in theirs,
    )


def _word(theirs: Mapping[str, Tensor]) -> str | None:
    found = (present(theirs, name, _PREFIX) for name in _WORDS)
    return next((name for name in found if name is not None), None)


def _names(config: Seq2SeqConfig, word: str = _WORDS[0]) -> dict[str, str]:
    names = {"word.weight": word}
    if not config.tied_head:
        names["head.weight"] = "lm_head.weight"
    if config.logit_bias:
        names["logit_bias"] = "final_logits_bias"
    sides = (
        ("encoder", config.encoder_layers, {"attention": "self_attn"}, {"attention_norm": "self_attn_layer_norm"}),
        (
            "decoder",
            config.decoder_layers,
            {"self_attention": "self_attn", "cross_attention": "encoder_attn"},
            {"self_norm": "self_attn_layer_norm", "cross_norm": "encoder_attn_layer_norm"},
        ),
    )
    for side, layers, attentions, norms in sides:
        names[f"{side}.positions.weight"] = f"{side}.embed_positions.weight"
        modules = {f"{side}.embedding_norm": f"{side}.layernorm_embedding"}
        for layer in range(layers):
            ours, theirs = f"{side}.blocks.{layer}", f"{side}.layers.{layer}"
            for our, their in {**norms, **_FEED_FORWARD}.items():
                modules[f"{ours}.{our}"] = f"{theirs}.{their}"
            for attention, name in attentions.items():
                modules |= {
                    f"{ours}.{attention}.{our}": f"{theirs}.{name}.{their}" for our, their in _ATTENTION.items()
                }
        for our, their in modules.items():
            names |= {f"{our}.{kind}": f"{their}.{kind}" for kind in ("weight", "bias")}
    return names


def _to_ours(theirs: Mapping[str, Tensor], config: Seq2SeqConfig) -> dict[str, Tensor]:
    word = _word(theirs) or ("lm_head.weight" if "lm_head.weight" in theirs else _WORDS[0])
    copies = (*_WORDS, "encoder.version", "decoder.version", *(("lm_head.weight",) if config.tied_head else ()))
    return to_names(theirs, _names(config, word), prefix=_PREFIX, copies=copies)


def _to_theirs(ours: Mapping[str, Tensor], config: Seq2SeqConfig) -> dict[str, Tensor]:
    return from_names(ours, _names(config), prefix=_PREFIX, unprefixed=("lm_head.", "final_logits_bias"))


def _build(config: Seq2SeqConfig) -> nn.Module:
    return Seq2Seq(config)


FAMILY = Family(
    model_types=("bart",),
    architectures=("BartForConditionalGeneration",),
    kind="seq2seq",
    to_config=_to_config,
    from_config=_from_config,
    build=_build,
    to_ours=_to_ours,
    to_theirs=_to_theirs,
    settle=_settle,
)
