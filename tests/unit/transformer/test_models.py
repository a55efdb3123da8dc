"""Whole models: padding changes nothing, cached decoding equals the full forward, both norm orders train."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from app.transformer.block import DecoderBlock, EncoderBlock
from app.transformer.cross_decoder import CrossDecoder
from app.transformer.encoder import BertConfig, build_bert_encoder, cls_pool, mean_pool
from app.transformer.norm import LayerNorm
from app.transformer.positions import SinusoidalPositions
from app.transformer.seq2seq import Seq2Seq, Seq2SeqConfig

TINY = BertConfig(vocab_size=30, embed_dim=16, num_layers=2, num_heads=4, ff_dim=32, max_positions=12)


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    encoder = build_bert_encoder(TINY).eval()
    ids = torch.tensor([[2, 7, 9, 3]])
    padded = torch.tensor([[2, 7, 9, 3, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]], dtype=torch.bool)
    with torch.inference_mode():
        alone = encoder(ids, torch.ones(1, 4, dtype=torch.bool))
        beside = encoder(padded, mask)[:, :4]
    torch.testing.assert_close(alone, beside, atol=1e-5, rtol=0)


def test_too_long_a_row_is_refused() -> None:
    encoder = build_bert_encoder(TINY)
    with pytest.raises(ValueError, match="max_positions=12"):
        encoder(torch.ones(1, 13, dtype=torch.int64), torch.ones(1, 13, dtype=torch.bool))


def tiny_seq2seq(**choices: Any) -> Seq2Seq:
    sizes = Seq2SeqConfig(
        vocab_size=30,
        embed_dim=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_heads=4,
        decoder_heads=4,
        head_dim=4,
        encoder_ff_dim=32,
        decoder_ff_dim=32,
        max_positions=12,
    )
    return Seq2Seq(replace(sizes, **choices)).eval()


# The original Transformer, a pre-norm one, T5 and BART.
CHOICES: list[dict[str, Any]] = [
    {"embedding_scale": 4.0},
    {"norm_first": True, "final_norm": True, "tied_head": False},
    {"positions": "relative", "norm": "rms", "bias": False, "gated": True, "norm_first": True, "final_norm": True},
    {"positions": "learned", "first_position": 2, "embedding_norm": True, "logit_bias": True},
]


@pytest.mark.parametrize("choices", CHOICES)
def test_cached_decoding_equals_the_full_forward(choices: dict[str, Any]) -> None:
    torch.manual_seed(1)
    model = tiny_seq2seq(**choices)
    source = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]], dtype=torch.bool)
    target = torch.tensor([[1, 5, 6, 7], [1, 9, 8, 7]])
    with torch.inference_mode():
        whole = model(source, mask, target)
        memory_kv = model.decoder.project_memory(model.encode(source, mask))
        caches = model.decoder.new_caches()
        steps = [model.decode(target[:, i : i + 1], memory_kv, mask, caches) for i in range(4)]
        alone = model(source[1:, :3], mask[1:, :3], target[1:])
    assert whole.shape == (2, 4, 30)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(alone, whole[1:], atol=1e-5, rtol=0)  # padding changes nothing


@pytest.mark.parametrize("choices", CHOICES)
def test_training_and_inference_take_the_same_numbers(choices: dict[str, Any]) -> None:
    """With gradients attention is written out, without it runs in the fused kernel."""
    torch.manual_seed(2)
    model = tiny_seq2seq(**choices)
    source, mask = torch.tensor([[2, 7, 9, 0]]), torch.tensor([[True, True, True, False]])
    target = torch.tensor([[1, 5, 6]])
    written_out = model(source, mask, target)
    with torch.inference_mode():
        fused = model(source, mask, target)
    torch.testing.assert_close(written_out, fused, atol=1e-5, rtol=0)
    written_out.logsumexp(-1).sum().backward()  # a plain sum would leave a norm's weights without a gradient
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name


def test_too_long_a_target_is_refused() -> None:
    model = tiny_seq2seq(positions="learned", first_position=2)
    with pytest.raises(ValueError, match="max_positions"):
        model(torch.ones(1, 3, dtype=torch.int64), torch.ones(1, 3, dtype=torch.bool), torch.ones(1, 13).long())


def test_pooling_looks_at_real_tokens_only() -> None:
    states = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]], [[100.0, 100.0], [5.0, 6.0], [7.0, 8.0]]])
    mask = torch.tensor([[True, True, False], [False, True, True]])
    assert mean_pool(states, mask).tolist() == [[2.0, 3.0], [6.0, 7.0]]
    assert cls_pool(states, mask).tolist() == [[1.0, 2.0], [5.0, 6.0]]
    assert mean_pool(states, torch.zeros_like(mask)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_decoder_positions_do_not_see_later_ones() -> None:
    torch.manual_seed(2)
    blocks = [DecoderBlock(16, 4, 32) for _ in range(2)]
    decoder = CrossDecoder(blocks, positions=SinusoidalPositions(8, 16), norm=LayerNorm(16))
    memory_kv = decoder.project_memory(torch.randn(1, 3, 16))
    targets = torch.randn(1, 4, 16)
    changed = targets.clone()
    changed[:, 3, 0] += 1  # one coordinate: the norm would undo a shift of all
    with torch.inference_mode():
        before, after = decoder(targets, memory_kv), decoder(changed, memory_kv)
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3], after[:, 3])


@pytest.mark.parametrize("norm_first", [True, False])
def test_blocks_reach_every_weight_with_a_gradient(norm_first: bool) -> None:
    torch.manual_seed(3)
    encoder = EncoderBlock(16, 4, 32, norm_first=norm_first)
    decoder = DecoderBlock(16, 4, 32, norm_first=norm_first)
    memory = encoder(torch.randn(2, 5, 16))
    out = decoder(torch.randn(2, 3, 16), decoder.cross_attention.project_kv(memory))
    assert out.shape == (2, 3, 16)
    out.square().sum().backward()
    for module in (encoder, decoder):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name


def test_pre_norm_keeps_the_residual_stream_and_post_norm_normalises_it() -> None:
    torch.manual_seed(4)
    x = torch.randn(1, 3, 16) * 10
    kept, normed = EncoderBlock(16, 4, 32, norm_first=True)(x), EncoderBlock(16, 4, 32)(x)
    assert (kept - x).abs().mean() < 2
    torch.testing.assert_close(normed.mean(-1), torch.zeros(1, 3), atol=1e-5, rtol=0)
