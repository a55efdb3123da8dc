"""`attest generate`: a local language model writes on from a prompt, and says how fast."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli.serve import HomeOption
from app.errors import InvalidInput

if TYPE_CHECKING:
    from app.generation.local import LanguageModel

WARM_UP_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Written:
    """A text with its speed; `prefill_tokens_per_s` is up to the first token, `decode_tokens_per_s` from there on."""

    text: str
    token_ids: list[int]
    prompt_tokens: int
    completion_tokens: int
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    load_s: float
    dtype: str
    finish_reason: str


def generate(
    model: Annotated[str, typer.Option("--model", help="Folder, name under ATTEST_HOME/models, or hub name.")],
    prompt: Annotated[str, typer.Option("--prompt", help="What to write on from; - reads standard input.")],
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens to write.")] = 256,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the most probable token each time.")] = 0.0,
    top_p: Annotated[float, typer.Option(help="Sample from the fewest tokens that reach this probability.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same text.")] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option(help="Above 1 makes tokens that were there less probable; unset: as the makers say.")
    ] = None,
    no_repeat_ngram_size: Annotated[
        int | None, typer.Option(help="No so many tokens come twice in this order; unset: as the makers say.")
    ] = None,
    min_tokens: Annotated[int | None, typer.Option(help="No end before; unset: as the makers say.")] = None,
    dtype: Annotated[
        Literal["auto", "fp32", "bf16", "int8", "int4"], typer.Option(help="Precision of the weights.")
    ] = "auto",
    chat: Annotated[bool, typer.Option("--chat", help="Put the prompt into the model's chat template.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object at the end instead of a stream.")] = False,
    home: HomeOption = None,
) -> None:
    """Write on from a prompt with a local model; prints tokens per second."""
    from app.cli.home import quiet_settings
    from app.generation.model_place import find_model

    settings = quiet_settings(home)
    text = sys.stdin.read() if prompt == "-" else prompt
    folder = find_model(model, settings.home / "models", download=settings.generation.local.download)
    limits = {
        "repetition_penalty": repetition_penalty,
        "no_repeat_ngram_size": no_repeat_ngram_size,
        "min_tokens": min_tokens,
    }
    options = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
    options |= {name: value for name, value in limits.items() if value is not None}
    kernels = settings.generation.local.native_kernels
    written = _write(folder, text, options, dtype, chat=chat, quiet=as_json, native_kernels=kernels)
    if as_json:
        fields = {name: getattr(written, name) for name in Written.__dataclass_fields__}
        print(json.dumps(fields, ensure_ascii=False))
        return
    print(
        f"\n({written.prompt_tokens} tokens read at {written.prefill_tokens_per_s:.1f}/s, {written.completion_tokens} "
        f"written at {written.decode_tokens_per_s:.1f}/s; {written.dtype}, loaded in {written.load_s:.1f} s)",
        file=sys.stderr,
    )


def _write(
    folder: Path, text: str, options: dict[str, Any], dtype: Any, *, chat: bool, quiet: bool, native_kernels: Any
) -> Written:
    import time

    from app.generation.local import cache_bytes_for, load_language_model, start_engine
    from app.transformer.decoding.params import SamplingParams
    from app.types import Message

    SamplingParams(**options)  # refuses what can not be before the weights are read
    started = time.monotonic()
    model = load_language_model(folder, dtype=dtype, native_kernels=native_kernels)
    params = SamplingParams(**{**model.defaults.limits(options["max_tokens"]), **options})
    if model.ignored:
        print(f"settings of {model.name} that do nothing here: {', '.join(model.ignored)}", file=sys.stderr)
    prompt_ids = model.prompt_ids([Message("user", text)]) if chat else model.tokenizer.encode(text)
    context = _context(model, len(prompt_ids), params.max_tokens)
    engine = start_engine(
        model, context_tokens=context, cache_bytes=cache_bytes_for(model, context), max_batch=1, prefix_share=0.0
    )
    with engine:
        # the first pass plans kernels and reads mapped weights from the disk: no part of anybody's speed
        engine.submit(prompt_ids[:WARM_UP_TOKENS], SamplingParams(max_tokens=2, temperature=0.0)).result()
        loaded = time.monotonic()
        request = engine.submit(prompt_ids, params)
        for step in request:
            if not quiet:
                print(step.text, end="", flush=True)
        ended = time.monotonic()
        made = request.result()
    first = request.first_token_at or ended
    count = len(made.token_ids)
    return Written(
        text=made.text,
        token_ids=list(made.token_ids),
        prompt_tokens=len(prompt_ids),
        completion_tokens=count,
        prefill_tokens_per_s=round(len(prompt_ids) / max(first - request.submitted_at, 1e-9), 3),
        decode_tokens_per_s=round((count - 1) / max(ended - first, 1e-9), 3) if count > 1 else 0.0,
        load_s=round(loaded - started, 3),
        dtype=model.dtype,
        finish_reason=made.finish_reason,
    )


def _context(model: LanguageModel, prompt_tokens: int, max_tokens: int) -> int:
    """Tokens of memory for this prompt and its text. Raises `InvalidInput` where the model can not take them."""
    limit = model.model.config.context_tokens
    if prompt_tokens == 0:
        raise InvalidInput("the prompt holds no token: write something, or add --chat")
    if prompt_tokens >= limit:
        raise InvalidInput(f"the prompt has {prompt_tokens} tokens, and {model.name} takes {limit} with its answer")
    return max(2, min(limit, prompt_tokens + max_tokens))
