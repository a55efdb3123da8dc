"""Any sentence-transformers model as an `Encoder`. torch is imported when a model is loaded, not before."""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from app.embedding.weights import (
    PACKAGED_NAME,
    fingerprint,
    forbid_network,
    hub_folder,
    local_folder,
    packaged_folder,
)
from app.errors import InvalidInput, Unavailable
from app.protocols import Encoder, Float32

Dtype = Literal["auto", "float32", "bfloat16"]


def load_encoder(
    model: str | None = None,
    *,
    revision: str | None = None,
    dtype: Dtype = "auto",
    batch_tokens: int = 8_192,
    threads: int | None = None,
) -> Encoder:
    """The encoder that `model` names: None for the packaged all-MiniLM-L6-v2, a folder, or a hub model.

    Only a hub name touches the network, and no model's own code is ever run.

    Args:
        model: folder or hub name.
        revision: branch, tag or commit of a hub model.
        dtype: of the weights; "auto" is bfloat16 where the CPU computes in it natively, else float32. Vectors are
            float32 either way.
        batch_tokens: padded tokens (texts × longest) that go through the model at once.
        threads: of torch, for the whole process; None leaves them alone.

    Raises:
        InvalidInput: an argument is out of its range or names nothing.
        Unavailable: the model cannot be found, fetched or loaded.
        IntegrityError: the packaged weights are not the official ones.
    """
    if batch_tokens < 1:
        raise InvalidInput(f"batch_tokens is {batch_tokens}: it must be at least 1")
    if dtype not in ("auto", "float32", "bfloat16"):
        raise InvalidInput(f"dtype is {dtype!r}: it must be 'auto', 'float32' or 'bfloat16'")
    folder, identity = _locate(model, revision)
    name = f"{identity}-{fingerprint(folder)}"

    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    chosen = torch.bfloat16 if dtype == "bfloat16" or (dtype == "auto" and has_native_bfloat16()) else torch.float32
    return SentenceTransformerEncoder(_load(folder, chosen), name=name, batch_tokens=batch_tokens)


def _locate(model: str | None, revision: str | None) -> tuple[Path, str]:
    if model is None:
        forbid_network()
        return packaged_folder(), PACKAGED_NAME
    folder = local_folder(model)
    if folder is not None:
        forbid_network()
        return folder, folder.name
    return hub_folder(model, revision), model


def _load(folder: Path, dtype: Any) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return SentenceTransformer(
            str(folder),
            device="cpu",
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"dtype": dtype},
        ).eval()
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise Unavailable(
            f"embedding model in {folder} could not be loaded: {error}; it must be a folder that sentence-transformers "
            "has saved and that needs no code of its own"
        ) from error


def has_native_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX-512 BF16, AMX, or the Arm extension)."""
    try:
        flags = cpuinfo.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    wanted = ("bf16",) if platform.machine() == "aarch64" else ("amx_bf16", "avx512_bf16")
    return not set(wanted).isdisjoint(flags.split())


class SentenceTransformerEncoder:
    """An `Encoder` over a loaded SentenceTransformer. Threads may share it: batches take turns."""

    def __init__(self, model: Any, *, name: str, batch_tokens: int) -> None:
        from tokenizers import Tokenizer

        self._model = model
        self._name = name
        self._batch_tokens = batch_tokens
        self._max_tokens = int(model.max_seq_length or 512)
        self._embed_dim = int(model.get_embedding_dimension())
        # One forward pass already uses every core, and the model's tokenizer changes its own truncation state.
        self._turn = threading.Lock()
        backend = getattr(model.tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise Unavailable(
                f"embedding model {name} has no fast tokenizer, which counting tokens needs: choose another"
            )
        self._counter = Tokenizer.from_str(backend.to_str())
        self._counter.no_truncation()
        self._counter.no_padding()

    @property
    def name(self) -> str:
        return self._name

    @property
    def embed_dim(self) -> int:
        return self._embed_dim

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens not included."""
        encodings = self._counter.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding) for encoding in encodings]

    def encode_passages(self, texts: Sequence[str]) -> Float32:
        """[n, embed_dim] float32, L2-normalised, in the order given."""
        return self._encode(texts, self._model.encode_document)

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        """[n, embed_dim] float32, L2-normalised, in the order given, the query prompt of the model in front if any."""
        return self._encode(texts, self._model.encode_query)

    def _encode(self, texts: Sequence[str], encode: Any) -> Float32:
        vectors = np.empty((len(texts), self._embed_dim), dtype=np.float32)
        for rows in self._batches(texts):
            with self._turn:
                batch = encode([texts[row] for row in rows], batch_size=len(rows), show_progress_bar=False)
            vectors[rows] = batch
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        # A zero vector stays zero: its cosine with everything is 0, and no NaN enters the index.
        np.divide(vectors, norms, out=vectors, where=norms > 0)
        return vectors

    def _batches(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """Rows by falling length, cut so that rows × longest stays within the budget: little padding, even cost."""
        if len(texts) == 1:
            yield [0]
            return
        lengths = np.minimum(np.array(self.count_tokens(texts), dtype=np.int64) + 2, self._max_tokens)
        order = np.argsort(-lengths, kind="stable").tolist()
        start = 0
        while start < len(order):
            size = max(1, self._batch_tokens // int(lengths[order[start]]))
            yield order[start : start + size]
            start += size
