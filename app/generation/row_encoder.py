"""The reader's encoder as it serves: packed kernels, rows side by side on the cores, next to no padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from app.embedding.bert_forward import BertForward, Kernels
from app.embedding.float_kernels import PackedKernels, PlainKernels
from app.embedding.lanes import Lanes
from app.transformer.encoder import BertConfig, BertEncoder
from app.transformer.pointer_rows import RowTensors

_BATCH_TOKENS = 256  # rows × longest; a batch is one core's work, and one such batch keeps its core busy
_MAX_PADDING = 1.25


class RowEncoder:
    """Returns the states of rows, those of padding left zero.

    Args:
        encoder: the reader's, on the CPU; its weights are copied but for the word embeddings.
        config: its sizes.
        dtype: bfloat16 or float32, of the products.

    `lanes` are the threads that it runs in; what follows the encoder may run there, too.
    """

    def __init__(self, encoder: BertEncoder, config: BertConfig, dtype: torch.dtype) -> None:
        # The word table is most of the memory; read a few rows at a time, it needs no copy in float32.
        tensors = {
            name: tensor.detach() if name.startswith("embeddings.word") else tensor.detach().float()
            for name, tensor in encoder.state_dict().items()
        }
        self._dtype = dtype
        self._embed_dim = config.embed_dim
        self._forward = BertForward(tensors, config, _kernels(config, dtype))
        self.lanes = Lanes()

    def __call__(self, rows: RowTensors, check: Callable[[], None] = lambda: None) -> Tensor:
        """Return states `[n, s, embed_dim]` of padded rows; `check` runs before every batch, in any thread."""
        lengths = rows.mask.sum(1).tolist()
        states = torch.zeros(*rows.token_ids.shape, self._embed_dim, dtype=self._dtype)

        def encode(batch: list[int]) -> None:
            check()
            longest = max(lengths[row] for row in batch)
            mask = rows.mask[batch, :longest] if min(lengths[row] for row in batch) < longest else None
            with torch.inference_mode():
                encoded = self._forward(rows.token_ids[batch, :longest], mask, rows.token_types[batch, :longest])
                states[batch, :longest] = encoded if mask is None else encoded * mask.unsqueeze(2)

        self.lanes.each(encode, batches(lengths))
        return states


def batches(lengths: Sequence[int]) -> list[list[int]]:
    """Return the rows, longest first, in batches that pad by a quarter at most and hold about 256 tokens."""
    found: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if found:
            padded = lengths[found[-1][0]] * (len(found[-1]) + 1)
            real = sum(lengths[i] for i in found[-1]) + lengths[row]
            if padded <= _BATCH_TOKENS and padded <= _MAX_PADDING * real:
                found[-1].append(row)
                continue
        found.append([row])
    return found


def _kernels(config: BertConfig, dtype: torch.dtype) -> Kernels:
    if dtype == torch.bfloat16 and PackedKernels.available():
        return PackedKernels(config.activation, rows=_BATCH_TOKENS)
    return PlainKernels(config.activation, dtype)
