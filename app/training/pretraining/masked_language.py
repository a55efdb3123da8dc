"""Masked language modelling, with next-sentence prediction if wanted, on an encoder with its heads.

A new language is learned in two steps: first only the new words' vectors and the head, with the body frozen (Artetxe,
Ruder & Yogatama 2020, section 2), then the body, too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.training.pretraining.masking import mask_tokens
from app.transformer.encoder_heads import EncoderModel
from app.transformer.pointer_rows import SpecialIds


@dataclass(frozen=True, slots=True)
class MaskedLanguageOptions:
    """What is trained, how fast, and against which other words.

    `first_trained_id` is the first row of the word table that is trained, −1 for none; `frozen_share` of the budget
    trains neither body nor positions; `candidates` other words, drawn anew for a batch, compete with its targets (0 =
    all words); `next_sentence` adds that objective to the loss. With `words_as_targets` off the word table learns as
    input alone: in a sampled softmax rare words would all be pushed the same way, far from where they start.
    """

    mask_id: int
    first_trained_id: int = 0
    batch_tokens: int = 4096
    body_lr: float = 1e-4
    word_lr: float = 5e-4
    head_lr: float = 1e-3
    frozen_share: float = 0.0
    candidates: int = 0
    words_as_targets: bool = True
    next_sentence: bool = False
    weight_decay: float = 0.01


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`, all of one length.

    ids and types int64 `[b, s]`; `follows` int64 `[b]`: 0 where B follows A, 1 where it does not; empty without B.
    """

    ids: Tensor
    types: Tensor
    follows: Tensor


class MaskedLanguageObjective:
    """Implements `Objective` over rows of equally many tokens.

    Args:
        model: with a masked-language head, and pooler and next-sentence head where that is wanted.
        rows: token ids without special tokens, all of one length, neighbours from one text adjacent.
        dev_rows: as `rows`, never trained on; their loss is the score.
        special: `[CLS]`, `[SEP]`, `[PAD]`.
        options: rates and shares.
    """

    def __init__(
        self,
        model: EncoderModel,
        rows: Sequence[Sequence[int]],
        dev_rows: Sequence[Sequence[int]],
        special: SpecialIds,
        options: MaskedLanguageOptions,
    ) -> None:
        self.model = model
        self._rows = rows
        self._dev = list(dev_rows)
        self._special = special
        self._options = options
        self._generator = torch.Generator().manual_seed(0)
        self._device = next(model.parameters()).device
        words = model.encoder.embeddings.word.weight
        if options.first_trained_id > 0:
            words.register_hook(self._only_trained_rows)  # type: ignore[no-untyped-call]
        elif options.first_trained_id < 0:
            words.requires_grad_(False)
        body = {id(p) for p in model.encoder.parameters()} - {id(words)}
        self._body = [p for p in model.parameters() if id(p) in body]
        heads = [p for p in model.parameters() if id(p) not in body and p is not words]
        self.optimizer = torch.optim.AdamW(
            [
                _group([p for p in self._body if p.dim() > 1], options.body_lr, options.weight_decay),
                _group([p for p in self._body if p.dim() <= 1], options.body_lr, 0.0),
                _group(heads, options.head_lr, 0.0),
                _group([p for p in model.parameters() if p is words and p.requires_grad], options.word_lr, 0.0),
            ],
            betas=(0.9, 0.98),
            eps=1e-6,
            fused=True,
        )

    def one_pass(self, seed: str) -> Iterator[RowBatch]:
        rng = random.Random(seed)
        self._generator.manual_seed(rng.getrandbits(40))
        order = list(range(0, len(self._rows) - 1, 2)) if self._options.next_sentence else list(range(len(self._rows)))
        rng.shuffle(order)
        length = len(self._rows[0]) * (2 if self._options.next_sentence else 1) + 3
        size = max(1, self._options.batch_tokens // length)
        for at in range(0, len(order), size):
            yield self._batch(order[at : at + size], self._rows, rng)

    def loss(self, batch: RowBatch) -> Mapping[str, Tensor]:
        masked, next_sentence, accuracy = self._losses(batch, self._options.candidates)
        if next_sentence is None:
            return {"loss": masked, "accuracy": accuracy}
        return {"loss": masked + next_sentence, "masked": masked, "next_sentence": next_sentence, "accuracy": accuracy}

    def tokens(self, batch: RowBatch) -> int:
        return batch.ids.numel()

    def at(self, share: float) -> None:
        trained = share >= self._options.frozen_share
        if self._body[0].requires_grad != trained:
            for parameter in self._body:
                parameter.requires_grad_(trained)

    def scores(self) -> Mapping[str, float]:
        """Loss and accuracy over all words on the development rows, the same masks each time."""
        state = self._generator.get_state()
        self._generator.manual_seed(1)
        losses, hits = [], []
        step = 2 if self._options.next_sentence else 1
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16):
            for at in range(0, len(self._dev) - step + 1, 16 * step):
                order = list(range(at, min(at + 16 * step, len(self._dev) - step + 1), step))
                masked, _, accuracy = self._losses(self._batch(order, self._dev, random.Random(at)), 0)
                losses.append(float(masked))
                hits.append(float(accuracy))
        self._generator.set_state(state)
        if not losses:
            return {}
        return {"dev_loss": round(sum(losses) / len(losses), 4), "dev_accuracy": round(sum(hits) / len(hits), 4)}

    def _batch(self, order: Sequence[int], rows: Sequence[Sequence[int]], rng: random.Random) -> RowBatch:
        ids, types, follows = [], [], []
        for index in order:
            first = [self._special.cls, *rows[index], self._special.sep]
            second: list[int] = []
            if self._options.next_sentence:
                other = rng.random() < 0.5
                second = [*rows[rng.randrange(len(rows)) if other else index + 1], self._special.sep]
                follows.append(int(other))
            ids.append(first + second)
            types.append([0] * len(first) + [1] * len(second))
        device = self._device
        return RowBatch(
            torch.tensor(ids, device=device), torch.tensor(types, device=device), torch.tensor(follows, device=device)
        )

    def _losses(self, batch: RowBatch, candidates: int) -> tuple[Tensor, Tensor | None, Tensor]:
        special = torch.tensor([self._special.cls, self._special.sep, self._special.pad], device=batch.ids.device)
        words = self.model.encoder.embeddings.word.weight
        masked = mask_tokens(
            batch.ids,
            ~torch.isin(batch.ids, special),
            mask_id=self._options.mask_id,
            random_ids=(max(0, self._options.first_trained_id), words.shape[0]),
            generator=self._generator,
        )
        states = self.model(masked.inputs, torch.ones_like(masked.chosen), batch.types)
        head = self.model.masked_lm
        assert head is not None
        if candidates:
            # A softmax over all words would cost as much as half of the encoder; the competitors are drawn evenly.
            drawn = torch.randperm(words.shape[0], generator=self._generator)[:candidates].to(words.device)
            rows, targets = torch.unique(torch.cat([masked.targets, drawn]), return_inverse=True)
            targets = targets[: len(masked.targets)]
        else:
            rows, targets = torch.arange(words.shape[0], device=words.device), masked.targets
        hidden = head.norm(head.activation(head.dense(states[masked.chosen])))
        table = (words if self._options.words_as_targets else words.detach())[rows]
        logits = functional.linear(hidden, table.to(hidden.dtype), head.bias[rows].to(hidden.dtype)).float()
        loss = functional.cross_entropy(logits, targets)
        accuracy = (logits.detach().argmax(1) == targets).float().mean()
        next_sentence = None
        if self._options.next_sentence:
            next_sentence = functional.cross_entropy(self.model.next_sentence_logits(states).float(), batch.follows)
        return loss, next_sentence, accuracy

    def _only_trained_rows(self, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        gradient[: self._options.first_trained_id] = 0
        return gradient


def _group(parameters: Sequence[nn.Parameter], peak: float, weight_decay: float) -> dict[str, object]:
    return {"params": list(parameters), "peak": peak, "lr": peak, "weight_decay": weight_decay}
