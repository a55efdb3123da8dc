"""The verifier's examples by hand, its loss by hand, and a run of a few steps on the bundled reader's encoder."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from app.errors import InvalidInput, Unavailable
from app.generation.reader import bundled_folder, load_reader
from app.generation.verifier import RowBuilder, verifier_folders
from app.training.behaviours.loading import load_behaviours
from app.training.loop import LoopOptions
from app.training.reading_sets import ReadingQuestion
from app.training.sentence_pairs import SENTENCE_PAIRS
from app.training.verifier.command import export_verifier, main, new_verifier, train_verifier
from app.training.verifier.examples import (
    GroupBuilder,
    Judged,
    Mixture,
    Rows,
    VerifierSource,
    behaviour_groups,
    rights,
    wrongs,
)
from app.training.verifier.exclusive_words import ANTONYMS, EXCLUSIVE
from app.training.verifier.mining import FoundSpan, Mined, MiningShares, mine, read_mined
from app.training.verifier.objective import Row, VerifierObjective, VerifierRates, batches, first_guesses
from app.training.verifier.perturb import entities, perturbed, plain_words
from app.training.verifier.relations import families, twin
from app.transformer.encoder import BertConfig, build_bert_encoder
from app.transformer.pointer_checkpoints import TOKENIZER_NAME
from app.transformer.pointer_rows import SpecialIds
from app.transformer.tokenizers import TextTokenizer
from app.transformer.verifier import AnswerVerifier, MarkIds, VerifierConfig, marked_row
from app.transformer.verifier_checkpoints import read_verifier_manifest

TEXT = "The mill was founded by Ida Brandt. In 1931 Tomas Weir sold it to Clara Moss."


def spans(*texts: str) -> tuple[FoundSpan, ...]:
    return tuple(FoundSpan(TEXT.index(t), TEXT.index(t) + len(t), 9.0 - n) for n, t in enumerate(texts))


def mined(question: str, answers: tuple[str, ...], *found: str, own: bool = True, name: str = "squad") -> Mined:
    gold = spans(*answers) if own else ()
    return Mined(question, name, "train", "Mill", question, TEXT, answers, own, gold, spans(*found))


def said(judged: Judged) -> tuple[str, str, bool]:
    return judged.question, judged.text[judged.start : judged.end], judged.right


def test_right_is_what_agrees_and_wrong_what_shares_no_word() -> None:
    one = mined("Who founded the mill?", ("Ida Brandt",), "Brandt", "Tomas Weir", "founded by Ida Brandt")
    assert [said(j)[1] for j in rights(one)] == ["founded by Ida Brandt", "Ida Brandt", "Brandt"]
    assert [said(j)[1] for j in wrongs(one)] == ["Tomas Weir"]
    elsewhere = mined("Who founded the mill?", ("Ida Brandt",), "Clara Moss", own=False)
    assert rights(elsewhere) == []
    assert [said(j)[1:] for j in wrongs(elsewhere)] == [("Clara Moss", False)]
    unanswerable = mined("Who burned the mill?", (), "Tomas Weir", "Clara Moss")
    assert rights(unanswerable) == []
    assert [said(j)[1] for j in wrongs(unanswerable)] == ["Tomas Weir", "Clara Moss"]


def test_a_sentence_without_a_known_answer_lends_the_readers_span_where_it_is_sure() -> None:
    sure = mined("Who sold it?", (), "Tomas Weir", "Clara Moss", name=SENTENCE_PAIRS)
    assert [said(j)[1:] for j in rights(sure)] == [("Tomas Weir", True)]
    assert wrongs(sure) == []
    doubtful = replace(sure, found=(FoundSpan(0, 8, -3.0),))
    assert rights(doubtful) == wrongs(doubtful) == []


def test_groups_hold_a_right_answer_a_mistake_and_a_question_that_it_does_not_answer() -> None:
    asked = [
        mined("Who founded the mill?", ("Ida Brandt",), "Ida Brandt", "Tomas Weir"),
        mined("Who sold the mill?", ("Tomas Weir",), "Clara Moss"),
    ]
    mixture = Mixture(perturbed_share=1.0, other_question_share=1.0, heading_share=1.0, twins=0, parallel=0)
    groups = GroupBuilder(VerifierSource(asked, mixture=mixture)).one_pass(random.Random(0))
    assert sorted(sorted(map(said, group)) for group in groups) == [
        [
            ("Who founded the mill?", "Ida Brandt", True),
            ("Who founded the mill?", "Tomas Weir", False),
            ("Who sold the mill?", "Ida Brandt", False),
        ],
        [
            ("Who founded the mill?", "Tomas Weir", False),
            ("Who sold the mill?", "Clara Moss", False),
            ("Who sold the mill?", "Tomas Weir", True),
        ],
    ]
    assert {judged.heading for group in groups for judged in group} == {"Mill"}
    bare = Mixture(perturbed_share=0.0, heading_share=0.0, twins=3, parallel=0)
    drawn = GroupBuilder(VerifierSource(asked, mixture=bare)).one_pass(random.Random(0))
    assert len(drawn) == 5
    assert {judged.heading for group in drawn for judged in group} == {""}


def test_a_sentences_other_answers_are_wrong() -> None:
    questions = [
        ReadingQuestion("1", "qamr_sentence", "train", "", "Who sold it?", TEXT, ("Tomas Weir",)),
        ReadingQuestion("2", "qamr_sentence", "train", "", "When was it sold?", TEXT, ("1931", "In 1931")),
    ]
    mixture = Mixture(perturbed_share=0.0, twins=0, parallel=0)
    groups = GroupBuilder(VerifierSource([], questions, mixture=mixture)).one_pass(random.Random(1))
    assert sorted(tuple(map(said, group)) for group in groups) == [
        (("When was it sold?", "In 1931", True), ("When was it sold?", "Tomas Weir", False)),
        (("Who sold it?", "Tomas Weir", True), ("Who sold it?", "1931", False)),
    ]


def test_refusals_of_the_training_part_come_with_their_twins() -> None:
    groups = behaviour_groups(load_behaviours("train", ("refusal", "sentence")))
    pairs = [group for group in groups if len(group) == 2]
    assert len(pairs) > 10
    for right, wrong in pairs:
        assert (right.right, wrong.right) == (True, False)
        assert right.question != wrong.question
        assert wrong.text[wrong.start : wrong.end].strip()


def test_changed_questions_differ_in_a_relation_an_opposite_a_name_or_a_number() -> None:
    rng = random.Random(0)
    made = {perturbed("Who founded the mill?", TEXT, rng) for _ in range(60)} - {None}
    assert made <= {
        f"Who {verb}?" for verb in (*(f"{word} the mill" for word in EXCLUSIVE["founded"][0]), "founded the mill")
    }
    assert len(made) > 4
    assert perturbed("Which was the largest mill?", "", random.Random(1)) == "Which was the smallest mill?"
    for seed in range(20):
        year = perturbed("What happened to it in 1931?", "", random.Random(seed))
        assert year is not None
        assert year.startswith("What happened to it in 1")
        assert "1931" not in year
        name = perturbed("What did Tomas Weir get?", "Then Ida Brandt met Tomas Weir.", random.Random(seed))
        assert name in {"What did Ida Brandt get?", "What did not Tomas Weir get?"} | {
            f"What did {word} Tomas Weir get?" for word in ("never", "no longer")
        }
    assert perturbed("Why?", TEXT, random.Random(0)) is None
    swapped = perturbed("Which mills burned?", "Two mills burned.", random.Random(3), words=["sails"])
    assert swapped is not None
    assert swapped != "Which mills burned?"


def test_names_and_words_of_a_text() -> None:
    assert entities("The mill of Ida Brandt stood by the Lake of Como.") == ["Ida Brandt", "Lake of Como"]
    assert plain_words("Which mills were burned by them?") == ["mills", "burned"]


def test_words_that_exclude_one_another_are_never_their_own_opposite() -> None:
    assert all(word != opposite for word, opposite in ANTONYMS.items())
    for word, groups in EXCLUSIVE.items():
        for group in groups:
            assert word in group
            assert len(set(group)) == len(group) > 1


def test_made_up_twins_mark_the_answer_of_the_question_asked() -> None:
    known, words = families()
    assert len(known) == 7
    for family in known:
        for statements, questions in family.relations:
            assert all(statement.count("{x}") == 1 for statement in statements)
            assert all("{x}" not in question for question in questions)
    for seed in range(200):
        made = twin(random.Random(seed))
        assert made.text[made.start : made.end] in {answer for family in known for answer in family.answers}
        assert made.asked != made.unanswered
        assert "{" not in made.text + made.asked + made.unanswered
    assert len(words["people"]) == len(set(words["people"]))


def test_the_reader_is_asked_once_and_its_guesses_are_kept(tmp_path: Path) -> None:
    questions = [
        ReadingQuestion("a", "squad2_dev_half", "train", "Mill", "Who sold the mill?", TEXT, ("Tomas Weir",)),
        ReadingQuestion("b", "squad2_dev_half", "heldout", "Mill", "Who bought the mill?", TEXT, ("Clara Moss",)),
        ReadingQuestion("c", "squad2_dev_half", "dev", "Mill", "Who burned the mill?", TEXT, ()),
    ]
    path = tmp_path / "mined.jsonl"
    reader = load_reader(verify=False)
    found = mine(reader, questions, tmp_path, path, MiningShares())
    assert [one.id for one in found] == ["c", "a"]
    sold = found[1]
    assert (sold.own, sold.role) == (True, "train")
    assert [TEXT[span.start : span.end] for span in sold.gold] == ["Tomas Weir"]
    assert 1 <= len(sold.found) <= 3
    places = sorted((span.start, span.end) for span in sold.found)
    assert all(end <= start for (_, end), (start, _) in pairwise(places))
    kept = path.read_text(encoding="utf-8")
    path.write_text(kept + '{"id": "cut sh', encoding="utf-8")
    assert [one.id for one in read_mined(path)] == ["c", "a"]
    path.write_text(kept, encoding="utf-8")
    assert mine(reader, questions, tmp_path, path, MiningShares()) == read_mined(path)
    assert path.read_text(encoding="utf-8") == kept


def rows_of(length: int, group: int, rights: tuple[bool, ...]) -> list[Row]:
    marked = marked_row(SpecialIds(1, 2, 0), MarkIds(3, 4), [5], [], [6] * length, (0, 1))
    return [Row(marked, right, group) for right in rights]


def test_batches_keep_groups_whole_within_their_size() -> None:
    groups = [rows_of(length, length, (True, False)) for length in (4, 9, 5, 30)]
    made = batches(groups, 60, random.Random(0))
    assert sorted(len(batch) for batch in made) == [2, 2, 4]
    assert all(sum(row.group == number for row in batch) in (0, 2) for batch in made for number in (4, 9, 5, 30))


def tiny_objective(monkeypatch: pytest.MonkeyPatch, logits: list[float]) -> VerifierObjective:
    sizes = BertConfig(embed_dim=8, num_layers=2, num_heads=2, ff_dim=8, max_positions=64)
    tokenizer = TextTokenizer(bundled_folder() / TOKENIZER_NAME)
    rows = Rows(tokenizer, RowBuilder(tokenizer, VerifierConfig(sizes)))
    model = AnswerVerifier(build_bert_encoder(sizes))
    dev = [mined("Who sold it?", ("Tomas Weir",), "Tomas Weir"), mined("Who lost it?", (), "Clara Moss")]
    groups = GroupBuilder(VerifierSource([]))
    objective = VerifierObjective(model, 1, groups, rows, dev, VerifierRates(pair_weight=0.5), pad_id=0)
    monkeypatch.setattr(AnswerVerifier, "judge", lambda *_: torch.tensor(logits))
    return objective


def test_the_loss_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = tiny_objective(monkeypatch, [2.0, 1.0, -1.0])
    loss = objective.loss([*rows_of(3, 0, (True, False)), *rows_of(3, 1, (False,))])
    each = (math.log1p(math.exp(-2)) + math.log1p(math.exp(1)) + math.log1p(math.exp(-1))) / 3
    pair = math.log1p(math.exp(-(2 - 1)))  # the third row is another group's
    assert loss["each"].item() == pytest.approx(each, abs=1e-6)
    assert loss["pair"].item() == pytest.approx(pair, abs=1e-6)
    assert loss["loss"].item() == pytest.approx(each + 0.5 * pair, abs=1e-6)
    trained = {id(p) for group in objective.optimizer.param_groups for p in group["params"]}
    kept = {
        name: id(objective.model.get_parameter(f"encoder.{name}")) in trained
        for name in ("blocks.1.feed_forward.up.weight", "blocks.0.feed_forward.up.weight", "embeddings.word.weight")
    }
    assert list(kept.values()) == [True, False, False]


def test_first_guesses_are_scored_by_whether_they_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = tiny_objective(monkeypatch, [1.0, -1.0])
    assert objective.scores() == {
        "all_auroc": 1.0,
        "all_auroc_reader": 0.5,
        "squad_auroc": 1.0,
        "squad_auroc_reader": 0.5,
    }
    guesses = first_guesses([mined("Who sold it?", ("Tomas Weir",), "Clara Moss", own=False)])
    assert [(said(judged), score) for _, judged, score in guesses] == [(("Who sold it?", "Clara Moss", False), 9.0)]


def test_a_short_run_resumes_and_exports_a_verifier_that_serves(tmp_path: Path) -> None:
    asked = [mined("Who founded the mill?", ("Ida Brandt",), "Ida Brandt", "Tomas Weir")]
    source = VerifierSource(asked, mixture=Mixture(twins=4, parallel=0))
    folder = bundled_folder()
    for steps in (1, 2):
        checkpoint = train_verifier(asked, source, tmp_path, folder, LoopOptions(max_steps=steps, threads=1))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "dev"] == [1, 2]
    export_verifier(checkpoint, folder, tmp_path / "verifier")
    manifest = read_verifier_manifest(tmp_path / "verifier")
    assert manifest.config.shared_layers == 2
    assert (tmp_path / "verifier" / "model.safetensors").stat().st_size < 16_000_000


def test_a_run_goes_on_from_a_verifier_that_is_there(tmp_path: Path) -> None:
    asked = [mined("Who founded the mill?", ("Ida Brandt",), "Ida Brandt", "Tomas Weir")]
    source, folder = VerifierSource(asked, mixture=Mixture(twins=4, parallel=0)), bundled_folder()
    shipped, _ = verifier_folders()
    # The first step's rate is not 0, but no weight moves by more than that rate.
    checkpoint = train_verifier(
        asked, source, tmp_path, folder, LoopOptions(max_steps=1, threads=1), VerifierRates(), start=shipped
    )
    export_verifier(checkpoint, folder, tmp_path / "verifier")
    before, after = (load_file(path / "model.safetensors") for path in (shipped, tmp_path / "verifier"))
    assert before.keys() == after.keys()
    assert all((before[name].float() - after[name].float()).abs().max() < 0.01 for name in before)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    export_verifier(checkpoint, folder, tmp_path / "mean", average_with=shipped)
    mean = load_file(tmp_path / "mean" / "model.safetensors")
    for name, tensor in mean.items():
        halves = (before[name].float() + after[name].float()) / 2
        torch.testing.assert_close(tensor.float(), halves, atol=1e-4, rtol=2**-7)  # both were rounded to bfloat16


def test_a_run_does_not_go_on_from_a_verifier_of_other_sizes(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"verifier_zh is a verifier of other sizes.*choose another"):
        new_verifier(bundled_folder(), start=verifier_folders()[1])


@pytest.mark.parametrize("option", ["--start", "--average-with"])
def test_a_folder_that_does_not_fit_is_told_before_anything_is_read_or_trained(tmp_path: Path, option: str) -> None:
    given = ["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "run"), option]
    for folder, told in (
        (verifier_folders()[1], "verifier of other sizes"),
        (bundled_folder(), "holds no verifier .*give the folder of one"),
        (tmp_path / "nothing", "nothing holds no verifier"),
    ):
        with pytest.raises(InvalidInput, match=told):
            main([*given, str(folder)])
    assert not (tmp_path / "run").exists()


def test_policies_lend_no_other_text_for_another_firms_may_say_the_same(tmp_path: Path) -> None:
    texts = (TEXT, "The mill was founded by Lin. In 1931 Gao sold it to Shen.", "Moss bought the mill.")
    questions = [
        ReadingQuestion(f"{name}-{number}", name, "train", "", "Who bought the mill?", text, (answer,))
        for name in ("policyqa", "nq_oracle")
        for number, (text, answer) in enumerate(zip(texts, ("Clara Moss", "Shen", "Moss"), strict=True))
    ]
    shares = MiningShares(draws=(), other_text=1.0, sentence_pairs=0)
    found = mine(load_reader(verify=False), questions, tmp_path, tmp_path / "mined.jsonl", shares)
    assert {one.collection for one in found if not one.own} == {"nq_oracle"}


def test_without_what_the_reader_found_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"mined\.jsonl is missing: leave --mined-only out"):
        main(["--data", str(tmp_path), "--out", str(tmp_path), "--mined-only"])
