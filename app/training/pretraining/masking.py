"""BERT's masking: which tokens are predicted, and what stands in their place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class MaskedRows:
    """`inputs` int64 `[b, s]`; `chosen` bool `[b, s]`, True = to predict; `targets` int64, one per True in order."""

    inputs: Tensor
    chosen: Tensor
    targets: Tensor


def mask_tokens(
    ids: Tensor,
    maskable: Tensor,
    *,
    mask_id: int,
    random_ids: tuple[int, int],
    share: float = 0.15,
    generator: torch.Generator | None = None,
) -> MaskedRows:
    """Return `ids` with a share of the maskable tokens hidden: 80% `mask_id`, 10% a random token, 10% unchanged.

    Args:
        ids: int64 `[b, s]`.
        maskable: bool `[b, s]`, True = may be chosen (no special token, no padding).
        mask_id: of `[MASK]`.
        random_ids: half-open range that the random tokens are drawn from.
        share: probability of each token to be chosen.
        generator: of the draws, on the CPU.

    Source: Devlin et al. 2019, section 3.1, task 1.
    """
    draw = torch.rand(ids.shape, generator=generator)
    chosen = (draw < share) & maskable.cpu()
    kind = torch.rand(ids.shape, generator=generator)
    others = torch.randint(*random_ids, tuple(ids.shape), generator=generator)
    inputs = ids.cpu().clone()
    inputs[chosen & (kind < 0.8)] = mask_id
    swapped = chosen & (kind >= 0.8) & (kind < 0.9)
    inputs[swapped] = others[swapped]
    chosen = chosen.to(ids.device)
    return MaskedRows(inputs.to(ids.device), chosen, ids[chosen])
