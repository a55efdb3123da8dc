"""Which parts of a decoder matter: positions, norms and heads, each trained alone on a small character corpus.

    python -m benchmarks.ablations [--data FILE_OR_FOLDER] [--steps 600] [--seeds 1] [--out docs] [--only NAME …]

Every variant has the same width, depth, data order and learning rate and differs in one part from the baseline (rotary
positions, pre-norm RMSNorm, multi-head attention). Printed and drawn: bits per character on text held out from
training, at the length that was trained and at four times that length, which no variant has seen. The default corpus is
this repository's own documentation, some fifty thousand characters: enough to tell parts apart, not to rank models.
About five minutes on one core. Needs matplotlib for the drawings (the `bench` extra).
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from app.transformer.causal_lm import CausalLM, DecoderConfig, build_causal_lm
from app.transformer.rotary import RotaryConfig
from app.transformer.stores import DenseStore
from app.transformer.tokenizer_training import corpus_files, corpus_lines

WIDTH, LAYERS, HEADS, HEAD_DIM = 64, 4, 4, 16
TRAINED_CHARS, LONGER = 64, 4
BATCH, WARMUP_STEPS, LEARNING_RATE = 12, 20, 3e-3
HELD_OUT_SHARE = 0.1
EVALUATED_CHARS = 4_096

BASELINE = DecoderConfig(
    vocab_size=0,  # set from the corpus
    embed_dim=WIDTH,
    num_layers=LAYERS,
    num_heads=HEADS,
    num_kv_heads=HEADS,
    head_dim=HEAD_DIM,
    ff_dim=4 * WIDTH,
    max_positions=TRAINED_CHARS * LONGER,
    rotary=(RotaryConfig(10_000.0, HEAD_DIM),) * LAYERS,
    activation="gelu",
    gated=False,
    # Embeddings drawn at 1/√d and multiplied by √d, as in Vaswani et al. 2017, 3.4: as large as sinusoidal positions.
    embedding_scale=WIDTH**0.5,
)


@dataclass(frozen=True)
class Variant:
    """One departure from the baseline; `batch_norm` replaces every norm after building, since no model here has it."""

    group: str
    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    batch_norm: bool = False


VARIANTS = [
    Variant("positions", "none", {"positions": "none"}),
    Variant("positions", "sinusoidal", {"positions": "sinusoidal"}),
    Variant("positions", "learned", {"positions": "learned"}),
    Variant("positions", "rotary", {}),
    Variant("positions", "ALiBi", {"positions": "alibi"}),
    Variant("norms", "RMSNorm, pre", {}),
    Variant("norms", "RMSNorm, post", {"norm_placement": "post"}),
    Variant("norms", "LayerNorm, pre", {"norm": "layer", "norm_eps": 1e-5}),
    Variant("norms", "LayerNorm, post", {"norm": "layer", "norm_eps": 1e-5, "norm_placement": "post"}),
    Variant("norms", "BatchNorm, pre", {}, batch_norm=True),
    Variant("heads", "multi-head (4 of 4)", {}),
    Variant("heads", "grouped (2 of 4)", {"num_kv_heads": 2}),
    Variant("heads", "multi-query (1 of 4)", {"num_kv_heads": 1}),
]


@dataclass
class Outcome:
    """Bits per character: of the last training steps, held out at the trained length, held out at four times that."""

    train: float
    held_out: float
    longer: float
    curve: list[float]


class Corpus:
    """Characters as ids; the last tenth is held out. Characters that only it has are one id, "unknown"."""

    def __init__(self, text: str) -> None:
        cut = int(len(text) * (1 - HELD_OUT_SHARE))
        known = {character: number for number, character in enumerate(sorted(set(text[:cut])), start=1)}
        ids = torch.tensor([known.get(character, 0) for character in text])
        self.vocab_size = len(known) + 1
        self.train, self.held_out = ids[:cut], ids[cut:]

    def batch(self, generator: torch.Generator) -> Tensor:
        """Return `[BATCH, TRAINED_CHARS + 1]` ids from random places of the training part."""
        starts = torch.randint(len(self.train) - TRAINED_CHARS - 1, (BATCH,), generator=generator)
        return torch.stack([self.train[start : start + TRAINED_CHARS + 1] for start in starts.tolist()])


def build(variant: Variant, vocab_size: int) -> CausalLM:
    """Return the variant's model with random weights."""
    model = build_causal_lm(replace(BASELINE, vocab_size=vocab_size, **variant.changes))
    if variant.batch_norm:
        for block in model.blocks:
            block.attention_norm, block.feed_forward_norm = nn.BatchNorm1d(WIDTH), nn.BatchNorm1d(WIDTH)
        model.norm = nn.BatchNorm1d(WIDTH)
    nn.init.normal_(model.embed.weight, std=WIDTH**-0.5)
    return model


def loss_of(model: CausalLM, rows: Tensor) -> Tensor:
    """Return the mean cross-entropy (nats) of each next character of `rows` `[b, n + 1]`."""
    batch, length = rows.shape[0], rows.shape[1] - 1
    store = DenseStore([length] * batch)
    hidden = model(rows[:, :-1].reshape(-1), store.positions(), store)
    return nn.functional.cross_entropy(model.logits(hidden), rows[:, 1:].reshape(-1))


@torch.no_grad()
def bits(model: CausalLM, ids: Tensor, length: int) -> float:
    """Return the held-out bits per character in windows of `length`, the same characters at every length."""
    count = min(EVALUATED_CHARS, (len(ids) - 1) // length * length)
    windows = [ids[start : start + length + 1] for start in range(0, count, length)]
    model.eval()
    total = sum(float(loss_of(model, window.unsqueeze(0))) for window in windows)
    return total / len(windows) / math.log(2)


def train(variant: Variant, corpus: Corpus, steps: int, seed: int) -> Outcome:
    """Return how the variant fares after `steps` steps; data order and initial weights follow `seed`."""
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    model = build(variant, corpus.vocab_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / WARMUP_STEPS, 1.0) * (1 - 0.9 * step / steps)
    )
    curve: list[float] = []
    model.train()
    for _ in range(steps):
        loss = loss_of(model, corpus.batch(order))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        curve.append(float(loss.detach()) / math.log(2))
    return Outcome(
        train=statistics.mean(curve[-max(1, steps // 10) :]),
        held_out=bits(model, corpus.held_out, TRAINED_CHARS),
        longer=bits(model, corpus.held_out, TRAINED_CHARS * LONGER),
        curve=curve,
    )


def mean_of(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the mean over seeds."""
    return Outcome(
        train=statistics.mean(each.train for each in outcomes),
        held_out=statistics.mean(each.held_out for each in outcomes),
        longer=statistics.mean(each.longer for each in outcomes),
        curve=[statistics.mean(step) for step in zip(*(each.curve for each in outcomes), strict=True)],
    )


def draw(group: str, outcomes: dict[str, Outcome], path: Path) -> None:
    """Write an SVG: the training curves, and bars of the held-out bits per character at both lengths."""
    import matplotlib as mpl

    mpl.use("svg")
    # Text as text and no date: the file stays small, and the same run gives the same bytes.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "ablations", "font.size": 9})
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.5, 3.2), layout="constrained")
    for name, outcome in outcomes.items():
        window = max(1, len(outcome.curve) // 30)
        smooth = [statistics.mean(outcome.curve[at : at + window]) for at in range(0, len(outcome.curve), window)]
        left.plot([at * window for at in range(len(smooth))], smooth, label=name, linewidth=1.2)
    left.set(xlabel="step", ylabel="bits per character, training", title=group)
    left.legend(frameon=False, fontsize=8)
    places = range(len(outcomes))
    right.barh(
        [place - 0.2 for place in places],
        [each.held_out for each in outcomes.values()],
        0.38,
        label=f"{TRAINED_CHARS} characters (as trained)",
    )
    right.barh(
        [place + 0.2 for place in places],
        [each.longer for each in outcomes.values()],
        0.38,
        label=f"{TRAINED_CHARS * LONGER} characters",
    )
    right.set_yticks(list(places), list(outcomes))
    right.invert_yaxis()
    lowest = min(min(each.held_out, each.longer) for each in outcomes.values())
    right.set(xlabel="bits per character, held out (axis cut)", xlim=(lowest * 0.9, None))
    right.legend(frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", default=[Path("docs"), Path("README.md")])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=1, help="runs of each variant; their mean is shown")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of the drawings")
    parser.add_argument("--only", nargs="+", choices=sorted({each.group for each in VARIANTS}), default=None)
    parser.add_argument("--no-plots", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)  # the matrices are too small to share
    corpus = Corpus("\n".join(corpus_lines(corpus_files(args.data))))
    needed = TRAINED_CHARS * LONGER + 2
    if len(corpus.held_out) < needed:
        parser.error(f"--data has too little text: its last tenth must have {needed} characters or more")
    print(
        f"{len(corpus.train):,} characters to train on, {len(corpus.held_out):,} held out, {corpus.vocab_size} symbols"
    )
    print(f"{args.steps} steps of {BATCH} × {TRAINED_CHARS} characters, mean over {args.seeds} seeds\n")
    print("| part | variant | parameters | KV numbers a token | train | held out | held out, 4 × as long | s a run |")
    print("|---|---|---|---|---|---|---|---|")
    groups: dict[str, dict[str, Outcome]] = {}
    known: dict[str, tuple[Outcome, float]] = {}  # the baseline stands in each group and is trained once
    for variant in VARIANTS:
        if args.only and variant.group not in args.only:
            continue
        key = f"{sorted(variant.changes.items())}{variant.batch_norm}"
        if key not in known:
            start = time.process_time()
            outcome = mean_of([train(variant, corpus, args.steps, seed) for seed in range(args.seeds)])
            known[key] = outcome, (time.process_time() - start) / args.seeds
        outcome, seconds = known[key]
        groups.setdefault(variant.group, {})[variant.name] = outcome
        parameters = sum(parameter.numel() for parameter in build(variant, corpus.vocab_size).parameters())
        kv = 2 * LAYERS * HEAD_DIM * variant.changes.get("num_kv_heads", HEADS)
        figures = f"{outcome.train:.2f} | {outcome.held_out:.2f} | {outcome.longer:.2f} | {seconds:.0f}"
        print(f"| {variant.group} | {variant.name} | {parameters:,} | {kv} | {figures} |", flush=True)
    if not args.no_plots:
        for group, outcomes in groups.items():
            path = args.out / f"ablation-{group}.svg"
            draw(group, outcomes, path)
            print(f"\n{path}", end="")
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
