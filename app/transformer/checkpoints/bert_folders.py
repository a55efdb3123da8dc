"""The bare encoder of a BERT or RoBERTa folder, whatever heads the folder has besides."""

from __future__ import annotations

from pathlib import Path

from app.errors import Unavailable
from app.transformer.checkpoints.checksums import verify_sha256
from app.transformer.checkpoints.loading import load_model
from app.transformer.checkpoints.saving import save_model
from app.transformer.checkpoints.tensor_files import WEIGHTS_NAME
from app.transformer.encoder import BertConfig, BertEncoder
from app.transformer.encoder_heads import EncoderConfig, EncoderModel


def load_bert_encoder(folder: Path, sha256: str | None = None) -> tuple[BertEncoder, BertConfig]:
    """Return the encoder of a Hugging Face folder, in evaluation mode and the stored precision, with its sizes.

    Args:
        folder: as `load_model` reads it, of the BERT or RoBERTa family.
        sha256: expected checksum of `model.safetensors`; not checked when `None`.

    Raises:
        Unavailable: a file is missing, or the folder is of another family.
        IntegrityError: the checksum differs, or a tensor is missing or of another shape.
    """
    if sha256 is not None:
        verify_sha256(folder / WEIGHTS_NAME, sha256, "reinstall the package that ships it")
    loaded = load_model(folder)
    if not isinstance(loaded.model, EncoderModel):
        raise Unavailable(
            f"{folder}: model_type={loaded.described.get('model_type')!r} is no encoder: give a folder of the BERT or "
            "RoBERTa family"
        )
    return loaded.model.encoder, loaded.model.config.encoder


def save_bert_encoder(encoder: BertEncoder, config: BertConfig, folder: Path) -> None:
    """Write `encoder` as `transformers.BertModel` or `RobertaModel` reads it, without a pooler."""
    model_type = "roberta" if config.positions_after_padding else "bert"
    save_model(EncoderModel(EncoderConfig(model_type=model_type, encoder=config), encoder=encoder), folder)
