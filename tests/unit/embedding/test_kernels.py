"""The layers of the serving encoder: packed and eight-bit kernels against plain arithmetic, lanes, batches."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from app.embedding.bert_forward import BertForward, _unshifted_attention
from app.embedding.float_kernels import PackedKernels, PlainKernels
from app.embedding.int8_kernels import ByteRange, Int8Kernels, Int8Projection
from app.embedding.lanes import Lanes
from app.embedding.lengths import batches_by_length
from app.transformer.encoder import BertConfig, build_bert_encoder
from app.transformer.feed_forward import Activation

needs_packed = pytest.mark.skipif(not PackedKernels.available(), reason="this PyTorch has no oneDNN kernels")
needs_int8 = pytest.mark.skipif(not Int8Kernels.available(), reason="this PyTorch has no oneDNN kernels")


def test_a_byte_range_holds_zero_and_both_ends() -> None:
    assert ByteRange.over(torch.tensor([-1.0, -3.0]), torch.tensor([2.0, 48.0])) == ByteRange(scale=0.2, zero=15)
    assert ByteRange.over(torch.tensor([1.0]), torch.tensor([51.0])) == ByteRange(scale=0.2, zero=0)
    assert ByteRange.over(torch.zeros(1), torch.zeros(1)).zero == 0


@needs_int8
def test_inputs_are_rounded_to_the_nearest_byte_and_cut_at_the_ends() -> None:
    projection = Int8Projection(torch.eye(16), torch.zeros(16), ByteRange(scale=0.5, zero=100))
    x = torch.tensor([[-60.0, -50.0, -0.26, -0.24, 0.0, 0.24, 0.26, 1.0, 77.5, 90.0] + [0.0] * 6])
    expected = [0, 0, 99, 100, 100, 100, 101, 102, 255, 255] + [100] * 6
    assert projection._as_bytes(x).tolist() == [expected]
    # 127 steps of the weight 1 make exactly 1
    assert projection(x).float()[0, :8].tolist() == [-50.0, -50.0, -0.5, 0.0, 0.0, 0.0, 0.5, 1.0]


@needs_int8
@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu", "silu"])
def test_eight_bit_layers_are_near_float32_with_units_far_out(activation: Activation) -> None:
    torch.manual_seed(0)
    up = torch.randn(64, 32) * 0.2, torch.randn(64)
    down = torch.randn(32, 64) * 0.1, torch.randn(32)
    up[1][[3, 40]] = 30.0  # such units would cost the others their precision
    x = torch.randn(50, 32)
    hidden = PlainKernels(activation)._activation(torch.nn.functional.linear(x, *up))
    extents = {"0.out": (x.amin(0), x.amax(0)), "0.ff.up": (x.amin(0), x.amax(0))}
    extents["0.ff.down"] = hidden.amin(0), hidden.amax(0)
    ours, plain = Int8Kernels(activation, extents), PlainKernels(activation)
    for result, expected in (
        (ours.feed_forward("0.ff", up, down)(x.bfloat16()), plain.feed_forward("0.ff", up, down)(x)),
        (ours.projection("0.out", up)(x.bfloat16()), plain.projection("0.out", up)(x)),
        (ours.projection("0.out", up).added(x.bfloat16(), expected_residual(x)), plain.projection("0.out", up)(x) + 1),
    ):
        assert result.dtype == torch.bfloat16
        error = (result.float() - expected).square().mean().sqrt()
        assert error < 0.02 * expected.std()


def expected_residual(x: torch.Tensor) -> torch.Tensor:
    return torch.ones(x.shape[0], 64, dtype=torch.bfloat16)


@needs_packed
@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu", "silu"])
def test_packed_layers_equal_plain_bfloat16_to_its_last_bits(activation: Activation) -> None:
    torch.manual_seed(0)
    up, down = (torch.randn(64, 32) * 0.2, torch.randn(64)), (torch.randn(32, 64) * 0.1, torch.randn(32))
    x = torch.randn(50, 32).bfloat16()
    packed, plain = PackedKernels(activation, rows=50), PlainKernels(activation, torch.bfloat16)
    for name in ("projection", "feed_forward"):
        parameters = (up,) if name == "projection" else (up, down)
        ours, theirs = (getattr(kernels, name)("0.x", *parameters)(x) for kernels in (packed, plain))
        torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.02)


def test_attention_without_the_maximum_equals_softmax_and_gives_way_where_it_would_overflow() -> None:
    torch.manual_seed(0)
    split = torch.randn(3, 2, 4, 7, 8).bfloat16()
    mask = torch.arange(7) < torch.tensor([7, 4])[:, None]
    query, key, value = split.float().unbind(0)
    expected = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask[:, None, None, :], scale=1.0
    )
    found = _unshifted_attention(split, mask)
    assert found is not None
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.03)
    far = split.clone()
    far[:2] = 20.0  # scores of 3,200
    assert _unshifted_attention(far, mask) is None
    far[0] = -20.0  # scores of -3,200: every weight is 0
    assert _unshifted_attention(far, None) is None


@pytest.mark.parametrize("positions_after_padding", [False, True])
def test_the_forward_pass_equals_the_models_and_padding_changes_nothing(positions_after_padding: bool) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50,
        embed_dim=16,
        num_layers=2,
        num_heads=2,
        ff_dim=32,
        max_positions=12,
        pad_token_id=1,
        positions_after_padding=positions_after_padding,
    )
    encoder = build_bert_encoder(config).eval()
    token_ids = torch.randint(2, 50, (3, 9))
    mask = torch.arange(9) < torch.tensor([9, 5, 1])[:, None]
    token_ids[~mask] = config.pad_token_id
    forward = BertForward(dict(encoder.state_dict()), config, PlainKernels("gelu"))
    with torch.inference_mode():
        expected = encoder(token_ids, mask)
        torch.testing.assert_close(forward(token_ids, mask)[mask], expected[mask], atol=1e-5, rtol=0)
        torch.testing.assert_close(forward(token_ids[1:2, :5], None)[0], expected[1, :5], atol=1e-5, rtol=0)


def test_batches_stay_within_the_budget_and_begin_with_the_longest() -> None:
    lengths = [3, 30, 8, 1, 8, 7]
    batches = list(batches_by_length(lengths, 16))
    assert batches == [[1], [2, 4], [5, 0], [3]]
    assert list(batches_by_length([], 16)) == []
    assert list(batches_by_length([0, 0], 1)) == [[0], [1]]


def test_lanes_have_one_thread_each_and_leave_the_number_of_others_alone() -> None:
    torch.set_num_threads(2)
    try:
        lanes = Lanes()
        seen: dict[int, tuple[str, int]] = {}
        both = threading.Barrier(2)

        def look(number: int) -> None:
            both.wait(timeout=60)
            seen[number] = threading.current_thread().name, torch.get_num_threads()

        lanes.each(look, [0, 1])
        assert {threads for _, threads in seen.values()} == {1}
        assert len({name for name, _ in seen.values()}) == 2
        assert torch.get_num_threads() == 2
        later: list[int] = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [2]
    finally:
        torch.set_num_threads(1)


def test_what_runs_alone_has_one_core_and_its_errors_come_out() -> None:
    torch.set_num_threads(2)
    try:
        lanes = Lanes()
        name, threads = lanes.alone(lambda: (threading.current_thread().name, torch.get_num_threads()))
        assert threads == 1
        assert name != threading.current_thread().name

        def fail() -> None:
            raise ValueError("alone")

        with pytest.raises(ValueError, match="alone"):
            lanes.alone(fail)
    finally:
        torch.set_num_threads(1)
    assert Lanes().alone(threading.current_thread) is threading.current_thread()


def test_an_error_in_a_lane_is_raised_after_all_have_ended() -> None:
    torch.set_num_threads(2)
    try:
        done: list[int] = []

        def work(number: int) -> None:
            if number == 0:
                raise ValueError("zero")
            done.append(number)

        with pytest.raises(ValueError, match="zero"):
            Lanes().each(work, range(5))
        assert sorted(done) == [1, 2, 3, 4]
        assert np.sum(done) == 10
    finally:
        torch.set_num_threads(1)
