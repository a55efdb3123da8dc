"""The loss against a teacher-forced sum, the schedule, and a run that resumes; MiniLM's weights, made-up questions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from app.errors import Unavailable
from app.training.loop import LoopOptions
from app.training.reader import TrainingOptions, dev_sample, load_checkpoint, main, minilm_folder, train_reader
from app.training.reader_export import export_reader
from app.training.reader_loss import reader_loss
from app.training.reader_objective import ReaderObjective, ReaderRates
from app.training.reading_examples import ExampleBuilder, MixtureOptions, ReadingExample
from app.training.reading_sets import load_reading_questions
from app.transformer.encoder import BertConfig
from app.transformer.pointer import PointerConfig, PointerReader, build_pointer_reader
from app.transformer.pointer_checkpoints import read_manifest, verify_sums
from app.transformer.pointer_rows import SpecialIds, build_row, pad_rows
from app.transformer.tokenizers import TextTokenizer
from tests.unit.training.reading_rows import DEV_TITLE, TRAIN_TITLE, row, write_sets

SPECIAL = SpecialIds(cls=2, sep=3, pad=0)
CPU = torch.device("cpu")


def tiny_reader() -> PointerReader:
    torch.manual_seed(5)
    sizes = BertConfig(vocab_size=30, embed_dim=16, num_layers=1, num_heads=4, ff_dim=32, max_positions=16)
    return build_pointer_reader(PointerConfig(sizes, decoder_heads=4, decoder_ff_dim=32, max_answer_tokens=4))


def example(*candidates: tuple[tuple[int, int], ...]) -> ReadingExample:
    return ReadingExample((build_row(SPECIAL, [7, 8], [], [10, 11, 12, 13], (0, 4)),), candidates)


def test_loss_is_the_negative_log_probability_of_copying_the_answer_and_stopping() -> None:
    model = tiny_reader()
    one = example(((0, 5), (0, 6)))
    rows = pad_rows(one.rows, SPECIAL.pad)
    with torch.no_grad():
        memory = model.read(rows.token_ids, rows.mask, rows.token_types, rows.copyable, 1)
        copied = torch.tensor([[5, 6]])
        decoded = model.decode(
            memory, torch.cat([model.begin_embedding(1), model.target_embeddings(memory, copied)], dim=1)
        )
        first = torch.log_softmax(model.first_logits(memory, decoded[:, 0]), dim=1)[0, 5]
        later = torch.log_softmax(model.later_logits(memory, decoded[:, 1:], copied), dim=2)[0]
        loss = reader_loss(model, [one], pad_id=SPECIAL.pad, device=CPU)
    torch.testing.assert_close(loss.first, -first)
    torch.testing.assert_close(loss.later, -(later[0, 6] + later[1, -1]))
    torch.testing.assert_close(loss.total, loss.first + loss.later + 0.5 * loss.extractive)


def test_first_step_sums_over_occurrences_and_no_answer_is_one_of_the_choices() -> None:
    model = tiny_reader()
    with torch.no_grad():
        single = [reader_loss(model, [example(((0, c),))], pad_id=0, device=CPU).first for c in (4, 5, 6, 7)]
        pair = reader_loss(model, [example(((0, 4),), ((0, 6),))], pad_id=0, device=CPU).first
        nothing = reader_loss(model, [example()], pad_id=0, device=CPU)
    torch.testing.assert_close(torch.exp(-pair), torch.exp(-single[0]) + torch.exp(-single[2]))
    total = sum(torch.exp(-one) for one in single) + torch.exp(-nothing.first)
    torch.testing.assert_close(total, torch.tensor(1.0))
    assert nothing.later == 0


def test_a_batch_is_the_mean_of_its_examples() -> None:
    model = tiny_reader()
    examples = [example(((0, 4), (0, 5), (0, 6))), example(), example(((0, 7),))]
    with torch.no_grad():
        together = reader_loss(model, examples, pad_id=0, device=CPU)
        alone = [reader_loss(model, [one], pad_id=0, device=CPU) for one in examples]
    torch.testing.assert_close(together.total, torch.stack([one.total for one in alone]).mean())


def test_a_tiny_reader_learns_two_examples() -> None:
    model = tiny_reader()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    examples = [example(((0, 5), (0, 6))), ReadingExample((build_row(SPECIAL, [9], [], [14, 15], (0, 2)),), ())]
    losses = []
    for _ in range(40):
        total = sum(reader_loss(model, [one], pad_id=0, device=CPU).total for one in examples)
        assert isinstance(total, torch.Tensor)
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(total.item())
    assert losses[-1] < 0.2 * losses[0]


def objective(rates: ReaderRates) -> ReaderObjective:
    tokenizer = TextTokenizer(minilm_folder() / "tokenizer.json")
    builder = ExampleBuilder([], tokenizer, SPECIAL, MixtureOptions())
    return ReaderObjective(tiny_reader(), builder, tokenizer, SPECIAL, {}, rates)


def peaks(built: ReaderObjective) -> dict[str, float]:
    names = {id(parameter): name for name, parameter in built.model.named_parameters()}
    return {names[id(p)]: group["peak"] for group in built.optimizer.param_groups for p in group["params"]}


def test_embeddings_are_frozen_and_everything_else_trains() -> None:
    built = objective(ReaderRates(encoder_lr=1e-4, decoder_lr=3e-4))
    frozen = {name for name, parameter in built.model.named_parameters() if not parameter.requires_grad}
    every = {name for name, _ in built.model.named_parameters()}
    assert frozen == {name for name in every if name.startswith("encoder.embeddings.")}
    assert peaks(built) == {n: 1e-4 if n.startswith("encoder.") else 3e-4 for n in every - frozen}


@pytest.mark.parametrize("frozen", [0, 1])
def test_first_layers_stay_as_they_are_when_told(frozen: int) -> None:
    built = objective(ReaderRates(frozen_layers=frozen))
    before = {name: tensor.clone() for name, tensor in built.model.state_dict().items()}
    built.loss([example(((0, 5), (0, 6)))])["loss"].backward()  # type: ignore[no-untyped-call]
    built.optimizer.step()
    moved = {name for name, tensor in built.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert any(name.startswith("encoder.blocks.0.") for name in moved) == (frozen == 0)
    assert any(name.startswith("decoder.") for name in moved)


def test_new_words_train_at_their_own_rate_and_old_ones_not_at_all() -> None:
    built = objective(ReaderRates(first_trained_id=12, word_lr=0.5, type_lr=0.25))
    assert peaks(built)["encoder.embeddings.word.weight"] == 0.5
    assert peaks(built)["encoder.embeddings.token_type.weight"] == 0.25
    assert "encoder.embeddings.position.weight" not in peaks(built)
    before = built.model.encoder.embeddings.word.weight.detach().clone()
    built.loss([example(((0, 5), (0, 6)))])["loss"].backward()  # type: ignore[no-untyped-call]
    built.optimizer.step()
    after = built.model.encoder.embeddings.word.weight
    assert torch.equal(after[:12], before[:12])
    assert not torch.equal(after[12:14], before[12:14])


def small_sets(folder: Path) -> Path:
    rows = [row(n, title=TRAIN_TITLE if n % 3 else DEV_TITLE) for n in range(12)]
    return write_sets(folder, {"squad2_dev_half": rows})


def test_dev_sample_is_of_dev_questions_only(tmp_path: Path) -> None:
    questions = load_reading_questions(small_sets(tmp_path))
    chosen = dev_sample(questions, 2, seed=0)
    assert chosen == dev_sample(questions, 2, seed=0)
    assert {q.role for q in chosen} == {"dev"}


def test_a_run_logs_resumes_and_exports(tmp_path: Path) -> None:
    data, out = small_sets(tmp_path / "sets"), tmp_path / "run"
    threads = torch.get_num_threads()

    def options(max_steps: int) -> TrainingOptions:
        return TrainingOptions(LoopOptions(max_steps=max_steps, threads=threads), batch_tokens=256, dev_questions=2)

    checkpoint = train_reader(data, out, options(1))
    first = torch.load(checkpoint, weights_only=True)["progress"]
    train_reader(data, out, options(3))
    second = torch.load(checkpoint, weights_only=True)["progress"]
    assert (first["step"], second["step"]) == (1, 3)
    assert second["elapsed_s"] > first["elapsed_s"]
    kinds = [json.loads(line)["kind"] for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert kinds.count("dev") == 2

    folder = tmp_path / "exported"
    export_reader(checkpoint, folder, name="tried", null_threshold=0.4)
    verify_sums(folder, "none")
    assert read_manifest(folder).settings == {
        "name": "tried",
        "null_threshold": 0.4,
        "rank_weights": {"start": 0.5, "end": 1.5, "length": 1.0},
    }
    assert not load_checkpoint(checkpoint).training


def test_missing_data_stops_before_any_training(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="--data"):
        train_reader(tmp_path, tmp_path / "run")


@pytest.mark.parametrize("rate", ["0", "-1", "nan"])
def test_rates_that_train_nothing_are_told_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rate: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--data", str(tmp_path), "--out", str(tmp_path / "run"), f"--rate={rate}"])
    assert "would train nothing: give a share above 0" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("wrong", [["--group-share=1.5"], ["--group-share=-0.1"], ["--group-sizes", "3", "1"]])
def test_groups_that_can_not_be_are_told_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--data", str(tmp_path), "--out", str(tmp_path / "run"), *wrong])
    assert "must lie in 0..1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
