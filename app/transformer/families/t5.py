"""T5, T5 v1.1, Flan-T5 and mT5: pre-norm RMS blocks without biases, distances in buckets, unscaled attention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from app.transformer.families import ConfigKeys, Family, harmless_keys
from app.transformer.families.names import from_names, to_names
from app.transformer.feed_forward import Activation
from app.transformer.seq2seq import Seq2Seq, Seq2SeqConfig

_CLASSES = {"t5": "T5ForConditionalGeneration", "mt5": "MT5ForConditionalGeneration"}
# "gated-gelu" is the one name whose function is another than the name says: its GELU is the tanh approximation.
_FEED_FORWARD: dict[str, tuple[Activation, bool]] = {
    "relu": ("relu", False),
    "gated-relu": ("relu", True),
    "gelu": ("gelu", False),
    "gelu_new": ("gelu_tanh", False),
    "gated-gelu": ("gelu_tanh", True),
    "gated-gelu_new": ("gelu_tanh", True),
    "silu": ("silu", False),
    "gated-silu": ("silu", True),
}
_ATTENTION = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "out_proj": "o"}
_COPIES = (
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
    # A table that the first T5 code made and never used.
    "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",
)


def _to_config(described: Mapping[str, Any]) -> Seq2SeqConfig:
    keys = ConfigKeys(described, "T5")
    model_type = described["model_type"]
    kind = keys.take("feed_forward_proj", "gated-gelu" if model_type == "mt5" else "relu")
    if kind not in _FEED_FORWARD:
        raise keys.refusal("feed_forward_proj", kind, f"where what runs is {', '.join(sorted(_FEED_FORWARD))}")
    activation, gated = _FEED_FORWARD[kind]
    width, layers, heads = int(keys.need("d_model")), int(keys.need("num_layers")), int(keys.need("num_heads"))
    # T5 v1.1 marks by an untied head that its states are not scaled; transformers 5 names the scaling itself.
    # mT5 never scales.
    scaled = (
        keys.take("scale_decoder_outputs", described.get("tie_word_embeddings") is not False) and model_type == "t5"
    )
    for repeated in ("tie_word_embeddings", "is_gated_act", "dense_act_fn", "n_positions", "initializer_factor"):
        keys.take(repeated)
    keys.expect("tie_encoder_decoder", False)
    ff_dim = int(keys.need("d_ff"))
    config = Seq2SeqConfig(
        model_type=model_type,
        vocab_size=int(keys.need("vocab_size")),
        embed_dim=width,
        encoder_layers=layers,
        decoder_layers=int(keys.take("num_decoder_layers", layers)),
        encoder_heads=heads,
        decoder_heads=heads,
        head_dim=int(keys.need("d_kv")),
        encoder_ff_dim=ff_dim,
        decoder_ff_dim=ff_dim,
        activation=activation,
        gated=gated,
        bias=False,
        norm="rms",
        norm_eps=float(keys.take("layer_norm_epsilon", 1e-6)),
        norm_first=True,
        final_norm=True,
        positions="relative",
        relative_buckets=int(keys.take("relative_attention_num_buckets", 32)),
        relative_max_distance=int(keys.take("relative_attention_max_distance", 128)),
        attention_scale=1.0,
        logit_scale=1 / math.sqrt(width) if scaled else 1.0,
        pad_token_id=int(keys.take("pad_token_id", 0)),
        decoder_start_token_id=int(keys.take("decoder_start_token_id", keys.take("pad_token_id", 0))),
    )
    keys.finish()
    return config


def _from_config(config: Seq2SeqConfig, described: Mapping[str, Any] | None) -> dict[str, Any]:
    kind = next(name for name, means in _FEED_FORWARD.items() if means == (config.activation, config.gated))
    scaled = config.logit_scale != 1.0
    return {
        **harmless_keys(described),
        "architectures": [_CLASSES[config.model_type]],
        "model_type": config.model_type,
        "is_encoder_decoder": True,
        "vocab_size": config.vocab_size,
        "d_model": config.embed_dim,
        "d_kv": config.head_dim,
        "d_ff": config.encoder_ff_dim,
        "num_layers": config.encoder_layers,
        "num_decoder_layers": config.decoder_layers,
        "num_heads": config.encoder_heads,
        "feed_forward_proj": kind,
        "layer_norm_epsilon": config.norm_eps,
        "relative_attention_num_buckets": config.relative_buckets,
        "relative_attention_max_distance": config.relative_max_distance,
        "tie_word_embeddings": scaled,
        "scale_decoder_outputs": scaled,
        "pad_token_id": config.pad_token_id,
        "decoder_start_token_id": config.decoder_start_token_id,
    }


def _settle(config: Seq2SeqConfig, theirs: Mapping[str, Tensor]) -> Seq2SeqConfig:
    head, word = theirs.get("lm_head.weight"), theirs.get("shared.weight")
    return replace(config, tied_head=head is None or word is None or head.equal(word))


def _names(config: Seq2SeqConfig, word: str = "shared.weight") -> dict[str, str]:
    names = {"word.weight": word}
    if not config.tied_head:
        names["head.weight"] = "lm_head.weight"
    sides = (
        ("encoder", config.encoder_layers, {"attention": "SelfAttention"}, ("attention_norm",)),
        (
            "decoder",
            config.decoder_layers,
            {"self_attention": "SelfAttention", "cross_attention": "EncDecAttention"},
            ("self_norm", "cross_norm"),
        ),
    )
    feeds = {"gate": "wi_0", "up": "wi_1", "down": "wo"} if config.gated else {"up": "wi", "down": "wo"}
    for side, layers, attentions, norms in sides:
        names[f"{side}.norm.weight"] = f"{side}.final_layer_norm.weight"
        names[f"{side}.relative.weight"] = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        for layer in range(layers):
            ours, theirs = f"{side}.blocks.{layer}", f"{side}.block.{layer}.layer"
            for part, (attention, name) in enumerate(attentions.items()):
                for our, their in _ATTENTION.items():
                    names[f"{ours}.{attention}.{our}.weight"] = f"{theirs}.{part}.{name}.{their}.weight"
            for part, norm in enumerate((*norms, "feed_forward_norm")):
                names[f"{ours}.{norm}.weight"] = f"{theirs}.{part}.layer_norm.weight"
            for our, their in feeds.items():
                feed = f"{theirs}.{len(attentions)}.DenseReluDense.{their}.weight"
                names[f"{ours}.feed_forward.{our}.weight"] = feed
    return names


def _to_ours(theirs: Mapping[str, Tensor], config: Seq2SeqConfig) -> dict[str, Tensor]:
    word = next((name for name in ("shared.weight", *_COPIES[:2], "lm_head.weight") if name in theirs), "shared.weight")
    copies = (*_COPIES, "lm_head.weight") if config.tied_head else _COPIES
    return to_names(theirs, _names(config, word), prefix="transformer.", copies=copies)


def _to_theirs(ours: Mapping[str, Tensor], config: Seq2SeqConfig) -> dict[str, Tensor]:
    return from_names(ours, _names(config), prefix="")


def _build(config: Seq2SeqConfig) -> nn.Module:
    return Seq2Seq(config)


FAMILY = Family(
    model_types=tuple(_CLASSES),
    architectures=("T5ForConditionalGeneration",),
    kind="seq2seq",
    to_config=_to_config,
    from_config=_from_config,
    build=_build,
    to_ours=_to_ours,
    to_theirs=_to_theirs,
    settle=_settle,
)
