"""Step two of the bilingual reader: its encoder learns Chinese by masked language modelling on running text."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch

from app.training.bilingual.first_vectors import ParallelText
from app.training.bilingual.reading import load_chinese_questions, parallel_texts, training_contexts
from app.training.bilingual.start import StartingPoint, starting_reader, write_starting_point
from app.training.bilingual.words import possible_tokens
from app.training.loop import LoopOptions, device_of_choice, run_training
from app.training.pretraining.masked_language import MaskedLanguageObjective, MaskedLanguageOptions
from app.training.pretraining.running_text import TextSource, documents, text_sources, token_rows
from app.training.reader import minilm_folder, special_ids
from app.transformer.encoder_heads import EncoderConfig, EncoderModel
from app.transformer.tokenizers import TextTokenizer

START, PRETRAINED = "start", "masked-language"


@dataclass(frozen=True, slots=True)
class ChineseTextOptions:
    """Characters drawn: of all Chinese running text, of English; passages of the training questions count `repeats`."""

    chinese_chars: int = 9_000_000
    english_chars: int = 2_500_000
    counted_chars: int = 3_000_000
    repeats: int = 3
    row_tokens: int = 126


def english_reader_folder() -> Path:
    """Return the folder of the bundled English reader."""
    return Path(str(resources.files("app.bundled"))) / "reader"


def prepare(data_dir: Path, text_dir: Path, out_dir: Path, options: ChineseTextOptions) -> StartingPoint:
    """Build vocabulary and first rows in `out_dir/start`, from Chinese text and training passages alone."""
    questions = load_chinese_questions(data_dir)
    contexts = training_contexts(questions)
    running = _running(text_dir, options.counted_chars, "zh", random.Random(0))
    weight = sum(map(len, contexts)) / max(1, sum(map(len, running)))
    texts = [*((text, 1.0) for text in contexts), *((text, weight) for text in running)]
    english, chinese = parallel_texts(data_dir)
    return write_starting_point(
        out_dir / START,
        english_reader_folder(),
        minilm_folder(),
        possible_tokens(),
        texts,
        ParallelText(english, chinese),
    )


def pretrain(
    data_dir: Path,
    text_dir: Path,
    out_dir: Path,
    loop: LoopOptions,
    texts: ChineseTextOptions | None = None,
    *,
    frozen_share: float = 0.25,
) -> Path:
    """Train the encoder in `out_dir/masked-language` and return its checkpoint. Resumes.

    Raises:
        Unavailable: a data file is missing.
    """
    texts = texts or ChineseTextOptions()
    torch.manual_seed(loop.seed)
    start = prepare(data_dir, text_dir, out_dir, texts)
    tokenizer = TextTokenizer(start.tokenizer_path)
    questions = load_chinese_questions(data_dir)
    rng = random.Random(loop.seed)
    wanted = [
        *_running(text_dir, texts.chinese_chars, "zh", rng),
        *_running(text_dir, texts.english_chars, "en", rng),
        *(training_contexts(questions) * texts.repeats),
    ]
    rows = token_rows(wanted, tokenizer, texts.row_tokens)
    dev_rows = token_rows(training_contexts(questions, "dev"), tokenizer, texts.row_tokens)[:128]
    reader, config = starting_reader(out_dir / START, english_reader_folder(), minilm_folder())
    device = device_of_choice()
    model = EncoderModel(EncoderConfig(encoder=config.encoder, masked_lm=True), reader.encoder).to(device)
    objective = MaskedLanguageObjective(
        model,
        rows,
        dev_rows,
        special_ids(tokenizer),
        MaskedLanguageOptions(
            mask_id=tokenizer.token_id("[MASK]"),
            first_trained_id=start.first_id,
            candidates=8192,
            words_as_targets=False,
            frozen_share=frozen_share,
        ),
    )
    sys.stdout.write(f"{len(rows):,} rows of {texts.row_tokens} tokens, {len(dev_rows)} for development\n")
    sys.stdout.flush()
    return run_training(objective, out_dir / PRETRAINED, loop)


def _running(text_dir: Path, max_chars: int, language: str, rng: random.Random) -> list[str]:
    """Documents in one language: the Chinese files are called zh_*; dated English prose is left out."""
    chinese = [s.path for s in text_sources([text_dir], max_chars) if s.path.name.startswith("zh_")]
    english = [text_dir / "openstax.jsonl.xz", text_dir / "wikipedia_wtq_pages.jsonl.xz"]
    files = chinese if language == "zh" else [path for path in english if path.is_file()]
    if not files and language == "en":
        return []
    chosen: list[TextSource] = text_sources(files, max_chars)
    return [text for source in chosen for text in documents(source, rng)]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: build the vocabulary, pretrain, and return 0."""
    parser = argparse.ArgumentParser(prog="python -m app.training.bilingual.pretrain", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds rc/*.jsonl.gz")
    parser.add_argument(
        "--text", type=Path, required=True, help="directory with running text, zh_*.jsonl.xz and others"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--max-steps", type=int, default=None)
    arguments = parser.parse_args(argv)
    loop = LoopOptions(minutes=arguments.minutes, max_steps=arguments.max_steps, eval_minutes=6.0)
    pretrain(arguments.data, arguments.text, arguments.out, loop)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
