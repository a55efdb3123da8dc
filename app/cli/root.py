"""The command tree and its one error boundary. Commands import what they need when they run, so `--help` is instant."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from app.cli import (
    ask,
    backup,
    calibrations,
    doctor,
    eval,
    generate,
    index,
    ingest,
    models,
    rerankers,
    serve,
    status,
    train,
)
from app.errors import AttestError, InvalidInput

cli = typer.Typer(
    name="attest",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
cli.command("serve")(serve.serve)
cli.command("worker")(serve.worker)
cli.command("ingest")(ingest.ingest)
cli.command("ask")(ask.ask)
cli.command("search")(ask.search)
cli.command("eval")(eval.evaluate)
cli.command("backup")(backup.backup)
cli.command("restore")(backup.restore)
cli.command("generate")(generate.generate)
cli.command("models")(models.models)
cli.command("status")(status.status)
cli.command("doctor")(doctor.doctor)
cli.command("reindex")(index.reindex)
cli.command("compact")(index.compact)
cli.add_typer(train.cli, name="train")
cli.add_typer(calibrations.cli, name="calibrations")
cli.add_typer(rerankers.cli, name="rerankers")


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        print(f"attest {version('attest-rag')}")
    except PackageNotFoundError:
        print("attest, not installed as a package")
    raise typer.Exit


@cli.callback()
def _attest(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Ask your own documents; every claim points at the exact characters of its source."""


def run(argv: Sequence[str]) -> int:
    """Exit code of `attest ARGV…`; an `AttestError` is one plain line on standard error, never a traceback."""
    try:
        cli(args=list(argv), prog_name="attest")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except AttestError as error:
        print(f"attest: error: {error.message}", file=sys.stderr)
        return 2 if isinstance(error, InvalidInput) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `attest … | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0
