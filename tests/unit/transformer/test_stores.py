"""Key–value stores: what they remember, reorder and forget, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from app.errors import InvalidInput
from app.transformer.causal_lm import CausalLM, DecoderConfig, build_causal_lm
from app.transformer.rotary import DynamicScaling, RotaryConfig
from app.transformer.stores import DenseStore, SequenceStore

CONFIG = DecoderConfig(
    vocab_size=23,
    embed_dim=16,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=4,
    ff_dim=24,
    max_positions=40,
    rotary=(RotaryConfig(10_000.0, 4),) * 2,
    windows=(None, 3),
)


@pytest.fixture
def model() -> CausalLM:
    torch.manual_seed(0)
    model = build_causal_lm(CONFIG).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


@torch.inference_mode()
def _logits(model: CausalLM, store: SequenceStore, rows: list[list[int]]) -> list[Tensor]:
    positions = store.begin([len(row) for row in rows])
    tokens = torch.tensor([token for row in rows for token in row])
    logits = model.logits(model(tokens, positions, store))
    return [part[-1] for part in logits.split([len(row) for row in rows]) if len(part)]


@torch.inference_mode()
def _alone(model: CausalLM, tokens: list[int]) -> Tensor:
    store = DenseStore([len(tokens)])
    return model.logits(model(torch.tensor(tokens), store.positions(), store))[-1]


def test_sequences_of_different_lengths_grow_at_different_speeds(model: CausalLM) -> None:
    store = model.new_store(batch=3, capacity=12)
    texts: list[list[int]] = [[], [], []]
    for pieces in (
        [[1, 2, 3], [4], [5, 6]],
        [[7], [8], [9]],  # one each, lengths differ
        [[10, 11], [], [12]],  # one waits
        [[13], [14, 15, 16], []],
        [[17], [18], [19]],
    ):
        logits = _logits(model, store, pieces)
        for text, piece in zip(texts, pieces, strict=True):
            text.extend(piece)
        grown = [text for text, piece in zip(texts, pieces, strict=True) if piece]
        for one, text in zip(logits, grown, strict=True):
            torch.testing.assert_close(one, _alone(model, text), atol=1e-5, rtol=0)
    assert store.lengths == [len(text) for text in texts]


def test_single_tokens_at_consecutive_positions_are_no_run() -> None:
    scaled = RotaryConfig(10_000.0, 4, DynamicScaling(2.0, max_positions=3))
    model = build_causal_lm(replace(CONFIG, rotary=(scaled, scaled))).eval()
    texts = [[1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 13, 14, 15]]
    together, alone = model.new_store(batch=3, capacity=9), [model.new_store(capacity=9) for _ in texts]
    _logits(model, together, texts)
    assert together.token_lengths().tolist() == [4] * 4 + [5] * 5 + [6] * 6
    for store, text in zip(alone, texts, strict=True):
        _logits(model, store, [text])
    for store, logits in zip(alone, _logits(model, together, [[1], [2], [3]]), strict=True):
        token = 1 + alone.index(store)
        torch.testing.assert_close(logits, _logits(model, store, [[token]])[0], atol=1e-6, rtol=0)


def test_positions_continue_where_each_sequence_ended(model: CausalLM) -> None:
    store = model.new_store(batch=2, capacity=9)
    assert store.begin([3, 1]).tolist() == [0, 1, 2, 0]
    assert store.begin([1, 1]).tolist() == [3, 1]
    assert store.begin([0, 2]).tolist() == [2, 3]
    assert DenseStore([2, 3]).positions().tolist() == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("rows", [[1, 0], [0, 0], [1, 1, 0], [1]])
def test_reordered_sequences_go_on_as_their_parents(model: CausalLM, rows: list[int]) -> None:
    texts = [[1, 2, 3, 4], [5, 6]]
    store = model.new_store(batch=2, capacity=10)
    _logits(model, store, texts)
    store.reorder(rows)
    texts = [[*texts[row], 7 + place] for place, row in enumerate(rows)]
    for one, text in zip(_logits(model, store, [[text[-1]] for text in texts]), texts, strict=True):
        torch.testing.assert_close(one, _alone(model, text), atol=1e-5, rtol=0)


def test_truncated_tokens_are_forgotten(model: CausalLM) -> None:
    store = model.new_store(capacity=10)
    _logits(model, store, [[1, 2, 3, 4, 5]])
    store.truncate(0, 2)
    [logits] = _logits(model, store, [[9, 8]])
    torch.testing.assert_close(logits, _alone(model, [1, 2, 9, 8]), atol=1e-5, rtol=0)


def test_a_copied_prefix_is_as_good_as_a_computed_one(model: CausalLM) -> None:
    source = model.new_store(batch=2, capacity=10)
    _logits(model, source, [[1], [2, 3, 4, 5]])
    store = model.new_store(batch=2, capacity=6)
    _logits(model, store, [[6, 7], [8]])
    store.copy_prefix(source, 1, 0, 3)
    assert store.lengths == [3, 1]
    first, second = _logits(model, store, [[9], [9]])
    torch.testing.assert_close(first, _alone(model, [2, 3, 4, 9]), atol=1e-5, rtol=0)
    torch.testing.assert_close(second, _alone(model, [8, 9]), atol=1e-5, rtol=0)


def test_what_does_not_fit_is_refused(model: CausalLM) -> None:
    store = model.new_store(batch=2, capacity=4)
    with pytest.raises(InvalidInput, match="capacity=4"):
        store.begin([5, 1])
    assert store.lengths == [0, 0]  # a refused pass leaves the store as it was
    for counts in ([1], [0, 0], [-1, 2], []):
        with pytest.raises(InvalidInput, match="counts"):
            store.begin(counts)
    store.begin([3, 1])
    with pytest.raises(InvalidInput, match="length=4"):
        store.truncate(0, 4)
    with pytest.raises(InvalidInput, match="row=2"):
        store.truncate(2, 0)
    with pytest.raises(InvalidInput, match="row=-1"):
        store.reorder([0, -1])
    with pytest.raises(InvalidInput, match="at least one row"):
        store.reorder([])
    with pytest.raises(InvalidInput, match="source's 1 tokens"):
        store.copy_prefix(store, 1, 0, 2)
    with pytest.raises(InvalidInput, match="batch=0"):
        SequenceStore(model.specs, batch=0, capacity=3)
    for lengths in ([], [2, 0]):
        with pytest.raises(InvalidInput, match="lengths"):
            DenseStore(lengths)
