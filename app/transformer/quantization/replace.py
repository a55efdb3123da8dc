"""Puts quantized layers in the place of a model's linear ones, and says what became of each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from torch import nn

from app.errors import InvalidInput
from app.transformer.causal_lm import CausalLM
from app.transformer.native.decoder import NativeLayers
from app.transformer.native.library import Kernels
from app.transformer.quantization.linear_bf16 import PackedBf16Linear
from app.transformer.quantization.linear_int4 import GROUP_SIZES, Int4Linear, why_not_int4
from app.transformer.quantization.linear_int8 import DynamicInt8Linear, Int8Linear

Kind = Literal["bf16", "int8", "int4", "int8_dynamic"]
KINDS: tuple[Kind, ...] = get_args(Kind)

QuantizedLinear = PackedBf16Linear | DynamicInt8Linear | Int4Linear


@dataclass(frozen=True, slots=True)
class QuantizedLayer:
    """One linear layer of a model after `quantize`. `note` says why it is not what was asked for, else it is empty."""

    name: str
    kind: str
    out_features: int
    in_features: int
    weight_bytes: int
    note: str = ""


def quantize(
    model: nn.Module,
    kind: Kind,
    *,
    group_size: int = 64,
    keep: Collection[str] = (),
    kernels: Kernels | None = None,
) -> nn.Module:
    """Return `model` itself (a lone `nn.Linear`: its replacement) with every `nn.Linear` in the smaller form.

    Embeddings and norms stay as they are: they are read a row at a time. A head that shares its weight with the
    embedding gets a quantized copy of its own, since at each token it reads all of it. Layers that int4 groups do not
    divide become int8; `quantization_report` names them. Merge projections first (`app.transformer.fuse`). For
    inference only: the new layers have no gradients.

    Args:
        model: on the CPU; any module of the core, encoders too.
        kind: "bf16" packs, "int8" and "int4" shrink weights only, "int8_dynamic" also rounds activations to int8.
        group_size: inputs that share a scale, for "int4" only: 32, 64, 128 or 256.
        keep: names of layers (`lm_head`, `blocks.0.attention.out_proj`) that stay as they are.
        kernels: our own (`app.transformer.native`); with them, layers of a merged decoder run as one call each where
            they can. `None`: PyTorch's.

    Raises:
        InvalidInput: unknown kind or group size, a name in `keep` that is no linear layer, weights not on the CPU or
            not finite.
        Unavailable: the CPU or this PyTorch lacks the kernel.
    """
    if kind not in KINDS:
        raise InvalidInput(f"kind={kind!r} must be one of {', '.join(KINDS)}")
    if group_size not in GROUP_SIZES:
        raise InvalidInput(f"group_size={group_size} must be one of {GROUP_SIZES}")
    linears = {name: layer for name, layer in model.named_modules(remove_duplicate=False) if type(layer) is nn.Linear}
    if unknown := sorted(set(keep) - set(linears)):
        raise InvalidInput(f"keep={unknown} names no linear layer of the model: choose from {sorted(linears)[:8]} …")
    elsewhere = {layer.weight.device.type for layer in linears.values()} - {"cpu"}
    if elsewhere:
        raise InvalidInput(f"the model is on {sorted(elsewhere)}: quantized kernels run on the CPU; call model.cpu()")
    if type(model) is nn.Linear:
        return model if keep else _replacement("", model, kind, group_size, kernels)
    made: dict[int, nn.Module] = {}  # a layer used in two places stays one layer
    for name, layer in linears.items():
        if name in keep:
            continue
        if id(layer) not in made:
            made[id(layer)] = _replacement(name, layer, kind, group_size, kernels)
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, made[id(layer)])
    if kernels is not None and isinstance(model, CausalLM):
        model.native = NativeLayers(model, kernels)
    return model


def quantization_report(model: nn.Module) -> list[QuantizedLayer]:
    """Return one entry for each linear layer, in the model's order; plain ones are named by their dtype."""
    report = []
    for name, layer in model.named_modules():
        if isinstance(layer, QuantizedLinear):
            note = layer.note if isinstance(layer, Int8Linear) else ""
            kind, size = _kind_of(layer), layer.weight_bytes
        elif isinstance(layer, nn.Linear):
            note = "" if type(layer) is nn.Linear else f"{type(layer).__name__} is left as it is"
            kind, size = str(layer.weight.dtype).removeprefix("torch."), layer.weight.nbytes
        else:
            continue
        report.append(QuantizedLayer(name, kind, layer.out_features, layer.in_features, size, note))
    return report


def weight_bytes(model: nn.Module) -> int:
    """Return the bytes of all weights, packed ones included; a tensor used twice counts once."""
    tensors = {id(tensor): tensor.nbytes for tensor in [*model.parameters(), *model.buffers()]}
    packed = 0
    for layer in model.modules():
        if isinstance(layer, QuantizedLinear):
            # Its scales are buffers too, and counted with the weight.
            tensors.pop(id(getattr(layer, "scale", None)), None)
            tensors.pop(id(getattr(layer, "scale_and_offset", None)), None)
            packed += layer.weight_bytes
    return packed + sum(tensors.values())


def _replacement(name: str, layer: nn.Linear, kind: Kind, group_size: int, kernels: Kernels | None) -> nn.Module:
    weight, bias = layer.weight, layer.bias
    try:
        if kind == "bf16":
            return PackedBf16Linear(weight, bias, kernels=kernels)
        if kind == "int8_dynamic":
            return DynamicInt8Linear(weight, bias, kernels=kernels)
        reason = why_not_int4(layer.in_features, group_size) if kind == "int4" else ""
        if kind == "int4" and reason is None:
            return Int4Linear(weight, bias, group_size=group_size, kernels=kernels)
        made = Int8Linear(weight, bias, kernels=kernels)
        made.note = reason or ""
        return made
    except InvalidInput as error:
        raise InvalidInput(f"layer {name!r}: {error.message}" if name else error.message) from error


def _kind_of(layer: QuantizedLinear) -> str:
    if isinstance(layer, PackedBf16Linear):
        return "bf16"
    if isinstance(layer, Int4Linear):
        return f"int4/{layer.group_size}"
    return "int8" if isinstance(layer, Int8Linear) else "int8_dynamic"
