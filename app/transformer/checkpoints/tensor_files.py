"""The tensors of a Hugging Face folder: one safetensors file or several with an index, mapped, never unpickled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from app.errors import IntegrityError, InvalidInput, Unavailable
from app.transformer.json_files import read_json_object, write_json

WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
DEFAULT_SHARD_BYTES = 5_000_000_000
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_OTHER_FORMATS = {"*.gguf": "GGUF", "*.h5": "TensorFlow", "*.msgpack": "Flax", "*.onnx": "ONNX"}


class StoredTensors:
    """The tensors of a folder, read from mapped files: what is not touched is not in memory, nothing is held twice.

    Raises:
        Unavailable: no safetensors file, or a shard that the index names is missing.
        IntegrityError: a file is cut off or is not what the index says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, Any] = {}
        self._where: dict[str, str] = {}
        if (folder / INDEX_NAME).is_file():
            self._open_shards(folder)
        elif (folder / WEIGHTS_NAME).is_file():
            self._files[WEIGHTS_NAME] = _open(folder / WEIGHTS_NAME)
            self._where = dict.fromkeys(self._files[WEIGHTS_NAME].keys(), WEIGHTS_NAME)
        else:
            raise Unavailable(_why_no_weights(folder))

    def __contains__(self, name: object) -> bool:
        return name in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the tensor's shape, from the header alone."""
        return tuple(self._files[self._where[name]].get_slice(name).get_shape())

    def get(self, name: str) -> Tensor:
        """Return the tensor: a view of the mapped file.

        Raises:
            KeyError: there is none of that name.
        """
        tensor: Tensor = self._files[self._where[name]].get_tensor(name)
        return tensor

    def _open_shards(self, folder: Path) -> None:
        index = folder / INDEX_NAME
        where = read_json_object(index).get("weight_map")
        if not isinstance(where, Mapping) or not all(isinstance(file, str) for file in where.values()):
            raise IntegrityError(f"{index} has no weight_map of tensor to file names: fetch it again")
        for file in sorted(set(where.values())):
            if Path(file).name != file or not file.endswith(".safetensors"):
                raise IntegrityError(f"{index} names {file!r}: a shard must be a .safetensors file of the same folder")
            if not (folder / file).is_file():
                raise Unavailable(f"{folder}: shard {file} is missing, though {INDEX_NAME} names it: fetch it again")
            self._files[file] = _open(folder / file)
        self._where = dict(where)
        held = {file: set(opened.keys()) for file, opened in self._files.items()}
        lost = sorted(name for name, file in where.items() if name not in held[file])
        if lost:
            raise IntegrityError(
                f"{folder}: {where[lost[0]]} does not hold {some(lost)}, though {INDEX_NAME} says so: the files are of "
                "different versions, fetch them all again"
            )


def write_tensors(tensors: Mapping[str, Tensor], folder: Path, max_shard_bytes: int = DEFAULT_SHARD_BYTES) -> None:
    """Write `tensors` to `folder` as one safetensors file, or as shards of at most `max_shard_bytes` with an index.

    Each file is written beside its place and renamed, so that tensors mapped from the old one stay what they were.
    Weight files of an earlier save are removed at the end.

    Raises:
        InvalidInput: `max_shard_bytes` is below 1.
    """
    if max_shard_bytes < 1:
        raise InvalidInput(f"max_shard_bytes={max_shard_bytes} must be at least 1")
    folder.mkdir(parents=True, exist_ok=True)
    shards = _shards(tensors, max_shard_bytes)
    earlier = {path for path in folder.glob("model*.safetensors") if path.is_file()}
    where: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file = WEIGHTS_NAME if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        unfinished = folder / f".{file}.unfinished"
        save_file({name: tensors[name].contiguous() for name in names}, unfinished, metadata={"format": "pt"})
        unfinished.chmod(0o644)  # safetensors writes 0600
        unfinished.replace(folder / file)
        earlier.discard(folder / file)
        where.update(dict.fromkeys(names, file))
    if len(shards) > 1:
        total = sum(_bytes(tensor) for tensor in tensors.values())
        write_json({"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}, folder / INDEX_NAME)
    else:
        (folder / INDEX_NAME).unlink(missing_ok=True)
    for path in earlier:
        path.unlink()


def _shards(tensors: Mapping[str, Tensor], max_shard_bytes: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    used = 0
    for name, tensor in tensors.items():
        if shards[-1] and used + _bytes(tensor) > max_shard_bytes:
            shards.append([])
            used = 0
        shards[-1].append(name)
        used += _bytes(tensor)
    return shards


def _bytes(tensor: Tensor) -> int:
    return math.prod(tensor.shape) * torch.empty((), dtype=tensor.dtype).element_size()


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError, ValueError) as error:
        raise IntegrityError(
            f"{path} ({path.stat().st_size:,} bytes) is no whole safetensors file ({error}): it was cut off or changed "
            "on its way, fetch it again"
        ) from error


def _why_no_weights(folder: Path) -> str:
    if (folder / "adapter_config.json").is_file():
        return (
            f"folder {folder} holds an adapter (adapter_config.json), not a model: merge it into its base model first, "
            "with peft's merge_and_unload() and save_pretrained()"
        )
    if pickles := sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern)):
        return (
            f"folder {folder} holds weights only as pickle ({some(pickles)}), and unpickling runs whatever code is in "
            'the file: convert it where you trust it, with `python -c "from transformers import AutoModelForCausalLM '
            f"as M; M.from_pretrained('{folder}').save_pretrained('{folder}-safe')\"` (AutoModel for an encoder, "
            "AutoModelForSeq2SeqLM for T5 and BART), or fetch the repository's safetensors revision"
        )
    for pattern, name in _OTHER_FORMATS.items():
        if any(folder.glob(pattern)):
            return f"folder {folder} holds {name} weights only: get the model in safetensors ({WEIGHTS_NAME})"
    return f"folder {folder} holds neither {WEIGHTS_NAME} nor {INDEX_NAME}: copy the model's weights there"


def some(names: Iterable[str], most: int = 5, *, quoted: bool = True) -> str:
    """Return the first `most` of `names`, joined for a message, and how many more there are."""
    listed = list(names)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(repr(name) if quoted else name for name in listed[:most]) + rest
