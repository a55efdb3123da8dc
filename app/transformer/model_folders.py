"""From what a person typed to a folder on disk, and the files that belong to a model besides its weights."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from app.errors import InvalidInput, Unavailable

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_REMEDY = "name a folder that holds config.json and the weights, or a hub model"
# What runs here and nothing else: other formats would be gigabytes that nobody reads, pickles are refused anyway.
WANTED_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken")
_COMPANIONS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
    "*.tiktoken",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/*.jinja",
    "LICENSE*",
)


def resolve(name_or_folder: str | Path, *, revision: str | None = None) -> Path:
    """Return the folder that is named: an existing one, or the local copy of a hub model, downloaded if need be.

    Only a hub name touches the network. A download fetches safetensors, JSON and tokenizer files and no code.

    Args:
        name_or_folder: a path, or `owner/name` of the Hugging Face hub.
        revision: branch, tag or commit of a hub model.

    Raises:
        InvalidInput: a path that does not exist, or no form of a hub name.
        Unavailable: the hub model is neither in the cache nor to be had.
    """
    text = str(name_or_folder)
    folder = local_folder(text)
    return hub_folder(text, revision, allow=WANTED_FILES) if folder is None else folder


def local_folder(name: str, *, what: str = "model", remedy: str = _REMEDY) -> Path | None:
    """Return the existing folder `name`, or None when it may be a hub name.

    Args:
        name: as a person typed it; `~` is their home.
        what: how messages call it, such as "embedding model".
        remedy: ends every message.

    Raises:
        InvalidInput: it is written as a path, yet no such folder exists.
    """
    if not name.strip():  # Path("") would be the working directory
        return None
    path = Path(name).expanduser()
    if path.is_dir():
        return path.resolve()
    if name.startswith((".", "/", "~")) or "\\" in name or path.exists():
        raise InvalidInput(f"{what} {name!r}: no such folder; {remedy}")
    return None


def hub_folder(
    name: str,
    revision: str | None,
    *,
    what: str = "model",
    allow: Sequence[str] | None = None,
    ignore: Sequence[str] | None = None,
    remedy: str = _REMEDY,
) -> Path:
    """Return the local copy of a hub model, downloaded if need be: the only place where models touch the network.

    Args:
        name: `owner/name`.
        revision: branch, tag or commit.
        what: how messages call it, such as "embedding model".
        allow: patterns of files to fetch; all when absent.
        ignore: patterns of files to leave out.
        remedy: ends every message.

    Raises:
        InvalidInput: `name` has not the form of a hub name.
        Unavailable: it could be neither found in the cache nor downloaded.
    """
    if not _HUB_NAME.fullmatch(name):
        raise InvalidInput(
            f"{what} {name!r} is neither an existing folder nor a hub name of the form `owner/name`; {remedy}"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted, unwanted = list(allow) if allow else None, list(ignore) if ignore else None
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted, ignore_patterns=unwanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise Unavailable(
            f"{what} {name!r} (revision {revision or 'default'}) could not be fetched: {type(error).__name__}; check "
            f"the name and the network, or download it elsewhere and name its folder; {remedy}"
        ) from error


def copy_companions(source: Path, target: Path) -> list[str]:
    """Copy tokenizer, chat template, generation config and licence from `source` to `target`; return their names."""
    target.mkdir(parents=True, exist_ok=True)
    copied: list[str] = []
    for path in sorted({path for pattern in _COMPANIONS for path in source.glob(pattern) if path.is_file()}):
        name = path.relative_to(source)
        if (target / name).exists() and (target / name).samefile(path):
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)
        copied.append(name.as_posix())
    return copied
