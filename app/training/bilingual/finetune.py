"""Step three of the bilingual reader: Chinese questions, with English ones so that English is not lost, and export."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from app.training.bilingual.cloze import cloze_questions
from app.training.bilingual.pretrain import PRETRAINED, START, english_reader_folder
from app.training.bilingual.reading import load_chinese_questions, training_contexts
from app.training.bilingual.start import starting_reader
from app.training.bilingual.words import proper_nouns
from app.training.loop import CHECKPOINT_NAME, LoopOptions, device_of_choice, run_training
from app.training.reader import MINILM_SHA256, minilm_folder, special_ids
from app.training.reader_export import RANK_WEIGHTS
from app.training.reader_objective import ReaderObjective, ReaderRates, dev_questions
from app.training.reading_examples import ExampleBuilder, MixtureOptions, ReadingExample
from app.training.reading_sets import load_reading_questions
from app.transformer.pointer import PointerConfig, PointerReader
from app.transformer.pointer_checkpoints import TOKENIZER_NAME, ReaderManifest, load_pointer_reader, save_pointer_reader
from app.transformer.pointer_search import RankWeights
from app.transformer.tokenizers import TextTokenizer

TUNED = "reading"
MODEL_NAME = "attest-reader-zh-en-1"
CLOZE_STAGES = ((0.3, 1200),)
"""Cloze questions in a pass that begins before this share of the budget is spent; none after the last."""
ENGLISH_DRAWS = (
    ("squad2_dev_half", 400),
    ("xquad_en_zh", 100),
    ("nq_oracle", 150),
    ("fairytaleqa", 80),
    ("tatqa", 40),
)
MIXTURE = MixtureOptions(
    negative_share=0.1,
    group_share=0.12,
    sentence_questions=150,
    max_tokens=216,
    draws=(*ENGLISH_DRAWS, ("xquad_cross_en_zh", 400)),
    show_matches=True,
)
DEV_SIZES = {"cmrc2018": 40, "drcd": 25, "xquad_zh": 10}


def finetune(data_dir: Path, out_dir: Path, loop: LoopOptions) -> Path:
    """Train the reader in `out_dir/reading` and return its checkpoint. Resumes.

    Starts from `out_dir/start` and, where it is there, the encoder of `out_dir/masked-language`.

    Raises:
        Unavailable: a data file is missing.
    """
    torch.manual_seed(loop.seed)
    chinese = load_chinese_questions(data_dir)
    questions = [*chinese, *load_reading_questions(data_dir)]
    tokenizer = TextTokenizer(out_dir / START / TOKENIZER_NAME)
    special = special_ids(tokenizer)
    builder = ExampleBuilder([q for q in questions if q.role == "train"], tokenizer, special, MIXTURE)
    contexts, names = training_contexts(chinese), proper_nouns()

    def cloze(rng: random.Random, share: float) -> list[ReadingExample]:
        number = next((number for until, number in CLOZE_STAGES if share < until), 0)
        made = cloze_questions(contexts, names, rng) if number else []
        drawn = rng.sample(made, min(number, len(made)))
        examples = [builder.build(q, [q.context], rng) for q in drawn]
        return [example for example in examples if example is not None]

    model, _ = starting_reader(out_dir / START, english_reader_folder(), minilm_folder())
    first_new = first_new_word()
    pretrained = out_dir / PRETRAINED / CHECKPOINT_NAME
    if pretrained.is_file():
        load_pretrained_encoder(model, pretrained)
    objective = ReaderObjective(
        model.to(device_of_choice()),
        builder,
        tokenizer,
        special,
        dev_questions(questions, DEV_SIZES, loop),
        ReaderRates(first_new, encoder_lr=1.5e-4, decoder_lr=2e-4),
        extra=cloze,
    )
    return run_training(objective, out_dir / TUNED, loop)


def load_pretrained_encoder(model: PointerReader, checkpoint: Path) -> None:
    """Replace the encoder's weights by those of a masked-language checkpoint."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]
    prefix = "encoder."
    model.encoder.load_state_dict({k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)})


def export_bilingual(
    out_dir: Path, folder: Path, *, null_threshold: float = 0.5, rank_weights: RankWeights = RANK_WEIGHTS
) -> None:
    """Write the reader of `out_dir/reading` to `folder` in bfloat16, with its tokenizer and checksums.

    Args:
        out_dir: of the training.
        folder: made if absent; other files in it (card, calibration) stay and are listed in its checksums.
        null_threshold: probability of NO ANSWER from which the reader itself declines.
        rank_weights: of the ranking, by default those of the English reader.
    """
    model, config = trained_bilingual(out_dir)
    settings = {
        "name": MODEL_NAME,
        "null_threshold": null_threshold,
        "rank_weights": asdict(rank_weights),
        "show_matches": True,
    }
    save_pointer_reader(
        model,
        ReaderManifest(config, MINILM_SHA256, settings),
        out_dir / START / TOKENIZER_NAME,
        folder,
        first_new_word=first_new_word(),
    )


def trained_bilingual(out_dir: Path) -> tuple[PointerReader, PointerConfig]:
    """Return the reader of the last checkpoint in `out_dir/reading`, in float32 and evaluation mode, with its sizes."""
    model, config = starting_reader(out_dir / START, english_reader_folder(), minilm_folder())
    saved = torch.load(out_dir / TUNED / CHECKPOINT_NAME, map_location="cpu", weights_only=True)
    model.load_state_dict(saved["model"])
    return model.eval(), config


def first_new_word() -> int:
    """Return the number of words of the English vocabulary, after which the Chinese ones follow."""
    _, manifest = load_pointer_reader(english_reader_folder(), minilm_folder())
    return manifest.config.encoder.vocab_size


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: train, export to `OUT/reader`, and return 0."""
    parser = argparse.ArgumentParser(prog="python -m app.training.bilingual.finetune", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds rc/*.jsonl.gz")
    parser.add_argument("--out", type=Path, required=True, help="directory that pretraining wrote to")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--max-steps", type=int, default=None)
    parser.add_argument("--eval-minutes", type=float, default=20.0)
    arguments = parser.parse_args(argv)
    loop = LoopOptions(minutes=arguments.minutes, max_steps=arguments.max_steps, eval_minutes=arguments.eval_minutes)
    finetune(arguments.data, arguments.out, loop)
    export_bilingual(arguments.out, arguments.out / "reader")
    sys.stdout.write(f"reader written to {arguments.out / 'reader'}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
