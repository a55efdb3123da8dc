"""Many requests, one model: continuous batching in a thread of its own.

Each pass through the model holds one token of everyone who decodes and a chunk of whoever is still reading his prompt,
so requests come and go at every step and the weights are read once for all of them. What a request gets does not
depend on the others: its tokens attend to its own keys and values alone.

Source: iteration-level scheduling: Yu et al. 2022 (Orca), section 3.1; chunked prefill: Agrawal et al. 2024
(Sarathi-Serve), section 3.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import torch
from tokenizers import Tokenizer

from app.errors import Cancelled, InvalidInput, Overloaded, Unavailable
from app.transformer.causal_lm import CausalLM
from app.transformer.decoding.constraints import GrammarCompiler
from app.transformer.decoding.detokenize import Detokenizer
from app.transformer.decoding.params import SamplingParams
from app.transformer.decoding.sequence import GeneratedSequence, Step
from app.transformer.engine.batch import Batch, finish
from app.transformer.engine.budget import MemoryBudget
from app.transformer.engine.requests import End, Request
from app.transformer.engine.schedule import Waiting, WaitingQueue
from app.transformer.engine.statistics import Counters, EngineStatistics


class Engine:
    """Generates for many callers at once; every public method may be called from any thread.

    Args:
        model: in evaluation mode; the engine's thread alone runs it from now on.
        tokenizer: turns tokens into text; None: steps carry ids only, and stop strings and grammars are refused.
        eos_token_ids: the model's ending tokens.
        max_context_tokens: longest prompt and answer together; None: what the model was built for.
        cache_bytes: memory for keys and values, requests and prefixes together.
        prefix_share: the part of it that remembers prefixes, in [0, 1).
        max_batch: most requests that run at once.
        max_waiting: most requests in the queue; one more is `Overloaded`.
        prefill_chunk_tokens: most prompt tokens in one pass while somebody decodes: smaller is smoother for him and
            slower for the prompt.
        alone_chunk_tokens: the same while nobody decodes.
        block_tokens: a prefix is remembered in whole blocks of this many tokens.
        passage_reuse: share of a known passage's tokens to compute again in its new place; answers become approximate
            below 1. None: passages are ordinary text.
        passage_bytes: memory for known passages, with `passage_reuse` only, besides `cache_bytes`.
        threads: of PyTorch, in the engine's thread; None: PyTorch's own choice.

    Raises:
        InvalidInput: a number out of its range, or `cache_bytes` too small for one request of `max_context_tokens`.
    """

    def __init__(
        self,
        model: CausalLM,
        tokenizer: Tokenizer | None,
        *,
        eos_token_ids: Sequence[int] = (),
        max_context_tokens: int | None = None,
        cache_bytes: int = 1 << 30,
        prefix_share: float = 0.5,
        max_batch: int = 16,
        max_waiting: int = 64,
        prefill_chunk_tokens: int = 128,
        alone_chunk_tokens: int = 512,
        block_tokens: int = 32,
        passage_reuse: float | None = None,
        passage_bytes: int = 1 << 28,
        threads: int | None = None,
    ) -> None:
        for name, value, least in (
            ("max_batch", max_batch, 1),
            ("max_waiting", max_waiting, 0),
            ("prefill_chunk_tokens", prefill_chunk_tokens, 1),
            ("alone_chunk_tokens", alone_chunk_tokens, 1),
            ("block_tokens", block_tokens, 1),
        ):
            if value < least:
                raise InvalidInput(f"{name}={value} must be at least {least}")
        budget = MemoryBudget.of(
            model,
            max_context_tokens=max_context_tokens,
            cache_bytes=cache_bytes,
            prefix_share=prefix_share,
            block_tokens=block_tokens,
        )
        self.max_context_tokens = budget.context_tokens
        self._vocab_size = model.config.vocab_size
        self._eos_token_ids = tuple(eos_token_ids)
        self._tokenizer = tokenizer
        self._detokenizer = None if tokenizer is None else Detokenizer(tokenizer)
        self._grammars: GrammarCompiler | None = None
        self._grammars_lock = threading.Lock()
        self._max_waiting = max_waiting
        self._threads = threads
        self._counters = Counters()
        self._batch = Batch(
            model,
            budget,
            max_batch=max_batch,
            chunk_tokens=prefill_chunk_tokens,
            alone_chunk_tokens=alone_chunk_tokens,
            counters=self._counters,
            passage_reuse=passage_reuse,
            passage_bytes=passage_bytes,
        )
        self.reuses_passages = passage_reuse is not None
        self._waiting = WaitingQueue()
        self._lock = threading.Condition()
        self._closing = False
        self._failure: str | None = None
        self._forgotten: list[Callable[[str], bool]] = []
        self._thread = threading.Thread(target=self._run, name="inference-engine", daemon=True)
        self._thread.start()

    def submit(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        *,
        namespace: str = "",
        passages: Sequence[tuple[int, int]] = (),
        on_event: Callable[[Step | End], None] | None = None,
    ) -> Request:
        """Return the request, running or waiting.

        Args:
            prompt_ids: at least one token.
            params: `max_tokens` is cut to what the context leaves.
            namespace: prefixes are reused among requests of one namespace only, and namespaces take turns in the
                queue: give each tenant its own, so that no timing tells him what others asked.
            passages: `[start, end)` of the prompt's passages, ascending, for `passage_reuse`; without it they mean
                nothing.
            on_event: called in the engine's thread with each step and the end, instead of iterating; it must return at
                once. If it raises, the request fails.

        Raises:
            InvalidInput: an empty or too long prompt, an id outside the vocabulary, parameters that the engine can't
                fulfil.
            Overloaded: the queue is full.
            Unavailable: the engine has stopped; the message says why.
        """
        self._check(prompt_ids, params)
        _check_passages(passages, len(prompt_ids))
        constraint = None if params.grammar is None else self._compiler().compile(params.grammar)
        room = self.max_context_tokens - len(prompt_ids)
        sequence = GeneratedSequence(
            prompt_ids,
            params,
            eos_token_ids=self._eos_token_ids,
            detokenizer=self._detokenizer,
            constraint=constraint,
            room_tokens=room,
        )
        request = Request(prompt_ids, params, namespace, tuple(passages), on_event, self._notify)
        # The last token that is generated never goes through the model.
        waiting = Waiting(request, sequence, len(prompt_ids) + min(params.max_tokens, room) - 1)
        with self._lock:
            if self._failure is not None or self._closing:
                raise Unavailable(f"the inference engine has stopped: {self._failure or 'it was closed'}")
            if len(self._waiting) >= self._max_waiting + self._batch.free_places:
                self._counters.refused += 1
                raise Overloaded(
                    f"{len(self._waiting)} requests are waiting for the model (max_waiting={self._max_waiting}): "
                    "try again later",
                    retry_after_s=self._wait_s(),
                )
            self._waiting.push(waiting)
            self._counters.requests += 1
            self._lock.notify_all()
        return request

    @property
    def healthy(self) -> bool:
        """Whether requests are served; False after the engine's thread died or was closed."""
        return self._failure is None and not self._closing and self._thread.is_alive()

    def statistics(self) -> EngineStatistics:
        """Return what it does and has done."""
        counters, batch = self._counters, self._batch
        return EngineStatistics(
            healthy=self.healthy,
            failure=self._failure,
            waiting=len(self._waiting),
            running=batch.running,
            memory_tokens=batch.extents.tokens,
            memory_tokens_used=batch.extents.used_tokens,
            prefix_tokens=batch.prefixes.num_blocks * batch.prefixes.block_tokens,
            prefix_tokens_used=batch.prefixes.used_blocks * batch.prefixes.block_tokens,
            requests=counters.requests,
            finished=counters.finished,
            cancelled=counters.cancelled,
            failed=counters.failed,
            refused=counters.refused,
            prompt_tokens=counters.prompt_tokens,
            cached_prompt_tokens=counters.cached_prompt_tokens,
            reused_passage_tokens=counters.reused_passage_tokens,
            generated_tokens=counters.generated_tokens,
            passes=counters.passes,
            tokens_per_s=counters.tokens_per_s(),
        )

    def forget_prefixes(self, chosen: Callable[[str], bool]) -> None:
        """Drop what is remembered of prompts, before the next pass: documents that they quote were deleted.

        Args:
            chosen: is given each namespace and says whether it is forgotten; called in the engine's thread.
        """
        with self._lock:
            self._forgotten.append(chosen)
            self._lock.notify_all()

    def close(self) -> None:
        """End every request with `Unavailable` and the thread after its present pass; idempotent."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, prompt_ids: Sequence[int], params: SamplingParams) -> None:
        if not prompt_ids:
            raise InvalidInput("prompt_ids is empty: give at least one token, the model's beginning token for instance")
        if len(prompt_ids) >= self.max_context_tokens:
            raise InvalidInput(
                f"the prompt has {len(prompt_ids)} tokens, the limit is {self.max_context_tokens - 1}: "
                f"max_context_tokens={self.max_context_tokens} holds the prompt and at least one new token. Shorten it"
            )
        if min(prompt_ids) < 0 or max(prompt_ids) >= self._vocab_size:
            bad = next(token for token in prompt_ids if not 0 <= token < self._vocab_size)
            raise InvalidInput(f"token id {bad} of the prompt is not within the model's {self._vocab_size} tokens")
        if params.num_beams > 1:
            raise InvalidInput(f"num_beams={params.num_beams}: the engine samples one sequence a request; set it to 1")
        if self._tokenizer is None and (params.stop or params.grammar is not None):
            raise InvalidInput("stop strings and grammars need a tokenizer, and this engine was built without one")

    def _compiler(self) -> GrammarCompiler:
        """Return the grammar compiler, built at its first use: it reads the whole vocabulary."""
        assert self._tokenizer is not None
        with self._grammars_lock:
            if self._grammars is None:
                self._grammars = GrammarCompiler(
                    self._tokenizer, vocab_size=self._vocab_size, eos_token_ids=self._eos_token_ids
                )
            return self._grammars

    def _wait_s(self) -> int:
        """Return a guess of the seconds until the queue has moved on: a full queue answers with it."""
        owed = self._waiting.max_tokens() / len(self._waiting) if len(self._waiting) else 0.0
        return int(min(60.0, max(1.0, owed / max(self._counters.tokens_per_s(), 1.0))))

    def _notify(self) -> None:
        with self._lock:
            self._lock.notify_all()

    def _run(self) -> None:
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        reason = "it was closed"
        try:
            with torch.inference_mode():
                while self._prepare():
                    if self._batch.running:
                        self._batch.step()
        except BaseException as error:  # noqa: BLE001 the thread's boundary: whoever waits must hear of it
            reason = self._failure = f"{type(error).__name__}: {error}"
        self._end_all(Unavailable(f"the inference engine has stopped: {reason}"))

    def _prepare(self) -> bool:
        """Wait for work, drop what was cancelled, admit what fits; False when the engine is to end."""
        with self._lock:
            while not (self._closing or len(self._waiting) or self._batch.running or self._forgotten):
                self._lock.wait()
            if self._closing:
                return False
            gone = self._waiting.remove(lambda waiting: waiting.request.cancelled)
            forgotten, self._forgotten = self._forgotten, []
        for each in gone:
            finish(each.request, self._counters, "cancelled", Cancelled("the request was cancelled while it waited"))
        for chosen in forgotten:
            self._batch.forget(chosen)
        self._batch.drop_cancelled()
        # Only this thread takes from the queue, so who is first can't change between looking and taking.
        while (first := self._waiting.first()) is not None and self._batch.admit(first):
            with self._lock:
                self._waiting.pop()
        return True

    def _end_all(self, error: Unavailable) -> None:
        with self._lock:
            self._closing = True
            waiting = self._waiting.remove(lambda _: True)
        for each in waiting:
            finish(each.request, self._counters, "error", error)
        self._batch.abandon(error)


def _check_passages(passages: Sequence[tuple[int, int]], tokens: int) -> None:
    before = 0
    for start, end in passages:
        if not before <= start < end <= tokens:
            raise InvalidInput(
                f"passages={list(passages)}: [{start}, {end}) must be a span of the {tokens} prompt tokens that "
                "begins where the one before it ends, or later"
            )
        before = end
