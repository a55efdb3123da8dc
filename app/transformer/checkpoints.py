"""Weights in and out: the BERT family in the Hugging Face layout (config.json + model.safetensors)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from app.errors import IntegrityError, Unavailable
from app.transformer.models import BertConfig, BertEncoder, build_bert_encoder

WEIGHTS_NAME = "model.safetensors"
_ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
_BLOCK_NAMES = {
    "attention.q_proj": "attention.self.query",
    "attention.k_proj": "attention.self.key",
    "attention.v_proj": "attention.self.value",
    "attention.out_proj": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward.up": "intermediate.dense",
    "feed_forward.down": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}
_EMBEDDING_NAMES = {
    "embeddings.word.weight": "embeddings.word_embeddings.weight",
    "embeddings.position.weight": "embeddings.position_embeddings.weight",
    "embeddings.token_type.weight": "embeddings.token_type_embeddings.weight",
    "embeddings.norm.weight": "embeddings.LayerNorm.weight",
    "embeddings.norm.bias": "embeddings.LayerNorm.bias",
}


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_sha256(path: Path, expected: str, remedy: str) -> None:
    """Return nothing if the file's SHA-256 is `expected`.

    Raises:
        Unavailable: the file is not there.
        IntegrityError: its checksum differs; both messages end with `remedy`.
    """
    if not path.is_file():
        raise Unavailable(f"model file {path} is missing: {remedy}")
    actual = sha256_of(path)
    if actual != expected:
        raise IntegrityError(f"model file {path} has sha256 {actual}, expected {expected}: {remedy}")


def bert_config_from_hugging_face(config: Mapping[str, Any]) -> BertConfig:
    """Return our sizes from a Hugging Face `config.json` of the BERT family.

    Raises:
        ValueError: another model type, positions that are not absolute, or an unknown activation.
    """
    if config.get("model_type") != "bert":
        raise ValueError(f"model_type={config.get('model_type')!r} is not supported: give a folder of the BERT family")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise ValueError(f"position_embedding_type={config['position_embedding_type']!r} is not supported: 'absolute'")
    activation = _ACTIVATIONS.get(config.get("hidden_act", "gelu"))
    if activation is None:
        raise ValueError(f"hidden_act={config.get('hidden_act')!r} is unknown: one of {sorted(_ACTIVATIONS)}")
    return BertConfig(
        vocab_size=config["vocab_size"],
        embed_dim=config["hidden_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        ff_dim=config["intermediate_size"],
        max_positions=config["max_position_embeddings"],
        type_vocab_size=config["type_vocab_size"],
        activation=activation,  # type: ignore[arg-type]
        norm_eps=config["layer_norm_eps"],
        pad_token_id=config.get("pad_token_id", 0),
    )


def load_bert_encoder(folder: Path, sha256: str | None = None) -> tuple[BertEncoder, BertConfig]:
    """Return the encoder of a Hugging Face folder, in evaluation mode and the stored precision, with its sizes.

    Args:
        folder: holds `config.json` and `model.safetensors`; names may carry the prefix "bert.".
        sha256: expected checksum of the weights; not checked when `None`.

    Raises:
        Unavailable: a file is missing.
        IntegrityError: the checksum differs, or a tensor is missing or of another shape.
    """
    weights = folder / WEIGHTS_NAME
    if sha256 is not None:
        verify_sha256(weights, sha256, "reinstall the package that ships it")
    if not (folder / "config.json").is_file() or not weights.is_file():
        raise Unavailable(f"folder {folder} must hold config.json and {WEIGHTS_NAME}: copy the model there")
    config = bert_config_from_hugging_face(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    encoder = build_bert_encoder(config)
    tensors = {name.removeprefix("bert."): tensor for name, tensor in load_file(weights).items()}
    state = encoder.state_dict()
    for ours, theirs in bert_tensor_names(config.num_layers).items():
        if theirs not in tensors or tensors[theirs].shape != state[ours].shape:
            found = tuple(tensors[theirs].shape) if theirs in tensors else "nothing"
            raise IntegrityError(
                f"{weights}: tensor {theirs!r} should have shape {tuple(state[ours].shape)}, found {found}: "
                "config.json and the weights belong to different models"
            )
        state[ours] = tensors[theirs]
    encoder.load_state_dict(state, assign=True)
    return encoder.eval(), config


def save_bert_encoder(encoder: BertEncoder, config: BertConfig, folder: Path) -> None:
    """Write `config.json` and `model.safetensors` as `transformers.BertModel` reads them, without its pooler."""
    folder.mkdir(parents=True, exist_ok=True)
    state = encoder.state_dict()
    names = bert_tensor_names(config.num_layers)
    tensors: dict[str, Tensor] = {theirs: state[ours].contiguous() for ours, theirs in names.items()}
    save_file(tensors, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    theirs_of = {ours: theirs for theirs, ours in reversed(_ACTIVATIONS.items())}
    described = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": config.vocab_size,
        "hidden_size": config.embed_dim,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.ff_dim,
        "max_position_embeddings": config.max_positions,
        "type_vocab_size": config.type_vocab_size,
        "hidden_act": theirs_of[config.activation],
        "layer_norm_eps": config.norm_eps,
        "pad_token_id": config.pad_token_id,
        "position_embedding_type": "absolute",
    }
    (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def bert_tensor_names(num_layers: int) -> dict[str, str]:
    """Return our tensor names of a `BertEncoder` → the Hugging Face names."""
    names = dict(_EMBEDDING_NAMES)
    for layer in range(num_layers):
        for ours, theirs in _BLOCK_NAMES.items():
            for kind in ("weight", "bias"):
                names[f"blocks.{layer}.{ours}.{kind}"] = f"encoder.layer.{layer}.{theirs}.{kind}"
    return names
