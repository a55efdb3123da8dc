"""The reader's serving encoder against the module it was made from."""

from __future__ import annotations

import threading

import pytest
import torch

from app.errors import Cancelled
from app.generation.row_encoder import RowEncoder, batches
from app.transformer.encoder import BertConfig, BertEncoder, build_bert_encoder
from app.transformer.pointer_rows import RowTensors, SpecialIds, build_row, pad_rows

SIZES = BertConfig(vocab_size=40, embed_dim=32, num_layers=2, num_heads=4, ff_dim=64, max_positions=64)


def encoder() -> BertEncoder:
    torch.manual_seed(3)
    return build_bert_encoder(SIZES).eval()


def rows(*lengths: int) -> RowTensors:
    special = SpecialIds(cls=2, sep=3, pad=0)
    passages = [[4 + (7 * row + place) % 30 for place in range(length)] for row, length in enumerate(lengths)]
    return pad_rows([build_row(special, [5, 6, 7], [], ids, (0, len(ids))) for ids in passages], special.pad)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.1)])
def test_states_are_those_of_the_encoder_and_padding_is_zero(dtype: torch.dtype, tolerance: float) -> None:
    model, given = encoder(), rows(30, 4, 27, 12, 30)
    serving = RowEncoder(model, SIZES, dtype)
    states = serving(given)
    with torch.inference_mode():
        expected = model(given.token_ids, given.mask, given.token_types)
    assert states.dtype == dtype
    assert states.shape == expected.shape
    torch.testing.assert_close(states[given.mask].float(), expected[given.mask], atol=tolerance, rtol=0)
    assert not states[~given.mask].any()


def test_token_types_count() -> None:
    model, given = encoder(), rows(6)
    serving = RowEncoder(model, SIZES, torch.float32)
    flat = RowTensors(given.token_ids, given.mask, torch.zeros_like(given.token_types), given.copyable)
    assert not torch.allclose(serving(given), serving(flat), atol=1e-3)


def test_an_error_of_the_check_comes_out() -> None:
    def refuse() -> None:
        raise Cancelled(threading.current_thread().name)

    with pytest.raises(Cancelled):
        RowEncoder(encoder(), SIZES, torch.float32)(rows(6, 40), refuse)


def test_batches_hold_every_row_once_the_longest_first() -> None:
    found = batches([100, 250, 30, 110, 28, 245, 300])
    assert sorted(row for batch in found for row in batch) == list(range(7))
    assert found[0] == [6]
    assert [3, 0] in found  # 2 × 110 tokens, hardly padded
    assert [2, 4] in found
    assert [1] in found  # one of 250 tokens fills a batch
    assert batches([]) == []
