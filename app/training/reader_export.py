"""Turn a training checkpoint into the folder that ships: `python -m app.training.reader_export --checkpoint FILE`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from app.training.reader import MINILM_SHA256, minilm_folder, new_reader
from app.transformer.checkpoints import WEIGHTS_NAME, sha256_of
from app.transformer.pointer_checkpoints import ReaderManifest, load_pointer_reader, save_pointer_reader, write_sums
from app.transformer.pointer_search import RankWeights
from app.transformer.verifier_checkpoints import read_verifier_manifest

MODEL_NAME = "attest-reader-minilm-6"
RANK_WEIGHTS = RankWeights(start=0.5, end=1.5, length=1.0)


def export_reader(
    checkpoint: Path,
    folder: Path,
    *,
    name: str = MODEL_NAME,
    null_threshold: float = 0.5,
    rank_weights: RankWeights = RANK_WEIGHTS,
    average_with: Path | None = None,
    share: float = 0.5,
) -> None:
    """Write the reader of `checkpoint` to `folder` in bfloat16, with its tokenizer and checksums.

    Args:
        checkpoint: written by `train_reader`.
        folder: made if absent; other files in it (card, calibration) stay and are listed in its checksums.
        name: model identity, shown with every answer.
        null_threshold: probability of NO ANSWER from which the reader itself declines.
        rank_weights: of the ranking; the default was best of 36 on the dev articles, in both of the card's settings.
        average_with: folder of a reader of the same sizes, such as the one that the training started from: each weight
            is the mean of both, which forgets less of what only the earlier one had.
        share: in [0, 1], of the checkpoint in that mean.

    Source: averages of fine-tuned weights: Wortsman et al. 2022, section 2.
    """
    model, config = new_reader()
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["model"])
    if average_with is not None:
        other = load_pointer_reader(average_with, minilm_folder())[0].float().state_dict()
        mean = {name: share * tensor + (1 - share) * other[name] for name, tensor in model.state_dict().items()}
        model.load_state_dict(mean)
    settings = {"name": name, "null_threshold": null_threshold, "rank_weights": asdict(rank_weights)}
    manifest = ReaderManifest(config, MINILM_SHA256, settings)
    save_pointer_reader(model, manifest, minilm_folder() / "tokenizer.json", folder)


def keep_verifier(folder: Path, before: Path, after: Path) -> bool:
    """Return whether the verifier in `folder` serves with the reader `after`, and let it if it served with `before`.

    It does where what it takes from a reader, the embeddings and the first blocks, is the same in both bit for bit: a
    reader trained further with `--frozen-layers` leaves it as it was.

    Args:
        folder: of the verifier.
        before: folder of the reader that it was trained with.
        after: folder of another reader.
    """
    manifest = read_verifier_manifest(folder)
    if manifest.reader_sha256 != sha256_of(before / WEIGHTS_NAME):
        return False
    shared = ("embeddings.", *(f"blocks.{layer}." for layer in range(manifest.config.shared_layers)))
    one, other = (load_pointer_reader(reader, minilm_folder())[0].encoder.state_dict() for reader in (before, after))
    if any(name.startswith(shared) and not torch.equal(tensor, other[name]) for name, tensor in one.items()):
        return False
    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    described["reader_sha256"] = sha256_of(after / WEIGHTS_NAME)
    (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    write_sums(folder)
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: export, keep or drop the verifier of the reader that was there, and return 0."""
    bundled = Path(__file__).parents[1] / "bundled"
    parser = argparse.ArgumentParser(prog="python -m app.training.reader_export", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=bundled / "reader")
    parser.add_argument("--null-threshold", type=float, default=0.5)
    parser.add_argument("--average-with", type=Path, help="folder of a reader: each weight becomes the mean of both")
    parser.add_argument("--share", type=float, default=0.5, help="of the checkpoint in that mean")
    parser.add_argument("--verifier", type=Path, default=bundled / "verifier", help="of the reader that was there")
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.share <= 1:
        parser.error(f"--share {arguments.share} must lie in 0..1")
    with tempfile.TemporaryDirectory() as kept:
        before = Path(kept) / "before"
        if (arguments.out / WEIGHTS_NAME).is_file():
            shutil.copytree(arguments.out, before)
        export_reader(
            arguments.checkpoint,
            arguments.out,
            null_threshold=arguments.null_threshold,
            average_with=arguments.average_with,
            share=arguments.share,
        )
        if before.is_dir() and not keep_verifier(arguments.verifier, before, arguments.out):
            sys.stderr.write(f"{arguments.verifier} is not of this reader: run attest train verifier\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
