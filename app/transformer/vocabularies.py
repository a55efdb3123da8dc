"""Any vocabulary as a tokenizer of the `tokenizers` library: its own file, SentencePiece, tiktoken."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer

from app.errors import IntegrityError, MissingPackage, Unavailable
from app.transformer.sentencepiece_files import from_sentencepiece

TOKENIZER_NAME = "tokenizer.json"
# The names under which models ship vocabularies that need converting, most specific first.
_SENTENCEPIECE = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "*.spm", "*.model")
_LOG = logging.getLogger(__name__)


def read_backend(path: Path) -> Tokenizer:
    """Return the tokenizer of a model folder, or of one vocabulary file, neither cutting nor padding.

    `tokenizer.json` is read as it is and needs nothing but the `tokenizers` library. Other vocabularies are converted
    by `transformers`, which takes seconds to import.

    Args:
        path: a folder; or a `tokenizer.json`, a SentencePiece `.model`, a tiktoken `.tiktoken` file.

    Raises:
        Unavailable: no vocabulary is there, or none that can be converted.
        IntegrityError: the file is damaged.
        MissingPackage: the conversion needs a package that is not installed.
    """
    if path.is_file():
        tokenizer = _from_file(path)
    elif (path / TOKENIZER_NAME).is_file():
        tokenizer = _from_file(path / TOKENIZER_NAME)
    elif path.is_dir():
        tokenizer = _converted_folder(path)
    else:
        raise Unavailable(f"tokenizer {path} is missing: copy the model's tokenizer files there")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _from_file(path: Path) -> Tokenizer:
    if path.suffix == ".json":
        try:
            return Tokenizer.from_file(str(path))
        except Exception as error:
            raise IntegrityError(f"tokenizer file {path} can't be read ({error}): fetch it again") from error
    if path.suffix == ".tiktoken":
        return _converting(path, lambda: _from_tiktoken(path))
    if path.suffix in (".model", ".spm"):
        return _converting(path, lambda: from_sentencepiece(path))
    raise Unavailable(f"tokenizer file {path}: what is read is tokenizer.json, *.model, *.spm and *.tiktoken")


def _converted_folder(folder: Path) -> Tokenizer:
    from transformers import AutoTokenizer

    def convert() -> Tokenizer:
        loaded = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        backend = getattr(loaded, "backend_tokenizer", None)
        if backend is None:
            raise ValueError(f"{type(loaded).__name__} has no fast form")
        return Tokenizer.from_str(backend.to_str())

    vocabulary = next((found for pattern in _SENTENCEPIECE for found in sorted(folder.glob(pattern))), None)
    tiktoken = next(iter(sorted(folder.glob("*.tiktoken"))), None)
    if (folder / "tokenizer_config.json").is_file() or (folder / "config.json").is_file():
        try:
            return _converting(folder, convert)
        except Unavailable:
            if vocabulary is None and tiktoken is None:
                raise
            _LOG.info("folder %s names no tokenizer class that is known: its vocabulary file is read alone", folder)
    for path in (vocabulary, tiktoken):
        if path is not None:
            return _from_file(path)
    raise Unavailable(f"folder {folder} holds no tokenizer.json, *.model or *.tiktoken: copy the tokenizer there")


def _converting(path: Path, convert: Callable[[], Tokenizer]) -> Tokenizer:
    try:
        return convert()
    except ImportError as error:
        raise MissingPackage(
            f"tokenizer {path} needs a package to be converted: `pip install sentencepiece protobuf tiktoken` ({error})"
        ) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise Unavailable(
            f"tokenizer {path} can't be converted ({error}): save it as tokenizer.json with "
            "AutoTokenizer.from_pretrained(…).save_pretrained(…)"
        ) from error


def _from_tiktoken(path: Path) -> Tokenizer:
    from transformers.convert_slow_tokenizer import TikTokenConverter

    converter = TikTokenConverter(vocab_file=str(path))  # type: ignore[no-untyped-call]
    converted: Tokenizer = converter.converted()
    return converted
