"""Where a decoder's keys and values live. A layer hands over query, key and value and gets the mixed values back.

`DenseStore` remembers nothing (training, scoring); `SequenceStore` keeps a batch of sequences of different lengths.
The inference engine's store (`app.transformer.engine.memory`) has the same `attend`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from app.errors import InvalidInput
from app.transformer.causal_attention import AttentionSpec, MaskMemo, attend_one_sequence, attend_single_tokens


class KeyValueStore(Protocol):
    """What a layer needs to know about memory."""

    def attend(self, spec: AttentionSpec, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return the mixed values `[t, num_heads, head_dim]` of `query` `[t, num_heads, head_dim]`.

        `key` and `value` are `[t, num_kv_heads, head_dim]`, rotary already applied. Causal by the lengths that the
        store was told before the forward pass.
        """
        ...


@runtime_checkable
class KnowsLengths(Protocol):
    """A store that says how long the sequences are: some rotary positions depend on it."""

    def token_lengths(self) -> Tensor:
        """Return int64 `[t]`: for each token of this forward pass, the length whose angles its sequence has."""
        ...


@dataclass(frozen=True, slots=True)
class Places:
    """Where the keys and values of a forward pass lie, for code that reads and writes them itself.

    The key of head `h` at position `p` of row `i`'s sequence begins `starts[i] + p · position_stride + h · head_stride`
    numbers after the layer's address. Each row's own are to be written at its position, all rows' before any is read.
    """

    keys: Sequence[int]  # addresses, one a layer
    values: Sequence[int]
    dtype: torch.dtype
    starts: Sequence[int]  # one a row of the pass
    positions: Sequence[int]
    position_stride: int
    head_stride: int


@runtime_checkable
class KnowsPlaces(Protocol):
    """A store that lets others write and read its keys and values: attention in the place of `attend`."""

    def places(self) -> Places | None:
        """Return where they are for this forward pass; `None` where `attend` must be asked."""
        ...


class DenseStore:
    """Whole sequences, one after another in one flat row, causal and with no memory: training and scoring.

    Args:
        lengths: tokens of each sequence; their sum is the `t` of the forward pass.

    Raises:
        InvalidInput: a sequence without tokens.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        if not lengths or min(lengths) < 1:
            raise InvalidInput(f"lengths={list(lengths)} must hold at least one token for each sequence")
        self.lengths = list(lengths)
        self._masks = MaskMemo()

    def positions(self, device: torch.device | None = None) -> Tensor:
        """Return int64 `[t]`: 0 … n − 1 of each sequence."""
        return torch.cat([torch.arange(length, device=device) for length in self.lengths])

    def attend(self, spec: AttentionSpec, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mixed = [
            attend_one_sequence(spec, part, its_key.transpose(0, 1), its_value.transpose(0, 1), self._masks)
            for part, its_key, its_value in zip(
                torch.split(query, self.lengths),
                torch.split(key, self.lengths),
                torch.split(value, self.lengths),
                strict=True,
            )
        ]
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed)


class SequenceStore:
    """A batch of sequences, each with its own length, in one preallocated block a layer; nothing is padded.

    Call `begin` before each forward pass; it says where the new tokens stand.

    `settled` holds for each sequence the length whose rotary angles its tokens get, where those depend on it: 0 is
    what it has become. Who reads a sequence in parts, or lets it grow, sets it (`rotary.settled_length`).

    Args:
        specs: of the model's layers.
        batch: number of sequences.
        capacity: tokens that a sequence can hold.
        dtype: of keys and values; that of the model's weights.
        device: where the model is.

    Raises:
        InvalidInput: `batch` or `capacity` below 1.
    """

    def __init__(
        self,
        specs: Sequence[AttentionSpec],
        *,
        batch: int = 1,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        if batch < 1 or capacity < 1:
            raise InvalidInput(f"batch={batch} and capacity={capacity} must be at least 1")
        self.capacity = capacity
        self.lengths = [0] * batch
        self.settled = [0] * batch
        # Zeros, not garbage: shorter rows are masked, and 0 · NaN would still be NaN. Pages cost nothing until written.
        self._keys = [
            torch.zeros(batch, spec.num_kv_heads, capacity, spec.head_dim, dtype=dtype, device=device) for spec in specs
        ]
        self._values = [torch.zeros_like(keys) for keys in self._keys]
        self._counts: tuple[int, ...] = ()
        self._starts: tuple[int, ...] = ()
        self._newest: Tensor | None = None  # [batch] positions of single new tokens, None where lengths agree
        self._rows: Tensor | None = None
        self._masks = MaskMemo()

    @property
    def device(self) -> torch.device:
        """Where keys and values are."""
        return self._keys[0].device

    def begin(self, counts: Sequence[int]) -> Tensor:
        """Return the positions int64 `[t]` of the next forward pass: `counts[i]` new tokens of sequence i, in order.

        Raises:
            InvalidInput: not one count a sequence, none at all, or a sequence would outgrow the capacity.
        """
        if len(counts) != len(self.lengths) or min(counts) < 0 or not any(counts):
            raise InvalidInput(f"counts={list(counts)} must name the new tokens of {len(self.lengths)} sequences")
        longest = max(length + count for length, count in zip(self.lengths, counts, strict=True))
        if longest > self.capacity:
            raise InvalidInput(f"{longest} tokens do not fit capacity={self.capacity}: build a larger store")
        self._counts, self._starts = tuple(counts), tuple(self.lengths)
        self.lengths = [length + count for length, count in zip(self.lengths, counts, strict=True)]
        self._masks = MaskMemo()
        self._newest = self._rows = None
        if len(counts) > 1 and self._single() and len(set(self._starts)) > 1:
            self._newest = torch.tensor(self._starts, device=self.device)
            self._rows = torch.arange(len(counts), device=self.device)
            return self._newest
        ranges = [
            torch.arange(start, start + count, device=self.device)
            for start, count in zip(self._starts, self._counts, strict=True)
        ]
        return ranges[0] if len(ranges) == 1 else torch.cat(ranges)

    def token_lengths(self) -> Tensor:
        """Return int64 `[t]`: for each token of this forward pass, the length whose angles its sequence has."""
        counts = torch.tensor(self._counts, device=self.device)
        lengths = [settled or length for settled, length in zip(self.settled, self.lengths, strict=True)]
        return torch.tensor(lengths, device=self.device).repeat_interleave(counts)

    def attend(self, spec: AttentionSpec, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        keys, values = self._keys[spec.layer], self._values[spec.layer]
        if self._single():
            end = max(self.lengths)
            if self._newest is None:
                keys[:, :, end - 1], values[:, :, end - 1] = key, value
            else:
                keys[self._rows, :, self._newest], values[self._rows, :, self._newest] = key, value
            return attend_single_tokens(spec, query, keys[:, :, :end], values[:, :, :end], self._newest, self._masks)
        mixed: list[Tensor] = []
        offset = 0
        for row, (start, count) in enumerate(zip(self._starts, self._counts, strict=True)):
            if not count:
                continue
            new = slice(offset, offset + count)
            keys[row, :, start : start + count] = key[new].transpose(0, 1)
            values[row, :, start : start + count] = value[new].transpose(0, 1)
            mixed.append(
                attend_one_sequence(
                    spec, query[new], keys[row, :, : start + count], values[row, :, : start + count], self._masks
                )
            )
            offset += count
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed)

    def places(self) -> Places | None:
        """Return where the keys and values are; `None` where the layers are not alike, or not on the CPU."""
        first = self._keys[0]
        if self.device.type != "cpu" or any(keys.shape != first.shape for keys in self._keys):
            return None
        sequence, head, position, _ = first.stride()
        rows = [row for row, count in enumerate(self._counts) for _ in range(count)]
        return Places(
            keys=[keys.data_ptr() for keys in self._keys],
            values=[values.data_ptr() for values in self._values],
            dtype=first.dtype,
            starts=[row * sequence for row in rows],
            positions=[
                start + number
                for start, count in zip(self._starts, self._counts, strict=True)
                for number in range(count)
            ],
            position_stride=position,
            head_stride=head,
        )

    def reorder(self, rows: Sequence[int]) -> None:
        """Keep the sequences `rows`, in that order, repeated where beams fork; the batch gets their number.

        Raises:
            InvalidInput: no row, or one that is not there.
        """
        self._check_rows(*rows)
        if not rows:
            raise InvalidInput("rows=[] would leave a store of no sequence: keep at least one row")
        index = torch.tensor(list(rows), dtype=torch.int64, device=self.device)
        used = max(self.lengths[row] for row in rows)
        for blocks in (self._keys, self._values):
            for layer, block in enumerate(blocks):
                if len(rows) == block.shape[0]:
                    block[:, :, :used] = block[:, :, :used].index_select(0, index)
                else:
                    blocks[layer] = block.index_select(0, index)
        self.lengths = [self.lengths[row] for row in rows]
        self.settled = [self.settled[row] for row in rows]

    def truncate(self, row: int, length: int) -> None:
        """Forget the tokens of sequence `row` from position `length` on.

        Raises:
            InvalidInput: no such row, or it has fewer tokens.
        """
        self._check_rows(row)
        if not 0 <= length <= self.lengths[row]:
            raise InvalidInput(f"length={length} must be between 0 and the row's {self.lengths[row]} tokens")
        self.lengths[row] = length

    def copy_prefix(self, source: SequenceStore, source_row: int, row: int, length: int) -> None:
        """Make the first `length` tokens of `source`'s sequence `source_row` those of our sequence `row`.

        Raises:
            InvalidInput: no such row, the source is shorter, or they do not fit.
        """
        self._check_rows(row)
        source._check_rows(source_row)
        if not 0 <= length <= min(source.lengths[source_row], self.capacity):
            raise InvalidInput(
                f"length={length} must be within the source's {source.lengths[source_row]} tokens and our "
                f"capacity={self.capacity}"
            )
        for mine, theirs in zip(self._keys + self._values, source._keys + source._values, strict=True):
            mine[row, :, :length] = theirs[source_row, :, :length]
        self.lengths[row] = length
        self.settled[row] = source.settled[source_row]

    def _single(self) -> bool:
        return self._counts.count(1) == len(self._counts)

    def _check_rows(self, *rows: int) -> None:
        for row in rows:
            if not 0 <= row < len(self.lengths):
                raise InvalidInput(f"row={row} must be one of {len(self.lengths)} sequences")
