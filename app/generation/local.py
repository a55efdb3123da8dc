"""A language model on this machine as a chat model: its folder, its own template, and our engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import torch

from app.errors import Cancelled, InvalidInput, TooLarge, Unavailable
from app.generation.causal_documents import CausalDocuments
from app.generation.chat import Delta, plain_prompt, without_system
from app.generation.marginal_chat import ShownDocuments
from app.generation.reader import bf16_is_native
from app.transformer.causal_lm import CausalLM
from app.transformer.checkpoints.generation_defaults import GenerationDefaults
from app.transformer.checkpoints.loading import load_model
from app.transformer.decoding.params import GrammarSpec, SamplingParams
from app.transformer.decoding.sequence import Step
from app.transformer.engine.engine import Engine
from app.transformer.engine.memory import KeyValueMemory
from app.transformer.engine.requests import Request
from app.transformer.fuse import fuse
from app.transformer.model_tokenizer import ModelTokenizer, load_tokenizer
from app.transformer.native.library import Choice, choose_kernels
from app.transformer.quantization import quantize
from app.transformer.quantization.linear_bf16 import has_bf16_kernel
from app.types import GenerationOptions, Message

Dtype = Literal["auto", "fp32", "bf16", "int8", "int4"]
_LOG = logging.getLogger(__name__)
_POLL_S = 0.05
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A decoder ready to write: fused, quantized, with its tokenizer and template. `dtype` says how it was loaded."""

    name: str
    folder: Path
    dtype: str
    model: CausalLM
    tokenizer: ModelTokenizer
    defaults: GenerationDefaults

    @property
    def ignored(self) -> tuple[str, ...]:
        """The makers' settings, with their values, that change nothing here."""
        forced = {name: getattr(self.defaults, name) for name in ("forced_bos_token_id", "forced_eos_token_id")}
        return (
            *self.defaults.unsupported,
            *(f"{name}={token} (of encoder–decoders only)" for name, token in forced.items() if token is not None),
        )

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """The conversation as tokens: by the folder's template, else each turn under its speaker's name.

        A template that knows no system role gets the system's words in front of the first user's. A reasoning model is
        asked to answer at once: passages are there to be quoted, and thoughts cost seconds.

        Raises:
            InvalidInput: the template refuses the messages.
        """
        if self.tokenizer.template is None:
            return self.tokenizer.encode(plain_prompt(messages))
        return self._in_a_form_that_it_takes(
            messages, lambda turns: self.tokenizer.encode_chat(_plain(turns), enable_thinking=False)
        )

    def prompt_with_passages(self, messages: Sequence[Message]) -> tuple[list[int], list[tuple[int, int]]]:
        """As `prompt_ids`, with the places `[start, end)`, in tokens, of the last message's passages.

        A passage gets the same tokens in every prompt. Without a chat template there are no places.

        Raises:
            InvalidInput: the template refuses the messages.
        """
        if self.tokenizer.template is None:
            return self.prompt_ids(messages), []
        return self._in_a_form_that_it_takes(
            messages,
            lambda turns: self.tokenizer.encode_chat_with_passages(
                _plain(turns), turns[-1].passages, enable_thinking=False
            ),
        )

    def _in_a_form_that_it_takes(self, messages: Sequence[Message], encode: Callable[[Sequence[Message]], _T]) -> _T:
        for turns in (messages, without_system(messages)):
            try:
                return encode(turns)
            except InvalidInput as error:
                refusal = error
        raise refusal


def _plain(turns: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def load_language_model(folder: Path, *, dtype: Dtype = "auto", native_kernels: Choice = "auto") -> LanguageModel:
    """The decoder of a Hugging Face folder, its projections merged and its weights in `dtype`.

    Args:
        folder: config.json, tokenizer and safetensors.
        dtype: "auto" is bf16 where this CPU computes in it natively, else fp32; int8 and int4 keep embeddings and norms
            in that.
        native_kernels: our compiled kernels: "auto" where they can run, "off", or "on" to fail where they can not.

    Raises:
        Unavailable: a file is missing, it is no decoder, or it has a part that does not run here; the message names it.
        IntegrityError: a file is damaged or belongs to another model.
    """
    native = bf16_is_native()
    chosen = ("bf16" if native else "fp32") if dtype == "auto" else dtype
    half = chosen == "bf16" or (chosen != "fp32" and native)
    loaded = load_model(folder, dtype=torch.bfloat16 if half else torch.float32)
    if not isinstance(loaded.model, CausalLM):
        raise Unavailable(
            f"{folder}: it is an {loaded.kind} model, which does not write on from a prompt; choose a decoder such as "
            "Llama, Qwen, Mistral, Gemma, Phi or SmolLM"
        )
    tokenizer = load_tokenizer(folder)
    model = fuse(loaded.model)
    if chosen in ("int8", "int4") or (chosen == "bf16" and has_bf16_kernel()):
        quantize(model, chosen, kernels=choose_kernels(native_kernels))
    language_model = LanguageModel(folder.name, folder, chosen, model, tokenizer, loaded.generation)
    if language_model.ignored:
        _LOG.warning("settings of %s that do nothing here: %s", folder.name, ", ".join(language_model.ignored))
    return language_model


class LocalChat:
    """Implements `ChatModel` over the inference engine; requests that run at once share every pass of the model.

    Args:
        model: with its tokenizer.
        engine: that runs it, closed with this.
    """

    def __init__(self, model: LanguageModel, engine: Engine) -> None:
        self._model = model
        self._engine = engine

    @property
    def name(self) -> str:
        return f"local:{self._model.name}"

    def chat(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        cancelled: Callable[[], bool],
        namespace: str = "",
    ) -> Iterator[Delta]:
        """The answer's pieces; closing the iterator, or `cancelled()`, frees the request's memory.

        Raises:
            Cancelled: soon after `cancelled()` is true.
            TooLarge: the prompt leaves no room in the context.
            Overloaded: the engine's queue is full. Unavailable: the engine has stopped.
        """
        if self._engine.reuses_passages:
            prompt_ids, passages = self._model.prompt_with_passages(messages)
        else:
            prompt_ids, passages = self._model.prompt_ids(messages), []
        if len(prompt_ids) >= self._engine.max_context_tokens:
            raise TooLarge(
                f"the prompt has {len(prompt_ids)} tokens, and {self.name} takes {self._engine.max_context_tokens} "
                "with its answer: ask with fewer context_chunks, or raise ATTEST_GENERATION__LOCAL__CONTEXT_TOKENS"
            )
        if options.num_beams > 1:
            raise InvalidInput(f"num_beams={options.num_beams}: {self.name} writes one answer as it goes; set it to 1")
        request = self._submitted(prompt_ids, passages, options, namespace)
        written = 0
        try:
            while True:
                if cancelled():
                    raise Cancelled("the caller cancelled the answer while it was being written")
                event = request.next_event(_POLL_S)
                if event is None:
                    continue
                if isinstance(event, Step):
                    written += 1
                    yield Delta(event.text, event.logprob, 1, event.finish_reason)
                    continue
                if event.error is not None:
                    raise event.error
                break
            yield Delta(tokens=0, prompt_tokens=len(prompt_ids), completion_tokens=written)
        finally:
            request.cancel()

    def _submitted(
        self,
        prompt_ids: Sequence[int],
        passages: Sequence[tuple[int, int]],
        options: GenerationOptions,
        namespace: str,
    ) -> Request:
        """The request, bound to its schema; free where this model's tokenizer, or the grammar, can't be bound to it."""

        def submitted(params: SamplingParams) -> Request:
            # What must never be written holds here, too; the makers' penalties do not: an answer quotes its passages.
            defaults = self._model.defaults
            params = replace(params, bad_words_ids=defaults.bad_words_ids, suppress_tokens=defaults.suppress_tokens)
            return self._engine.submit(prompt_ids, params, namespace=namespace, passages=passages)

        try:
            return submitted(sampling(options))
        except (InvalidInput, Unavailable):
            if options.json_schema is None:
                raise
            return submitted(sampling(replace(options, json_schema=None)))

    def documents(
        self, conversations: Sequence[Sequence[Message]], *, max_tokens: int, num_beams: int, check: Callable[[], None]
    ) -> ShownDocuments:
        """The conversations as documents of the RAG modes; they have memory of their own, beside the engine's.

        Raises:
            TooLarge: they do not fit the context or that memory.
        """
        prompts = [self._model.prompt_ids(messages) for messages in conversations]
        model = CausalDocuments(
            self._model.model,
            prompts,
            eos_token_ids=self._model.defaults.eos_token_ids,
            max_tokens=max_tokens,
            context_tokens=self._engine.max_context_tokens,
            rows=len(prompts) * num_beams,
            check=check,
        )
        return ShownDocuments(model, sum(map(len, prompts)), model.max_tokens)

    def text(self, tokens: Sequence[int]) -> str:
        """What the tokens spell, special ones left out."""
        return self._model.tokenizer.decode(tokens)

    def forget(self, collection: str) -> None:
        """Drops what the engine remembers of prompts over the collection: a document of it was deleted."""
        self._engine.forget_prefixes(lambda namespace: collection in namespace.split("\n"))

    def close(self) -> None:
        """Ends every request and the engine's thread."""
        self._engine.close()


def sampling(options: GenerationOptions) -> SamplingParams:
    """The engine's parameters of a question's options."""
    return SamplingParams(
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
        grammar=None if options.json_schema is None else GrammarSpec.json_schema(options.json_schema),
    )


def start_engine(
    model: LanguageModel,
    *,
    context_tokens: int | None = None,
    cache_bytes: int = 2**30,
    max_batch: int = 8,
    prefix_share: float = 0.5,
    passage_reuse: float | None = None,
    passage_bytes: int = 2**28,
    threads: int | None = None,
) -> Engine:
    """The engine of a loaded model. A `context_tokens` beyond what the model was built for is cut to that.

    Raises:
        InvalidInput: `cache_bytes` does not hold one request of `context_tokens`, or the model's keys can not be moved
            and `passage_reuse` is set.
    """
    limit = model.model.config.context_tokens
    return Engine(
        model.model,
        model.tokenizer.backend,
        eos_token_ids=model.defaults.eos_token_ids,
        max_context_tokens=limit if context_tokens is None else min(context_tokens, limit),
        cache_bytes=cache_bytes,
        prefix_share=prefix_share,
        max_batch=max_batch,
        passage_reuse=passage_reuse,
        passage_bytes=passage_bytes,
        threads=threads,
    )


def cache_bytes_for(model: LanguageModel, tokens: int) -> int:
    """Bytes that hold the keys and values of `tokens` tokens, whatever their precision."""
    return tokens * KeyValueMemory.bytes_per_token(model.model.specs, torch.float32)
