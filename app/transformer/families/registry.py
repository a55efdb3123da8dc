"""Which families there are: the one place that knows them all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.errors import InvalidInput, Unavailable
from app.transformer.families import Family, bart, bert, roberta, t5
from app.transformer.families.gemma import GEMMA2, GEMMA3
from app.transformer.families.gpt2 import GPT2
from app.transformer.families.llama import LLAMA, MISTRAL, QWEN2, QWEN3, SMOLLM3
from app.transformer.families.phi3 import PHI3

FAMILIES: tuple[Family, ...] = (
    bert.FAMILY,
    roberta.FAMILY,
    t5.FAMILY,
    bart.FAMILY,
    GPT2,
    LLAMA,
    MISTRAL,
    QWEN2,
    QWEN3,
    SMOLLM3,
    GEMMA2,
    GEMMA3,
    PHI3,
)
_BY_MODEL_TYPE = {model_type: family for family in FAMILIES for model_type in family.model_types}


def model_types() -> list[str]:
    """Return the `model_type`s that run here."""
    return sorted(_BY_MODEL_TYPE)


def family_named(model_type: object) -> Family:
    """Return the family of our model with this `model_type`.

    Raises:
        InvalidInput: there is none.
    """
    family = _BY_MODEL_TYPE.get(model_type) if isinstance(model_type, str) else None
    if family is None:
        raise InvalidInput(f"model_type={model_type!r} names no family: one of {', '.join(model_types())}")
    return family


def family_of(described: Mapping[str, Any], folder: Path) -> Family:
    """Return the family that `described`, the config.json of `folder`, names.

    Raises:
        Unavailable: none, or one that does not run here; the message says which do.
    """
    model_type = described.get("model_type")
    family = _BY_MODEL_TYPE.get(model_type) if isinstance(model_type, str) else None
    if family is None:
        said = f"model_type={model_type!r}" if model_type else "no model_type"
        code = ", and asks for code of its own (auto_map), which is never run" if described.get("auto_map") else ""
        raise Unavailable(f"{folder}: config.json says {said}{code}; what runs here is {', '.join(model_types())}")
    return family
