from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor

from app.training.loop import LoopOptions, run_training
from app.training.writer.examples import WritingExample, choose_vocabulary, collate, tokenised, writing_batches
from app.training.writer.objective import Mixture, WriterObjective, WriterRates, by_task
from app.training.writer.pairs import WritingPair
from app.transformer.encoder import BertConfig, BertEncoder, build_bert_encoder
from app.transformer.pointer_rows import SpecialIds
from app.transformer.tokenizers import TextTokenizer
from app.transformer.writer import Writer, WriterConfig
from app.transformer.writer_checkpoints import TASKS

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"|#1234?.", "who", "what", "is", "was", "the", "of", "where", "born"]
WORDS += ["director", "mother", "ran", "ada", "bo", "paris"]
SPECIAL = SpecialIds(cls=2, sep=3, pad=0)
SIZES = WriterConfig(
    embed_dim=16, decoder_layers=1, num_heads=2, ff_dim=32, generable=8, tasks=6, max_tokens=24, max_written=12
)


@pytest.fixture
def tokenizer(tmp_path: Path) -> TextTokenizer:
    made = Tokenizer(models.WordPiece({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.save(str(tmp_path / "tokenizer.json"))
    return TextTokenizer(tmp_path / "tokenizer.json")


def parts() -> tuple[BertEncoder, Writer, list[int]]:
    torch.manual_seed(1)
    encoder = build_bert_encoder(
        BertConfig(vocab_size=len(WORDS), embed_dim=16, num_layers=1, num_heads=2, ff_dim=32, max_positions=32)
    )
    generable = [3, 4, 5, 6, 10, 11, 12, 14]
    words = encoder.embeddings.word.weight.detach()
    return encoder, Writer(words, torch.tensor(generable), SIZES), generable


PAIRS = [
    WritingPair(
        "decompose",
        "x",
        "train",
        "Where was the director of Ran born?",
        "Who is the director of Ran? | where was #1 born?",
    ),
    WritingPair("standalone", "x", "train", "where was he born?", "Where was Bo born?", "Who is Bo?"),
    WritingPair("decompose", "x", "train", "Who is Ada?", ""),
]


def examples(tokenizer: TextTokenizer, generable: list[int], pairs: list[WritingPair]) -> list[WritingExample]:
    return tokenised(pairs, tokenizer, SPECIAL, generable, max_tokens=24, max_written=14)


def test_names_digits_and_rare_words_are_left_out_of_the_vocabulary(tokenizer: TextTokenizer) -> None:
    pairs = [
        WritingPair("hyde", "x", "train", "?", f"the mother of Ada was born 2 {word}") for word in ("bo", "ran", "the")
    ]
    cased = ["the mother of Ada was born. Born was the mother of Ada.", "the mother was of Bo, born of Ada"]
    chosen = [WORDS[token] for token in choose_vocabulary(pairs, cased, tokenizer, SPECIAL)]
    assert chosen == ["[SEP]", "|", "#", "1", "2", "3", "4", "was", "the", "of", "born", "mother"]


def test_what_can_not_be_written_faithfully_is_not_learned(tokenizer: TextTokenizer) -> None:
    _, _, generable = parts()
    strange = WritingPair("standalone", "x", "train", "Where was he born?", "Where was Paris born?", "Who is Bo?")
    passage = WritingPair("hyde", "x", "train", "Who is the mother of Ada?", "The mother of Ada is Paris.")
    endless = WritingPair("hyde", "x", "train", "Who is Ada?", "is " * 20)
    kept = examples(tokenizer, generable, [strange, passage, endless])
    assert [TASKS[example.task] for example in kept] == ["hyde"]
    paris = WORDS.index("paris")
    assert [token for token, counted in zip(kept[0].target, kept[0].counted, strict=True) if not counted] == [paris]
    assert kept[0].target[-1] == SPECIAL.sep


def test_batches_hold_every_example_once_and_stay_small(tokenizer: TextTokenizer) -> None:
    _, _, generable = parts()
    some = examples(tokenizer, generable, PAIRS) * 4
    batches = writing_batches(some, 120, random.Random(0))
    assert sorted(id(example) for batch in batches for example in batch) == sorted(id(example) for example in some)
    for batch in batches:
        padded = max(len(e.row.ids) for e in batch) + 2 * max(len(e.target) for e in batch)
        assert len(batch) == 1 or padded * len(batch) <= 120
    tensors = collate(some[:3], SPECIAL.pad, torch.device("cpu"))
    assert tensors.target.shape == tensors.counted.shape
    assert tensors.counted.sum(1).tolist() == [len(example.target) for example in some[:3]]


def objective(tokenizer: TextTokenizer) -> tuple[WriterObjective, Writer, Tensor]:
    encoder, model, generable = parts()
    known = by_task(examples(tokenizer, generable, PAIRS))
    made = WriterObjective(
        model,
        encoder,
        known,
        known,
        SPECIAL,
        WriterRates(block_lr=5e-3, new_lr=5e-3),
        Mixture(repeats={"decompose": 2}),
        batch_tokens=400,
    )
    return made, model, encoder.blocks[0].get_parameter("attention.q_proj.weight").clone()


def test_training_learns_the_pairs_and_leaves_the_encoder_and_the_words(
    tokenizer: TextTokenizer, tmp_path: Path
) -> None:
    made, model, before = objective(tokenizer)
    words = model.words.clone()
    first = made.scores()
    options = LoopOptions(minutes=60.0, max_steps=40, warmup_share=1e-9, threads=1, log_steps=10)
    run_training(made, tmp_path / "run", options)
    last = made.scores()
    assert set(first) == {"standalone_nll", "decompose_nll"}
    assert last["decompose_nll"] < 0.5 * first["decompose_nll"]
    assert last["standalone_nll"] < 0.5 * first["standalone_nll"]
    assert torch.equal(model.words, words)
    encoder = made._encoder
    assert torch.equal(encoder.blocks[0].get_parameter("attention.q_proj.weight"), before)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_a_run_goes_on_where_it_stopped(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    options = LoopOptions(minutes=60.0, max_steps=3, threads=1, log_steps=1)
    run_training(objective(tokenizer)[0], tmp_path / "run", options)
    again, model, _ = objective(tokenizer)
    fresh = model.output_bias.detach().clone()
    run_training(again, tmp_path / "run", LoopOptions(minutes=60.0, max_steps=5, threads=1, log_steps=1))
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [1, 2, 3, 4, 5]
    assert not torch.equal(model.output_bias, fresh)
