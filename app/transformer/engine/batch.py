"""The running requests and one pass of the model over them. Only the engine's thread comes here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch

from app.errors import AttestError, Cancelled, InvalidInput, Unavailable
from app.transformer.causal_lm import CausalLM
from app.transformer.decoding.sampling import Sampled, sample_batch
from app.transformer.engine.budget import MemoryBudget
from app.transformer.engine.memory import BatchStore, ExtentAllocator, KeyValueMemory, Segment
from app.transformer.engine.passages import PassageBlender
from app.transformer.engine.prefixes import PrefixTree
from app.transformer.engine.requests import EndReason, Request
from app.transformer.engine.schedule import Running, Waiting, plan
from app.transformer.engine.statistics import Counters


class Batch:
    """Admits requests as memory allows and moves all of them on, a pass at a time.

    Args:
        model: in evaluation mode.
        budget: of its keys and values.
        max_batch: most requests that run at once.
        chunk_tokens: most prompt tokens in a pass while somebody decodes.
        alone_chunk_tokens: the same while nobody does.
        counters: where the work is counted.
        passage_reuse: share of known passages' tokens to compute again; None: passages are ordinary text.
        passage_bytes: memory for known passages.
    """

    def __init__(
        self,
        model: CausalLM,
        budget: MemoryBudget,
        *,
        max_batch: int,
        chunk_tokens: int,
        alone_chunk_tokens: int,
        counters: Counters,
        passage_reuse: float | None = None,
        passage_bytes: int = 0,
    ) -> None:
        self._model = model
        self._max_batch = max_batch
        self._chunk = chunk_tokens
        self._alone_chunk = alone_chunk_tokens
        self._counters = counters
        total = budget.request_tokens + budget.num_blocks * budget.block_tokens
        self._memory = KeyValueMemory(model.specs, total, dtype=budget.dtype, device=budget.device)
        self._first_block_row = budget.request_tokens
        self.extents = ExtentAllocator(self._memory, budget.request_tokens)
        self.prefixes = PrefixTree(budget.num_blocks, budget.block_tokens)
        self._passages: PassageBlender | None = None
        if passage_reuse is not None:
            if not budget.length_free:
                raise InvalidInput(
                    f"passage_reuse={passage_reuse}: this model's rotary positions depend on the length of the text "
                    "beyond its first training context; choose a smaller max_context_tokens or leave it off"
                )
            self._passages = PassageBlender(model, self._memory, share=passage_reuse, capacity_bytes=passage_bytes)
        self._running: list[Running] = []

    @property
    def running(self) -> int:
        """How many requests run."""
        return len(self._running)

    @property
    def free_places(self) -> int:
        """How many more may run, if memory allows."""
        return self._max_batch - len(self._running)

    def admit(self, waiting: Waiting) -> bool:
        """Let a request run; False when there is no place or no memory now."""
        if not self.free_places:
            return False
        extent = self.extents.allocate(waiting.tokens)
        if extent is None:
            return False
        running = Running(waiting.request, waiting.sequence, extent, settled=waiting.request.prompt_tokens)
        spans = waiting.request.passages
        if self._passages is not None and spans:
            running.shareable_tokens = spans[0][0]
            running.preparing = self._passages.prepare(running, spans)
        self._running.append(running)
        self._counters.prompt_tokens += waiting.request.prompt_tokens
        return True

    def drop_cancelled(self) -> None:
        """End the requests that were cancelled and free their memory."""
        for each in [each for each in self._running if each.request.cancelled]:
            each.sequence.cancel()
            self._end(each, "cancelled", Cancelled("the request was cancelled"))

    def forget(self, chosen: Callable[[str], bool]) -> None:
        """Drop the prefixes and passages of the namespaces of which `chosen` is true."""
        self.prefixes.forget(chosen)
        if self._passages is not None:
            self._passages.forget(chosen)

    def abandon(self, error: AttestError) -> None:
        """End everything."""
        for each in list(self._running):
            self._end(each, "error", error)

    def step(self) -> None:
        """Run one pass of the model over the batch and hand out what it gave; prepare one piece of known passages."""
        self._prepare_passages()
        for each in self._running:
            if each.preparing is None and each.pending > 1:
                self._reuse_prefix(each)
        steps = plan(self._running, chunk_tokens=self._chunk, alone_chunk_tokens=self._alone_chunk)
        if not steps:
            return
        segments = [Segment(each.extent, each.next_positions(count), each.settled) for each, count in steps]
        positions = [place for segment in segments for place in segment.positions]
        token_ids = [
            each.sequence.history[place]
            for (each, _), segment in zip(steps, segments, strict=True)
            for place in segment.positions
        ]
        device = self._memory.keys.device
        hidden = self._model(
            torch.tensor(token_ids, device=device),
            torch.tensor(positions, device=device),
            BatchStore(self._memory, segments),
        )
        self._counters.passes += 1
        ready: list[Running] = []
        last: list[int] = []
        end = 0
        for (each, count), segment in zip(steps, segments, strict=True):
            end += count
            each.computed = segment.positions[-1] + 1
            if not each.sequence.generated:
                self._remember_prefix(each)
            if not each.pending:
                ready.append(each)
                last.append(end - 1)
        if ready:
            self._sample(ready, self._model.logits(hidden[torch.tensor(last, device=device)]))

    def _sample(self, ready: list[Running], logits: torch.Tensor) -> None:
        try:
            sampled: list[Sampled | AttestError] = list(
                sample_batch(
                    logits, [each.sequence.sampler for each in ready], [each.sequence.history for each in ready]
                )
            )
        except AttestError:
            # One row is at fault; the others must not suffer. Nothing was drawn before the fault was found.
            sampled = [self._sample_one(each, row) for each, row in zip(ready, logits, strict=True)]
        self._counters.generated(sum(isinstance(each, Sampled) for each in sampled))
        for each, outcome in zip(ready, sampled, strict=True):
            if isinstance(outcome, Sampled):
                self._give(each, outcome)
            else:
                self._end(each, "error", outcome)

    def _sample_one(self, each: Running, logits: torch.Tensor) -> Sampled | AttestError:
        try:
            return each.sequence.sampler.next(logits, each.sequence.history)
        except AttestError as error:
            return error

    def _give(self, each: Running, sampled: Sampled) -> None:
        step = each.sequence.next(sampled)
        try:
            each.request.give(step)
        except Exception as error:  # noqa: BLE001 the request's boundary: the caller's code must not end the engine
            self._end(each, "error", Unavailable(f"on_event raised {type(error).__name__}: {error}"))
            return
        if step.finish_reason is not None:
            assert step.finish_reason != "cancelled"
            self._end(each, step.finish_reason)
            return
        length = len(each.sequence.history)
        settled = self._model.settled_length(length, each.settled)
        if settled != each.settled:
            # Its keys have the angles of a shorter text: all of it goes through the model again, like a prompt.
            each.settled, each.computed = settled, 0

    def _end(self, each: Running, reason: EndReason, error: AttestError | None = None) -> None:
        self._running.remove(each)
        if reason != "error":
            self._remember_prefix(each)
        self.extents.free(each.extent)
        finish(each.request, self._counters, reason, error, each)

    def _prepare_passages(self) -> None:
        each = next((each for each in self._running if each.preparing is not None), None)
        if each is None or each.preparing is None:
            return
        try:
            next(each.preparing)
        except StopIteration:
            each.preparing = None
            each.request.cached_tokens += len(each.reused)
            self._counters.reused_passage_tokens += len(each.reused)

    def _reuse_prefix(self, each: Running) -> None:
        """Copy what is known of the rest of the prompt; at least its last token goes through the model."""
        size = self.prefixes.block_tokens
        shareable = min(len(each.sequence.history) - 1, each.shareable_tokens)
        if each.computed >= shareable:
            return
        blocks = self.prefixes.match(each.request.namespace, each.sequence.history[:shareable])
        known = len(blocks) * size
        if known <= each.computed:
            return
        for number in range(each.computed // size, len(blocks)):
            self._memory.copy(self._row(blocks[number]), each.extent.start + number * size, size)
        each.request.cached_tokens += known - each.computed
        self._counters.cached_prompt_tokens += known - each.computed
        each.computed = each.remembered = known

    def _remember_prefix(self, each: Running) -> None:
        """Copy whole blocks of what was computed; a prompt that is still being read serves others already."""
        size = self.prefixes.block_tokens
        known = min(each.computed, each.shareable_tokens)
        if known // size <= each.remembered // size:
            return
        for number, block in self.prefixes.insert(each.request.namespace, each.sequence.history[:known]):
            self._memory.copy(each.extent.start + number * size, self._row(block), size)
        each.remembered = known

    def _row(self, block: int) -> int:
        return self._first_block_row + block * self.prefixes.block_tokens


def finish(
    request: Request, counters: Counters, reason: EndReason, error: AttestError | None, running: Running | None = None
) -> None:
    """End a request and count it; what its `on_event` raises at the end is lost, as there is nobody to tell."""
    counters.ended(reason)
    result = running.sequence.result() if running is not None and reason != "error" else None
    with contextlib.suppress(Exception):
        request.finish(reason, error, result=result)
