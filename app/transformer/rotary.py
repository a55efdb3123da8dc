"""Rotary positions and the ways to stretch them: the angles of a forward pass, computed once for all layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from app.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class LinearScaling:
    """Positions divided by `factor`. Source: Chen et al. 2023, section 2.3."""

    factor: float


@dataclass(frozen=True, slots=True)
class DynamicScaling:
    """The base grows with a sequence that is longer than `max_positions` (NTK-aware). Source: Peng et al. 2023, 3.3."""

    factor: float
    max_positions: int


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """Long wavelengths divided by `factor`, short ones kept, a ramp between. Source: Llama 3 reference code, 2024."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_positions: int


@dataclass(frozen=True, slots=True)
class YarnScaling:
    """Interpolates by parts; `attention_factor` multiplies sines and cosines. Source: Peng et al. 2023, 3.2 and 3.4."""

    factor: float
    original_max_positions: int
    attention_factor: float
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True


@dataclass(frozen=True, slots=True)
class LongRopeScaling:
    """A divisor for each pair, one list within `original_max_positions` and one past it. Source: Ding et al. 2024."""

    short_factors: tuple[float, ...]
    long_factors: tuple[float, ...]
    original_max_positions: int
    attention_factor: float


RotaryScaling = LinearScaling | DynamicScaling | Llama3Scaling | YarnScaling | LongRopeScaling


@dataclass(frozen=True, slots=True)
class RotaryConfig:
    """Rotary positions of a layer: the longest wavelength is `2π · theta`; the first `dim` of a head are turned."""

    theta: float
    dim: int
    scaling: RotaryScaling | None = None


class Rotation(NamedTuple):
    """`cos` and `sin` `[t, 1, dim]`; the first half of `sin` is negated, so that turning takes three operations."""

    cos: Tensor
    sin: Tensor


# How much longer a sequence under `DynamicScaling` may grow before its keys are computed anew.
DYNAMIC_GROWTH = 1 / 16


def settled_length(scaling: RotaryScaling | None, length: int, settled: int) -> int:
    """Return the length whose angles a sequence of `length` tokens has: `settled`, of its last reading, or its own.

    Keys that were turned by one set of angles and queries that are turned by another do not know their distance, so
    a result other than `settled` asks for the whole sequence to be read again. LongRoPE asks once, where the sequence
    outgrows its original length, as `transformers` does for Phi-3. The base of `DynamicScaling` would ask at every
    token past `max_positions` (Peng et al. 2023, 3.3; with its cache, `transformers` lets old keys keep their old
    angles, which is another function than its own without): it asks when the sequence has grown by `DYNAMIC_GROWTH`.
    """
    if isinstance(scaling, LongRopeScaling):
        past = scaling.original_max_positions
        return settled if (settled > past) == (length > past) else length
    if isinstance(scaling, DynamicScaling) and length > scaling.max_positions:
        return settled if scaling.max_positions < settled and length <= settled * (1 + DYNAMIC_GROWTH) else length
    return settled


class Rotary:
    """Returns the angles of positions; no module, since `model.to(bfloat16)` would round the wavelengths.

    Raises:
        InvalidInput: an odd `dim`, or factor lists of another length.

    Source: Su et al. 2021, section 3.2; the half-split pairing is that of GPT-NeoX.
    """

    def __init__(self, config: RotaryConfig) -> None:
        self.config = config
        self.factor = getattr(config.scaling, "attention_factor", 1.0)
        if config.dim % 2 or config.dim < 2:
            raise InvalidInput(f"rotary dim={config.dim} must be even and positive: rotary positions turn pairs")
        self._inverse, self._long = _inverse_wavelengths(config)

    @property
    def by_length(self) -> bool:
        """Whether the angles depend on the length of the sequence that a token belongs to."""
        return isinstance(self.config.scaling, DynamicScaling | LongRopeScaling)

    def angles(self, positions: Tensor, dtype: torch.dtype, lengths: Tensor | None = None) -> Rotation:
        """Return the rotation for `positions` int64 `[t]` in `dtype`.

        `lengths` `[t]` are those of each token's sequence, itself included; without them they are taken from the runs
        of consecutive positions. Either way, sequences packed together do not change each other's result.
        """
        self._inverse = self._inverse.to(positions.device)
        inverse = self._inverse
        scaling = self.config.scaling
        if isinstance(scaling, DynamicScaling | LongRopeScaling):
            inverse = self._by_length(scaling, run_lengths(positions) if lengths is None else lengths)
        half = positions.to(torch.float32).unsqueeze(1) * inverse
        cos, sin = half.cos(), half.sin()
        if self.factor != 1.0:
            cos, sin = cos * self.factor, sin * self.factor
        return Rotation(
            torch.cat([cos, cos], dim=1).to(dtype).unsqueeze(1), torch.cat([-sin, sin], dim=1).to(dtype).unsqueeze(1)
        )

    def _by_length(self, scaling: DynamicScaling | LongRopeScaling, lengths: Tensor) -> Tensor:
        """[t] → inverse wavelengths [t, dim / 2]."""
        if isinstance(scaling, LongRopeScaling):
            self._long = self._long.to(lengths.device)
            return torch.where((lengths > scaling.original_max_positions).unsqueeze(1), self._long, self._inverse)
        dim, most = self.config.dim, scaling.max_positions
        stretch = scaling.factor * lengths.clamp(min=most) / most - (scaling.factor - 1)
        base = self.config.theta * stretch ** (dim / (dim - 2))
        exponent = torch.arange(0, dim, 2, device=lengths.device, dtype=torch.float32) / dim
        return 1.0 / base.unsqueeze(1) ** exponent


def turn(x: Tensor, rotation: Rotation) -> Tensor:
    """Return `x` `[t, n, head_dim]` with each pair `(x[i], x[i + dim/2])` turned; what is past `dim` is kept."""
    dim = rotation.cos.shape[-1]
    if dim == x.shape[-1]:
        return torch.addcmul(x * rotation.cos, x.roll(dim // 2, -1), rotation.sin)
    return torch.cat([turn(x[..., :dim], rotation), x[..., dim:]], dim=-1)


def run_lengths(positions: Tensor) -> Tensor:
    """Return for each of `positions` `[t]` the last position plus one of its run of consecutive positions, `[t]`."""
    ends = torch.ones_like(positions, dtype=torch.bool)
    ends[:-1] = positions[1:] != positions[:-1] + 1
    last = positions[ends] + 1
    runs = ends.cumsum(0) - ends.to(torch.int64)
    return last[runs]


def _inverse_wavelengths(config: RotaryConfig) -> tuple[Tensor, Tensor]:
    """The angle per position of each pair, `[dim / 2]` float32; the second is past the original length (LongRoPE)."""
    # The device is named: a model may be built on "meta", its angles not.
    dim, scaling = config.dim, config.scaling
    powers = config.theta ** (torch.arange(0, dim, 2, dtype=torch.float32, device="cpu") / dim)
    inverse = 1.0 / powers
    if isinstance(scaling, LinearScaling):
        inverse = inverse / scaling.factor
    elif isinstance(scaling, Llama3Scaling):
        inverse = _llama3(inverse, scaling)
    elif isinstance(scaling, YarnScaling):
        inverse = _yarn(inverse, config.theta, dim, scaling)
    elif isinstance(scaling, LongRopeScaling):
        for name, factors in (("short", scaling.short_factors), ("long", scaling.long_factors)):
            if len(factors) != dim // 2:
                raise InvalidInput(f"{name}_factor has {len(factors)} entries, but {dim} rotary sizes need {dim // 2}")
        short = torch.tensor(scaling.short_factors, dtype=torch.float32, device="cpu")
        long = torch.tensor(scaling.long_factors, dtype=torch.float32, device="cpu")
        return 1.0 / (short * powers), 1.0 / (long * powers)
    return inverse, inverse


def _llama3(inverse: Tensor, scaling: Llama3Scaling) -> Tensor:
    wavelength = 2 * math.pi / inverse
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    turns = scaling.original_max_positions / wavelength  # how often the pair turns in the original context
    kept = ((turns - low) / (high - low)).clamp(0.0, 1.0)
    return inverse * (kept + (1 - kept) / scaling.factor)


def _yarn(inverse: Tensor, theta: float, dim: int, scaling: YarnScaling) -> Tensor:
    def pair_that_turns(times: float) -> float:
        return dim * math.log(scaling.original_max_positions / (times * 2 * math.pi)) / (2 * math.log(theta))

    low, high = pair_that_turns(scaling.beta_fast), pair_that_turns(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    if low == high:
        high += 0.001  # a ramp of no width would divide by zero
    ramp = (torch.arange(dim // 2, dtype=torch.float32, device="cpu") - low) / (high - low)
    interpolated = ramp.clamp(0.0, 1.0)
    return inverse * (1 - interpolated) + inverse / scaling.factor * interpolated
