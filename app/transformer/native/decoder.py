"""Runs a decoder's layers through our kernels, each layer that they can do; the others stay PyTorch's.

A pass over a few rows whose store says where its keys are is one call for all layers in a row. Any other pass (a long
prompt, a store of its own kind, a soft cap) is two calls a layer, and the store attends between them as it always does.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from ctypes import POINTER, c_int64, c_void_p, pointer
from typing import Any

import torch
from torch import Tensor, nn

from app.transformer.causal_attention import AttentionSpec
from app.transformer.causal_block import CausalBlock
from app.transformer.causal_lm import CausalLM
from app.transformer.feed_forward import activation_function
from app.transformer.fuse import FusedFeedForward
from app.transformer.native.library import INPUTS, Kernels
from app.transformer.native.structures import Angles, Layer, Pass
from app.transformer.native.weight import NativeWeight
from app.transformer.norm import RMSNorm
from app.transformer.rotary import Rotation
from app.transformer.stores import KeyValueStore, KnowsPlaces

FEW_ROWS = 32  # in one call, whoever they belong to; a longer prompt is faster through PyTorch's matrix products
_HEAD_DIMS = range(16, 257, 16)
_MOST_HEADS_ON_ONE = 16
_ACTIVATIONS = {activation_function("silu"): 0, activation_function("gelu_tanh"): 1}


class NativeLayers:
    """The layers of one decoder that our kernels do. It looks at the model once, and again when weights are loaded.

    Args:
        model: merged (`app.transformer.fuse`) and quantized with `kernels`.
        kernels: to run them.
    """

    def __init__(self, model: CausalLM, kernels: Kernels) -> None:
        self._kernels = kernels
        self._look_at(model)
        model.register_load_state_dict_post_hook(_look_again)  # type: ignore[no-untyped-call]

    @property
    def covered(self) -> tuple[bool, ...]:
        """Whether each layer of the model is ours."""
        return tuple(layer is not None for layer in self._layers)

    @staticmethod
    def serves(x: Tensor) -> bool:
        """Whether the pass is one for the kernels: on the CPU, in a precision that they know, without gradients."""
        return x.device.type == "cpu" and x.dtype in (torch.bfloat16, torch.float32) and not torch.is_grad_enabled()

    def in_a_row(self, first: int) -> int:
        """How many layers from `first` on are ours."""
        last = first
        while last < len(self._layers) and self._layers[last] is not None:
            last += 1
        return last - first

    def run(self, x: Tensor, first: int, count: int, rotations: Sequence[Rotation], store: KeyValueStore) -> Tensor:
        """Return `x` `[t, embed_dim]` after `count` layers from `first` on.

        Args:
            x: in the model's precision; sums are kept in float32 between the layers.
            first: number of the first layer.
            count: of layers, all of them ours.
            rotations: float32, one for each of the model's rotary positions.
            store: keys and values.
        """
        state = x.to(torch.float32, copy=True).contiguous()
        angles = (Angles * max(1, len(rotations)))(
            *[Angles(rotation.cos.data_ptr(), rotation.sin.data_ptr()) for rotation in rotations]
        )
        one_call = len(x) <= FEW_ROWS and all(self._attends[first : first + count])
        if not (one_call and isinstance(store, KnowsPlaces) and self._pass(state, first, count, angles, store)):
            for number in range(first, first + count):
                self._around_attention(state, number, x.dtype, angles, store)
        return state.to(x.dtype)

    def _pass(self, state: Tensor, first: int, count: int, angles: Any, store: KnowsPlaces) -> bool:
        places = store.places()
        if places is None:
            return False
        last = first + count
        rows = c_int64 * len(state)
        addresses = c_void_p * count
        described = Pass(
            x=state.data_ptr(),
            rows=len(state),
            layers=(POINTER(Layer) * count)(*[each for each in self._pointers[first:last] if each is not None]),
            angles=angles,
            keys=addresses(*places.keys[first:last]),
            values=addresses(*places.values[first:last]),
            start=rows(*places.starts),
            position=rows(*places.positions),
            count=count,
            position_stride=places.position_stride,
            head_stride=places.head_stride,
            float_cache=int(places.dtype == torch.float32),
        )
        self._kernels.layers(described)
        return True

    def _around_attention(
        self, state: Tensor, number: int, dtype: torch.dtype, angles: Any, store: KeyValueStore
    ) -> None:
        layer, spec = self._layers[number], self._specs[number]
        assert layer is not None
        heads = torch.empty(len(state), spec.num_heads + 2 * spec.num_kv_heads, spec.head_dim, dtype=dtype)
        self._kernels.before_attention(layer, state, angles, heads)
        query, key, value = torch.split(heads, [spec.num_heads, spec.num_kv_heads, spec.num_kv_heads], dim=1)
        mixed = store.attend(spec, query, key, value).contiguous()
        self._kernels.after_attention(layer, mixed, state)

    def __deepcopy__(self, memo: dict[int, Any]) -> NativeLayers:
        return copy.copy(self)  # what the structures point at never changes: a copied model may share it

    def _look_at(self, model: Any) -> None:
        self._kept: list[Any] = []  # what the structures point at
        self._specs: tuple[AttentionSpec, ...] = model.specs
        self._layers: list[Layer | None] = [
            self._described(block, rotary, model)
            for block, rotary in zip(model.blocks, model.rotary_of_layer, strict=True)
        ]
        self._pointers = [None if layer is None else pointer(layer) for layer in self._layers]
        self._attends = [spec.softcap is None and spec.alibi_slopes is None for spec in self._specs]

    def _described(self, block: Any, rotary: int | None, model: CausalLM) -> Layer | None:
        """The layer as the kernels take it, or `None` where it has a part that they do not know."""
        if not isinstance(block, CausalBlock) or block.norm_placement != "pre":
            return None
        attention, forward, spec = block.attention, block.feed_forward, block.attention.spec
        if not isinstance(forward, FusedFeedForward) or forward.activation not in _ACTIVATIONS:
            return None
        weights = [_weight(each) for each in (attention.qkv_proj, attention.out_proj, forward.gate_up, forward.down)]
        norms = [_norm(block.attention_norm), _norm(block.feed_forward_norm)]
        of_heads = [norm for norm in (attention.q_norm, attention.k_norm) if norm is not None]
        head_norms = [_norm(norm) for norm in of_heads]
        fits = (
            spec.head_dim in _HEAD_DIMS
            and spec.num_heads // spec.num_kv_heads <= _MOST_HEADS_ON_ONE
            and model.config.ff_dim % INPUTS == 0
        )
        found = [*weights, *norms, *head_norms]
        if not fits or any(each is None for each in found) or len({norm.eps for norm in of_heads}) > 1:
            return None
        qkv, out, gate_up, down = [weight for weight in weights if weight is not None]
        self._kept += found
        turned = None if rotary is None else model.config.rotary[spec.layer]
        addresses = [norm.data_ptr() for norm in (*norms, *head_norms) if norm is not None]
        query_norm, key_norm = addresses[2:] or (None, None)
        return Layer(
            qkv=qkv.matrix,
            out=out.matrix,
            gate_up=gate_up.matrix,
            down=down.matrix,
            attention_norm=addresses[0],
            feed_forward_norm=addresses[1],
            query_norm=query_norm,
            key_norm=key_norm,
            eps=block.attention_norm.eps,
            head_eps=of_heads[0].eps if of_heads else 0.0,
            scale=spec.scale,
            activation=_ACTIVATIONS[forward.activation],
            heads=spec.num_heads,
            kv_heads=spec.num_kv_heads,
            head_dim=spec.head_dim,
            rotary_dim=0 if turned is None else turned.dim,
            rotary=rotary or 0,
            window=spec.window or 0,
        )


def _look_again(model: nn.Module, _: Any) -> None:
    if isinstance(model, CausalLM) and isinstance(model.native, NativeLayers):
        model.native._look_at(model)


def _weight(layer: nn.Module | None) -> NativeWeight | None:
    found = getattr(layer, "native", None)
    return found if isinstance(found, NativeWeight) else None


def _norm(norm: nn.Module) -> Tensor | None:
    """The norm's factors, float32, or `None` where it is no RMS norm."""
    if not isinstance(norm, RMSNorm):
        return None
    weight = norm.weight.detach().float()
    return weight + 1 if norm.plus_one else weight.clone()
