from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import decoders

from app.transformer.decoding.detokenize import Detokenizer, byte_level_alphabet
from app.transformer.decoding.streams import TokenStream
from tests.unit.transformer.decoding.vocabularies import KINDS, tokenizer_of

TEXTS = [
    "The quick brown fox doesn't jump.",
    "敏捷的棕色狐狸",
    "👩‍🚀 and 👨‍👩‍👧‍👦 and 🇨🇳",
    "naïve café e\u0301 \u202bעברית\u202c",
    "  two spaces\n\n\ttab ",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ½ … — “quoted”",
]


def streamed(kind: str, ids: Sequence[int], stop: Sequence[str] = ()) -> list[str]:
    stream = TokenStream(Detokenizer(tokenizer_of(kind)), stop)
    return [*(stream.push(token) for token in ids), stream.finish()]


def whole(kind: str, ids: Sequence[int]) -> str:
    text: str = tokenizer_of(kind).decode(list(ids), skip_special_tokens=True)
    return text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS)
def test_the_pieces_of_a_text_join_to_its_decoding(kind: str, text: str) -> None:
    ids = tokenizer_of(kind).encode(text).ids
    pieces = streamed(kind, ids)
    assert "".join(pieces) == whole(kind, ids)
    if kind in ("byte_level", "byte_fallback"):
        assert "".join(pieces) == (text[1:] if kind == "byte_fallback" and text[0] == " " else text)
        assert not any("\ufffd" in piece for piece in pieces)
        assert not any(piece.endswith("\u200d") for piece in pieces[:-1])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("byte_fallback")])
@settings(max_examples=150, deadline=None)
@given(choices=st.lists(st.integers(0, 10_000), max_size=40))
def test_any_tokens_at_all_join_to_their_decoding(kind: str, choices: list[int]) -> None:
    size = tokenizer_of(kind).get_vocab_size() + 3  # ids that the tokenizer does not know are among them
    ids = [choice % size for choice in choices]
    assert "".join(streamed(kind, ids)) == whole(kind, ids)


runs = st.one_of(
    st.characters(exclude_categories=["Cs"]).map(lambda character: character.encode()),
    st.binary(min_size=1, max_size=3),
)


def valid(encoded: bytes) -> bool:
    try:
        encoded.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("kind", ["byte_fallback", "byte_fallback_no_strip"])
@settings(max_examples=150, deadline=None)
@given(parts=st.lists(st.one_of(runs, st.integers(259, 280)), max_size=12))
@example(parts=[b" ", 259, b"\xe4\xbd\xa0", 262])
@example(parts=[b"\xe4", 260, b"\xbd\xa0"])
def test_byte_fallback_keeps_characters_and_marks_lost_bytes(kind: str, parts: list[bytes | int]) -> None:
    size = tokenizer_of(kind).get_vocab_size()
    ids: list[int] = []
    groups: list[bytes | int] = []  # neighbouring runs of bytes are one
    for part in parts:
        if isinstance(part, int):
            part = part if part < size else 259
            groups.append(part)
            ids.append(part)
        else:
            if groups and isinstance(groups[-1], bytes):
                groups[-1] += part
            else:
                groups.append(part)
            ids += [3 + byte for byte in part]
    pieces = streamed(kind, ids)
    # What `tokenizers` decodes where every run is whole; what SentencePiece does (a mark for each byte) elsewhere.
    if all(valid(each) for each in groups if isinstance(each, bytes)):
        assert "".join(pieces) == whole(kind, ids)
        return
    text = ""
    for each in groups:
        if isinstance(each, int):
            text += decoders.Replace("▁", " ").decode([tokenizer_of(kind).id_to_token(each)])
            continue
        rest = each
        while rest:
            length = next((n for n in range(1, 5) if len(rest) >= n and valid(rest[:n])), 0)
            text += rest[:length].decode() if length else "\ufffd"
            rest = rest[length or 1 :]
    assert "".join(pieces) == (text[1:] if kind == "byte_fallback" and text.startswith(" ") else text)


def test_an_incomplete_character_becomes_a_mark_only_at_the_end() -> None:
    first, second, third = "你".encode()
    for kind, base in (("byte_fallback", 3), ("byte_level", None)):
        tokenizer = tokenizer_of(kind)
        letters = {byte: letter for letter, byte in byte_level_alphabet().items()}
        ids = [base + byte if base else tokenizer.token_to_id(letters[byte]) for byte in (first, second, third)]
        stream = TokenStream(Detokenizer(tokenizer))
        assert [stream.push(token) for token in ids] == ["", "", "你"]
        assert stream.finish() == ""
        stream = TokenStream(Detokenizer(tokenizer))
        assert [stream.push(token) for token in ids[:2]] == ["", ""]
        assert set(stream.finish()) == {"\ufffd"}
        assert "".join(streamed(kind, ids[:2])) == whole(kind, ids[:2])


def test_the_alphabet_of_bytes_is_that_of_the_library() -> None:
    assert set(byte_level_alphabet()) == set(tokenizer_of("byte_level").pre_tokenizer.alphabet())
    assert len(set(byte_level_alphabet().values())) == 256


def test_special_tokens_are_not_text_but_added_ones_are() -> None:
    tokenizer = tokenizer_of("byte_level")
    ids = [tokenizer.token_to_id("<eos>"), tokenizer.token_to_id("<tool 中>"), tokenizer.token_to_id("<pad>"), 99_999]
    assert streamed("byte_level", ids) == ["", "<tool 中>", "", "", ""]


def test_a_leading_space_stays_where_text_continues() -> None:
    for kind in ("byte_fallback", "metaspace"):
        tokenizer = tokenizer_of(kind)
        ids = tokenizer.encode("ab a").ids
        ids = [tokenizer.token_to_id("▁a"), *ids] if kind == "byte_fallback" else ids
        dropped, kept = (TokenStream(Detokenizer(tokenizer), keep_space=keep) for keep in (False, True))
        without = "".join([*map(dropped.push, ids), dropped.finish()])
        assert "".join([*map(kept.push, ids), kept.finish()]) == " " + without


def cut(text: str, stop: Sequence[str]) -> str:
    """Return what a reader keeps who reads letter by letter and leaves when a stop string is complete."""
    for end in range(1, len(text) + 1):
        found = [len(each) for each in stop if text[:end].endswith(each)]
        if found:
            return text[: end - max(found)]
    return text


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(alphabet="abc你👩", max_size=24),
    stop=st.lists(st.text(alphabet="abc你👩", min_size=1, max_size=5), max_size=3),
)
@example(text="xabcabd", stop=["abd"])
@example(text="abcd", stop=["abcd", "bc"])
@example(text="aab", stop=["ab", "aab"])
def test_stop_strings_end_the_text_wherever_tokens_are_cut(text: str, stop: list[str]) -> None:
    stream = TokenStream(Detokenizer(tokenizer_of("byte_fallback")), stop)
    pieces: list[str] = []
    for byte in text.encode():
        pieces.append(stream.push(3 + byte))
        assert text.startswith("".join(pieces))
        assert not any(each in "".join(pieces) for each in stop)
    pieces.append(stream.finish())
    assert "".join(pieces) == cut(text, stop)
    assert stream.stopped == any(each in text for each in stop)
    # The same text in one piece: where tokens cut it makes no difference.
    at_once = TokenStream(Detokenizer(tokenizer_of("no_decoder")), stop)
    assert at_once._give(text, final=False) + at_once.finish() == cut(text, stop)


def test_a_stop_string_inside_one_token_and_over_two() -> None:
    tokenizer = tokenizer_of("byte_level")
    ids = tokenizer.encode("The quick brown fox").ids
    assert len(ids) < len("The quick brown fox")
    assert "".join(streamed("byte_level", ids, ["ick b"])) == "The qu"
    assert "".join(streamed("byte_level", ids, ["h"])) == "T"
    assert "".join(streamed("byte_level", ids, ["fox", "nowhere"])) == "The quick brown "
    assert "".join(streamed("byte_level", ids, ["foxes"])) == "The quick brown fox"


def test_text_is_held_back_only_while_it_could_become_a_stop_string() -> None:
    stream = TokenStream(Detokenizer(tokenizer_of("byte_fallback")), ["</s>"])
    pieces = [stream.push(3 + byte) for byte in b"a</b</s>c"]
    assert pieces == ["a", "", "", "</b", "", "", "", "", ""]
    assert stream.stopped
    assert stream.finish() == ""


def test_the_cost_of_a_token_does_not_grow_with_the_text() -> None:
    for kind in KINDS:
        stream = TokenStream(Detokenizer(tokenizer_of(kind)), ["never to be found"])
        ids = tokenizer_of(kind).encode("The fox 狐狸 👩‍🚀 a ab ").ids or [2, 3]
        kept: list[int] = []
        for round_ in range(60):
            for token in ids:
                stream.push(token)
            if round_ in (1, 59):
                kept.append(len(repr(vars(stream))) + len(repr(vars(stream._decoder))))
        assert kept[1] == kept[0], kind  # nothing that later steps would have to read again has piled up
