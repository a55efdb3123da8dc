"""Passages that were seen before, reused at another place: what it saves and what it costs.

Time: a model of Qwen2-0.5B's shape with random weights in bfloat16 answers prompts of five known passages in a new
order; the time to the first token with passage reuse over that of the ordinary engine, taking turns, medians.

Loss: random weights would say nothing, so a small model (three layers of 64, about 110,000 weights) is trained here
for a minute or two on a task that only the context can solve: every text has its own secret table "after this
symbol comes that one", followed nine times in ten, and its passages are independent walks through that table. The
loss is measured on the 24 symbols of a last walk: the mean KL of each next-symbol distribution from that of the full
prompt, how often the most probable symbol is the same, and how often it is right. Beside them stands what the passages
are worth at all: the same figures without them. The figures show how the method and its choice of tokens behave; what
a given large model loses must be measured with that model.

    python -m benchmarks.passage_reuse [--shares 0 0.1 0.2 0.5] [--steps 1500] [--rounds 3]
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from app.transformer.attention import dot_product_attention
from app.transformer.causal_attention import AttentionSpec
from app.transformer.causal_lm import CausalLM, DecoderConfig, build_causal_lm
from app.transformer.decoding.params import SamplingParams
from app.transformer.decoding.sequence import GeneratedSequence
from app.transformer.engine.engine import Engine
from app.transformer.engine.memory import BatchStore, Extent, KeyValueMemory, Segment
from app.transformer.engine.passages import PassageBlender
from app.transformer.engine.requests import Request
from app.transformer.engine.schedule import Running
from app.transformer.fuse import fuse
from app.transformer.quantization import quantize
from app.transformer.rotary import RotaryConfig
from benchmarks.engine_throughput import first_token_s, prompt, qwen2_half_billion

SYMBOLS, PASSAGES, PASSAGE_TOKENS = 16, 5, 24
FOLLOWING = 25  # the first one begins the last walk and is not judged
ROW = PASSAGES * PASSAGE_TOKENS + FOLLOWING


def walks(rows: int, generator: torch.Generator) -> Tensor:
    """Return texts int64 `[rows, ROW]`: passages and a last walk through each row's own table."""
    table = torch.stack([torch.randperm(SYMBOLS, generator=generator) for _ in range(rows)])
    jumps = torch.rand(rows, ROW, generator=generator) < 0.1
    anywhere = torch.randint(SYMBOLS, (rows, ROW), generator=generator)
    text = anywhere.clone()
    for place in range(1, ROW):
        if place % PASSAGE_TOKENS:  # otherwise a walk begins anywhere
            follows = table.gather(1, text[:, place - 1 : place]).squeeze(1)
            text[:, place] = torch.where(jumps[:, place], anywhere[:, place], follows)
    return text


class EqualRows:
    """A store of equally long rows, for training: one product for all of them."""

    def __init__(self, rows: int, length: int) -> None:
        self._rows = rows
        self.positions = torch.arange(length).repeat(rows)

    def attend(self, spec: AttentionSpec, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        heads = [x.unflatten(0, (self._rows, -1)).transpose(1, 2) for x in (query, key, value)]
        return dot_product_attention(*heads, is_causal=True, scale=spec.scale).transpose(1, 2).flatten(0, 1)


def train(steps: int) -> CausalLM:
    """Return a model trained on `walks`, and print how it came out."""
    torch.manual_seed(0)
    config = DecoderConfig(
        vocab_size=SYMBOLS,
        embed_dim=64,
        num_layers=3,
        num_heads=4,
        num_kv_heads=2,
        head_dim=16,
        ff_dim=128,
        max_positions=512,
        rotary=(RotaryConfig(theta=50.0, dim=16),) * 3,  # short texts: the nearest places must look different
        tie_embeddings=False,
    )
    model = build_causal_lm(config)
    torch.nn.init.normal_(model.embed.weight, std=0.5)
    batch, losses = 16, []
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, betas=(0.9, 0.95), weight_decay=0.01)
    generator = torch.Generator().manual_seed(0)
    start = time.perf_counter()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * min(1.0, (step + 1) / 50) * (0.05 + 0.95 * (1 + math.cos(math.pi * step / steps)) / 2)
        text = walks(batch, generator)
        store = EqualRows(batch, ROW - 1)
        logits = model.logits(model(text[:, :-1].flatten(), store.positions, store))
        loss = functional.cross_entropy(logits, text[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    weights = sum(weight.numel() for weight in model.parameters())
    print(
        f"trained {weights:,} weights for {steps} steps in {time.perf_counter() - start:.0f} s: "
        f"{statistics.mean(losses[:10]):.2f} → {statistics.mean(losses[-10:]):.2f} nats a symbol"
    )
    return model.eval()


@torch.inference_mode()
def next_symbols(model: CausalLM, text: list[int], spans: Sequence[tuple[int, int]], share: float | None) -> Tensor:
    """Return log-probabilities `[FOLLOWING - 1, SYMBOLS]` of the last symbols; `share` None: the full prompt."""
    memory = KeyValueMemory(model.specs, len(text), dtype=torch.float32, device="cpu")
    params = SamplingParams(max_tokens=1)
    running = Running(
        Request(text, params, "", tuple(spans), None, lambda: None),
        GeneratedSequence(text, params),
        Extent(0, len(text)),
    )
    if share is not None:
        for _ in PassageBlender(model, memory, share=share, capacity_bytes=1 << 30).prepare(running, spans):
            pass
    positions = running.next_positions(running.pending)
    store = BatchStore(memory, [Segment(running.extent, positions)])
    hidden = model(torch.tensor([text[place] for place in positions]), torch.tensor(list(positions)), store)
    return model.logits(hidden[-FOLLOWING:-1]).log_softmax(-1)


def loss_of_quality(shares: Sequence[float], steps: int, prompts: int) -> None:
    """Print KL and agreement for each share."""
    model = train(steps)
    spans = [(n * PASSAGE_TOKENS, (n + 1) * PASSAGE_TOKENS) for n in range(PASSAGES)]
    gathered: dict[str, list[tuple[float, float, float]]] = {}
    for text in walks(prompts, torch.Generator().manual_seed(1)).tolist():
        full = next_symbols(model, text, spans, None)
        rivals = {f"share {share:g}": next_symbols(model, text, spans, share) for share in shares}
        rivals["without passages"] = next_symbols(model, text[-FOLLOWING:], [], None)
        truth = torch.tensor(text[1 - FOLLOWING :])
        for name, got in {"full prompt": full, **rivals}.items():
            kl = float((full.exp() * (full - got)).sum(-1).mean())
            same = float((full.argmax(-1) == got.argmax(-1)).float().mean())
            right = float((truth == got.argmax(-1)).float().mean())
            gathered.setdefault(name, []).append((kl, same, right))
    for name, figures in gathered.items():
        kl, same, right = (statistics.mean(column) for column in zip(*figures, strict=True))
        print(f"{name:>16}: KL {kl:.4f} nats, same most probable symbol {same:.1%}, right {right:.1%}")


def gain_of_time(shares: Sequence[float], rounds: int, layers: int) -> None:
    """Print the time to the first token of five known passages of 300 tokens in a new order."""
    model = quantize(fuse(qwen2_half_billion(layers)), "bf16")
    assert isinstance(model, CausalLM)
    passages = [prompt(300, 50 + number) for number in range(PASSAGES)]
    spans = [(16 + 300 * number, 16 + 300 * (number + 1)) for number in range(PASSAGES)]
    times: dict[str, list[float]] = {}
    for share in shares:
        with Engine(
            model, None, max_context_tokens=2048, cache_bytes=64 << 20, max_batch=1, passage_reuse=share
        ) as engine:
            for turn in range(rounds + 1):
                order = random.Random(turn).sample(passages, PASSAGES)
                text = [*prompt(16, 900 + turn), *(token for passage in order for token in passage)]
                text += prompt(16, 800 + turn)
                seconds, cached = first_token_s(engine, text, spans)
                if turn:  # the first round reads the passages
                    assert cached >= int(1500 * (1 - share)) - 1, cached
                    times.setdefault(f"share {share:g}", []).append(seconds)
                    seconds, cached = first_token_s(engine, prompt(16, 700 + turn) + text[16:], [])
                    assert cached == 0, cached
                    times.setdefault(f"full beside {share:g}", []).append(seconds)
    for share in shares:
        mine, full = times[f"share {share:g}"], times[f"full beside {share:g}"]
        ratio = statistics.median(a / b for a, b in zip(mine, full, strict=True))
        print(
            f"first token after 1,532 tokens, share {share:g}: {statistics.median(mine):.2f} s, "
            f"in full {statistics.median(full):.2f} s: {ratio:.3f} of the time"
        )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.1, 0.2, 0.5])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    loss_of_quality(options.shares, options.steps, options.prompts)
    if options.rounds:
        gain_of_time(options.shares, options.rounds, options.layers)


if __name__ == "__main__":
    main()
