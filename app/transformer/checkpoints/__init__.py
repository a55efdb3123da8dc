"""Hugging Face folders in and out: safetensors, config.json and what else belongs to a model."""

from __future__ import annotations

from app.transformer.checkpoints.bert_folders import load_bert_encoder, save_bert_encoder
from app.transformer.checkpoints.checksums import sha256_of, verify_sha256
from app.transformer.checkpoints.generation_defaults import GenerationDefaults
from app.transformer.checkpoints.loading import LoadedModel, load_model
from app.transformer.checkpoints.saving import save_model
from app.transformer.checkpoints.tensor_files import WEIGHTS_NAME

__all__ = [
    "WEIGHTS_NAME",
    "GenerationDefaults",
    "LoadedModel",
    "load_bert_encoder",
    "load_model",
    "save_bert_encoder",
    "save_model",
    "sha256_of",
    "verify_sha256",
]
