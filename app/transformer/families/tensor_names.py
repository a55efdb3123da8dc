"""Tensor names of a decoder folder, theirs and ours, both ways."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from app.errors import Unavailable


@dataclass(frozen=True, slots=True)
class TensorNames:
    """Which module of theirs is which of ours.

    Attributes:
        base: their prefix of everything but the head; a folder saved from the bare model has none ("model").
        layers: their list of layers, after the prefix.
        outside: modules outside the layers, theirs (after the prefix) → ours.
        inside: modules of one layer, theirs → ours.
        ignored: pattern of names (after the prefix) of old buffers that the config already determines.
    """

    base: str
    layers: str
    outside: Mapping[str, str]
    inside: Mapping[str, str]
    ignored: str = r".*\.rotary_emb\.inv_freq"
    _head: str = field(default="lm_head")

    def to_ours(self, tensors: Mapping[str, Tensor], *, tied: bool) -> dict[str, Tensor]:
        """Return the tensors under our names; where the head is tied, it is the embedding itself.

        Raises:
            Unavailable: a tensor that no part of the model would use.
        """
        ours: dict[str, Tensor] = {}
        in_layer = re.compile(rf"{re.escape(self.layers)}\.(\d+)\.(.+)\.(weight|bias)")
        ignored = re.compile(self.ignored)
        for name in tensors:
            short = name.removeprefix(f"{self.base}.")
            if ignored.fullmatch(short) or (tied and short == f"{self._head}.weight"):
                continue
            new = None
            if match := in_layer.fullmatch(short):
                module = self.inside.get(match[2])
                new = module and f"blocks.{match[1]}.{module}.{match[3]}"
            else:
                module, _, kind = short.rpartition(".")
                module = self._head if module == self._head else self.outside.get(module)
                new = module and f"{module}.{kind}"
            if not new:
                raise Unavailable(
                    f"this folder has a tensor {name!r}, which a model of its config.json has no place for: "
                    "choose another model, or check that config.json and weights belong together"
                )
            ours[new] = tensors[name]
        if tied and "embed.weight" in ours:
            ours["lm_head.weight"] = ours["embed.weight"]
        return ours

    def to_theirs(self, state: Mapping[str, Tensor], *, tied: bool) -> dict[str, Tensor]:
        """Return the tensors of our `state_dict` under their names, without a tied head."""
        outside = {ours: theirs for theirs, ours in self.outside.items()}
        inside = {ours: theirs for theirs, ours in self.inside.items()}
        theirs: dict[str, Tensor] = {}
        for name, tensor in state.items():
            module, _, kind = name.rpartition(".")
            if module == self._head:
                if not (tied and kind == "weight"):
                    theirs[name] = tensor
            elif name.startswith("blocks."):
                _, layer, rest = module.split(".", 2)
                theirs[f"{self.base}.{self.layers}.{layer}.{inside[rest]}.{kind}"] = tensor
            else:
                theirs[f"{self.base}.{outside[module]}.{kind}"] = tensor
        return theirs


LLAMA_NAMES = TensorNames(
    base="model",
    layers="layers",
    outside={"embed_tokens": "embed", "norm": "norm"},
    inside={
        "self_attn.q_proj": "attention.q_proj",
        "self_attn.k_proj": "attention.k_proj",
        "self_attn.v_proj": "attention.v_proj",
        "self_attn.o_proj": "attention.out_proj",
        "self_attn.q_norm": "attention.q_norm",
        "self_attn.k_norm": "attention.k_norm",
        "mlp.gate_proj": "feed_forward.gate",
        "mlp.up_proj": "feed_forward.up",
        "mlp.down_proj": "feed_forward.down",
        "input_layernorm": "attention_norm",
        "post_attention_layernorm": "feed_forward_norm",
    },
)
