from __future__ import annotations

import pytest
import torch

from app.errors import InvalidInput
from app.transformer.causal_attention import AttentionSpec
from app.transformer.engine.memory import BatchStore, Extent, ExtentAllocator, KeyValueMemory, Segment
from app.transformer.stores import DenseStore


def spec(layer: int = 0, *, heads: int = 2, head_dim: int = 4) -> AttentionSpec:
    return AttentionSpec(layer, num_heads=4, num_kv_heads=heads, head_dim=head_dim, scale=0.5)


def memory(tokens: int = 10) -> KeyValueMemory:
    made = KeyValueMemory([spec()], tokens, dtype=torch.float32, device="cpu")
    rows = torch.arange(float(tokens)).view(1, tokens, 1, 1)
    made.keys.copy_(rows.expand_as(made.keys))
    made.values.copy_(-rows.expand_as(made.values))
    return made


def held(rows: KeyValueMemory, extent: Extent) -> list[int]:
    return [int(value) for value in rows.keys[0, extent.start : extent.start + extent.length, 0, 0]]


def test_an_extent_takes_the_lowest_gap_that_fits() -> None:
    extents = ExtentAllocator(memory(), 10)
    first, second, third = extents.allocate(3), extents.allocate(2), extents.allocate(5)
    assert first is not None
    assert second is not None
    assert third is not None
    assert [first.start, second.start, third.start] == [0, 3, 5]
    assert extents.allocate(1) is None
    extents.free(second)
    extents.free(first)
    assert extents.used_tokens == 5
    again = extents.allocate(5)
    assert again is not None
    assert again.start == 0


def test_scattered_free_rows_are_gathered_and_every_extent_keeps_its_contents() -> None:
    rows = memory()
    extents = ExtentAllocator(rows, 10)
    parts = [extents.allocate(2) for _ in range(5)]
    keep_one, keep_three = parts[1], parts[3]
    assert keep_one is not None
    assert keep_three is not None
    for part in (parts[0], parts[2], parts[4]):
        assert part is not None
        extents.free(part)
    large = extents.allocate(6)  # no gap has six rows, all together do
    assert large is not None
    assert (keep_one.start, keep_three.start, large.start) == (0, 2, 4)
    assert held(rows, keep_one) == [2, 3]
    assert held(rows, keep_three) == [6, 7]


@pytest.mark.parametrize(("source", "target"), [(0, 2), (2, 0), (0, 6), (3, 3)])
def test_a_copy_may_overlap_itself(source: int, target: int) -> None:
    rows = memory()
    rows.copy(source, target, 4)
    assert rows.keys[0, target : target + 4, 1, 3].tolist() == [source, source + 1, source + 2, source + 3]
    assert rows.values[0, target : target + 4, 0, 0].tolist() == [-source, -source - 1, -source - 2, -source - 3]


def test_bytes_per_token_counts_keys_and_values_of_every_layer() -> None:
    assert KeyValueMemory.bytes_per_token([spec(), spec(1)], torch.bfloat16) == 2 * 2 * 2 * 4 * 2


def test_layers_of_different_shapes_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="different shapes"):
        KeyValueMemory([spec(), spec(1, heads=4)], 4, dtype=torch.float32, device="cpu")


def test_segments_of_two_requests_attend_as_each_would_alone() -> None:
    torch.manual_seed(0)
    rows = KeyValueMemory([spec()], 20, dtype=torch.float32, device="cpu")
    query, key, value = torch.randn(12, 4, 4), torch.randn(12, 2, 4), torch.randn(12, 2, 4)
    alone = [
        DenseStore([n]).attend(spec(), query[part], key[part], value[part])
        for n, part in ((7, slice(0, 7)), (5, slice(7, 12)))
    ]
    one, two = Extent(11, 7), Extent(2, 5)
    chunks = [[(one, 0, 4), (two, 0, 1)], [(two, 1, 3), (one, 4, 2)], [(one, 6, 1), (two, 4, 1)]]
    begins = {id(one): 0, id(two): 7}
    mixed = torch.empty_like(query)
    for chunk in chunks:
        index = torch.cat([torch.arange(begins[id(e)] + s, begins[id(e)] + s + n) for e, s, n in chunk])
        store = BatchStore(rows, [Segment(e, range(s, s + n)) for e, s, n in chunk])
        mixed[index] = store.attend(spec(), query[index], key[index], value[index])
    torch.testing.assert_close(mixed, torch.cat(alone), atol=1e-5, rtol=1e-5)
