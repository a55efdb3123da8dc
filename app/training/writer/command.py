"""Train the writer: `attest train writer --data DIR --out RUN --minutes 50`; resumes, logs, exports to `RUN/writer`."""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from app.generation.reader import bundled_folder
from app.training.loop import LOG_NAME, LoopOptions, device_of_choice, run_training
from app.training.reader import minilm_folder, special_ids
from app.training.writer.corpus import load_pairs
from app.training.writer.examples import cased_contexts, choose_vocabulary, tokenised
from app.training.writer.objective import Mixture, WriterObjective, WriterRates, by_task
from app.training.writer.own_examples import OWN
from app.transformer.checkpoints import WEIGHTS_NAME, sha256_of
from app.transformer.encoder import BertEncoder
from app.transformer.pointer_checkpoints import load_pointer_reader
from app.transformer.tokenizers import TextTokenizer
from app.transformer.writer import Writer, WriterConfig, warm_start
from app.transformer.writer_checkpoints import WriterManifest, load_writer, save_writer

MODEL_NAME = "attest-writer-1"
VOCABULARY_NAME = "vocabulary.json"
OWN_REPEATS = 6  # some ninety written by hand among tens of thousands made by rule
WARM_LAYERS = (1, 3, 5)
DRAWS = {
    "sentence": 11_000,
    "standalone": 7_000,
    "decompose": 8_000,
    "paraphrase": 5_000,
    "step_back": 3_000,
    "hyde": 4_500,
}
"""Examples of each task in a pass, at most."""


@dataclass(frozen=True, slots=True)
class WriterTraining:
    """How long and how fast, and what a pass draws of each task; `dev_examples` of each task are scored."""

    loop: LoopOptions = field(default_factory=lambda: LoopOptions(minutes=50.0, eval_minutes=10.0, threads=1))
    batch_tokens: int = 4096
    dev_examples: int = 150
    rates: WriterRates = field(default_factory=WriterRates)
    mixture: Mixture = field(default_factory=lambda: Mixture(draws=DRAWS))
    sizes: WriterConfig = field(default_factory=WriterConfig)


def reader_parts(folder: Path) -> tuple[BertEncoder, Tensor, str]:
    """Return the encoder of the reader in `folder`, its word vectors `[vocab, d]` and the checksum of its weights.

    Raises:
        Unavailable, IntegrityError: the reader is not there or not what its checksums say.
    """
    reader, _ = load_pointer_reader(folder, minilm_folder())
    encoder = reader.encoder
    return encoder, encoder.embeddings.word.weight.detach(), sha256_of(folder / WEIGHTS_NAME)


def train_writer(
    data_dir: Path, out_dir: Path, options: WriterTraining | None = None, start: Path | None = None
) -> Path:
    """Train until the budget is spent and return the path of the last checkpoint; resumes from the one in `out_dir`.

    Args:
        data_dir: holds the sets.
        out_dir: for the checkpoint, the vocabulary and the log.
        options: how long, how fast, on what.
        start: folder of a writer to go on from, with its vocabulary: for a reader that was trained further.

    Raises:
        Unavailable: a data file or the reader is missing.
    """
    options = options or WriterTraining()
    torch.manual_seed(options.loop.seed)
    tokenizer = TextTokenizer(minilm_folder() / "tokenizer.json")
    special = special_ids(tokenizer)
    pairs, questions = load_pairs(data_dir, options.loop.seed)
    training = [pair for pair in pairs if pair.role == "train"]
    pairs += [pair for pair in training if pair.origin == OWN] * (OWN_REPEATS - 1)
    out_dir.mkdir(parents=True, exist_ok=True)
    stored = out_dir / VOCABULARY_NAME
    encoder, words, _ = reader_parts(bundled_folder())
    earlier = None if start is None else load_writer(start, words)[0]
    if earlier is not None:
        stored.write_text(json.dumps(earlier.generable.tolist()), encoding="utf-8")
    elif not stored.is_file():  # a resumed run keeps its vocabulary
        contexts = cased_contexts((q.collection, q.context) for q in questions if q.role == "train")
        stored.write_text(json.dumps(choose_vocabulary(training, contexts, tokenizer, special)), encoding="utf-8")
    generable = json.loads(stored.read_text(encoding="utf-8"))
    rng = random.Random(options.loop.seed)
    split = {}
    for role in ("train", "dev"):
        members = [pair for pair in pairs if pair.role == role]
        rng.shuffle(members)
        split[role] = by_task(
            tokenised(
                members,
                tokenizer,
                special,
                generable,
                max_tokens=options.sizes.max_tokens,
                max_written=options.sizes.max_written,
            )
        )
    device = device_of_choice()
    model = new_writer(words, generable, options.sizes)
    warm_start(model, encoder, WARM_LAYERS[-options.sizes.decoder_layers :])
    if earlier is not None:
        model.load_state_dict(earlier.state_dict())
    objective = WriterObjective(
        model.to(device),
        encoder.to(device),
        split["train"],
        {task: members[: options.dev_examples] for task, members in split["dev"].items()},
        special,
        options.rates,
        options.mixture,
        batch_tokens=options.batch_tokens,
    )
    sizes = {task: len(members) for task, members in split["train"].items()}
    sys.stderr.write(f"{len(generable)} words may be generated; training examples: {sizes}\n")
    return run_training(objective, out_dir, options.loop)


def new_writer(words: Tensor, generable: Sequence[int], sizes: WriterConfig) -> Writer:
    """Return an untrained writer of these sizes, for this vocabulary."""
    values = {name: getattr(sizes, name) for name in sizes.__dataclass_fields__} | {"generable": len(generable)}
    return Writer(words, torch.tensor(list(generable)), WriterConfig(**values))


def export_writer(run: Path, folder: Path, *, sizes: WriterConfig | None = None) -> None:
    """Write the writer of a training run's last checkpoint to `folder` in bfloat16, with tokenizer and checksums."""
    generable = json.loads((run / VOCABULARY_NAME).read_text(encoding="utf-8"))
    _, words, checksum = reader_parts(bundled_folder())
    model = new_writer(words, generable, sizes or WriterConfig())
    model.load_state_dict(torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)["model"])
    manifest = WriterManifest(model.config, checksum, {"name": MODEL_NAME})
    save_writer(model, manifest, minilm_folder() / "tokenizer.json", folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: train, export to `OUT/writer`, choose how sure it must be, print the dev scores, and return 0."""
    from app.training.writer.certainty import main as choose

    parser = argparse.ArgumentParser(prog="attest train writer", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="holds rc/, decomp/, pairs/, sql/, qa/, ir/medquad/")
    parser.add_argument("--out", type=Path, default=Path("writer-run"), help="directory for checkpoint, log and result")
    parser.add_argument("--minutes", type=float, default=50.0, help="wall-clock budget, earlier runs included")
    parser.add_argument("--max-steps", type=int, default=None, help="stop after so many steps, too")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eval-minutes", type=float, default=10.0)
    parser.add_argument("--start", type=Path, default=None, help="folder of a writer to go on from")
    parser.add_argument("--export", type=Path, help="write the last checkpoint of --out there, without training")
    arguments = parser.parse_args(argv)
    if arguments.export is not None:
        export_writer(arguments.out, arguments.export)
        return choose(["--data", str(arguments.data), "--folder", str(arguments.export)])
    loop = LoopOptions(
        minutes=arguments.minutes,
        max_steps=arguments.max_steps,
        threads=arguments.threads,
        seed=arguments.seed,
        eval_minutes=arguments.eval_minutes,
    )
    train_writer(arguments.data, arguments.out, WriterTraining(loop), arguments.start)
    export_writer(arguments.out, arguments.out / "writer")
    choose(["--data", str(arguments.data), "--folder", str(arguments.out / "writer")])
    lines = (arguments.out / LOG_NAME).read_text(encoding="utf-8").splitlines()
    scores = [line for line in lines if json.loads(line)["kind"] == "dev"][-1]
    sys.stdout.write(f"{scores}\nwriter written to {arguments.out / 'writer'}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
