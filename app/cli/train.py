"""`attest train`: the bundled models, made again from data on disk, and pre-training and vocabularies of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

cli = typer.Typer(
    help="Train the reranker, the policy, the readers, a language model or a tokenizer from data on disk.",
    no_args_is_help=True,
)

DataOption = Annotated[Path, typer.Option("--data", help="Folder with the training data.")]
_FURTHER = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Options that a command does not name are those of the module behind it, which refuses what it does not know."""
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder for the model (default: the bundled place).")]


@cli.command("reranker")
def reranker(data: DataOption, out: OutOption = None) -> None:
    """Train the LambdaMART reranker; prints nDCG@10 on held-out collections."""
    from app.rerank.train import main

    _exit(main(_arguments(data, out)))


@cli.command("reader", context_settings=_FURTHER)
def reader(
    context: typer.Context,
    data: DataOption,
    out: OutOption = None,
    minutes: Annotated[float | None, typer.Option(min=0.0, help="Stop after about this long.")] = None,
    language: Annotated[str, typer.Option(help="en, or zh for the Chinese and English one.")] = "en",
    text: Annotated[Path | None, typer.Option(help="With zh: folder with running text (zh_*.jsonl.xz).")] = None,
    start: Annotated[Path | None, typer.Option(help="Folder of a reader to go on from.")] = None,
    frozen_layers: Annotated[int, typer.Option(min=0, help="With en: first blocks that stay as they are.")] = 0,
) -> None:
    """Train a reader (encoder–decoder with a pointer); prints EM and F1 on development articles.

    Further options: --rate, --seed, --threads, --group-share, --group-sizes; with zh --average-with.
    """
    from app.errors import InvalidInput

    arguments = [*_arguments(data, out, minutes), *context.args]
    if language == "en":
        from app.training.reader import main

        arguments += ["--start", str(start)] if start is not None else []
        _exit(main([*arguments, "--frozen-layers", str(frozen_layers)]))
    if language != "zh":
        raise InvalidInput(f"--language {language} must be en or zh")
    if start is not None:
        from app.training.bilingual.further import main as further

        _exit(further([*arguments, "--start", str(start)]))
    if text is None:
        raise InvalidInput(
            "--language zh needs --text FOLDER with Chinese running text, or --start READER to go on from"
        )
    from app.training.bilingual.command import main as bilingual

    _exit(bilingual([*arguments, "--text", str(text)]))


@cli.command("policy")
def policy(
    data: DataOption,
    out: OutOption = None,
    cache: Annotated[Path | None, typer.Option(help="Keeps embeddings and measured questions between runs.")] = None,
    collection: Annotated[list[str] | None, typer.Option("--collection", help="To train on; repeatable.")] = None,
    hold_out: Annotated[list[str] | None, typer.Option("--hold-out", help="To test on; repeatable.")] = None,
) -> None:
    """Train the policy of translate "auto"; written only where it beats no translation on held-out collections."""
    from app.training.policy import main

    arguments = [*_arguments(data, out), *(["--cache", str(cache)] if cache is not None else [])]
    arguments += ["--collections", *collection] if collection else []
    _exit(main([*arguments, "--hold-out", *hold_out] if hold_out else arguments))


@cli.command("verifier", context_settings=_FURTHER)
def verifier(
    context: typer.Context,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for checkpoint, log and verifier.")] = Path("verifier-run"),
    minutes: Annotated[float, typer.Option(min=0.0, help="Wall-clock budget, earlier runs included.")] = 40.0,
    language: Annotated[str, typer.Option(help="en, or zh for the Chinese and English reader's.")] = "en",
) -> None:
    """Train the verifier of the reader's answers; prints AUROC on development articles.

    Further options: --start, --average-with, --reader, --seed, --threads, --mined-only.
    """
    from app.errors import InvalidInput
    from app.training.verifier.command import main

    if language not in ("en", "zh"):
        raise InvalidInput(f"--language {language} must be en or zh")
    _exit(main([*_arguments(data, out, minutes), *context.args, "--language", language]))


@cli.command("writer", context_settings=_FURTHER)
def writer(
    context: typer.Context,
    data: DataOption,
    out: OutOption = None,
    minutes: Annotated[float | None, typer.Option(min=0.0, help="Wall-clock budget, earlier runs included.")] = None,
    max_steps: Annotated[int | None, typer.Option(min=0, help="Stop after so many steps, too.")] = None,
    start: Annotated[Path | None, typer.Option(help="Folder of a writer to go on from.")] = None,
) -> None:
    """Train the writer (rewritten questions, full sentences) on the reader's encoder; prints its dev losses."""
    from app.training.writer.command import main

    arguments = [
        *_arguments(data, out, minutes),
        *context.args,
        *(["--max-steps", str(max_steps)] if max_steps is not None else []),
    ]
    _exit(main([*arguments, *(["--start", str(start)] if start is not None else [])]))


@cli.command("retriever-marginal")
def retriever_marginal(
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for checkpoint, log and query encoder.")] = Path(
        "retriever-run"
    ),
    minutes: Annotated[float, typer.Option(min=0.0, help="Wall-clock budget, earlier runs included.")] = 30.0,
    freeze_reader: Annotated[bool, typer.Option("--freeze-reader", help="Train the query encoder alone.")] = False,
) -> None:
    """Train the query encoder with the reader by the marginal likelihood of the answers, the index fixed."""
    from app.training.retriever_marginal import main

    _exit(main([*_arguments(data, out, minutes), *(["--freeze-reader"] if freeze_reader else [])]))


@cli.command("language-model")
def language_model(
    data: Annotated[
        list[Path], typer.Option("--data", help="Text file, or folder of .txt, .md and .jsonl (.gz, .xz); repeatable.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for checkpoint, log, curves and model; resumes there.")],
    objective: Annotated[str, typer.Option(help="mlm, next-token or recurring-spans.")] = "mlm",
    start: Annotated[Path | None, typer.Option("--from", help="Folder of the model to continue (MiniLM).")] = None,
    minutes: Annotated[float, typer.Option(min=0.0, help="Wall-clock budget, earlier runs included.")] = 30.0,
    max_steps: Annotated[int | None, typer.Option(min=0, help="Stop after so many steps, too.")] = None,
    row_tokens: Annotated[int, typer.Option(min=2, help="Tokens of a row.")] = 126,
    max_chars: Annotated[int, typer.Option(min=1, help="Characters drawn from the texts, at most.")] = 10_000_000,
    next_sentence: Annotated[bool, typer.Option("--next-sentence", help="With mlm: predict it, too.")] = False,
) -> None:
    """Pre-train an encoder or a decoder on running text; prints its scores on rows kept aside."""
    from app.training.pretraining.command import main

    given = [("--out", out), ("--objective", objective), ("--from", start), ("--minutes", minutes)]
    given += [("--max-steps", max_steps), ("--row-tokens", row_tokens), ("--max-chars", max_chars)]
    arguments = [part for path in data for part in ("--data", str(path))]
    arguments += [part for name, value in given if value is not None for part in (name, str(value))]
    _exit(main([*arguments, "--next-sentence"] if next_sentence else arguments))


@cli.command("curves")
def curves(
    run: Annotated[Path, typer.Argument(help="The --out folder of a training run.")],
    out: Annotated[Path, typer.Option("--out", help="SVG file to write.")] = Path("curves.svg"),
) -> None:
    """Draw losses and scores of a training run, also while it runs."""
    from app.training.pretraining.curves import draw_curves

    draw_curves(run, out)
    print(out)


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
