"""Where a local language model lies: a folder, the home's `models/`, or the hub's cache on this machine."""

from __future__ import annotations

from pathlib import Path

from app.errors import Unavailable
from app.transformer.model_folders import WANTED_FILES, hub_folder, local_folder


def find_model(name: str, models: Path, *, download: bool = False, revision: str | None = None) -> Path:
    """The folder of the model that a person named.

    Args:
        name: a path, a folder's name inside `models`, or `owner/name` of the Hugging Face hub.
        models: `ATTEST_HOME/models`.
        download: fetch a hub model that is not here; without it nothing touches the network.
        revision: branch, tag or commit of a hub model.

    Raises:
        InvalidInput: a path that does not exist, or no form of a hub name.
        Unavailable: it is not on this machine; the message says how to get it.
    """
    for candidate in (models / name, models / name.rpartition("/")[2]):
        if name and (candidate / "config.json").is_file():
            return candidate.resolve()
    folder = local_folder(name)
    if folder is not None:
        return folder
    if download:
        return hub_folder(name, revision, allow=WANTED_FILES)
    return _cached(name, models, revision)


def _cached(name: str, models: Path, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(name, revision=revision, allow_patterns=list(WANTED_FILES), local_files_only=True)
        )
    except (LocalEntryNotFoundError, HFValidationError, OSError, ValueError):
        raise Unavailable(
            f"the model {name!r} is neither a folder, nor in {models}, nor in the hub's cache: put its folder "
            "(config.json, tokenizer.json, *.safetensors) there, or allow the download with "
            "ATTEST_GENERATION__LOCAL__DOWNLOAD=true"
        ) from None


def model_folders(place: Path) -> list[Path]:
    """The model folders that `place` is or holds, one or two levels down (`owner/name`), by path."""
    if (place / "config.json").is_file():
        return [place]
    found = [path.parent for pattern in ("*/config.json", "*/*/config.json") for path in place.glob(pattern)]
    return sorted(set(found))
