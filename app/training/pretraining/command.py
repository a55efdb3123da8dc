"""Pre-train on running text: `attest train language-model --objective mlm --data TEXT --out DIR`.

Three objectives on our core: masked language modelling, with next-sentence prediction if wanted, and recurring-span
selection continue an encoder; next-token prediction continues a decoder.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from app.errors import InvalidInput
from app.training.loop import CHECKPOINT_NAME, LoopOptions, Objective, device_of_choice, run_training
from app.training.pretraining.curves import draw_curves, read_log, require_matplotlib
from app.training.pretraining.masked_language import MaskedLanguageObjective, MaskedLanguageOptions
from app.training.pretraining.next_token import NextTokenObjective, NextTokenOptions
from app.training.pretraining.recurring_spans import RecurringSpanObjective, RecurringSpanOptions, SpanSelector
from app.training.pretraining.running_text import documents, text_sources, token_rows
from app.training.reader import minilm_folder, special_ids
from app.transformer.causal_lm import CausalLM
from app.transformer.checkpoints import load_bert_encoder, load_model, save_bert_encoder, save_model
from app.transformer.encoder import BertConfig, BertEncoder
from app.transformer.encoder_heads import EncoderConfig, EncoderModel
from app.transformer.tokenizers import TextTokenizer

ObjectiveName = Literal["mlm", "next-token", "recurring-spans"]
MODEL_FOLDER = "model"
CURVES_NAME = "curves.svg"


@dataclass(frozen=True, slots=True)
class PretrainingOptions:
    """`max_chars` are drawn from the texts, each file a fair part; a hundredth of the rows, at most 256, are kept for
    scores; `next_sentence` is for mlm alone; `frozen_share` of the budget trains the head alone."""

    objective: ObjectiveName = "mlm"
    max_chars: int = 10_000_000
    row_tokens: int = 126
    next_sentence: bool = False
    frozen_share: float = 0.0
    loop: LoopOptions = field(default_factory=LoopOptions)


def pretrain(data: Sequence[Path], start: Path | None, out_dir: Path, options: PretrainingOptions) -> Path:
    """Train, write the model to `out_dir/model` and the curves to `out_dir/curves.svg`; return the model's folder.

    Resumes from `out_dir/checkpoint.pt` when it is there.

    Args:
        data: text files or folders.
        start: Hugging Face folder of a BERT encoder (mlm, recurring-spans; MiniLM when absent) or of a decoder.
        out_dir: of log, checkpoint and result.
        options: what is trained and how long.

    Raises:
        InvalidInput: an unknown objective, no text, too little text, or a model of the wrong kind.
        MissingPackage: matplotlib, which draws the curves, is not installed.
    """
    if options.objective not in get_args(ObjectiveName):
        raise InvalidInput(f"--objective {options.objective} must be one of {', '.join(get_args(ObjectiveName))}")
    if options.objective == "next-token" and start is None:
        raise InvalidInput("--objective next-token needs --from FOLDER: a decoder with its tokenizer.json")
    require_matplotlib()  # rather now than after hours of training
    start = minilm_folder() if start is None else start
    torch.manual_seed(options.loop.seed)
    tokenizer = TextTokenizer(start / "tokenizer.json")
    rng = random.Random(options.loop.seed)
    texts = [text for source in text_sources(data, options.max_chars) for text in documents(source, rng)]
    rows = token_rows(texts, tokenizer, options.row_tokens)
    kept = min(256, len(rows) // 100)
    if len(rows) < 2:
        raise InvalidInput(
            f"--data has {len(rows)} rows of {options.row_tokens} tokens: give more text or shorter rows"
        )
    dev_rows, rows = rows[:kept], rows[kept:]
    objective = _objective(start, tokenizer, rows, dev_rows, options)
    run_training(objective, out_dir, options.loop)
    _save(objective.model, start, out_dir / MODEL_FOLDER)
    draw_curves(out_dir, out_dir / CURVES_NAME)
    return out_dir / MODEL_FOLDER


def _objective(
    start: Path,
    tokenizer: TextTokenizer,
    rows: Sequence[Sequence[int]],
    dev_rows: Sequence[Sequence[int]],
    options: PretrainingOptions,
) -> Objective[Any]:
    device = device_of_choice()
    if options.objective == "next-token":
        loaded = load_model(start, dtype=torch.float32)
        if not isinstance(loaded.model, CausalLM):
            raise InvalidInput(f"--from {start} holds no decoder: next-token prediction needs one")
        _own_weights(loaded.model)
        loaded.model.tie()
        return NextTokenObjective(loaded.model.to(device), rows, dev_rows, NextTokenOptions())
    encoder, sizes = load_bert_encoder(start)
    encoder = encoder.float()
    _own_weights(encoder)
    special, mask_id = special_ids(tokenizer), tokenizer.token_id("[MASK]")
    if options.objective == "recurring-spans":
        selector = SpanSelector(encoder).to(device)
        tokens = tokenizer.vocabulary()
        wordless = frozenset(i for i, token in enumerate(tokens) if not any(c.isalpha() for c in token))
        spans = RecurringSpanOptions(mask_id, wordless=wordless, common=min(300, len(tokens) // 100))
        return RecurringSpanObjective(selector, rows, dev_rows, special, spans)
    config = EncoderConfig(
        encoder=sizes, masked_lm=True, pooler=options.next_sentence, next_sentence=options.next_sentence
    )
    chosen = MaskedLanguageOptions(
        mask_id, frozen_share=options.frozen_share, next_sentence=options.next_sentence, candidates=8192
    )
    if sizes.vocab_size <= 2 * chosen.candidates:
        chosen = replace(chosen, candidates=0)
    return MaskedLanguageObjective(EncoderModel(config, encoder).to(device), rows, dev_rows, special, chosen)


def _own_weights(model: nn.Module) -> None:
    """Give the model weights of its own: loaded ones are views of the file, which is not written to."""
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
        parameter.requires_grad_(True)


def _save(model: nn.Module, start: Path, folder: Path) -> None:
    encoder = getattr(model, "encoder", None)
    if isinstance(model, CausalLM):
        save_model(model.eval().cpu(), folder, like=start)
    elif isinstance(model, EncoderModel):
        save_model(model.eval().cpu(), folder, model_type="bert")
    elif isinstance(encoder, BertEncoder):
        save_bert_encoder(encoder.eval().cpu(), _sizes(start), folder)
    if not (folder / "tokenizer.json").is_file():
        (folder / "tokenizer.json").write_bytes((start / "tokenizer.json").read_bytes())


def _sizes(start: Path) -> BertConfig:
    return load_bert_encoder(start)[1]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: pre-train, print the last scores, and return 0."""
    parser = argparse.ArgumentParser(prog="attest train language-model", description=__doc__)
    parser.add_argument("--objective", default="mlm", help="mlm, next-token or recurring-spans")
    parser.add_argument("--data", type=Path, action="append", required=True, help="text file or folder; repeatable")
    parser.add_argument("--from", dest="start", type=Path, default=None, help="folder of the model to continue")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30.0, help="wall-clock budget, earlier runs included")
    parser.add_argument("--max-steps", type=int, default=None)
    parser.add_argument("--row-tokens", type=int, default=126)
    parser.add_argument("--max-chars", type=int, default=10_000_000)
    parser.add_argument("--next-sentence", action="store_true", help="with mlm: predict whether B follows A, too")
    parser.add_argument("--frozen-share", type=float, default=0.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    options = PretrainingOptions(
        objective=given.objective,
        max_chars=given.max_chars,
        row_tokens=given.row_tokens,
        next_sentence=given.next_sentence,
        frozen_share=given.frozen_share,
        loop=LoopOptions(minutes=given.minutes, max_steps=given.max_steps, threads=given.threads, seed=given.seed),
    )
    folder = pretrain(given.data, given.start, given.out, options)
    scores = [line for line in read_log(given.out) if line["kind"] == "dev"]
    sys.stdout.write(f"{json.dumps(scores[-1])}\nmodel written to {folder}, checkpoint {given.out / CHECKPOINT_NAME}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
