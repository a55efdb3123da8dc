"""An `Encoder` on our own transformer core, for BERT-like models: nothing to import but torch and tokenizers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from app.embedding.bert_forward import BertForward, Kernels
from app.embedding.float_kernels import PackedKernels, PlainKernels
from app.embedding.folders import EncoderFolder
from app.embedding.lanes import Lanes
from app.embedding.lengths import batches_by_length
from app.embedding.quantizing import quantized_forward
from app.protocols import Float32
from app.transformer.checkpoints import load_bert_encoder
from app.transformer.feed_forward import Activation

Precision = Literal["float32", "bfloat16", "int8"]


class CoreEncoder:
    """Vectors equal to those of sentence-transformers for the same folder, to 1e-5 in float32.

    Queries are encoded in float32 or bfloat16 always: one by one, eight bits would gain nothing. Threads may share it.

    Args:
        described: the model's folder.
        name: of the encoder.
        precision: of passages; "int8" wants a CPU with eight-bit dot products.
        batch_tokens: padded tokens (texts × longest) that go through the model at once.

    Raises:
        Unavailable: a file is missing or of another family.
        IntegrityError: config and weights do not fit one another.
    """

    def __init__(self, described: EncoderFolder, *, name: str, precision: Precision, batch_tokens: int) -> None:
        encoder, self._config = load_bert_encoder(described.folder)
        self._tensors = {name: tensor.detach().float() for name, tensor in encoder.state_dict().items()}
        self._described = described
        self._name = name
        self._precision = precision
        self._batch_tokens = batch_tokens
        self._counter = Tokenizer.from_file(str(described.folder / "tokenizer.json"))
        self._counter.no_truncation()
        self._counter.no_padding()
        self._special_tokens = self._counter.num_special_tokens_to_add(False)
        self._tokenizer = Tokenizer.from_str(self._counter.to_str())
        self._tokenizer.enable_truncation(described.max_tokens)
        self._lanes = Lanes()
        self._making = threading.Lock()
        of_queries: Literal["float32", "bfloat16"] = "float32" if precision == "float32" else "bfloat16"
        kernels = float_kernels(self._config.activation, of_queries, rows=batch_tokens)
        self._forward = BertForward(self._tensors, self._config, kernels)

    @property
    def name(self) -> str:
        return self._name

    @property
    def embed_dim(self) -> int:
        return self._config.embed_dim

    @property
    def max_tokens(self) -> int:
        return self._described.max_tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens not included."""
        return [len(encoding) for encoding in self._counter.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_passages(self, texts: Sequence[str]) -> Float32:
        """[n, embed_dim] float32, L2-normalised, in the order given."""
        with self._making:
            forward = self._passage_forward
        return self._encode(texts, self._described.passage_prompt, forward)

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        """[n, embed_dim] float32, L2-normalised, in the order given, the query prompt of the model in front if any."""
        return self._encode(texts, self._described.query_prompt, self._forward)

    @cached_property
    def _passage_forward(self) -> BertForward:
        """Made when the first passage comes: a process that only asks never holds it."""
        if self._precision != "int8":
            return self._forward
        return quantized_forward(self._tensors, self._config, self._tokenizer)

    def _encode(self, texts: Sequence[str], prompt: str, forward: BertForward) -> Float32:
        encodings = self._tokenizer.encode_batch_fast([prompt + text for text in texts] if prompt else list(texts))
        ids = [encoding.ids for encoding in encodings]
        vectors = np.empty((len(texts), self.embed_dim), dtype=np.float32)

        def run(rows: list[int]) -> None:
            with torch.inference_mode():
                vectors[rows] = self._pooled([ids[row] for row in rows], forward).numpy()

        self._lanes.each(run, batches_by_length([len(row) for row in ids], self._batch_tokens))
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        # A zero vector stays zero: its cosine with everything is 0, and no NaN enters the index.
        np.divide(vectors, norms, out=vectors, where=norms > 0)
        return vectors

    def _pooled(self, ids: Sequence[Sequence[int]], forward: BertForward) -> Tensor:
        token_ids, mask = padded(ids, self._config.pad_token_id)
        states = forward(token_ids, mask).float()
        if self._described.pooling == "cls":
            return states[:, 0]
        if mask is None:
            return states.mean(1)
        weights = mask.unsqueeze(2).float()
        return (states * weights).sum(1) / weights.sum(1)


def float_kernels(activation: Activation, precision: Literal["float32", "bfloat16"], *, rows: int) -> Kernels:
    """The fastest of a float precision that this build of PyTorch has."""
    if precision == "float32":
        return PlainKernels(activation)
    if PackedKernels.available():
        return PackedKernels(activation, rows=rows)
    return PlainKernels(activation, torch.bfloat16)


def padded(ids: Sequence[Sequence[int]], pad_token_id: int) -> tuple[Tensor, Tensor | None]:
    """Token ids int64 `[b, s]`, padded behind, and which are real, bool `[b, s]`; None where all are."""
    lengths = [len(row) for row in ids]
    longest = max(lengths)
    token_ids = torch.full((len(ids), longest), pad_token_id)
    for number, row in enumerate(ids):
        token_ids[number, : len(row)] = torch.tensor(row)
    if min(lengths) == longest:
        return token_ids, None
    return token_ids, torch.arange(longest) < torch.tensor(lengths)[:, None]
