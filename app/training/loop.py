"""The training loop that all objectives share: wall clock, schedule, checkpoint, log; any of its runs resumes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from app.errors import InvalidInput

CHECKPOINT_NAME = "checkpoint.pt"
LOG_NAME = "log.jsonl"
B = TypeVar("B", contravariant=True)


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How long and how fast. `minutes` is wall clock, `max_steps` a count; both include earlier runs of the folder."""

    minutes: float = 30.0
    max_steps: int | None = None
    warmup_share: float = 0.06
    clip_norm: float = 1.0
    checkpoint_minutes: float = 3.0
    eval_minutes: float = 15.0
    log_steps: int = 20
    threads: int = 2
    seed: int = 0


@dataclass(slots=True)
class Progress:
    """What a folder's runs have done so far."""

    step: int = 0
    tokens: int = 0
    elapsed_s: float = 0.0
    passes: int = 0


class Objective(Protocol[B]):
    """What is trained: a model, its optimizer, endless batches and their loss."""

    @property
    def model(self) -> nn.Module:
        """Everything that a checkpoint holds."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Its groups have a `peak` beside their rate."""

    def one_pass(self, seed: str) -> Iterator[Any]:
        """Yield the batches of one pass, drawn by `seed`."""

    def loss(self, batch: B) -> Mapping[str, Tensor]:
        """Return what is logged; "loss" is minimised."""

    def tokens(self, batch: B) -> int:
        """Return how many tokens, padding included, the batch holds."""

    def at(self, share: float) -> None:
        """Called before every step with the share of the budget that is spent: thaw, change the mixture."""

    def scores(self) -> Mapping[str, float]:
        """Return figures on development data."""


def device_of_choice() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def run_training(objective: Objective[Any], out_dir: Path, options: LoopOptions) -> Path:
    """Train until the budget is spent and return the path of the last checkpoint.

    Resumes from `out_dir/checkpoint.pt` when it is there. Writes `out_dir/log.jsonl`: loss and tokens per second every
    `log_steps`, scores every `eval_minutes` and at the end. Arithmetic is bfloat16 by autocast.

    Raises:
        InvalidInput: a pass over the data has no batch.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    device = next(objective.model.parameters()).device
    checkpoint = out_dir / CHECKPOINT_NAME
    progress = restore(checkpoint, objective, device) if checkpoint.is_file() else Progress()
    log = Log(out_dir / LOG_NAME)
    origin = time.monotonic() - progress.elapsed_s

    def elapsed() -> float:
        return time.monotonic() - origin

    def write_scores() -> None:
        objective.model.eval()
        scores = objective.scores()
        objective.model.train()
        log.write("dev", step=progress.step, minutes=round(elapsed() / 60, 2), **scores)

    last_save = last_eval = window_start = elapsed()
    window_tokens = 0
    objective.model.train()
    for batch in _endless(objective, options, progress):
        share = elapsed() / (60 * options.minutes)
        if share >= 1 or progress.step == options.max_steps:
            break
        objective.at(share)
        set_rates(objective.optimizer, share, options.warmup_share)
        with torch.autocast(device.type, torch.bfloat16):
            losses = objective.loss(batch)
        objective.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        trained = [p for group in objective.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(trained, options.clip_norm)
        objective.optimizer.step()
        progress.step += 1
        used = objective.tokens(batch)
        progress.tokens += used
        window_tokens += used
        now = elapsed()
        if progress.step % options.log_steps == 0:
            log.write(
                "train",
                step=progress.step,
                minutes=round(now / 60, 2),
                passes=progress.passes,
                **{name: round(value.detach().item(), 4) for name, value in losses.items()},
                grad_norm=round(float(norm), 3),
                tokens_per_s=round(window_tokens / (now - window_start)),
            )
            window_tokens, window_start = 0, now
        if now - last_save > 60 * options.checkpoint_minutes:
            progress.elapsed_s = last_save = now
            save(checkpoint, objective, progress)
        if now - last_eval > 60 * options.eval_minutes:
            last_eval = now
            write_scores()
            window_tokens, window_start = 0, elapsed()
    progress.elapsed_s = elapsed()
    save(checkpoint, objective, progress)
    write_scores()
    return checkpoint


def set_rates(optimizer: torch.optim.Optimizer, share: float, warmup_share: float) -> None:
    """Set each group's rate: linear warm-up to its `peak` over `warmup_share`, then linear decay to 0 at `share` 1."""
    up = share / warmup_share
    factor = min(up + 0.01, 1.0) if up < 1 else max(0.0, (1 - share) / (1 - warmup_share))
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def save(path: Path, objective: Objective[Any], progress: Progress) -> None:
    """Write model, optimizer and progress, replacing the old file at once."""
    partial = path.with_suffix(".partial")
    saved = {
        "model": objective.model.state_dict(),
        "optimizer": objective.optimizer.state_dict(),
        "progress": asdict(progress),
    }
    torch.save(saved, partial)
    os.replace(partial, path)


def restore(path: Path, objective: Objective[Any], device: torch.device) -> Progress:
    """Load model and optimizer of a checkpoint, and return its progress."""
    saved = torch.load(path, map_location=device, weights_only=True)
    objective.model.load_state_dict(saved["model"])
    objective.optimizer.load_state_dict(saved["optimizer"])
    return Progress(**saved["progress"])


class Log:
    """Lines of JSON, each with its `kind`, appended to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, kind: str, **fields: Any) -> None:
        """Append one line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **fields}) + "\n")


def _endless(objective: Objective[Any], options: LoopOptions, progress: Progress) -> Iterator[Any]:
    while True:
        # The step is part of the seed: a resumed run draws anew and does not repeat the start of its pass.
        some = False
        for batch in objective.one_pass(f"{options.seed}-{progress.passes}-{progress.step}"):
            some = True
            yield batch
        if not some:
            raise InvalidInput("--data holds nothing that this objective can learn from: give more or other data")
        progress.passes += 1
