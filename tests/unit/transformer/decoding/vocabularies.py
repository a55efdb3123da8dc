"""Small tokenizers of every kind that models come with, made here."""

from __future__ import annotations

import functools

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

CORPUS = [
    "The quick brown fox doesn't jump over 13 lazy dogs, it's asleep.",
    "敏捷的棕色狐狸跳过了懒狗。今天天气很好！",
    '{"name": "Ann", "age": 31, "tags": ["a", "b"], "ok": true, "none": null}',
    "👩‍🚀 👨‍👩‍👧 🇨🇳 naïve café e\u0301",
]
KINDS = ("byte_level", "byte_fallback", "byte_fallback_no_strip", "wordpiece", "metaspace", "word_end", "no_decoder")


@functools.cache
def tokenizer_of(kind: str) -> Tokenizer:
    """Return a tokenizer with `<eos>` (special) at 0, `<pad>` (special) at 1 and an added token that is text."""
    tokenizer = {
        "byte_level": _byte_level,
        "byte_fallback": lambda: _byte_fallback(strip=True),
        "byte_fallback_no_strip": lambda: _byte_fallback(strip=False),
        "wordpiece": _wordpiece,
        "metaspace": _metaspace,
        "word_end": _word_end,
        "no_decoder": _no_decoder,
    }[kind]()
    tokenizer.add_tokens([AddedToken("<tool 中>", normalized=False)])
    return tokenizer


def _byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<eos>", "<pad>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _byte_fallback(*, strip: bool) -> Tokenizer:
    tokens = ["<eos>", "<pad>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += ["▁", "a", "b", "c", "▁a", "▁▁", "ab", "▁ab", "中", "文", "▁中", "{", "}", '"', ":", "'", "s", "x0A>"]
    vocabulary = {token: place for place, token in enumerate(tokens)}
    merges = [("▁", "a"), ("▁", "▁"), ("a", "b"), ("▁", "ab"), ("▁", "中")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>"))
    tokenizer.add_special_tokens(["<eos>", "<pad>"])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if strip else steps)
    return tokenizer


def _wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=["<eos>", "<pad>"], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _metaspace() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=140, special_tokens=["<eos>", "<pad>"], unk_token="<pad>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _word_end() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder()
    trainer = trainers.BpeTrainer(
        vocab_size=200, special_tokens=["<eos>", "<pad>"], end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _no_decoder() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({"<eos>": 0, "<pad>": 1, "one": 2, "two": 3, "three": 4}, unk_token="<pad>"))
    tokenizer.add_special_tokens(["<eos>", "<pad>"])
    return tokenizer
