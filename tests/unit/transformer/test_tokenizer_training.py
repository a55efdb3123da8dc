"""Vocabularies from a corpus: what was learned, what comes back, and corpora that do not do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.root import run
from app.errors import InvalidInput, UnreadableDocument
from app.transformer.model_tokenizer import load_tokenizer
from app.transformer.tokenizer_training import corpus_files, corpus_lines, train_tokenizer

LINES = [
    "The low lower lowest tide is low.",
    "A newer, newest tide lowers the widest boat.",
    "潮水很低 🌊 naïve café",
] * 40


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.txt").write_text("\n".join(LINES), encoding="utf-8")
    (folder / "inner" / "b.jsonl").write_text(json.dumps({"text": "lowest of the low"}) + "\n\n", encoding="utf-8")
    (folder / "picture.png").write_bytes(b"\x89PNG\xff")
    return folder


@pytest.mark.parametrize("kind", ["bpe", "byte-bpe", "wordpiece", "unigram"])
def test_each_kind_learns_and_is_loaded_again(corpus: Path, tmp_path: Path, kind: str) -> None:
    report = train_tokenizer(kind, [corpus], tmp_path / "out", vocab_size=340)  # type: ignore[arg-type]
    tokenizer = load_tokenizer(tmp_path / "out")
    assert tokenizer.vocab_size == report.vocab_size <= 340
    assert report.unknown_tokens == 0
    assert report.lines_measured == len(LINES) + 1
    ids = tokenizer.encode("low", special_tokens=False)
    assert len(ids) == 1  # the most frequent word is one token
    assert tokenizer.id_of("pad_token") is not None
    assert tokenizer.decode(tokenizer.encode("the lowest tide")).strip().lower() == "the lowest tide"


def test_bytes_spell_what_no_corpus_has_seen(corpus: Path, tmp_path: Path) -> None:
    report = train_tokenizer("byte-bpe", [corpus], tmp_path / "out", vocab_size=300)
    assert report.exact_lines == report.lines_measured
    tokenizer = load_tokenizer(tmp_path / "out")
    for text in ("Ωmega 🦆\t\x00", "  two  spaces\n", ""):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_wordpiece_brackets_its_inputs(corpus: Path, tmp_path: Path) -> None:
    train_tokenizer("wordpiece", [corpus], tmp_path / "out", vocab_size=300, lowercase=True)
    tokenizer = load_tokenizer(tmp_path / "out")
    ids = tokenizer.encode("The Tide")
    assert (ids[0], ids[-1]) == (tokenizer.id_of("cls_token"), tokenizer.id_of("sep_token"))
    assert ids == tokenizer.encode("the tide")


def test_transformers_reads_what_we_write(corpus: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    train_tokenizer("byte-bpe", [corpus], tmp_path / "out", vocab_size=300, extra_tokens=["<|im_end|>"])
    theirs = AutoTokenizer.from_pretrained(str(tmp_path / "out"), local_files_only=True)
    ours = load_tokenizer(tmp_path / "out")
    text = "The lowest tide<|im_end|>"
    assert theirs(text)["input_ids"] == ours.encode(text)
    assert (theirs.eos_token, theirs.pad_token) == ("<|endoftext|>", "<|pad|>")
    assert ours.encode(text)[-1] == ours.backend.token_to_id("<|im_end|>")


def test_training_twice_gives_the_same_vocabulary(corpus: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        train_tokenizer("byte-bpe", [corpus], tmp_path / name, vocab_size=320)
    assert (tmp_path / "one" / "tokenizer.json").read_bytes() == (tmp_path / "two" / "tokenizer.json").read_bytes()


def test_a_corpus_is_its_text_files(corpus: Path) -> None:
    files = corpus_files([corpus])
    assert [path.name for path in files] == ["a.txt", "b.jsonl"]
    lines = list(corpus_lines(files))
    assert lines == [*LINES, "lowest of the low"]


def test_corpora_that_do_not_do_are_named(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InvalidInput, match="does not exist"):
        train_tokenizer("bpe", [tmp_path / "nowhere"], out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match=r"no \.txt"):
        train_tokenizer("bpe", [tmp_path / "empty"], out)
    (tmp_path / "blank.txt").write_text(" \n\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="hold no text"):
        train_tokenizer("bpe", [tmp_path / "blank.txt"], out)
    (tmp_path / "latin.txt").write_bytes("naïve".encode("latin-1"))
    with pytest.raises(UnreadableDocument, match=r"latin\.txt is not UTF-8"):
        train_tokenizer("bpe", [tmp_path / "latin.txt"], out)
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"no": 1}\n', encoding="utf-8")
    with pytest.raises(UnreadableDocument, match=r"bad\.jsonl:2"):
        train_tokenizer("bpe", [tmp_path / "bad.jsonl"], out)
    with pytest.raises(InvalidInput, match="vocab_size=100 is too small: byte-bpe"):
        train_tokenizer("byte-bpe", [corpus], out, vocab_size=100)
    with pytest.raises(InvalidInput, match="kind='word' is no kind"):
        train_tokenizer("word", [corpus], out)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="min_frequency=0"):
        train_tokenizer("bpe", [corpus], out, min_frequency=0)
    assert not out.exists()


def test_the_command_line_trains_and_reports(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "tokenizer", "--data", str(corpus), "--out", str(tmp_path / "out")]
    assert run([*arguments, "--kind", "bpe", "--vocab-size", "90", "--token", "<|user|>"]) == 0
    printed = capsys.readouterr().out
    size = load_tokenizer(tmp_path / "out").vocab_size
    assert size <= 90
    assert f"bpe tokenizer with {size} entries" in printed
    assert "characters a token" in printed
    assert load_tokenizer(tmp_path / "out").backend.token_to_id("<|user|>") is not None
    assert run([*arguments, "--kind", "word"]) == 2
    assert "choose one of bpe, byte-bpe, wordpiece, unigram" in capsys.readouterr().err


def test_loading_a_tokenizer_imports_neither_torch_nor_transformers(corpus: Path, tmp_path: Path) -> None:
    train_tokenizer("byte-bpe", [corpus], tmp_path / "out", vocab_size=300)
    code = (
        "import sys; from pathlib import Path; from app.transformer.model_tokenizer import load_tokenizer; "
        f"load_tokenizer(Path({str(tmp_path / 'out')!r})).encode('low'); "
        "sys.exit(int('torch' in sys.modules or 'transformers' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=100).returncode == 0
