"""A layer whose weight lies in the kernel's own order keeps it in plain order in its state."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn


class PackedStateModule(nn.Module):
    """A module with `weight` in its state, unpacked when saved and packed when loaded.

    The packed order belongs to one CPU and one release of PyTorch, so that nothing saved may depend on it.
    """

    plain_shape: tuple[int, int]

    @abstractmethod
    def _unpack(self) -> Tensor:
        """The plain weight, as the state holds it."""

    @abstractmethod
    def _pack(self, weight: Tensor) -> None:
        """Take a plain weight as `_unpack` gives it."""

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "weight"] = self._unpack()

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        name = prefix + "weight"
        weight = state_dict.pop(name, None)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        expected = torch.Size(self.plain_shape)
        if weight is None:
            missing_keys.append(name)
        elif weight.shape != expected:
            error_msgs.append(f"{name} has shape {tuple(weight.shape)}, this layer needs {tuple(expected)}")
        else:
            self._pack(weight)
