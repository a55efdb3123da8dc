"""Makes a decoder ready for inference: linear layers that read the same input become one, norms are settled.

Merge before quantizing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from app.errors import InvalidInput
from app.transformer.causal_block import CausalBlock
from app.transformer.causal_lm import CausalLM
from app.transformer.feed_forward import FeedForward
from app.transformer.norm import RMSNorm


class FusedFeedForward(nn.Module):
    """Returns `down(act(gate(x)) · up(x))` with one product for gate and up, gate first.

    Source: Shazeer 2020, equation 6.
    """

    def __init__(self, gate_up: nn.Linear, original: FeedForward) -> None:
        super().__init__()
        self.gate_up = gate_up
        self.down = original.down
        self.activation = original.activation

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        hidden = self.activation(gate)
        hidden = hidden * up if torch.is_grad_enabled() else hidden.mul_(up)
        out: Tensor = self.down(hidden)
        return out


def fuse(model: CausalLM) -> CausalLM:
    """Return `model` itself, each layer's q/k/v and gate/up projections merged, its norms ready for single tokens.

    What is merged already is left.

    The results are the same sums; `unfuse` gives the separate layers back, as saving needs them. Layer by layer, so
    that the extra memory is that of one layer.

    Raises:
        InvalidInput: the model is quantized already.
    """
    for block in _blocks(model):
        attention, feed_forward = block.attention, block.feed_forward
        if attention.qkv_proj is None:
            attention.qkv_proj = _merge(attention.q_proj, attention.k_proj, attention.v_proj)
            attention.q_proj = attention.k_proj = attention.v_proj = None
        if isinstance(feed_forward, FeedForward) and feed_forward.gate is not None:
            block.feed_forward = FusedFeedForward(_merge(feed_forward.gate, feed_forward.up), feed_forward)
    _settle_norms(model, settled=True)
    return model


def unfuse(model: CausalLM) -> CausalLM:
    """Return `model` itself with separate projections again, as views of the merged weights.

    Raises:
        InvalidInput: the model was quantized since.
    """
    for block in _blocks(model):
        attention, feed_forward = block.attention, block.feed_forward
        if attention.qkv_proj is not None:
            spec = attention.spec
            kv = spec.num_kv_heads * spec.head_dim
            heights = [spec.num_heads * spec.head_dim, kv, kv]
            attention.q_proj, attention.k_proj, attention.v_proj = _split(attention.qkv_proj, heights)
            attention.qkv_proj = None
        if isinstance(feed_forward, FusedFeedForward):
            half = model.config.ff_dim
            gate, up = _split(feed_forward.gate_up, [half, half])
            plain = FeedForward(1, 1, activation=model.config.activation, gated=True)
            plain.gate, plain.up, plain.down = gate, up, feed_forward.down
            block.feed_forward = plain
    _settle_norms(model, settled=False)
    return model


def _settle_norms(model: CausalLM, *, settled: bool) -> None:
    for part in model.modules():
        if isinstance(part, RMSNorm):
            part.settle(settled=settled)


def _blocks(model: CausalLM) -> list[CausalBlock]:
    return [block for block in model.blocks if isinstance(block, CausalBlock)]


def _merge(*layers: nn.Module | None) -> nn.Linear:
    linears = [layer for layer in layers if type(layer) is nn.Linear]
    if len(linears) != len(layers):
        raise InvalidInput("only plain linear layers can be merged: fuse the model before quantizing it")
    with torch.no_grad():
        weight = torch.cat([linear.weight for linear in linears])
        bias = None if linears[0].bias is None else torch.cat([linear.bias for linear in linears])
        return _linear(weight, bias)


def _split(layer: nn.Module, heights: list[int]) -> list[nn.Linear]:
    if type(layer) is not nn.Linear:
        raise InvalidInput("a quantized model can not be taken apart: load its folder again")
    weights = torch.split(layer.weight.detach(), heights)
    biases = [None] * len(heights) if layer.bias is None else torch.split(layer.bias.detach(), heights)
    return [_linear(weight, bias) for weight, bias in zip(weights, biases, strict=True)]


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias, requires_grad=False)
    return linear
