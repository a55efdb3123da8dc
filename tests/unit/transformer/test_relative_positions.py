"""T5's buckets by hand, and what a decoder must not see."""

from __future__ import annotations

import pytest
import torch

from app.transformer.relative_positions import RelativePositionBias


def test_near_distances_have_a_bucket_each_and_far_ones_share() -> None:
    # 8 buckets in both directions: 4 a side, of which 2 exact (0, 1) and 2 logarithmic up to 16.
    bias = RelativePositionBias(8, 16, 1, bidirectional=True)
    distances = torch.tensor([0, -1, -2, -5, -6, -16, -1000, 1, 2, 6, 1000])
    # 2 + 2·log(5/2)/log(16/2) = 2.88 → 2; 2 + 2·log(6/2)/log(8) = 3.06 → 3
    assert bias.buckets(distances).tolist() == [0, 1, 2, 2, 3, 3, 3, 5, 6, 7, 7]


def test_a_decoder_has_all_buckets_for_what_came_before() -> None:
    bias = RelativePositionBias(8, 16, 1, bidirectional=False)
    # 4 exact, then 4 + 4·log(n/4)/log(16/4): 8 → 6, 15 → 7
    assert bias.buckets(torch.tensor([3, 0, -3, -4, -8, -15, -99])).tolist() == [0, 0, 3, 4, 6, 7, 7]


def test_a_decoder_bias_hides_later_keys() -> None:
    bias = RelativePositionBias(8, 16, 2, bidirectional=False)
    got = bias(3, 3)
    assert got.shape == (1, 2, 3, 3)
    lowest = torch.finfo(torch.float32).min
    assert (got[0, 0] == lowest).tolist() == [[False, True, True], [False, False, True], [False, False, False]]
    assert got[0, 1, 2, 0] == bias.weight[2, 1]


def test_a_later_query_gets_its_row_of_the_whole() -> None:
    bias = RelativePositionBias(8, 16, 2, bidirectional=False)
    torch.testing.assert_close(bias(1, 6, offset=5), bias(6, 6)[:, :, 5:], atol=0, rtol=0)


@pytest.mark.parametrize(("buckets", "distance", "both"), [(7, 16, True), (2, 16, True), (1, 16, False), (8, 2, True)])
def test_sizes_that_leave_no_buckets_are_refused(buckets: int, distance: int, both: bool) -> None:
    with pytest.raises(ValueError, match=f"num_buckets={buckets}"):
        RelativePositionBias(buckets, distance, 1, bidirectional=both)
