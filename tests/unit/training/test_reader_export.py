"""A verifier stays with a reader that was trained further if what they share did not change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.generation.reader import bundled_folder
from app.training.reader import minilm_folder
from app.training.reader_export import export_reader, keep_verifier
from app.transformer.checkpoints import WEIGHTS_NAME, sha256_of
from app.transformer.pointer_checkpoints import load_pointer_reader, write_sums
from app.transformer.verifier_checkpoints import read_verifier_manifest


def changed_reader(folder: Path, tensor: str) -> Path:
    shutil.copytree(bundled_folder(), folder)
    stored = load_file(folder / WEIGHTS_NAME)
    stored[tensor] = stored[tensor] * 2
    save_file(stored, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    write_sums(folder)
    return folder


@pytest.mark.parametrize(
    ("tensor", "kept"),
    [("encoder.blocks.5.feed_forward.up.weight", True), ("encoder.blocks.1.feed_forward.up.weight", False)],
)
def test_a_verifier_is_kept_while_its_shared_part_is_the_same(tmp_path: Path, tensor: str, kept: bool) -> None:
    verifier = tmp_path / "verifier"
    shutil.copytree(bundled_folder().parent / "verifier", verifier)
    before = read_verifier_manifest(verifier)
    after = changed_reader(tmp_path / "after", tensor)
    assert keep_verifier(verifier, bundled_folder(), after) is kept
    now = read_verifier_manifest(verifier)
    assert now.reader_sha256 == (sha256_of(after / WEIGHTS_NAME) if kept else before.reader_sha256)
    assert now.config == before.config


@pytest.mark.parametrize(("share", "grown"), [(0.5, 2.0), (0.25, 1.5)])
def test_weights_are_the_mean_of_a_checkpoint_and_an_earlier_reader(tmp_path: Path, share: float, grown: float) -> None:
    weights = load_pointer_reader(bundled_folder(), minilm_folder())[0].float().state_dict()
    changed, kept = "start_head.weight", "end_head.weight"
    torch.save({"model": {**weights, changed: weights[changed] * 3}}, tmp_path / "checkpoint.pt")
    export_reader(tmp_path / "checkpoint.pt", tmp_path / "mean", average_with=bundled_folder(), share=share)
    before, after = (load_file(folder / WEIGHTS_NAME) for folder in (bundled_folder(), tmp_path / "mean"))
    assert before.keys() == after.keys()
    torch.testing.assert_close(after[changed], before[changed] * grown, rtol=0.01, atol=1e-4)
    torch.testing.assert_close(after[kept], before[kept])


def test_another_readers_verifier_is_left_alone(tmp_path: Path) -> None:
    verifier = tmp_path / "verifier"
    shutil.copytree(bundled_folder().parent / "verifier", verifier)
    stranger = changed_reader(tmp_path / "stranger", "encoder.blocks.5.feed_forward.up.weight")
    stored = (verifier / "config.json").read_bytes()
    assert not keep_verifier(verifier, stranger, bundled_folder())
    assert (verifier / "config.json").read_bytes() == stored


def test_the_bundled_reader_has_its_verifier() -> None:
    manifest = read_verifier_manifest(bundled_folder().parent / "verifier")
    assert manifest.reader_sha256 == sha256_of(bundled_folder() / WEIGHTS_NAME)
