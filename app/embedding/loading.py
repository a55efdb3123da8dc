"""Which encoder a setting names, and what computes it. torch is imported when a model is loaded, not before."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from app.embedding.folders import EncoderFolder, NotOurs, read_encoder_folder
from app.embedding.weights import (
    PACKAGED_NAME,
    fingerprint,
    forbid_network,
    hub_folder,
    local_folder,
    packaged_folder,
)
from app.errors import InvalidInput, Unavailable
from app.protocols import Encoder

if TYPE_CHECKING:
    from app.embedding.core_encoder import Precision

Engine = Literal["auto", "core", "sentence_transformers"]
Dtype = Literal["auto", "float32", "bfloat16", "int8"]


def load_encoder(
    model: str | None = None,
    *,
    revision: str | None = None,
    engine: Engine = "auto",
    dtype: Dtype = "auto",
    batch_tokens: int = 1_024,
    threads: int | None = None,
) -> Encoder:
    """The encoder that `model` names: None for the packaged all-MiniLM-L6-v2, a folder, or a hub model.

    Only a hub name touches the network, and no model's own code is ever run.

    Args:
        model: folder or hub name.
        revision: branch, tag or commit of a hub model.
        engine: "core" is our transformer, for BERT-like models with mean or first-token pooling: the same vectors,
            faster, and seconds less to start. "auto" takes it where it can and sentence-transformers elsewhere.
        dtype: of the weights; "auto" is the fastest that the CPU computes natively and that changes no ranking worth
            the name. Vectors are float32 either way, and an index may be built and asked with different ones.
        batch_tokens: padded tokens (texts × longest) that go through the model at once.
        threads: of torch, for the whole process; None leaves them alone.

    Raises:
        InvalidInput: an argument is out of its range or names nothing; "core" cannot run this model, or
            sentence-transformers not in eight bits.
        Unavailable: the model cannot be found, fetched or loaded.
        IntegrityError: the packaged weights are not the official ones.
    """
    if batch_tokens < 1:
        raise InvalidInput(f"batch_tokens is {batch_tokens}: it must be at least 1")
    for name, value, known in (("engine", engine, get_args(Engine)), ("dtype", dtype, get_args(Dtype))):
        if value not in known:
            raise InvalidInput(f"{name} is {value!r}: it must be one of {', '.join(map(repr, known))}")
    folder, identity = _locate(model, revision)
    name = f"{identity}-{fingerprint(folder)}"
    ours = _ours(folder, engine)

    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    if ours is not None:
        from app.embedding.core_encoder import CoreEncoder

        return CoreEncoder(ours, name=name, precision=core_precision(dtype), batch_tokens=batch_tokens)
    if dtype == "int8":
        raise InvalidInput(
            f"dtype is 'int8', which only the core engine computes, and embedding model {identity} runs through "
            "sentence-transformers; set ATTEST_EMBEDDING__DTYPE to 'auto', 'bfloat16' or 'float32'"
        )
    from app.embedding.sentence_transformer import load_sentence_transformer

    half = dtype == "bfloat16" or (dtype == "auto" and has_native_bfloat16())
    chosen = torch.bfloat16 if half else torch.float32
    return load_sentence_transformer(folder, chosen, name=name, batch_tokens=batch_tokens)


def _locate(model: str | None, revision: str | None) -> tuple[Path, str]:
    if model is None:
        forbid_network()
        return packaged_folder(), PACKAGED_NAME
    folder = local_folder(model)
    if folder is not None:
        forbid_network()
        return folder, folder.name
    return hub_folder(model, revision), model


def _ours(folder: Path, engine: Engine) -> EncoderFolder | None:
    if engine == "sentence_transformers":
        return None
    try:
        return read_encoder_folder(folder)
    except NotOurs as reason:
        if engine == "core":
            raise InvalidInput(
                f"engine is 'core', which can not run the embedding model in {folder}: {reason}; "
                "set ATTEST_EMBEDDING__ENGINE to 'auto' for sentence-transformers"
            ) from reason
        return None


def core_precision(dtype: Dtype) -> Precision:
    """What the core computes passages in on this machine.

    Raises:
        Unavailable: "int8" is asked for, and this CPU or build of PyTorch has no kernels for it.
    """
    if dtype == "int8" and not has_native_int8():
        raise Unavailable(
            "embedding dtype 'int8' needs a CPU with eight-bit dot products (AVX-512 VNNI) and PyTorch's oneDNN; "
            "set ATTEST_EMBEDDING__DTYPE to 'auto'"
        )
    if dtype != "auto":
        return dtype
    if not has_native_bfloat16():
        return "float32"
    return "int8" if has_native_int8() else "bfloat16"


def has_native_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX-512 BF16, AMX, or the Arm extension)."""
    wanted = {"bf16"} if platform.machine() == "aarch64" else {"amx_bf16", "avx512_bf16"}
    return not wanted.isdisjoint(_flags(cpuinfo))


def has_native_int8(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU sums products of bytes in hardware (AVX-512 VNNI or AMX) and PyTorch's kernels use it."""
    if {"amx_int8", "avx512_vnni"}.isdisjoint(_flags(cpuinfo)):
        return False
    from app.embedding.int8_kernels import Int8Kernels

    return Int8Kernels.available()


def _flags(cpuinfo: Path) -> set[str]:
    try:
        return set(cpuinfo.read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return set()
