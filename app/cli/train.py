"""`attest train`: the bundled models, made again from data on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

cli = typer.Typer(help="Train the reranker or the reader from a folder of data.", no_args_is_help=True)

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


def _arguments(data: Path, out: Path | None, minutes: float | None = None) -> list[str]:
    from app.errors import InvalidInput

    if not data.is_dir():
        raise InvalidInput(f"--data {data} is no folder")
    given = [("--data", data), ("--out", out), ("--minutes", minutes)]
    return [part for name, value in given if value is not None for part in (name, str(value))]


def _exit(code: int | None) -> None:
    raise typer.Exit(code or 0)
