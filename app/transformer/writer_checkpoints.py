"""A `Writer` on disk: config.json, model.safetensors in bfloat16, tokenizer.json, and their checksums.

Neither the encoder that it reads through nor the word vectors are stored: both are those of the reader's folder, named
by the checksum of its weights.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from app.errors import IntegrityError
from app.transformer.checkpoints import WEIGHTS_NAME
from app.transformer.pointer_checkpoints import TOKENIZER_NAME, verify_sums, write_sums
from app.transformer.writer import Writer, WriterConfig

Task = Literal["sentence", "standalone", "decompose", "paraphrase", "step_back", "hyde"]
TASKS: tuple[Task, ...] = get_args(Task)
"""The control tokens, in the order of their embeddings."""
STEP_BREAK = " | "
"""Stands between the steps of a decomposed question."""
MODEL_TYPE = "attest-writer"


@dataclass(frozen=True, slots=True)
class WriterManifest:
    """What config.json says: the sizes, the checksum of the reader's weights that it reads through, free settings."""

    config: WriterConfig
    reader_sha256: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def save_writer(model: Writer, manifest: WriterManifest, tokenizer_path: Path, folder: Path) -> None:
    """Write the writer, its tokenizer and the checksums into `folder`, made if absent; other files in it stay."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: (tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor.to(torch.int32)).contiguous()
        for name, tensor in model.state_dict().items()
    }
    save_file(state, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    described = {"model_type": MODEL_TYPE, "tasks": list(TASKS), **asdict(manifest)}
    (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(tokenizer_path, folder / TOKENIZER_NAME)
    (folder / WEIGHTS_NAME).chmod(0o644)  # safetensors writes 0600
    write_sums(folder)


def read_writer_manifest(folder: Path) -> WriterManifest:
    """Return what `folder/config.json` says.

    Raises:
        ValueError: it describes another kind of model, or one with other tasks.
    """
    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if described.get("model_type") != MODEL_TYPE or described.get("tasks") != list(TASKS):
        raise ValueError(
            f"{folder}: model_type={described.get('model_type')!r}, tasks={described.get('tasks')}: give the folder of "
            f"a writer with the tasks {list(TASKS)}"
        )
    return WriterManifest(
        WriterConfig(**described["config"]), described["reader_sha256"], described.get("settings", {})
    )


def load_writer(
    folder: Path, words: Tensor, *, dtype: torch.dtype = torch.float32, remedy: str = "reinstall Attest"
) -> tuple[Writer, WriterManifest]:
    """Return the writer in evaluation mode and `dtype`, and its manifest, after checking every checksum.

    Args:
        folder: written by `save_writer`.
        words: `[vocab, d]` word vectors of the encoder that it was trained with.
        dtype: of all weights.
        remedy: ends the message of every error.

    Raises:
        Unavailable: a file is missing.
        IntegrityError: a file is not what its checksum says, or a tensor is missing or of another shape.
    """
    verify_sums(folder, remedy)
    manifest = read_writer_manifest(folder)
    stored = load_file(folder / WEIGHTS_NAME)
    generable = stored.get("generable")
    if generable is None or generable.numel() != manifest.config.generable:
        raise IntegrityError(f"{folder}/{WEIGHTS_NAME} does not hold the vocabulary of config.json: {remedy}")
    stored["generable"] = generable = generable.to(torch.int64)
    if int(generable.min()) < 0 or int(generable.max()) >= words.shape[0]:
        raise IntegrityError(f"{folder}/{WEIGHTS_NAME} names words that its encoder has not: {remedy}")
    model = Writer(words, generable, manifest.config)
    expected = model.state_dict()
    wrong = [name for name, tensor in expected.items() if name not in stored or stored[name].shape != tensor.shape]
    if wrong or stored.keys() - expected.keys():
        first = (wrong or sorted(stored.keys() - expected.keys()))[0]
        raise IntegrityError(f"{folder}/{WEIGHTS_NAME} does not fit config.json (first: {first}): {remedy}")
    model.load_state_dict(stored)
    return model.to(dtype).eval(), manifest
