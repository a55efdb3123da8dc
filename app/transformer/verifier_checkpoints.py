"""An `AnswerVerifier` on disk: config.json, model.safetensors in bfloat16, and their checksums.

What it shares with a reader is not stored: its embeddings and first blocks are that reader's own modules, so they cost
neither bytes nor memory a second time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from app.errors import IntegrityError
from app.transformer.checkpoints import WEIGHTS_NAME
from app.transformer.encoder import BertConfig, BertEncoder, build_bert_encoder
from app.transformer.pointer_checkpoints import verify_sums, write_sums
from app.transformer.verifier import AnswerVerifier, VerifierConfig

_TYPE = "attest-answer-verifier"


@dataclass(frozen=True, slots=True)
class VerifierManifest:
    """What config.json says: sizes, the checksum of the weights file of the reader it stands on, and free settings."""

    config: VerifierConfig
    reader_sha256: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def verifier_on(encoder: BertEncoder, config: VerifierConfig, *, shared: bool) -> AnswerVerifier:
    """Return a verifier over `encoder`'s embeddings and first blocks, its further blocks copies, its head fresh.

    Args:
        encoder: of a reader.
        config: its sizes.
        shared: the embeddings and first blocks are `encoder`'s own modules; else copies.
    """
    own = build_bert_encoder(config.encoder) if shared else deepcopy(encoder)
    if shared:
        own.embeddings = encoder.embeddings
        for layer in range(config.shared_layers):
            own.blocks[layer] = encoder.blocks[layer]
    return AnswerVerifier(own)


def save_verifier(model: AnswerVerifier, manifest: VerifierManifest, folder: Path) -> None:
    """Write what the verifier does not share with its reader, and the checksums; a card in `folder` stays."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in _own(model, manifest.config).items()}
    save_file(stored, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    (folder / WEIGHTS_NAME).chmod(0o644)  # safetensors writes 0600
    described = {"model_type": _TYPE, **asdict(manifest)}
    (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    write_sums(folder)


def read_verifier_manifest(folder: Path) -> VerifierManifest:
    """Return what `folder/config.json` says.

    Raises:
        ValueError: it describes another kind of model.
    """
    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if described.get("model_type") != _TYPE:
        raise ValueError(f"{folder}: model_type={described.get('model_type')!r}: give a folder of an answer verifier")
    sizes = dict(described["config"])
    config = VerifierConfig(encoder=BertConfig(**sizes.pop("encoder")), **sizes)
    return VerifierManifest(config, described["reader_sha256"], described.get("settings", {}))


def load_verifier(
    folder: Path, encoder: BertEncoder, *, dtype: torch.dtype, remedy: str = "reinstall Attest"
) -> tuple[AnswerVerifier, VerifierManifest]:
    """Return the verifier in evaluation mode and `dtype` over the reader's `encoder`, and its manifest.

    Args:
        folder: written by `save_verifier`.
        encoder: of the reader whose checksum the manifest names, in `dtype`; its embeddings and first blocks are used.
        dtype: of the verifier's own weights.
        remedy: ends the message of every error.

    Raises:
        Unavailable: a file is missing.
        IntegrityError: a file is not what its checksum says, or a tensor is missing or of another shape.
    """
    verify_sums(folder, remedy, needed=(WEIGHTS_NAME, "config.json"))
    manifest = read_verifier_manifest(folder)
    model = verifier_on(encoder, manifest.config, shared=True)
    stored = load_file(folder / WEIGHTS_NAME)
    expected = _own(model, manifest.config)
    wrong = [name for name, tensor in expected.items() if name not in stored or stored[name].shape != tensor.shape]
    if wrong or stored.keys() - expected.keys():
        raise IntegrityError(
            f"{folder}/{WEIGHTS_NAME} does not fit config.json (first: {(wrong or ['extra'])[0]}): {remedy}"
        )
    model.load_state_dict(stored, strict=False)
    return model.to(dtype).eval(), manifest


def _own(model: AnswerVerifier, config: VerifierConfig) -> dict[str, Tensor]:
    """The tensors that no reader holds."""
    shared = ("encoder.embeddings.", *(f"encoder.blocks.{layer}." for layer in range(config.shared_layers)))
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(shared)}
