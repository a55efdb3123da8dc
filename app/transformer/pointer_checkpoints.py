"""A `PointerReader` on disk: config.json, model.safetensors in bfloat16, tokenizer.json, and their checksums.

The word vectors that come from the encoder's folder are frozen in training, so they are not stored: loading takes them
from there. A model with further words, or with other token types, stores those and its other embeddings.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from app.errors import IntegrityError, Unavailable
from app.transformer.checkpoints import WEIGHTS_NAME, load_bert_encoder, sha256_of, verify_sha256
from app.transformer.encoder import BertConfig, BertEncoder
from app.transformer.pointer import PointerConfig, PointerReader, build_pointer_reader

SUMS_NAME = "SHA256SUMS"
TOKENIZER_NAME = "tokenizer.json"
_EMBEDDINGS = "encoder.embeddings."
_WORDS = "encoder.embeddings.word.weight"
_NEW_WORDS = "encoder.embeddings.word.new_rows"


@dataclass(frozen=True, slots=True)
class ReaderManifest:
    """What config.json says: the sizes, the checksum of the encoder folder's weights, and free settings."""

    config: PointerConfig
    encoder_sha256: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def save_pointer_reader(
    model: PointerReader,
    manifest: ReaderManifest,
    tokenizer_path: Path,
    folder: Path,
    *,
    first_new_word: int | None = None,
) -> None:
    """Write the reader without the embeddings of its encoder's folder, the tokenizer, and the checksums.

    Args:
        model: the reader.
        manifest: its sizes and settings.
        tokenizer_path: its tokenizer.json.
        folder: made if absent; other files in it stay and are listed in the checksums.
        first_new_word: rows of the word table from this one on, and all other embeddings, are stored; `None` says that
            they are all those of the encoder's folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    full = model.state_dict()
    state = {name: tensor for name, tensor in full.items() if not name.startswith(_EMBEDDINGS)}
    if first_new_word is not None:
        state |= {name: tensor for name, tensor in full.items() if name.startswith(_EMBEDDINGS) and name != _WORDS}
        state[_NEW_WORDS] = full[_WORDS][first_new_word:]
    state = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in state.items()}
    save_file(state, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    described = {"model_type": "attest-pointer-reader", **asdict(manifest)}
    (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(tokenizer_path, folder / TOKENIZER_NAME)
    (folder / WEIGHTS_NAME).chmod(0o644)  # safetensors writes 0600
    write_sums(folder)


def write_sums(folder: Path) -> None:
    """Write `SHA256SUMS` over the files of `folder` that are loaded, as `sha256sum` does; a card (.md) may change."""
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and p.name != SUMS_NAME and p.suffix != ".md")
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in names]
    (folder / SUMS_NAME).write_text("".join(lines), encoding="utf-8")


def verify_sums(
    folder: Path, remedy: str, needed: Sequence[str] = (WEIGHTS_NAME, "config.json", TOKENIZER_NAME)
) -> None:
    """Return nothing if every file that `SHA256SUMS` lists has its checksum.

    Raises:
        Unavailable: the list or a listed file is missing.
        IntegrityError: a checksum differs, or the list leaves a file of `needed` out.
    """
    sums = folder / SUMS_NAME
    if not sums.is_file():
        raise Unavailable(f"model file {sums} is missing: {remedy}")
    listed: dict[str, str] = {}
    for line in sums.read_text(encoding="utf-8").splitlines():
        expected, _, name = line.partition("  ")
        listed[name] = expected
    for name in needed:
        if name not in listed:
            raise IntegrityError(f"{sums} does not list {name}: {remedy}")
    for name, expected in listed.items():
        verify_sha256(folder / name, expected, remedy)


def read_manifest(folder: Path) -> ReaderManifest:
    """Return what `folder/config.json` says.

    Raises:
        ValueError: it describes another kind of model.
    """
    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if described.get("model_type") != "attest-pointer-reader":
        raise ValueError(f"{folder}: model_type={described.get('model_type')!r}: give a folder of a pointer reader")
    sizes = dict(described["config"])
    config = PointerConfig(encoder=BertConfig(**sizes.pop("encoder")), **sizes)
    return ReaderManifest(config, described["encoder_sha256"], described.get("settings", {}))


def load_pointer_reader(
    folder: Path, encoder_folder: Path, *, dtype: torch.dtype = torch.float32, remedy: str = "reinstall Attest"
) -> tuple[PointerReader, ReaderManifest]:
    """Return the reader in evaluation mode and `dtype`, and its manifest, after checking every checksum.

    Args:
        folder: written by `save_pointer_reader`.
        encoder_folder: the Hugging Face folder whose embeddings the reader was trained with.
        dtype: of all weights.
        remedy: ends the message of every error.

    Raises:
        Unavailable: a file is missing.
        IntegrityError: a file is not what its checksum says, or a tensor is missing or of another shape.
    """
    verify_sums(folder, remedy)
    manifest = read_manifest(folder)
    encoder, sizes = load_bert_encoder(encoder_folder, manifest.encoder_sha256)
    stored = load_file(folder / WEIGHTS_NAME)
    widened = _NEW_WORDS in stored
    if widened:
        rows = stored.pop(_NEW_WORDS)
        if rows.dim() != 2 or rows.shape[1] != sizes.embed_dim:
            raise IntegrityError(f"{folder}/{WEIGHTS_NAME} holds words of another width than its encoder: {remedy}")
        token_types = manifest.config.encoder.type_vocab_size
        widen_embeddings(encoder, rows, token_types)
        sizes = replace(sizes, vocab_size=sizes.vocab_size + rows.shape[0], type_vocab_size=token_types)
    if sizes != manifest.config.encoder:
        raise IntegrityError(f"{encoder_folder} has other sizes than {folder}/config.json: {remedy}")
    model = build_pointer_reader(manifest.config, encoder)
    known = (_WORDS,) if widened else (_EMBEDDINGS,)
    expected = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(known)}
    wrong = [name for name, tensor in expected.items() if name not in stored or stored[name].shape != tensor.shape]
    if wrong or stored.keys() - expected.keys():
        raise IntegrityError(
            f"{folder}/{WEIGHTS_NAME} does not fit config.json (first: {(wrong or ['extra'])[0]}): {remedy}"
        )
    model.load_state_dict(stored, strict=False)
    return model.to(dtype).eval(), manifest


def widen_embeddings(encoder: BertEncoder, rows: Tensor, token_types: int) -> None:
    """Append `rows` `[n, d]` to the word table, and copies of the last token type until there are `token_types`."""
    embeddings = encoder.embeddings
    with torch.no_grad():
        words = torch.cat([embeddings.word.weight, rows.to(embeddings.word.weight)])
        known = embeddings.token_type.weight
        types = torch.cat([known, known[-1:].expand(max(0, token_types - known.shape[0]), -1)])
        embeddings.word = nn.Embedding(words.shape[0], words.shape[1], _weight=words)
        embeddings.token_type = nn.Embedding(types.shape[0], types.shape[1], _weight=types)
