"""A model's forward pass in eight bits, its ranges measured once on a fixed sample when it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from tokenizers import Tokenizer
from torch import Tensor

from app.embedding.bert_forward import BertForward, Parameters
from app.embedding.calibration_texts import CALIBRATION_TEXTS
from app.embedding.float_kernels import PlainKernels, PlainProjection
from app.embedding.int8_kernels import Extent, Int8Kernels
from app.transformer.encoder import BertConfig


def quantized_forward(tensors: Mapping[str, Tensor], config: BertConfig, tokenizer: Tokenizer) -> BertForward:
    """The forward pass with `Int8Kernels`.

    The ranges come from `CALIBRATION_TEXTS` and not from the passages: a text's vector must not depend on what was
    encoded before it.
    """
    return BertForward(tensors, config, Int8Kernels(config.activation, measured(tensors, config, tokenizer)))


def measured(tensors: Mapping[str, Tensor], config: BertConfig, tokenizer: Tokenizer) -> dict[str, Extent]:
    """The extent of every projection's inputs over the sample, by the projection's name."""
    kernels = _WatchedKernels(config)
    forward = BertForward(tensors, config, kernels)
    with torch.inference_mode():
        for encoding in tokenizer.encode_batch_fast(list(CALIBRATION_TEXTS)):
            if encoding.ids:
                forward(torch.tensor([encoding.ids]), None)
    return kernels.extents


class _WatchedKernels(PlainKernels):
    """Float32 kernels that write down what goes into them."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config.activation)
        self.extents: dict[str, Extent] = {}

    def projection(self, name: str, parameters: Parameters) -> PlainProjection:
        return _WatchedProjection(parameters, lambda x: self._see(name, x))

    def _see(self, name: str, x: Tensor) -> None:
        low, high = x.amin(0), x.amax(0)
        if name in self.extents:
            before = self.extents[name]
            low, high = torch.minimum(low, before[0]), torch.maximum(high, before[1])
        self.extents[name] = low, high


class _WatchedProjection(PlainProjection):
    def __init__(self, parameters: Parameters, see: Callable[[Tensor], None]) -> None:
        super().__init__(*parameters)
        self._see = see

    def __call__(self, x: Tensor) -> Tensor:
        self._see(x)
        return super().__call__(x)
