"""A second course of the bilingual reader: it goes on from a reader that is there, with questions about everyday
documents among the rest.

    python -m app.training.bilingual.further --data DIR --start app/bundled/reader_zh --out RUN --minutes 70
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from app.errors import InvalidInput
from app.generation.reader import bilingual_folder
from app.training.bilingual.finetune import ENGLISH_DRAWS, MIXTURE, first_new_word
from app.training.bilingual.reading import all_chinese_questions
from app.training.everyday import EVERYDAY, EVERYDAY_ZH, all_reading_questions, everyday_questions
from app.training.loop import LoopOptions, device_of_choice, run_training
from app.training.reader import MINILM_SHA256, minilm_folder, special_ids
from app.training.reader_objective import ReaderObjective, ReaderRates, dev_questions
from app.training.reading_examples import ExampleBuilder
from app.training.reading_sets import CROSS_LINGUAL_SET
from app.transformer.pointer_checkpoints import (
    TOKENIZER_NAME,
    ReaderManifest,
    load_pointer_reader,
    read_manifest,
    save_pointer_reader,
)
from app.transformer.tokenizers import TextTokenizer

MODEL_NAME = "attest-reader-zh-en-2"
FURTHER = replace(
    MIXTURE,
    group_share=0.25,
    group_sizes=(2, 3, 4),
    thinned_share=0.2,
    max_tokens=288,
    draws=(*ENGLISH_DRAWS, (EVERYDAY, 400), (CROSS_LINGUAL_SET, 500)),
)
DEV_SIZES = {"cmrc2018": 40, "drcd": 25, "xquad_zh": 20, EVERYDAY_ZH: 100}


def train_further(data_dir: Path, out_dir: Path, start: Path, loop: LoopOptions, rate: float = 0.7) -> Path:
    """Train the reader of `start` on and return the path of the last checkpoint; resumes from the one in `out_dir`.

    Args:
        data_dir: holds `rc/`.
        out_dir: for the checkpoint and the log.
        start: folder of a bilingual reader.
        loop: how long.
        rate: share of the learning rates that the first course has.

    Raises:
        Unavailable: a data file or a file of the reader is missing.
    """
    torch.manual_seed(loop.seed)
    model, _ = load_pointer_reader(start, minilm_folder())
    tokenizer = TextTokenizer(start / TOKENIZER_NAME)
    special = special_ids(tokenizer)
    questions = [*all_chinese_questions(data_dir), *all_reading_questions(data_dir)]
    told = [*questions, *everyday_questions(kinds=("B",), language="zh")]
    builder = ExampleBuilder([q for q in told if q.role == "train"], tokenizer, special, FURTHER)
    usual = ReaderRates(first_new_word(), encoder_lr=1.5e-4, decoder_lr=2e-4)
    objective = ReaderObjective(
        model.float().train().to(device_of_choice()),
        builder,
        tokenizer,
        special,
        dev_questions(questions, DEV_SIZES, loop),
        replace(
            usual,
            encoder_lr=rate * usual.encoder_lr,
            decoder_lr=rate * usual.decoder_lr,
            word_lr=rate * usual.word_lr,
            type_lr=rate * usual.type_lr,
        ),
    )
    return run_training(objective, out_dir, loop)


def export_further(checkpoint: Path, start: Path, folder: Path, average_with: Sequence[Path] = ()) -> None:
    """Write the reader of `checkpoint` to `folder` in bfloat16, with the settings of the one that it started from.

    Args:
        checkpoint: written by `train_further`.
        start: folder of the reader that it started from.
        folder: made if absent; other files in it (card, calibration) stay and are listed in its checksums.
        average_with: folders of readers of the same sizes: each weight is the mean of all, which forgets less.

    Source: averages of fine-tuned weights: Wortsman et al. 2022, section 2.
    """
    model, manifest = load_pointer_reader(start, minilm_folder())
    weights = [torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]]
    weights += [load_pointer_reader(other, minilm_folder())[0].state_dict() for other in average_with]
    model.load_state_dict(
        {name: sum(one[name].float() for one in weights) / len(weights) for name in model.state_dict()}
    )
    save_pointer_reader(
        model,
        ReaderManifest(manifest.config, MINILM_SHA256, {**manifest.settings, "name": MODEL_NAME}),
        start / TOKENIZER_NAME,
        folder,
        first_new_word=first_new_word(),
    )


def _check_sizes(folder: Path, start: Path) -> None:
    """Raises InvalidInput unless `folder` holds a bilingual reader of the sizes of the one in `start`."""
    try:
        found, wanted = read_manifest(folder).config, read_manifest(start).config
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{folder} holds no reader ({error}): give the folder of one, such as RUN/reader") from None
    if found != wanted or found.encoder.vocab_size <= first_new_word():
        raise InvalidInput(f"{folder} is no bilingual reader of the sizes of {start}: choose another")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: train, export to `OUT/reader`, and return 0."""
    parser = argparse.ArgumentParser(prog="python -m app.training.bilingual.further", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds rc/*.jsonl.gz")
    parser.add_argument("--start", type=Path, default=None, help="folder of a reader; by default the bundled one")
    parser.add_argument("--out", type=Path, required=True, help="directory for checkpoint, log and result")
    parser.add_argument("--minutes", type=float, default=60.0, help="wall-clock budget, earlier runs included")
    parser.add_argument("--max-steps", type=int, default=None, help="stop after so many steps, too")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.7, help="share of the first course's learning rates")
    parser.add_argument("--eval-minutes", type=float, default=20.0)
    parser.add_argument(
        "--average-with", type=Path, nargs="*", default=(), help="folders of readers: each weight is the mean of all"
    )
    given = parser.parse_args(argv)
    if not given.rate > 0:
        parser.error(f"--rate {given.rate} would train nothing: give a share above 0, such as 0.7")
    start = given.start or bilingual_folder()
    for folder in (start, *given.average_with):  # a wrong one is told before the training, not after it
        _check_sizes(folder, start)
    loop = LoopOptions(
        minutes=given.minutes,
        max_steps=given.max_steps,
        threads=given.threads,
        seed=given.seed,
        eval_minutes=given.eval_minutes,
    )
    checkpoint = train_further(given.data, given.out, start, loop, given.rate)
    export_further(checkpoint, start, given.out / "reader", given.average_with)
    sys.stdout.write(f"reader written to {given.out / 'reader'}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
