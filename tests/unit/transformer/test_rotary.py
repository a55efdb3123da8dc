"""Rotary angles worked out by hand; whole models with every scaling are compared in the reference tests."""

from __future__ import annotations

import math

import pytest
import torch

from app.errors import InvalidInput
from app.transformer.rotary import (
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    Rotary,
    RotaryConfig,
    RotaryScaling,
    YarnScaling,
    run_lengths,
    turn,
)


def _angles(scaling: RotaryScaling | None, positions: list[int], *, theta: float = 100.0, dim: int = 4) -> list[float]:
    """The angle of the second, slow pair at each position; the first turns by the position itself."""
    rotation = Rotary(RotaryConfig(theta, dim, scaling)).angles(torch.tensor(positions), torch.float32)
    return torch.atan2(rotation.sin[:, 0, -1], rotation.cos[:, 0, -1]).tolist()


def test_a_pair_is_turned_by_its_angle() -> None:
    # dim 2: one pair, angle = position. (1, 0) at position 1 → (cos 1, sin 1)
    rotation = Rotary(RotaryConfig(10_000.0, 2)).angles(torch.tensor([0, 1]), torch.float32)
    turned = turn(torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]]), rotation)
    torch.testing.assert_close(turned[:, 0], torch.tensor([[1.0, 0.0], [math.cos(1), math.sin(1)]]))


def test_only_the_first_part_of_a_head_is_turned() -> None:
    rotation = Rotary(RotaryConfig(10_000.0, 2)).angles(torch.tensor([3]), torch.float32)
    turned = turn(torch.tensor([[[0.0, 1.0, 5.0, 6.0]]]), rotation)
    torch.testing.assert_close(turned[0, 0], torch.tensor([-math.sin(3), math.cos(3), 5.0, 6.0]))


def test_scalings_by_hand() -> None:
    # theta 100, dim 4: the slow pair turns by position / 10
    assert _angles(None, [2]) == pytest.approx([0.2])
    assert _angles(LinearScaling(4.0), [2]) == pytest.approx([0.05])
    # its wavelength is 62.8; in an original context of 50 it turns 0.8 times: below low_freq_factor 1, divided by 8
    assert _angles(Llama3Scaling(8.0, 1.0, 4.0, 50), [2]) == pytest.approx([0.025])
    # at 157 it turns 2.5 times, half way between 1 and 4: half kept, half divided
    assert _angles(Llama3Scaling(8.0, 1.0, 4.0, 157), [2])[0] == pytest.approx(0.2 * (0.5 + 0.5 / 8), rel=1e-3)
    assert _angles(Llama3Scaling(8.0, 1.0, 4.0, 1000), [2]) == pytest.approx([0.2])
    # a ramp that ends before the slow pair: fully interpolated
    assert _angles(YarnScaling(4.0, 8, 1.0), [2]) == pytest.approx([0.05])


def test_attention_factor_multiplies_sines_and_cosines() -> None:
    rotation = Rotary(RotaryConfig(100.0, 4, YarnScaling(4.0, 8, 1.5))).angles(torch.tensor([5]), torch.float32)
    norm = rotation.cos[0, 0] ** 2 + rotation.sin[0, 0] ** 2
    torch.testing.assert_close(norm, torch.full((4,), 2.25))


def test_scalings_by_length_look_at_each_sequence_alone() -> None:
    long = LongRopeScaling((1.0, 2.0), (1.0, 5.0), original_max_positions=3, attention_factor=1.0)
    # two sequences in one row: 0 1 2 (within the original length) and 0 1 2 3 (past it)
    assert _angles(long, [0, 1, 2, 0, 1, 2, 3]) == pytest.approx([0, 0.05, 0.1, 0, 0.02, 0.04, 0.06])
    assert _angles(long, [2, 3]) == pytest.approx([0.04, 0.06])
    # dynamic, dim 4: base · stretch², stretch = 2 · 6/4 − 1 = 2 → base 400, slow pair position / 20
    dynamic = DynamicScaling(2.0, max_positions=4)
    assert _angles(dynamic, [0, 1, 2, 3]) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert _angles(dynamic, [2, 0, 1, 2, 3, 4, 5]) == pytest.approx([0.2, 0, 0.05, 0.1, 0.15, 0.2, 0.25])


def test_runs_of_consecutive_positions() -> None:
    assert run_lengths(torch.tensor([0, 1, 2, 0, 5, 6, 3])).tolist() == [3, 3, 3, 1, 7, 7, 4]


def test_wavelengths_survive_a_model_in_bfloat16() -> None:
    rotary = Rotary(RotaryConfig(10_000.0, 64))
    exact = Rotary(RotaryConfig(10_000.0, 64)).angles(torch.tensor([1000]), torch.float32)
    rounded = rotary.angles(torch.tensor([1000]), torch.bfloat16)
    # only the result is rounded: bfloat16 wavelengths would be wrong by whole turns at position 1,000
    torch.testing.assert_close(rounded.cos.float(), exact.cos, atol=0.005, rtol=0)


def test_a_model_may_be_built_on_meta() -> None:
    with torch.device("meta"):
        rotary = Rotary(RotaryConfig(10_000.0, 4, LongRopeScaling((1.0, 1.0), (2.0, 2.0), 8, 1.0)))
    assert rotary.angles(torch.tensor([1]), torch.float32).cos[0, 0, 0].item() == pytest.approx(math.cos(1))


def test_impossible_sizes_are_refused() -> None:
    for dim in (3, 0):
        with pytest.raises(InvalidInput, match=f"dim={dim}"):
            Rotary(RotaryConfig(10_000.0, dim))
    with pytest.raises(InvalidInput, match="long_factor has 1 entries"):
        Rotary(RotaryConfig(10_000.0, 4, LongRopeScaling((1.0, 1.0), (2.0,), 8, 1.0)))
