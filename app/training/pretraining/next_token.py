"""Next-token prediction on a decoder language model."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from app.transformer.causal_lm import CausalLM
from app.transformer.stores import DenseStore


@dataclass(frozen=True, slots=True)
class NextTokenOptions:
    """Padded tokens of a batch, peak learning rate, and the decay of matrices."""

    batch_tokens: int = 4096
    lr: float = 3e-4
    weight_decay: float = 0.1


class NextTokenObjective:
    """Implements `Objective`: `−log p(token_t | token_<t)`, mean over all positions but each row's first.

    Args:
        model: a decoder in float32.
        rows: token ids, all of one length of at least 2; the tokenizer's first token, where it has one, included.
        dev_rows: as `rows`, never trained on; their loss is the score.
        options: rates.

    Source: Radford et al. 2019, section 2.
    """

    def __init__(
        self,
        model: CausalLM,
        rows: Sequence[Sequence[int]],
        dev_rows: Sequence[Sequence[int]],
        options: NextTokenOptions,
    ) -> None:
        self.model = model
        self._rows = rows
        self._dev = list(dev_rows)
        self._batch_rows = max(1, options.batch_tokens // len(rows[0]))
        self._device = next(model.parameters()).device
        matrices = [p for p in model.parameters() if p.dim() > 1]
        others = [p for p in model.parameters() if p.dim() <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "peak": options.lr, "lr": options.lr, "weight_decay": options.weight_decay},
                {"params": others, "peak": options.lr, "lr": options.lr, "weight_decay": 0.0},
            ],
            betas=(0.9, 0.95),
            fused=True,
        )

    def one_pass(self, seed: str) -> Iterator[Tensor]:
        order = list(range(len(self._rows)))
        random.Random(seed).shuffle(order)
        for at in range(0, len(order), self._batch_rows):
            yield torch.tensor([self._rows[i] for i in order[at : at + self._batch_rows]], device=self._device)

    def loss(self, batch: Tensor) -> Mapping[str, Tensor]:
        number, length = batch.shape
        store = DenseStore([length] * number)
        hidden = self.model(batch.flatten(), store.positions(batch.device), store).view(number, length, -1)
        logits = self.model.logits(hidden[:, :-1])
        return {"loss": functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())}

    def tokens(self, batch: Tensor) -> int:
        return batch.numel()

    def at(self, share: float) -> None:
        """Nothing changes on the way."""

    def scores(self) -> Mapping[str, float]:
        """Mean loss on the development rows, in nats a token, and its exponential."""
        losses = []
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16):
            for at in range(0, len(self._dev), self._batch_rows):
                batch = torch.tensor(self._dev[at : at + self._batch_rows], device=self._device)
                losses += [float(self.loss(batch)["loss"])] * len(batch)
        if not losses:
            return {}
        mean = torch.tensor(losses).mean()
        return {"dev_loss": round(float(mean), 4), "dev_perplexity": round(float(mean.exp()), 2)}
