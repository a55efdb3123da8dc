"""Turn a training checkpoint into the folder that ships: `python -m app.training.reader_export --checkpoint FILE`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from app.training.reader import MINILM_SHA256, minilm_folder, new_reader
from app.transformer.pointer_checkpoints import ReaderManifest, save_pointer_reader
from app.transformer.pointer_search import RankWeights

MODEL_NAME = "attest-reader-minilm-1"
RANK_WEIGHTS = RankWeights(start=0.5, end=1.5, length=1.0)


def export_reader(
    checkpoint: Path,
    folder: Path,
    *,
    name: str = MODEL_NAME,
    null_threshold: float = 0.5,
    rank_weights: RankWeights = RANK_WEIGHTS,
) -> None:
    """Write the reader of `checkpoint` to `folder` in bfloat16, with its tokenizer and checksums.

    Args:
        checkpoint: written by `train_reader`.
        folder: made if absent; other files in it (card, calibration) stay and are listed in its checksums.
        name: model identity, shown with every answer.
        null_threshold: probability of NO ANSWER from which the reader itself declines.
        rank_weights: of the ranking; the default was best of 36 on the dev articles, in both of the card's settings.
    """
    model, config = new_reader()
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["model"])
    settings = {"name": name, "null_threshold": null_threshold, "rank_weights": asdict(rank_weights)}
    manifest = ReaderManifest(config, MINILM_SHA256, settings)
    save_pointer_reader(model, manifest, minilm_folder() / "tokenizer.json", folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: export, and return 0."""
    parser = argparse.ArgumentParser(prog="python -m app.training.reader_export", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "bundled" / "reader")
    parser.add_argument("--null-threshold", type=float, default=0.5)
    arguments = parser.parse_args(argv)
    export_reader(arguments.checkpoint, arguments.out, null_threshold=arguments.null_threshold)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
