"""The untrained bilingual reader: the English one with the rows of its new words, and its vocabulary's folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors.torch import load_file, save_file

from app.training.bilingual.first_vectors import ParallelText, first_vectors
from app.training.bilingual.vocabulary import build_vocabulary
from app.transformer.pointer import PointerConfig, PointerReader
from app.transformer.pointer_checkpoints import TOKENIZER_NAME, load_pointer_reader, widen_embeddings
from app.transformer.tokenizers import TextTokenizer

ROWS_NAME = "new_rows.safetensors"
MATCH_TYPES = 4
"""Token types: 0 query, 1 passage, 2 a passage token that the query has, 3 one of two in a row that it has in a row."""


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """Tokenizer file and first row of the new words in the word table."""

    tokenizer_path: Path
    first_id: int


def write_starting_point(
    folder: Path,
    english_folder: Path,
    encoder_folder: Path,
    possible: frozenset[str],
    texts: Sequence[tuple[str, float]],
    parallel: ParallelText,
    *,
    num_words: int = 12_000,
) -> StartingPoint:
    """Write tokenizer.json and the new words' rows to `folder`, unless they are there, and say where they begin.

    Args:
        folder: made if absent.
        english_folder: of the English reader.
        encoder_folder: of the encoder whose embeddings it uses.
        possible: words that may become tokens.
        texts: Chinese ones with their weights, to count words in and to see how they are used.
        parallel: sentences in both languages.
        num_words: that are added beside characters.
    """
    folder.mkdir(parents=True, exist_ok=True)
    english, _ = load_pointer_reader(english_folder, encoder_folder)
    table = english.encoder.embeddings.word.weight.detach()
    path = folder / TOKENIZER_NAME
    if not (folder / ROWS_NAME).is_file():
        base = english_folder / TOKENIZER_NAME
        vocabulary = build_vocabulary(base, possible, texts, num_words=num_words)
        path.write_text(json.dumps(vocabulary.tokenizer, ensure_ascii=False), encoding="utf-8")
        rows = first_vectors(vocabulary, TextTokenizer(path), [text for text, _ in texts], parallel, table.float())
        save_file({"rows": rows.contiguous()}, folder / ROWS_NAME)
    return StartingPoint(path, table.shape[0])


def starting_reader(folder: Path, english_folder: Path, encoder_folder: Path) -> tuple[PointerReader, PointerConfig]:
    """Return the English reader with the new words' rows after its own and token types for matches, in float32."""
    model, manifest = load_pointer_reader(english_folder, encoder_folder)
    widen_embeddings(model.encoder, load_file(folder / ROWS_NAME)["rows"], MATCH_TYPES)
    sizes = replace(
        manifest.config.encoder,
        vocab_size=model.encoder.embeddings.word.num_embeddings,
        type_vocab_size=MATCH_TYPES,
    )
    return model.train(), replace(manifest.config, encoder=sizes)
