"""A decoder-only language model as a `DocumentModel`: one prompt for each passage, all passages in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from app.errors import InvalidInput, TooLarge
from app.generation.marginalize import IMPOSSIBLE, Written
from app.transformer.causal_lm import CausalLM
from app.transformer.stores import SequenceStore

_PREFILL_TOKENS = 1024
_LOGITS_AT_ONCE = 64  # positions whose logits over the whole vocabulary are held
_SCORED_TOGETHER = 16
_FIRST_ROOM = 32


class CausalDocuments:
    """Implements `DocumentModel`. All ending tokens count as one END; none of them is a token of an answer.

    The prompts' keys and values are computed once, what they have in common (the instruction) only for the first.

    Args:
        model: in evaluation mode.
        prompts: token ids, one prompt for each document.
        eos_token_ids: the model's ending tokens.
        max_tokens: longest answer; cut to what the context leaves.
        context_tokens: of a prompt with its answer; by default what the model was built for.
        rows: most rows of a batch: documents times hypotheses.
        max_bytes: that keys and values may take.
        check: called before each part of the prompts and each batch of scores; raises to abandon.

    Raises:
        InvalidInput: no prompt, an empty one, or no ending token.
        TooLarge: a prompt leaves no room for an answer in the context, or the batch takes more than `max_bytes`.
    """

    def __init__(
        self,
        model: CausalLM,
        prompts: Sequence[Sequence[int]],
        *,
        eos_token_ids: Sequence[int],
        max_tokens: int,
        context_tokens: int | None = None,
        rows: int,
        max_bytes: int = 2**31,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        if not prompts or not all(prompts) or not eos_token_ids:
            raise InvalidInput("prompts must be one or more lists of token ids, eos_token_ids name at least one token")
        longest = max(len(prompt) for prompt in prompts)
        context = model.config.context_tokens if context_tokens is None else context_tokens
        if longest >= context:
            raise TooLarge(
                f"a passage's prompt has {longest} tokens, and the model takes {context} with its answer: ask a "
                "shorter question, or raise ATTEST_GENERATION__LOCAL__CONTEXT_TOKENS"
            )
        max_tokens = min(max_tokens, context - longest)
        numbers = sum(2 * spec.num_kv_heads * spec.head_dim for spec in model.specs)
        per_token = numbers * model.embed.weight.element_size()
        # The prompts once more, and the batch twice while its rows are moved.
        needed = per_token * (len(prompts) * longest + 2 * rows * (longest + max_tokens))
        if needed > max_bytes:
            raise TooLarge(
                f"{len(prompts)} passages in {rows} hypotheses of {max_tokens} tokens need {needed >> 20} MiB, "
                f"{max_bytes >> 20} are allowed: ask with fewer context_chunks, num_beams or max_tokens"
            )
        self._model = model
        self._prompts = [list(prompt) for prompt in prompts]
        self._ends = sorted(set(eos_token_ids))
        self._check = check
        self._longest = longest
        self._context = context
        self.max_tokens = max_tokens
        self._base: SequenceStore | None = None
        self._first = torch.empty(0)
        self._store: SequenceStore | None = None

    @property
    def num_documents(self) -> int:
        return len(self._prompts)

    @torch.inference_mode()
    def start(self) -> Tensor:
        self._read()
        self._store = self._copied(range(self.num_documents), self._longest + _FIRST_ROOM)
        return self._logprobs(self._first)

    @torch.inference_mode()
    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> Tensor:
        store = self._store
        if store is None:
            raise InvalidInput("step before start: there are no rows yet")
        if list(parents) != list(range(len(store.lengths))):
            store.reorder(parents)
        if max(store.lengths) == store.capacity:
            store = self._store = self._larger(store)
        positions = store.begin([1] * len(tokens))
        hidden = self._model(torch.tensor(tokens, device=positions.device), positions, store)
        return self._logprobs(hidden)

    @torch.inference_mode()
    def score(self, pairs: Sequence[tuple[int, Written]]) -> list[float]:
        self._read()
        self._store = None
        scores = [0.0] * len(pairs)
        # Of like length together, so that a batch's memory is that of its own answers.
        order = sorted(range(len(pairs)), key=lambda index: len(pairs[index][1].tokens))
        for start in range(0, len(order), _SCORED_TOGETHER):
            self._check()
            part = order[start : start + _SCORED_TOGETHER]
            documents = [pairs[index][0] for index in part]
            answers = [pairs[index][1] for index in part]
            counts = [len(written.tokens) for written in answers]
            store = self._copied(documents, self._longest + max(counts))
            positions = store.begin(counts)
            flat = torch.tensor([token for written in answers for token in written.tokens], device=positions.device)
            states = self._model(flat, positions, store).split(counts)
            for index, z, written, state in zip(part, documents, answers, states, strict=True):
                scores[index] = self._forced(torch.cat([self._first[z : z + 1], state]), written)
        return scores

    def _forced(self, hidden: Tensor, written: Written) -> float:
        """log p of the answer; `hidden[i]` is the state that gives its token i, the last one END."""
        end = self._model.config.vocab_size
        targets = [*written.tokens, *([end] if written.ended else [])]
        total = 0.0
        for start in range(0, len(targets), _LOGITS_AT_ONCE):
            part = torch.tensor(targets[start : start + _LOGITS_AT_ONCE], device=hidden.device)
            logprobs = self._logprobs(hidden[start : start + len(part)])
            total += float(logprobs.gather(1, part.unsqueeze(1)).double().sum())
        return total

    def _logprobs(self, hidden: Tensor) -> Tensor:
        """`[rows, vocab_size + 1]`, the ending tokens' probability moved to the last column."""
        logprobs = torch.log_softmax(self._model.logits(hidden), dim=1)
        end = torch.logsumexp(logprobs[:, self._ends], dim=1, keepdim=True)
        logprobs[:, self._ends] = IMPOSSIBLE
        return torch.cat([logprobs, end], dim=1)

    def _read(self) -> None:
        """The prompts' keys and values, computed at the first call; `_first` gets the state behind each prompt."""
        if self._base is not None:
            return
        shared = _common_prefix(self._prompts)
        base = self._model.new_store(batch=self.num_documents, capacity=self._longest)
        # Angles that depend on the length are those of the longest text from the start: nothing is read again.
        base.settled = [self._longest + self.max_tokens] * self.num_documents
        states = []
        for row, prompt in enumerate(self._prompts):
            begun = shared if row else 0
            if begun:
                base.copy_prefix(base, 0, row, begun)
            hidden = torch.empty(0)
            for start in range(begun, len(prompt), _PREFILL_TOKENS):
                self._check()
                part = prompt[start : start + _PREFILL_TOKENS]
                positions = base.begin([len(part) if index == row else 0 for index in range(self.num_documents)])
                hidden = self._model(torch.tensor(part, device=positions.device), positions, base)
            states.append(hidden[-1])
        self._base, self._first = base, torch.stack(states)

    def _copied(self, documents: Sequence[int], capacity: int) -> SequenceStore:
        """A store of one row for each entry of `documents`, its prompt read already."""
        assert self._base is not None
        store = self._model.new_store(batch=len(documents), capacity=capacity)
        for row, z in enumerate(documents):
            store.copy_prefix(self._base, z, row, len(self._prompts[z]))
        return store

    def _larger(self, store: SequenceStore) -> SequenceStore:
        capacity = min(self._context, 2 * store.capacity - self._longest)
        larger = self._model.new_store(batch=len(store.lengths), capacity=capacity)
        for row, length in enumerate(store.lengths):
            larger.copy_prefix(store, row, row, length)
        return larger


def _common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens that all prompts begin with; at least one of each prompt's own is left to be read."""
    least = min(len(prompt) for prompt in prompts) - 1
    return next((i for i in range(least) if len({prompt[i] for prompt in prompts}) > 1), max(0, least))
