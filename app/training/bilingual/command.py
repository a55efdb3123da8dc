"""The bilingual reader from data on disk: vocabulary, pre-training, fine-tuning, export, calibration.

attest train reader --language zh --data DIR --text DIR --out RUN --minutes 90
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.training.bilingual.calibrate import calibrate
from app.training.bilingual.finetune import TUNED, export_bilingual, finetune
from app.training.bilingual.pretrain import PRETRAINED, ChineseTextOptions, pretrain
from app.training.bilingual.ranking import choose_weights
from app.training.loop import LoopOptions
from app.training.pretraining.curves import read_log

PRETRAINING_SHARE = 0.27
"""Of the budget. Most of what the reader knows of Chinese it starts with; the questions are worth more."""


def train_bilingual(
    data_dir: Path,
    text_dir: Path,
    out_dir: Path,
    loop: LoopOptions,
    texts: ChineseTextOptions | None = None,
) -> Path:
    """Train the reader in `out_dir` and return the folder of the result. Resumes where an earlier run stopped.

    Raises:
        Unavailable: a data file is missing.
    """
    first = replace(loop, minutes=loop.minutes * PRETRAINING_SHARE)
    pretrain(data_dir, text_dir, out_dir, first, texts)
    finetune(data_dir, out_dir, replace(loop, minutes=loop.minutes * (1 - PRETRAINING_SHARE)))
    export_bilingual(out_dir, out_dir / "reader")
    choose_weights(data_dir, out_dir / "reader")
    calibrate(data_dir, out_dir / "reader")
    return out_dir / "reader"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: train, print the last scores of both steps, and return 0."""
    parser = argparse.ArgumentParser(prog="attest train reader --language zh", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds rc/*.jsonl.gz")
    parser.add_argument(
        "--text", type=Path, required=True, help="directory with running text, zh_*.jsonl.xz and others"
    )
    parser.add_argument("--out", type=Path, default=Path("reader-zh-run"))
    parser.add_argument("--minutes", type=float, default=90.0, help="wall-clock budget, earlier runs included")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    loop = LoopOptions(minutes=given.minutes, threads=given.threads, seed=given.seed)
    folder = train_bilingual(given.data, given.text, given.out, loop)
    for step in (PRETRAINED, TUNED):
        scores = [line for line in read_log(given.out / step) if line["kind"] == "dev"][-1]
        sys.stdout.write(f"{step}: {json.dumps(scores)}\n")
    sys.stdout.write(f"reader written to {folder}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
