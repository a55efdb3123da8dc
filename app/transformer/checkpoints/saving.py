"""A model of ours → a Hugging Face folder that `transformers` and this package load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from app.errors import IntegrityError, InvalidInput
from app.transformer.checkpoints.loading import CONFIG_NAME, LoadedModel
from app.transformer.checkpoints.tensor_files import DEFAULT_SHARD_BYTES, write_tensors
from app.transformer.families.registry import family_named
from app.transformer.json_files import read_json_object, write_json
from app.transformer.model_folders import copy_companions


def save_model(
    model: nn.Module | LoadedModel,
    folder: Path,
    *,
    like: Path | None = None,
    model_type: str | None = None,
    max_shard_bytes: int = DEFAULT_SHARD_BYTES,
) -> None:
    """Write config.json and the weights of `model`, and what belongs to it, to `folder`.

    Args:
        model: a `LoadedModel`, or a module with the `config` of one of the families.
        folder: made if need be; what is written replaces what was there.
        like: the folder the model came from (that of a `LoadedModel` by itself): what its config.json says beyond our
            config is kept, and tokenizer, chat template, generation config and licence are copied.
        model_type: the family, where neither `like` nor the model's config names one (a decoder trained here).
        max_shard_bytes: largest weights file; more make shards with an index.

    Raises:
        InvalidInput: the model is of no family, or its layers were changed (fused, quantized) for inference.
    """
    if isinstance(model, LoadedModel):
        like = model.folder if like is None else like
        model = model.model
    config: Any = getattr(model, "config", None)
    described = read_json_object(like / CONFIG_NAME) if like is not None else None
    said = getattr(config, "model_type", None) or (described or {}).get("model_type")
    family = family_named(model_type or said)
    try:
        tensors = family.to_theirs(model.state_dict(), config)
    except (KeyError, IntegrityError) as error:
        raise InvalidInput(
            f"the {family.model_types[0]} model lacks {error.args[0]!r}: save it before it is fused or quantized"
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(tensors, folder, max_shard_bytes)
    write_json(family.from_config(config, described), folder / CONFIG_NAME)
    if like is not None:
        copy_companions(like, folder)
