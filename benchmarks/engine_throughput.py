"""Eight requests at once against one, and a prompt whose prefix was seen against one that was not.

The model has the shape of Qwen2-0.5B and random weights, packed or quantized as for serving: the figures are ratios of
times, medians of rounds in which both sides take turns. Prefixes are measured with the first kind.

    python -m benchmarks.engine_throughput [--kinds bf16 int8 int4] [--rounds 3] [--kernels auto]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from typing import get_args

import torch

from app.transformer.causal_lm import CausalLM, DecoderConfig, build_causal_lm
from app.transformer.decoding.params import SamplingParams
from app.transformer.engine.engine import Engine
from app.transformer.fuse import fuse
from app.transformer.native.library import Choice, Kernels, choose_kernels
from app.transformer.quantization import KINDS, Kind, quantize
from app.transformer.rotary import RotaryConfig


def qwen2_half_billion(layers: int = 24) -> CausalLM:
    """Return Qwen2-0.5B's shape with random weights in bfloat16."""
    config = DecoderConfig(
        vocab_size=151_936,
        embed_dim=896,
        num_layers=layers,
        num_heads=14,
        num_kv_heads=2,
        head_dim=64,
        ff_dim=4864,
        max_positions=4096,
        rotary=(RotaryConfig(theta=1_000_000.0, dim=64),) * layers,
        qkv_bias=True,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    model = build_causal_lm(config).eval()
    torch.set_default_dtype(torch.float32)
    return model


def prompt(tokens: int, seed: int) -> list[int]:
    """Return random ids."""
    chosen = random.Random(seed)
    return [chosen.randrange(150_000) for _ in range(tokens)]


def decode_rate(engine: Engine, requests: int, tokens: int, seed: int) -> float:
    """Return tokens a second from the moment that all requests decode to the first one's end."""
    params = SamplingParams(max_tokens=tokens, temperature=0.0, ignore_eos=True)
    times: list[list[float]] = [[] for _ in range(requests)]
    running = [
        engine.submit(
            prompt(64, seed + number), params, on_event=lambda _, mine=times[number]: mine.append(time.perf_counter())
        )
        for number in range(requests)
    ]
    for request in running:
        request.result(600)
    start = max(mine[0] for mine in times)
    end = min(mine[tokens - 1] for mine in times)
    return sum(sum(start < at <= end for at in mine) for mine in times) / (end - start)


def first_token_s(engine: Engine, prompt_ids: list[int], passages: Sequence[tuple[int, int]] = ()) -> tuple[float, int]:
    """Return the time to the first token and how many prompt tokens were remembered."""
    params = SamplingParams(max_tokens=1, temperature=0.0, ignore_eos=True)
    request = engine.submit(prompt_ids, params, passages=passages)
    request.result(600)
    assert request.first_token_at is not None
    return request.first_token_at - request.submitted_at, request.cached_tokens


def eight_against_one(kind: Kind, kernels: Kernels | None, rounds: int, tokens: int, layers: int) -> Engine:
    """Print the decode rates; return the engine."""
    model = quantize(fuse(qwen2_half_billion(layers)), kind, kernels=kernels)
    assert isinstance(model, CausalLM)
    engine = Engine(model, None, cache_bytes=256 << 20, max_batch=8)
    decode_rate(engine, 8, 4, 0)
    rates: dict[int, list[float]] = {1: [], 8: []}
    for turn in range(rounds):
        for requests in (1, 8):
            rates[requests].append(decode_rate(engine, requests, tokens, 100 * turn + 10 * requests))
    one, eight = statistics.median(rates[1]), statistics.median(rates[8])
    ratio = statistics.median(b / a for a, b in zip(rates[1], rates[8], strict=True))
    print(f"{kind}: one request {one:.1f} tokens/s, eight {eight:.1f} tokens/s together: {ratio:.2f} times")
    return engine


def seen_against_unseen(engine: Engine, rounds: int) -> None:
    """Print the times to the first token."""
    unseen, seen = [], []
    for turn in range(rounds):
        shared, last = prompt(1500, 7000 + turn), prompt(32, 8000 + turn)
        seconds, cached = first_token_s(engine, shared + prompt(32, 9000 + turn))
        assert cached == 0
        unseen.append(seconds)
        seconds, cached = first_token_s(engine, shared + last)
        assert cached >= 1500 - 32, cached
        seen.append(seconds)
    ratio = statistics.median(b / a for a, b in zip(unseen, seen, strict=True))
    print(
        f"first token after 1,532 tokens: {statistics.median(unseen):.2f} s unseen, "
        f"{statistics.median(seen):.3f} s with 1,500 seen before: {ratio:.3f} of the time"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["bf16", "int8", "int4"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--kernels", choices=get_args(Choice), default="auto", help="our compiled ones; off: PyTorch's")
    options = parser.parse_args()
    kernels = choose_kernels(options.kernels)
    print("kernels:", "PyTorch's" if kernels is None else "native")
    for number, kind in enumerate(options.kinds):
        with eight_against_one(kind, kernels, options.rounds, options.tokens, options.layers) as engine:
            if number == 0:
                seen_against_unseen(engine, options.rounds)


if __name__ == "__main__":
    main()
