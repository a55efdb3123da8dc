"""SentencePiece `.model` files as tokenizers of the `tokenizers` library, by what the file itself says."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

_SPACE = "▁"
_UNIGRAM, _BPE = 1, 2
_CONTROL, _USER_DEFINED = 3, 4


def from_sentencepiece(path: Path) -> Tokenizer:
    """Return a tokenizer that cuts texts as SentencePiece does with the model `path`; it adds no special tokens.

    Raises:
        ImportError: `sentencepiece` (with protobuf) is not installed.
        ValueError: the file is damaged, or holds a word or character model.

    Departure: a user-defined symbol ends a word, so the text after it begins like a new one.

    Source: Kudo & Richardson 2018; unigram: Kudo 2018, section 3; BPE: Sennrich et al. 2016.
    """
    # Imported by name: neither package has types, and only this one function needs them.
    format_of: Any = import_module("sentencepiece.sentencepiece_model_pb2")
    protobuf: Any = import_module("google.protobuf.message")
    proto = format_of.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except protobuf.DecodeError as error:
        raise ValueError(f"it is no SentencePiece model: {error}") from error
    if not proto.pieces:
        raise ValueError("it is no SentencePiece model: it has no pieces")
    tokenizer = Tokenizer(_model(proto))
    tokenizer.normalizer = _normalizer(proto)
    prefix = proto.normalizer_spec.add_dummy_prefix
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(
        replacement=_SPACE, prepend_scheme="always" if prefix else "never", split=proto.trainer_spec.split_by_whitespace
    )
    steps: list[Any] = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if prefix:
        steps.append(decoders.Strip(content=" ", left=1))
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_tokens(
        [
            AddedToken(piece.piece, normalized=False, special=piece.type == _CONTROL)
            for piece in proto.pieces
            if piece.type in (_CONTROL, _USER_DEFINED)
        ]
    )
    return tokenizer


def _model(proto: Any) -> Any:
    trained = proto.trainer_spec
    if trained.model_type == _UNIGRAM:
        scores = [(piece.piece, piece.score) for piece in proto.pieces]
        return models.Unigram(scores, unk_id=trained.unk_id, byte_fallback=trained.byte_fallback)
    if trained.model_type == _BPE:
        ids = {piece.piece: index for index, piece in enumerate(proto.pieces)}
        score = {piece.piece: piece.score for piece in proto.pieces}
        return models.BPE(
            ids, _merges(score), unk_token=trained.unk_piece, fuse_unk=True, byte_fallback=trained.byte_fallback
        )
    raise ValueError("it is a word or character model: only unigram and BPE are read")


def _merges(score: dict[str, float]) -> list[tuple[str, str]]:
    """SentencePiece stores no merges: of neighbours it joins those whose joint piece has the best score."""
    found = [
        (-score[piece], piece[:cut], piece[cut:])
        for piece in score
        for cut in range(1, len(piece))
        if piece[:cut] in score and piece[cut:] in score
    ]
    found.sort(key=lambda merge: merge[0])
    return [(left, right) for _, left, right in found]


def _normalizer(proto: Any) -> Any:
    spec = proto.normalizer_spec
    steps: list[Any] = []
    if spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(spec.precompiled_charsmap))
    if spec.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    return normalizers.Sequence(steps)
