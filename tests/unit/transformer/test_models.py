"""Whole models: padding changes nothing, cached decoding equals the full forward, both norm orders train."""

from __future__ import annotations

import pytest
import torch

from app.transformer.block import DecoderBlock, EncoderBlock
from app.transformer.models import BertConfig, Decoder, EncoderDecoder, build_bert_encoder

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


def test_cached_decoding_equals_the_full_forward() -> None:
    torch.manual_seed(1)
    decoder = Decoder(embed_dim=16, num_layers=2, num_heads=4, ff_dim=32, max_target_tokens=8)
    model = EncoderDecoder(build_bert_encoder(TINY), decoder).eval()
    source = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]], dtype=torch.bool)
    target = torch.tensor([[1, 5, 6, 7], [1, 9, 8, 7]])
    with torch.inference_mode():
        whole = model(source, mask, target)
        memory_kv = model.decoder.project_memory(model.encoder(source, mask))
        caches = model.decoder.new_caches()
        steps = [model.decode(target[:, i : i + 1], memory_kv, mask, caches) for i in range(4)]
    assert whole.shape == (2, 4, 30)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, atol=1e-5, rtol=0)


def test_decoder_positions_do_not_see_later_ones() -> None:
    torch.manual_seed(2)
    decoder = Decoder(embed_dim=16, num_layers=2, num_heads=4, ff_dim=32)
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
