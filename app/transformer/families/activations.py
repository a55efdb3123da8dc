"""Activation names of config.json files."""

from __future__ import annotations

from app.transformer.families import ConfigKeys
from app.transformer.feed_forward import Activation

_THEIRS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def read_activation(keys: ConfigKeys, key: str, default: str) -> Activation:
    """Return our name of the activation under `key`.

    Raises:
        Unavailable: one that we do not have.
    """
    name = str(keys.take(key, default))
    if name not in _THEIRS:
        raise keys.refusal(key, name, f"known are {', '.join(sorted(_THEIRS))}")
    return _THEIRS[name]


def write_activation(activation: Activation) -> str:
    """Return the name that every version of transformers knows."""
    return "gelu_pytorch_tanh" if activation == "gelu_tanh" else activation
