"""How much of the memory serves what, decided once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from app.errors import InvalidInput
from app.transformer.causal_attention import AttentionSpec
from app.transformer.causal_lm import CausalLM
from app.transformer.engine.memory import KeyValueMemory
from app.transformer.rotary import DynamicScaling, LongRopeScaling


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """Rows for requests come first, then rows for prefix blocks; `dtype` and `device` are those of the model's keys.

    `length_free`: keys do not depend on how long the text becomes, so that one text's serve another.
    """

    context_tokens: int
    request_tokens: int
    num_blocks: int
    block_tokens: int
    length_free: bool
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(
        cls,
        model: CausalLM,
        *,
        max_context_tokens: int | None,
        cache_bytes: int,
        prefix_share: float,
        block_tokens: int,
    ) -> MemoryBudget:
        """Return the budget of `cache_bytes` for `model`.

        Raises:
            InvalidInput: a number out of its range, or one request of `max_context_tokens` does not fit.
        """
        limit = model.config.context_tokens
        context = limit if max_context_tokens is None else max_context_tokens
        if not 2 <= context <= limit:
            raise InvalidInput(f"max_context_tokens={context} must be between 2 and the model's {limit} positions")
        if not 0 <= prefix_share < 1:
            raise InvalidInput(f"prefix_share={prefix_share} must be at least 0 and below 1")
        if block_tokens < 1:
            raise InvalidInput(f"block_tokens={block_tokens} must be at least 1")
        probe = _Probe()
        with torch.inference_mode():
            device = next(model.parameters()).device
            model(
                torch.zeros(1, dtype=torch.int64, device=device),
                torch.zeros(1, dtype=torch.int64, device=device),
                probe,
            )
        each = KeyValueMemory.bytes_per_token(model.specs, probe.dtype)
        tokens = cache_bytes // each
        length_free = _length_free(model, context)
        num_blocks = int(prefix_share * tokens) // block_tokens if length_free else 0
        request_tokens = tokens - num_blocks * block_tokens
        if request_tokens < context:
            needed = int(context / (1 - prefix_share) + 1) * each
            raise InvalidInput(
                f"cache_bytes={cache_bytes} holds {tokens} tokens of {each} bytes, of which {request_tokens} serve "
                f"requests: max_context_tokens={context} needs cache_bytes={needed} or more, or a smaller context"
            )
        return cls(context, request_tokens, num_blocks, block_tokens, length_free, probe.dtype, device)


class _Probe:
    """Learns the dtype of keys, which a quantized model's weights do not tell."""

    dtype = torch.float32

    def attend(self, spec: AttentionSpec, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # noqa: ARG002
        self.dtype = key.dtype
        return query


def _length_free(model: CausalLM, context_tokens: int) -> bool:
    for rotary in model.config.rotary:
        scaling = None if rotary is None else rotary.scaling
        if isinstance(scaling, DynamicScaling) and context_tokens > scaling.max_positions:
            return False
        if isinstance(scaling, LongRopeScaling) and context_tokens > scaling.original_max_positions:
            return False
    return True
