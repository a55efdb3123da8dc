"""`attest train`: the bundled models, made again from data on disk, and vocabularies for models of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

cli = typer.Typer(help="Train the reranker, the reader or a tokenizer from data on disk.", no_args_is_help=True)

DataOption = Annotated[Path, typer.Option("--data", help="Folder with the training data.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder for the model (default: the bundled place).")]


@cli.command("reranker")
def reranker(data: DataOption, out: OutOption = None) -> None:
    """Train the LambdaMART reranker; prints nDCG@10 on held-out collections."""
    from app.rerank.train import main

    _exit(main(_arguments(data, out)))


@cli.command("reader")
def reader(
    data: DataOption,
    out: OutOption = None,
    minutes: Annotated[float | None, typer.Option(min=0.0, help="Stop after about this long.")] = None,
) -> None:
    """Train the reader (encoder–decoder with a pointer); prints EM and F1 on development articles."""
    from app.training.reader import main

    _exit(main(_arguments(data, out, minutes)))


@cli.command("tokenizer")
def tokenizer(
    data: Annotated[
        list[Path], typer.Option("--data", help="Text file, or folder of .txt, .md and .jsonl; repeatable.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for tokenizer.json and tokenizer_config.json.")],
    kind: Annotated[str, typer.Option(help="bpe, byte-bpe, wordpiece or unigram.")] = "byte-bpe",
    vocab_size: Annotated[int, typer.Option(help="Most entries, special tokens included.")] = 8_000,
    min_frequency: Annotated[int, typer.Option(help="Pieces seen less often are not learned.")] = 2,
    lowercase: Annotated[bool, typer.Option("--lowercase", help="Fold case.")] = False,
    token: Annotated[list[str] | None, typer.Option("--token", help="A further special token; repeatable.")] = None,
) -> None:
    """Learn a vocabulary from text; prints its size and how many characters a token stands for."""
    from typing import cast

    from app.transformer.tokenizer_training import TokenizerKind, train_tokenizer

    report = train_tokenizer(
        cast(TokenizerKind, kind),  # checked there, with a message that lists the kinds
        data,
        out,
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        lowercase=lowercase,
        extra_tokens=token or (),
    )
    print(f"{out}: {report.kind} tokenizer with {report.vocab_size:,} entries")
    print(
        f"over the first {report.lines_measured:,} lines: {report.chars_per_token:.2f} characters a token, "
        f"{report.exact_lines:,} lines come back exactly, {report.unknown_tokens:,} unknown tokens"
    )


def _arguments(data: Path, out: Path | None, minutes: float | None = None) -> list[str]:
    from app.errors import InvalidInput

    if not data.is_dir():
        raise InvalidInput(f"--data {data} is no folder")
    given = [("--data", data), ("--out", out), ("--minutes", minutes)]
    return [part for name, value in given if value is not None for part in (name, str(value))]


def _exit(code: int | None) -> None:
    raise typer.Exit(code or 0)
