"""Objectives over running text on models of a few numbers: what is hidden, what is predicted, that runs resume."""

from __future__ import annotations

import gzip
import json
import lzma
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from app.errors import InvalidInput, Unavailable
from app.training.loop import LoopOptions, run_training, set_rates
from app.training.pretraining.command import PretrainingOptions, pretrain
from app.training.pretraining.curves import draw_curves, series
from app.training.pretraining.masked_language import MaskedLanguageObjective, MaskedLanguageOptions
from app.training.pretraining.masking import mask_tokens
from app.training.pretraining.next_token import NextTokenObjective, NextTokenOptions
from app.training.pretraining.recurring_spans import (
    RecurringSpanObjective,
    RecurringSpanOptions,
    SpanSelector,
    common_tokens,
    recurring,
)
from app.training.pretraining.running_text import TextSource, documents, text_sources, token_rows
from app.transformer.causal_lm import CausalLM, DecoderConfig, build_causal_lm
from app.transformer.checkpoints import load_bert_encoder, load_model, save_bert_encoder, save_model
from app.transformer.encoder import BertConfig, build_bert_encoder
from app.transformer.encoder_heads import EncoderConfig, EncoderModel
from app.transformer.pointer_rows import SpecialIds
from app.transformer.rotary import RotaryConfig
from app.transformer.tokenizer_training import train_tokenizer
from app.transformer.tokenizers import TextTokenizer

SPECIAL = SpecialIds(cls=1, sep=2, pad=0)
MASK = 3
SIZES = BertConfig(vocab_size=40, embed_dim=16, num_layers=1, num_heads=4, ff_dim=32, max_positions=32)
LOOP = LoopOptions(minutes=5, max_steps=2, threads=torch.get_num_threads(), log_steps=1)


def encoder_model(*, next_sentence: bool = False) -> EncoderModel:
    torch.manual_seed(2)
    config = EncoderConfig(encoder=SIZES, masked_lm=True, pooler=next_sentence, next_sentence=next_sentence)
    return EncoderModel(config)


def rows_of(number: int, length: int = 8) -> list[list[int]]:
    rng = random.Random(4)
    return [[rng.randrange(4, 40) for _ in range(length)] for _ in range(number)]


def masked(model: EncoderModel, rows: list[list[int]], **chosen: Any) -> MaskedLanguageObjective:
    options = replace(MaskedLanguageOptions(MASK, batch_tokens=64), **chosen)
    return MaskedLanguageObjective(model, rows, rows[:2], SPECIAL, options)


def tiny_decoder() -> CausalLM:
    torch.manual_seed(1)
    sizes = DecoderConfig(
        vocab_size=40,
        embed_dim=16,
        num_layers=1,
        num_heads=4,
        num_kv_heads=2,
        head_dim=4,
        ff_dim=32,
        max_positions=32,
        rotary=(RotaryConfig(10_000.0, 4),),
    )
    return build_causal_lm(sizes)


def test_of_the_chosen_tokens_eight_in_ten_are_hidden_one_swapped_and_one_kept() -> None:
    ids = torch.full((200, 100), 7)
    maskable = torch.ones_like(ids, dtype=torch.bool)
    maskable[:, 0] = False
    generator = torch.Generator().manual_seed(0)
    made = mask_tokens(ids, maskable, mask_id=MASK, random_ids=(10, 40), generator=generator)
    share = made.chosen.float().sum() / maskable.sum()
    assert share == pytest.approx(0.15, abs=0.01)
    assert not made.chosen[:, 0].any()
    assert torch.equal(made.inputs[~made.chosen], ids[~made.chosen])
    seen = made.inputs[made.chosen]
    assert (seen == MASK).float().mean() == pytest.approx(0.8, abs=0.02)
    assert (seen == 7).float().mean() == pytest.approx(0.1, abs=0.02)
    assert ((seen >= 10) & (seen < 40)).float().mean() == pytest.approx(0.1, abs=0.02)
    assert torch.equal(made.targets, ids[made.chosen])


def test_masked_language_loss_falls() -> None:
    model = encoder_model()
    objective = masked(model, [[5, 6, 7, 8, 9, 10, 11, 12]] * 8, body_lr=3e-3, word_lr=3e-3, head_lr=3e-3)
    losses = []
    for step in range(40):
        batch = next(objective.one_pass(str(step)))
        loss = objective.loss(batch)["loss"]
        objective.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        objective.optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.7 * losses[0]


def test_candidates_leave_the_targets_in_and_all_words_score() -> None:
    model = encoder_model()
    few, every = masked(model, rows_of(8), candidates=5), masked(model, rows_of(8))
    batch = next(every.one_pass("a"))
    torch.manual_seed(0)
    with torch.no_grad():
        less, more = few.loss(batch)["loss"], every.loss(batch)["loss"]
    assert 0 < float(less) < float(more)
    assert set(every.scores()) == {"dev_loss", "dev_accuracy"}
    assert every.scores() == every.scores()


def test_old_words_stay_and_the_body_thaws() -> None:
    model = encoder_model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    objective = masked(model, rows_of(8), first_trained_id=20, frozen_share=0.5)
    for share in (0.1, 0.9):
        objective.at(share)
        loss = objective.loss(next(objective.one_pass("x")))["loss"]
        objective.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        objective.optimizer.step()
        changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        body = {name for name in changed if "blocks" in name}
        assert bool(body) is (share > 0.5)
    words = model.encoder.embeddings.word.weight
    assert torch.equal(words[:20], before["encoder.embeddings.word.weight"][:20])
    assert not torch.equal(words[20:], before["encoder.embeddings.word.weight"][20:])


def test_next_sentence_pairs_are_neighbours_or_not_and_add_their_loss() -> None:
    rows = [[10 + n] * 6 for n in range(20)]
    objective = masked(encoder_model(next_sentence=True), rows, next_sentence=True)
    seen = set()
    for batch in objective.one_pass("p"):
        for ids, types, follows in zip(batch.ids.tolist(), batch.types.tolist(), batch.follows.tolist(), strict=True):
            assert ids[0] == SPECIAL.cls
            assert ids[7] == ids[14] == SPECIAL.sep
            assert types == [0] * 8 + [1] * 7
            if follows == 0:
                assert ids[8] == ids[1] + 1
            seen.add(follows)
    assert seen == {0, 1}
    losses = objective.loss(next(objective.one_pass("p")))
    torch.testing.assert_close(losses["loss"], losses["masked"] + losses["next_sentence"])


def test_next_token_loss_is_the_mean_over_all_but_the_first() -> None:
    model = tiny_decoder()
    rows = rows_of(3, 5)
    objective = NextTokenObjective(model, rows, rows, NextTokenOptions(batch_tokens=1000))
    with torch.no_grad():
        store = model.new_store(batch=1, capacity=5)
        total = 0.0
        for row in rows:
            store = model.new_store(batch=1, capacity=5)
            hidden = model(torch.tensor(row), store.begin([5]), store)
            logprobs = torch.log_softmax(model.logits(hidden), dim=1)
            total -= sum(float(logprobs[at, row[at + 1]]) for at in range(4))
        loss = objective.loss(torch.tensor(rows))["loss"]
    assert float(loss) == pytest.approx(total / 12, abs=1e-5)
    assert objective.scores()["dev_perplexity"] == pytest.approx(math.exp(total / 12), rel=0.05)


def test_recurring_spans_are_the_longest_and_do_not_overlap() -> None:
    row = [30, 31, 32, 5, 30, 31, 32, 6, 31, 7, 33, 8, 33]
    signs = frozenset(range(20))
    found = recurring(row, signs)
    assert found == [([0, 4], 3), ([10, 12], 1)]
    assert recurring(row, signs | {33}) == [([0, 4], 3)]
    assert recurring([5, 6, 5, 6], signs) == []
    assert common_tokens([[5, 5, 6], [6, 7]], 2) == frozenset({5, 6})


def test_hidden_spans_point_at_the_occurrence_that_is_left() -> None:
    row = [30, 31, 32, 5, 30, 31, 32, 6, 33, 8, 33]
    objective = RecurringSpanObjective(
        SpanSelector(build_bert_encoder(SIZES)),
        [row],
        [row],
        SPECIAL,
        RecurringSpanOptions(MASK, wordless=frozenset(range(20)), common=0),
    )
    for seed in range(6):
        hidden = objective.hide(row, random.Random(seed))
        assert hidden is not None
        assert [hidden.ids[at] for at in hidden.masks] == [MASK, MASK]
        answers = [hidden.ids[a : b + 1] for a, b in zip(hidden.starts, hidden.ends, strict=True)]
        assert sorted(answers) == [[30, 31, 32], [33]]
        assert len(hidden.ids) == len(row) + 2 - 2  # three tokens became one, one stayed one
    assert objective.hide([5, 6, 7], random.Random(0)) is None


def test_span_selection_learns_where_a_term_stands() -> None:
    rng = random.Random(1)
    rows = []
    for _ in range(24):
        term = rng.randrange(20, 40)
        row = [rng.randrange(4, 20) for _ in range(8)]
        for at in rng.sample(range(8), 2):
            row[at] = term
        rows.append(row)
    torch.manual_seed(0)
    options = RecurringSpanOptions(
        MASK, batch_tokens=240, body_lr=3e-3, head_lr=3e-3, wordless=frozenset(range(20)), common=0
    )
    objective = RecurringSpanObjective(SpanSelector(build_bert_encoder(SIZES)), rows, rows, SPECIAL, options)
    losses = []
    for step in range(60):
        loss = objective.loss(next(objective.one_pass(str(step))))["loss"]
        objective.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        objective.optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
    assert objective.scores()["dev_exact"] > 0.3


def test_rates_rise_and_fall() -> None:
    optimizer = torch.optim.AdamW([{"params": [torch.nn.Parameter(torch.zeros(1))], "peak": 1.0}])
    seen = []
    for share in (0.0, 0.05, 0.1, 0.55, 1.0):
        set_rates(optimizer, share, 0.1)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == [pytest.approx(x) for x in (0.01, 0.51, 1.0, 0.5, 0.0)]


def test_a_run_resumes_with_its_optimizer_and_goes_on_counting(tmp_path: Path) -> None:
    path = run_training(masked(encoder_model(), rows_of(40)), tmp_path, LOOP)
    first = torch.load(path, weights_only=True)
    again = masked(encoder_model(), rows_of(40))
    run_training(again, tmp_path, replace(LOOP, max_steps=3))
    second = torch.load(path, weights_only=True)
    assert (first["progress"]["step"], second["progress"]["step"]) == (2, 3)
    assert second["progress"]["elapsed_s"] > first["progress"]["elapsed_s"]
    assert second["progress"]["tokens"] > first["progress"]["tokens"]
    assert next(iter(second["optimizer"]["state"].values()))["step"] == 3
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert kinds == ["train", "train", "dev", "train", "dev"]


def test_curves_show_every_figure_of_the_log(tmp_path: Path) -> None:
    lines = [
        {"kind": "train", "step": 1, "minutes": 0.5, "loss": 3.0, "tokens_per_s": 9},
        {"kind": "train", "step": 2, "minutes": 1.0, "loss": 2.0, "tokens_per_s": 9},
        {"kind": "dev", "step": 2, "minutes": 1.0, "dev_loss": 2.5},
    ]
    assert series(lines, "train") == {"loss": ([0.5, 1.0], [3.0, 2.0])}
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    draw_curves(tmp_path, tmp_path / "curves.svg")
    drawn = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    assert drawn.lstrip().startswith("<?xml")
    assert "dev_loss" in drawn
    with pytest.raises(Unavailable, match=r"log\.jsonl"):
        draw_curves(tmp_path / "none", tmp_path / "curves.svg")


def test_text_is_shared_out_between_files_and_code_is_left_out(tmp_path: Path) -> None:
    prose = "The mill by the river has ground corn for three hundred years.\n"
    (tmp_path / "long.txt").write_text(prose * 40 + "x = {1: 2}; y[3] = (4)\n", encoding="utf-8")
    with gzip.open(tmp_path / "short.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps({"text": prose}) + "\n" + json.dumps({"context": prose * 2}) + "\n")
    with lzma.open(tmp_path / "chinese.jsonl.xz", "wt", encoding="utf-8") as file:
        file.write(json.dumps({"text": "黄河全长约五千四百六十四公里，流经九个省区。\n短"}) + "\n")
    (tmp_path / "picture.png").write_bytes(b"no text")
    sources = text_sources([tmp_path], 3000)
    assert [source.path.name for source in sources] == ["short.jsonl.gz", "chinese.jsonl.xz", "long.txt"]
    assert sum(source.max_chars for source in sources) <= 3000
    assert sources[-1].max_chars > 1000
    drawn = documents(TextSource(tmp_path / "long.txt", 100), random.Random(0))
    assert drawn == [(prose * 2)[:100]]
    assert documents(TextSource(tmp_path / "chinese.jsonl.xz", 100), random.Random(0)) == [
        "黄河全长约五千四百六十四公里，流经九个省区。"
    ]
    with pytest.raises(InvalidInput, match="--data"):
        text_sources([tmp_path / "picture.png"], 10)


def write_texts(folder: Path) -> Path:
    folder.mkdir()
    rng = random.Random(3)
    words = ["mill", "river", "stone", "bread", "miller", "water", "wheel", "corn", "flour", "village", "bridge"]
    for number in range(6):
        text = ". ".join(" ".join(rng.choices(words, k=9)) for _ in range(30))
        (folder / f"{number}.txt").write_text(text + ".\n", encoding="utf-8")
    return folder


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    folder = tmp_path / "vocabulary"
    train_tokenizer("wordpiece", [write_texts(tmp_path / "texts")], folder, vocab_size=60, lowercase=True)
    return folder


@pytest.mark.parametrize("objective", ["mlm", "recurring-spans"])
def test_the_command_continues_an_encoder_and_its_result_loads(
    tmp_path: Path, vocabulary: Path, objective: str
) -> None:
    start = tmp_path / "start"
    torch.manual_seed(0)
    size = TextTokenizer(vocabulary / "tokenizer.json").vocab_size
    sizes = replace(SIZES, vocab_size=size, max_positions=64)
    save_bert_encoder(build_bert_encoder(sizes), sizes, start)
    (start / "tokenizer.json").write_bytes((vocabulary / "tokenizer.json").read_bytes())
    options = PretrainingOptions(
        objective=objective,  # type: ignore[arg-type]
        row_tokens=12,
        next_sentence=objective == "mlm",
        loop=LOOP,
    )
    folder = pretrain([tmp_path / "texts"], start, tmp_path / "run", options)
    trained, _ = load_bert_encoder(folder)
    before, _ = load_bert_encoder(start)
    name = "blocks.0.attention.q_proj.weight"
    assert not torch.equal(trained.get_parameter(name), before.get_parameter(name))
    assert TextTokenizer(folder / "tokenizer.json").vocab_size == size
    assert (tmp_path / "run" / "curves.svg").is_file()


def test_the_command_continues_a_decoder(tmp_path: Path, vocabulary: Path) -> None:
    start = tmp_path / "start"
    sizes = replace(tiny_decoder().config, vocab_size=TextTokenizer(vocabulary / "tokenizer.json").vocab_size)
    save_model(build_causal_lm(sizes), start, model_type="llama")
    (start / "tokenizer.json").write_bytes((vocabulary / "tokenizer.json").read_bytes())
    options = PretrainingOptions(objective="next-token", row_tokens=12, loop=LOOP)
    folder = pretrain([tmp_path / "texts"], start, tmp_path / "run", options)
    trained, before = load_model(folder).model, load_model(start).model
    assert isinstance(trained, CausalLM)
    assert isinstance(before, CausalLM)
    assert not torch.equal(trained.embed.weight, before.embed.weight)


def test_bad_requests_name_what_is_wrong(tmp_path: Path) -> None:
    write_texts(tmp_path / "texts")
    with pytest.raises(InvalidInput, match="must be one of mlm"):
        pretrain([tmp_path / "texts"], None, tmp_path, PretrainingOptions(objective="masks"))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="--from"):
        pretrain([tmp_path / "texts"], None, tmp_path, PretrainingOptions(objective="next-token"))
    with pytest.raises(InvalidInput, match="more text"):
        pretrain([tmp_path / "texts"], None, tmp_path, PretrainingOptions(row_tokens=100_000))


def test_data_without_anything_to_learn_from_stops_the_run(tmp_path: Path) -> None:
    options = RecurringSpanOptions(MASK, common=0)
    rows = [[4, 5, 6], [7, 8, 9]]
    objective = RecurringSpanObjective(SpanSelector(build_bert_encoder(SIZES)), rows, [], SPECIAL, options)
    with pytest.raises(InvalidInput, match="nothing that this objective"):
        run_training(objective, tmp_path, LOOP)


def test_rows_are_of_one_text_each_and_of_one_length() -> None:
    class Characters:
        def encode(self, texts: list[str]) -> list[object]:
            return [type("Tokens", (), {"ids": [ord(c) for c in text]}) for text in texts]

    rows = token_rows(["abcdefg", "hi", "jklm"], Characters(), 3)  # type: ignore[arg-type]
    assert ["".join(map(chr, row)) for row in rows] == ["abc", "def", "jkl"]
