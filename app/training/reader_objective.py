"""The reader's loss as an objective of the shared training loop."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.training.loop import LoopOptions
from app.training.reader_eval import evaluate_reader
from app.training.reader_loss import reader_loss
from app.training.reading_examples import ExampleBuilder, ReadingExample, batches
from app.training.reading_sets import ReadingQuestion
from app.transformer.pointer import PointerReader
from app.transformer.pointer_rows import SpecialIds
from app.transformer.tokenizers import TextTokenizer


@dataclass(frozen=True, slots=True)
class ReaderRates:
    """Peak learning rates of the parts.

    Words from `first_trained_id` on, token types and the embeddings' norm are trained, too; with `None` none of these.
    The first `frozen_layers` of the encoder's blocks stay as they are: what stands on them need not be trained again.
    """

    first_trained_id: int | None = None
    frozen_layers: int = 0
    encoder_lr: float = 1e-4
    decoder_lr: float = 3e-4
    word_lr: float = 5e-4
    type_lr: float = 1e-3
    weight_decay: float = 0.01


class ReaderObjective:
    """Implements `Objective` over reading examples.

    Args:
        model: the reader.
        builder: of the training examples.
        tokenizer: of the reader.
        special: `[CLS]`, `[SEP]`, `[PAD]`.
        dev: questions that are scored, by set.
        rates: of the parts.
        extra: further examples of a pass, given its source of chance and the share of the budget that is spent.
        batch_tokens: padded tokens of a batch.
    """

    def __init__(
        self,
        model: PointerReader,
        builder: ExampleBuilder,
        tokenizer: TextTokenizer,
        special: SpecialIds,
        dev: Mapping[str, Sequence[ReadingQuestion]],
        rates: ReaderRates,
        *,
        extra: Callable[[random.Random, float], list[ReadingExample]] | None = None,
        batch_tokens: int = 4096,
    ) -> None:
        self.model = model
        self._builder = builder
        self._extra = extra
        self._tokenizer = tokenizer
        self._special = special
        self._dev = dev
        self._batch_tokens = batch_tokens
        self._device = next(model.parameters()).device
        self._share = 0.0
        embeddings = model.encoder.embeddings
        first = rates.first_trained_id
        embeddings.requires_grad_(first is not None)
        embeddings.position.weight.requires_grad_(False)
        for block in list(model.encoder.blocks)[: rates.frozen_layers]:
            block.requires_grad_(False)
        if first is not None:
            kept = functools.partial(_without_rows, number=first)
            embeddings.word.weight.register_hook(kept)  # type: ignore[no-untyped-call]
        own = {id(embeddings.word.weight): rates.word_lr, id(embeddings.token_type.weight): rates.type_lr}
        encoder = {id(p) for p in model.encoder.parameters()}
        groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
        for parameter in model.parameters():
            if parameter.requires_grad:
                peak = own.get(id(parameter), rates.encoder_lr if id(parameter) in encoder else rates.decoder_lr)
                decayed = parameter.dim() > 1 and id(parameter) not in own
                groups.setdefault((peak, rates.weight_decay if decayed else 0.0), []).append(parameter)
        self.optimizer = torch.optim.AdamW(
            [
                {"params": members, "peak": peak, "lr": peak, "weight_decay": decay}
                for (peak, decay), members in groups.items()
            ],
            betas=(0.9, 0.98),
            eps=1e-6,
            fused=True,
        )

    def one_pass(self, seed: str) -> Iterator[list[ReadingExample]]:
        rng = random.Random(seed)
        examples = [*self._builder.one_pass(rng), *(self._extra(rng, self._share) if self._extra else ())]
        yield from batches(examples, self._batch_tokens, rng)

    def loss(self, batch: list[ReadingExample]) -> Mapping[str, Tensor]:
        loss = reader_loss(self.model, batch, pad_id=self._special.pad, device=self._device)
        return {"loss": loss.total, "first": loss.first, "later": loss.later, "extractive": loss.extractive}

    def tokens(self, batch: list[ReadingExample]) -> int:
        return len(batch) * max(example.padded_tokens for example in batch)

    def at(self, share: float) -> None:
        self._share = share

    def scores(self) -> Mapping[str, float]:
        """EM and F1 of the decoder and F1 of the extractive heads, for every set."""
        options = self._builder.options
        found: dict[str, float] = {}
        for name, questions in self._dev.items():
            scores = evaluate_reader(
                self.model,
                self._tokenizer,
                self._special,
                questions,
                max_tokens=384,
                device=self._device,
                show_matches=options.show_matches,
            )
            found |= {
                f"{name}_em": scores.em_decoder,
                f"{name}_f1": scores.f1_decoder,
                f"{name}_f1_extractive": scores.f1_extractive,
            }
        return found


def dev_questions(
    questions: Sequence[ReadingQuestion], sizes: Mapping[str, int], options: LoopOptions
) -> dict[str, list[ReadingQuestion]]:
    """Return for every set in `sizes` so many answerable dev questions, the same for the same seed."""
    chosen = {}
    for name, size in sizes.items():
        members = [q for q in questions if q.collection == name and q.role == "dev" and q.answers]
        chosen[name] = random.Random(options.seed).sample(members, min(size, len(members)))
    return chosen


def _without_rows(gradient: Tensor, number: int) -> Tensor:
    gradient = gradient.clone()
    gradient[:number] = 0
    return gradient
