"""Rotary positions in a config.json: the flat keys of older files and the `rope_parameters` of newer ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from app.errors import Unavailable
from app.transformer.families import ConfigKeys
from app.transformer.rotary import (
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    RotaryConfig,
    RotaryScaling,
    YarnScaling,
)


def read_rotary(
    keys: ConfigKeys, *, head_dim: int, max_positions: int, default_theta: float = 10_000.0, partial: bool = False
) -> RotaryConfig:
    """Return the rotary positions that all layers of a config.json share.

    Args:
        keys: of the file.
        head_dim: size of one head.
        max_positions: `max_position_embeddings`, the length that some scalings are relative to.
        default_theta: of the family, for a file that does not say.
        partial: whether the family turns only a part of each head if it is told so.

    Raises:
        Unavailable: a scaling that we do not know.
    """
    scaling, parameters = keys.take("rope_scaling"), keys.take("rope_parameters")
    fields = dict(scaling or parameters or {})
    fields.setdefault("rope_theta", keys.take("rope_theta", default_theta))
    if partial:
        fields.setdefault("partial_rotary_factor", keys.take("partial_rotary_factor", 1.0))
    elif fields.get("partial_rotary_factor", 1.0) != 1.0:
        raise keys.refusal("rope_parameters", fields, "but models of this family turn whole heads")
    original = keys.take("original_max_position_embeddings")
    if original is not None:
        fields["original_max_position_embeddings"] = original
    return rotary_of(fields, keys, head_dim=head_dim, max_positions=max_positions)


def rotary_of(fields: Mapping[str, Any], keys: ConfigKeys, *, head_dim: int, max_positions: int) -> RotaryConfig:
    """Return the rotary positions of one `rope_parameters` dictionary.

    Raises:
        Unavailable: an unknown scaling or field.
    """
    left = {name: value for name, value in fields.items() if value is not None}
    kind = str(left.pop("rope_type", left.get("type", "default")))
    left.pop("type", None)
    theta = float(left.pop("rope_theta", 10_000.0))
    share = float(left.pop("partial_rotary_factor", 1.0))
    original = int(left.pop("original_max_position_embeddings", max_positions))
    try:
        scaling = _scaling(kind, left, original, max_positions)
    except KeyError as error:
        raise Unavailable(
            f"this folder's config.json asks for rope_type={kind!r} without {error}: copy the whole config.json"
        ) from error
    if scaling is _UNKNOWN or left:
        raise keys.refusal("rope_parameters", dict(fields), "whose rotary scaling is not known here")
    assert not isinstance(scaling, str)
    return RotaryConfig(theta=theta, dim=int(head_dim * share), scaling=scaling)


_UNKNOWN = "unknown"


def _scaling(kind: str, left: dict[str, Any], original: int, max_positions: int) -> RotaryScaling | str | None:
    """The scaling; takes the fields that it understands out of `left`."""
    if kind == "default":
        left.pop("factor", None)  # written by some, used by none
        return None
    if kind == "linear":
        return LinearScaling(float(left.pop("factor")))
    if kind == "dynamic":
        return DynamicScaling(float(left.pop("factor")), max_positions)
    if kind == "llama3":
        return Llama3Scaling(
            factor=float(left.pop("factor")),
            low_freq_factor=float(left.pop("low_freq_factor")),
            high_freq_factor=float(left.pop("high_freq_factor")),
            original_max_positions=original,
        )
    if kind == "yarn":
        factor = float(left.pop("factor", max_positions / original))
        mscale, mscale_all = left.pop("mscale", None), left.pop("mscale_all_dim", None)
        given = left.pop("attention_factor", None)
        if given is None:
            given = _temper(factor)
            if mscale and mscale_all:
                given = _temper(factor, mscale) / _temper(factor, mscale_all)
        return YarnScaling(
            factor=factor,
            original_max_positions=original,
            attention_factor=float(given),
            beta_fast=float(left.pop("beta_fast", 32.0)),
            beta_slow=float(left.pop("beta_slow", 1.0)),
            truncate=bool(left.pop("truncate", True)),
        )
    if kind in ("longrope", "su"):
        factor = float(left.pop("factor", max_positions / original))
        given = left.pop("attention_factor", None)
        return LongRopeScaling(
            short_factors=tuple(map(float, left.pop("short_factor"))),
            long_factors=tuple(map(float, left.pop("long_factor"))),
            original_max_positions=original,
            attention_factor=_long_rope_factor(factor, original) if given is None else float(given),
        )
    return _UNKNOWN


def write_rotary(rotary: RotaryConfig, *, head_dim: int, max_positions: int) -> dict[str, Any]:
    """Return `rope_theta` and, where positions are stretched, `rope_scaling`: the keys that every version reads."""
    keys: dict[str, Any] = {"rope_theta": rotary.theta}
    if rotary.dim != head_dim:
        keys["partial_rotary_factor"] = rotary.dim / head_dim
    scaling = write_scaling(rotary.scaling, max_positions=max_positions)
    if scaling is not None:
        keys["rope_scaling"] = scaling
    if isinstance(rotary.scaling, LongRopeScaling):
        keys["original_max_position_embeddings"] = rotary.scaling.original_max_positions
    return keys


def write_scaling(scaling: RotaryScaling | None, *, max_positions: int) -> dict[str, Any] | None:
    """Return the `rope_scaling` dictionary, `None` for positions as they are."""
    if scaling is None:
        return None
    if isinstance(scaling, LinearScaling):
        return {"rope_type": "linear", "factor": scaling.factor}
    if isinstance(scaling, DynamicScaling):
        return {"rope_type": "dynamic", "factor": scaling.factor}
    if isinstance(scaling, Llama3Scaling):
        return {
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_max_positions,
        }
    if isinstance(scaling, YarnScaling):
        return {
            "rope_type": "yarn",
            "factor": scaling.factor,
            "original_max_position_embeddings": scaling.original_max_positions,
            "attention_factor": scaling.attention_factor,
            "beta_fast": scaling.beta_fast,
            "beta_slow": scaling.beta_slow,
            "truncate": scaling.truncate,
        }
    written: dict[str, Any] = {
        "rope_type": "longrope",
        "short_factor": list(scaling.short_factors),
        "long_factor": list(scaling.long_factors),
    }
    if scaling.attention_factor != _long_rope_factor(
        max_positions / scaling.original_max_positions, scaling.original_max_positions
    ):
        written["attention_factor"] = scaling.attention_factor
    return written


def _temper(factor: float, scale: float = 1.0) -> float:
    """YaRN's attention factor. Source: Peng et al. 2023, equation 22."""
    return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0


def _long_rope_factor(factor: float, original: int) -> float:
    return 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))
