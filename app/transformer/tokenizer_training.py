"""Vocabularies learned from a corpus: BPE, byte-level BPE, WordPiece, Unigram; a folder that any loader reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from app.errors import InvalidInput, UnreadableDocument
from app.transformer.json_files import write_json

TokenizerKind = Literal["bpe", "byte-bpe", "wordpiece", "unigram"]

_TEXT_FILES = (".txt", ".md", ".jsonl")
_LINES_MEASURED = 2_000
_BERT_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_PIECE_TOKENS = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
# Byte-level BPE can spell everything, so it needs no token for the unknown.
_BYTE_TOKENS = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"}


@dataclass(frozen=True, slots=True)
class TokenizerReport:
    """What was learned: `chars_per_token` over the first lines of the corpus, and how many of those lines come back
    exactly from their tokens (a vocabulary that normalises loses case or spaces on purpose)."""

    kind: TokenizerKind
    vocab_size: int
    lines_measured: int
    chars_per_token: float
    exact_lines: int
    unknown_tokens: int


def train_tokenizer(
    kind: TokenizerKind,
    paths: Sequence[Path],
    out: Path,
    *,
    vocab_size: int = 8_000,
    min_frequency: int = 2,
    lowercase: bool = False,
    extra_tokens: Sequence[str] = (),
) -> TokenizerReport:
    """Learn a vocabulary, write tokenizer.json and tokenizer_config.json to `out`, and return what came of it.

    Args:
        kind: "bpe" over characters, "byte-bpe" over bytes (nothing is ever unknown), "wordpiece" (BERT's, adds
            [CLS] … [SEP]), "unigram" (SentencePiece's).
        paths: text files, or folders whose .txt, .md and .jsonl files are read; UTF-8. Of a .jsonl file, the `text`
            of each line.
        out: folder, made if need be.
        vocab_size: most entries, special tokens included; a small corpus gives fewer.
        min_frequency: a pair or word piece seen less often is not learned (not for unigram).
        lowercase: fold case, and for wordpiece accents too.
        extra_tokens: further special tokens, such as those of a chat template.

    Raises:
        InvalidInput: a path or size that does not do, or a corpus without text.
        UnreadableDocument: a file that is not UTF-8, or a .jsonl line without a `text`.

    Source: BPE Sennrich et al. 2016, section 3.2; bytes Radford et al. 2019, section 2.2; WordPiece Schuster &
    Nakajima 2012; Unigram Kudo 2018, section 3.2.
    """
    if kind not in get_args(TokenizerKind):
        raise InvalidInput(f"kind={kind!r} is no kind of tokenizer: choose one of {', '.join(get_args(TokenizerKind))}")
    files = corpus_files(paths)
    named = {"wordpiece": _BERT_TOKENS, "byte-bpe": _BYTE_TOKENS}.get(kind, _PIECE_TOKENS)
    special = [*named.values(), *extra_tokens]
    least = len(special) + (256 if kind == "byte-bpe" else 1)
    if vocab_size < least:
        raise InvalidInput(
            f"vocab_size={vocab_size} is too small: {kind} with its special tokens needs {least} or more"
        )
    if min_frequency < 1:
        raise InvalidInput(f"min_frequency={min_frequency} must be at least 1")
    if next(corpus_lines(files), None) is None:
        raise InvalidInput(f"{_listed(files)} hold no text: give a corpus to learn from")
    tokenizer = _untrained(kind, lowercase)
    tokenizer.train_from_iterator(corpus_lines(files), _trainer(kind, vocab_size, min_frequency, special))
    if kind == "wordpiece":
        ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
        )
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    write_json(_tokenizer_config(named, extra_tokens), out / "tokenizer_config.json")
    return _measure(kind, tokenizer, files, named.get("unk_token"))


def corpus_files(paths: Sequence[Path]) -> list[Path]:
    """Return the text files among `paths` and in the folders among them, sorted.

    Raises:
        InvalidInput: a path does not exist, or there is no text file at all.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(each for each in path.rglob("*") if each.suffix in _TEXT_FILES and each.is_file())
        elif path.is_file():
            files.append(path)
        else:
            raise InvalidInput(f"{path} does not exist: give text files, or folders of {', '.join(_TEXT_FILES)} files")
    if not files:
        raise InvalidInput(f"{_listed(paths)}: no {', '.join(_TEXT_FILES)} file there")
    return files


def corpus_lines(files: Sequence[Path]) -> Iterator[str]:
    """Yield the lines of `files` that are not blank, without their line ends; one file's lines at a time in memory.

    Raises:
        UnreadableDocument: a file that is not UTF-8, or a .jsonl line without a `text`.
    """
    for path in files:
        try:
            with path.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, start=1):
                    text = _text_of(path, number, line) if path.suffix == ".jsonl" else line.rstrip("\r\n")
                    if text.strip():
                        yield text
        except UnicodeDecodeError as error:
            raise UnreadableDocument(f"{path} is not UTF-8 ({error}): convert it first") from error


def _text_of(path: Path, number: int, line: str) -> str:
    try:
        text = json.loads(line)["text"] if line.strip() else ""
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableDocument(f"{path}:{number} is no JSON object with a `text`: {error}") from error
    return str(text)


def _untrained(kind: TokenizerKind, lowercase: bool) -> Tokenizer:
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        return tokenizer
    steps: list[Any] = [normalizers.Lowercase()] if lowercase else []
    if kind == "byte-bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    else:
        # Unigram takes its unknown token from the trainer.
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True) if kind == "bpe" else models.Unigram())
        steps.insert(0, normalizers.NFKC())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    return tokenizer


def _trainer(kind: TokenizerKind, vocab_size: int, min_frequency: int, special: list[str]) -> Any:
    if kind == "unigram":
        return trainers.UnigramTrainer(
            vocab_size=vocab_size, special_tokens=special, unk_token="<unk>", show_progress=False
        )
    of_bpe: dict[str, Any] = {
        "vocab_size": vocab_size,
        "min_frequency": min_frequency,
        "special_tokens": special,
        "show_progress": False,
    }
    if kind == "wordpiece":
        return trainers.WordPieceTrainer(**of_bpe)
    if kind == "byte-bpe":
        # Every byte is in the vocabulary from the start, whether the corpus has it or not.
        return trainers.BpeTrainer(**of_bpe, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    # A rare character would take the place of a useful piece: the alphabet leaves room for at least as many pieces.
    return trainers.BpeTrainer(**of_bpe, limit_alphabet=max(1, (vocab_size - len(special)) // 2))


def _tokenizer_config(named: Mapping[str, str], extra: Sequence[str]) -> dict[str, Any]:
    more = {"additional_special_tokens": list(extra)} if extra else {}
    # The class name with which transformers reads tokenizer.json as it is.
    return {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **named, **more}


def _measure(kind: TokenizerKind, tokenizer: Tokenizer, files: Sequence[Path], unknown: str | None) -> TokenizerReport:
    lines = list(islice(corpus_lines(files), _LINES_MEASURED))
    encoded = tokenizer.encode_batch(lines, add_special_tokens=False)
    tokens = sum(len(each.ids) for each in encoded)
    unknown_id = None if unknown is None else tokenizer.token_to_id(unknown)
    return TokenizerReport(
        kind=kind,
        vocab_size=tokenizer.get_vocab_size(),
        lines_measured=len(lines),
        chars_per_token=sum(map(len, lines)) / max(tokens, 1),
        exact_lines=sum(tokenizer.decode(each.ids) == line for each, line in zip(encoded, lines, strict=True)),
        unknown_tokens=sum(each.ids.count(unknown_id) for each in encoded) if unknown_id is not None else 0,
    )


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths)
