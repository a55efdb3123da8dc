"""The policy's training: samples split by article, every choice measured, and only what holds elsewhere ships."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import InvalidInput
from app.query.policy.features import FEATURES
from app.query.policy.model import MODEL, NEVER, Policy, Prediction, Rule
from app.query.steps import StepAnswer
from app.query.translation import KINDS, Translator
from app.rerank.collections import Collection, Document
from app.training import policy as command
from app.training.policy import gather, judge, train, write_card, write_policy
from app.training.policy_collections import HELD_OUT, TRAIN, article_half, load_judged, question_half
from app.training.policy_fit import choices, costs, fit_policy, interval, outcome, select_rule
from app.training.policy_measuring import CHOICES, NONE, Measured, measure
from tests.fakes import FakeEncoder


def rows_of(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


# --- collections ----------------------------------------------------------------------------------------------------


def titles(half: str, count: int) -> list[str]:
    """Invented article titles of one half."""
    return [title for n in range(100) if article_half(title := f"Article {n}") == half][:count]


def test_no_collection_is_trained_on_and_held_out() -> None:
    assert not set(TRAIN) & set(HELD_OUT)
    assert article_half("Super_Bowl 50") == article_half("super bowl 50")


def test_articles_of_the_shared_sets_are_split_between_training_and_test(tmp_path: Path) -> None:
    ours, theirs = titles("train", 2), titles("held_out", 2)
    texts = {title: f"A long enough sentence that only {title} holds." for title in (*ours, *theirs)}
    xquad = tmp_path / "ir" / "xquad_zhq_enctx"
    rows_of(xquad / "corpus.jsonl.gz", [{"id": t, "title": t, "text": f"{texts[t]} More."} for t in texts])
    rows_of(xquad / "queries.jsonl.gz", [{"id": t, "question": "?", "relevant_ids": [t]} for t in texts])
    rows_of(tmp_path / "rc" / "squad2_dev_half.jsonl.gz", [])
    reqa = tmp_path / "ir" / "reqa_squad"
    corpus = [{"id": t, "title": "", "text": texts[t]} for t in texts]
    rows_of(
        reqa / "corpus.jsonl.gz", [*corpus, {"id": "x", "title": "", "text": "Of an article that nobody knows here."}]
    )
    rows_of(reqa / "queries.jsonl.gz", [{"id": t, "question": f"{t}?", "relevant_ids": [t]} for t in (*texts, "x")])
    trained = load_judged(tmp_path, "reqa_squad", max_queries=9, max_documents=9, seed=0)
    tested = load_judged(tmp_path, "xquad_zhq_enctx", max_queries=9, max_documents=9, seed=0)
    assert sorted(document.id for document in trained.documents) == sorted(ours)
    assert sorted(query_id for query_id, _ in tested.queries) == sorted(theirs)


def test_a_sample_keeps_what_is_relevant_and_cuts_documents(tmp_path: Path) -> None:
    folder = tmp_path / "ir" / "mine"
    rows_of(folder / "corpus.jsonl.gz", [{"id": str(n), "text": f"{n} " + "x" * 2_000} for n in range(40)])
    rows_of(folder / "queries.jsonl.gz", [{"id": n, "question": "?", "relevant_ids": [str(n)]} for n in range(30)])
    sample = load_judged(tmp_path, "mine", max_queries=5, max_documents=8, seed=3)
    assert (len(sample.queries), len(sample.documents)) == (5, 8)
    assert {d for judged in sample.qrels.values() for d in judged} <= {document.id for document in sample.documents}
    assert {len(document.text) for document in sample.documents} == {800}
    assert sample == load_judged(tmp_path, "mine", max_queries=5, max_documents=8, seed=3)
    assert len(load_judged(tmp_path, "mine", max_queries=9, max_documents=2, seed=3).documents) == 9


def test_multi_hop_halves_and_missing_files(tmp_path: Path) -> None:
    paragraphs = [{"title": "A", "text": "first", "supporting": True}, {"title": "B", "text": "b", "supporting": False}]
    rows_of(
        tmp_path / "multihop" / "train.jsonl.gz",
        [{"id": f"q{n}", "question": f"{n}?", "paragraphs": paragraphs} for n in range(20)],
    )
    halves = {half: load_judged(tmp_path, f"multihop_{half}", max_queries=9, max_documents=9, seed=0) for half in
              ("tune", "held_out")}  # fmt: skip
    assert {question_half(query_id) for query_id, _ in halves["tune"].queries} == {"tune"}
    assert {question_half(query_id) for query_id, _ in halves["held_out"].queries} == {"held_out"}
    assert len(halves["tune"].documents) == 2  # each paragraph once
    with pytest.raises(InvalidInput, match=r"rc/drcd\.jsonl\.gz is missing"):
        load_judged(tmp_path, "drcd_zh", max_queries=9, max_documents=9, seed=0)


# --- measuring ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small() -> Collection:
    texts = [
        "Steel Rain is a film that Mark Dole directed.",
        "Mark Dole was born in Leeds.",
        "The bridge opened in 1932 and cost 4 million pounds.",
        "The bridge cost more than the tunnel.",
        "Leeds has a tunnel.",
    ]
    documents = [Document(f"d{n}", "", text) for n, text in enumerate(texts)]
    queries = [
        ("hops", "Where was the director of the film Steel Rain born?"),
        ("plain", "What did the bridge cost in 1932?"),
    ]
    return Collection("small", documents, queries, {"hops": {"d0": 1.0, "d1": 1.0}, "plain": {"d2": 1.0}})


def test_every_choice_is_scored_and_steps_where_there_is_a_plan(small: Collection, tmp_path: Path) -> None:
    asked: list[str] = []

    def read(question: str, hits: Sequence[Any]) -> StepAnswer:
        asked.append(question)
        return StepAnswer("Mark Dole", 0.9, tuple(hits))  # which does not stand as an answer to the whole question

    encoder = FakeEncoder()
    hops, plain = measure(small, encoder, Translator(), read=read, cache_dir=tmp_path)
    assert len(CHOICES) == 16
    assert set(CHOICES) <= set(hops.scores)
    assert hops.stepped is not None
    assert set(CHOICES) <= set(hops.stepped)
    whole = "Where was the director of the film Steel Rain born?"
    assert asked == [whole, "Who is the director of the film Steel Rain?"]  # the last step is looked up, not read
    assert plain.stepped is None
    assert plain.scores[NONE] == (1.0, pytest.approx(plain.scores[NONE][1]))
    assert plain.texts["step_back"] == 1
    assert plain.texts["decompose"] == 0
    assert plain.ms["decompose"][1] == 0.0  # nothing was asked
    assert len(plain.features) == len(FEATURES)
    again = measure(small, encoder, Translator(), read=read, cache_dir=tmp_path)
    assert [row.scores for row in again] == [hops.scores, plain.scores]
    told = json.loads(json.dumps(hops.told()))
    assert Measured.of(told).scores == hops.scores
    assert "NaN" not in json.dumps(hops.told())


def test_measured_questions_are_kept_between_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data" / "ir" / "mine"
    rows_of(folder / "corpus.jsonl.gz", [{"id": str(n), "text": f"Word{n} stands here."} for n in range(6)])
    rows_of(
        folder / "queries.jsonl.gz", [{"id": n, "question": f"Word{n}?", "relevant_ids": [str(n)]} for n in range(6)]
    )
    encoder = FakeEncoder()
    first = gather(tmp_path / "data", ["mine"], encoder, Translator(), cache_dir=tmp_path / "cache")
    calls = len(encoder.calls)
    again = gather(tmp_path / "data", ["mine"], encoder, Translator(), cache_dir=tmp_path / "cache")
    assert len(encoder.calls) == calls
    assert [row.scores for row in again["mine"]] == [row.scores for row in first["mine"]]
    gather(tmp_path / "data", ["mine"], encoder, Translator(), writer="other", cache_dir=tmp_path / "cache")
    assert len(encoder.calls) > calls  # another writer's translations are other translations
    calls = len(encoder.calls)
    monkeypatch.setattr(command, "rules_version", lambda: "changed")
    gather(tmp_path / "data", ["mine"], encoder, Translator(), cache_dir=tmp_path / "cache")
    assert len(encoder.calls) > calls  # so are those of other rules


# --- learning -------------------------------------------------------------------------------------------------------


def invented(seed: int, *, helps: bool, count: int = 80) -> list[Measured]:
    """Questions of which "hyde" lifts the ones with a low best cosine by .2 and lowers the others; or only noise."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        values = rng.random(len(FEATURES))
        gain = (0.2 if values[FEATURES.index("cosine_top")] < 0.5 else -0.2) if helps else float(rng.normal(-0.01, 0.2))
        scores = {}
        for choice in CHOICES:
            added = gain if "hyde" in choice else -0.1 if choice else 0.0
            scores[choice] = (0.5 + added, 0.5 + added)
        texts = dict.fromkeys(KINDS, 1)
        ms = dict.fromkeys(KINDS, (2.0, 30.0))
        rows.append(Measured(str(number), tuple(values.tolist()), scores, None, texts, ms, 10.0, 0.0))
    return rows


@pytest.fixture(scope="module")
def useful() -> dict[str, list[Measured]]:
    return {f"c{seed}": invented(seed, helps=True) for seed in range(4)}


def test_what_can_be_foreseen_is_used_and_ships(useful: dict[str, list[Measured]], tmp_path: Path) -> None:
    policy, selected = train(useful, rounds=40)
    assert selected.rule.most >= 1
    assert selected.mean > 0.05
    verdict = judge(policy, {"new": invented(90, helps=True), "other": invented(91, helps=True)})
    assert verdict.ships
    assert 0.05 < verdict.low < verdict.mean < verdict.high
    assert verdict.worst > 0
    write_policy(tmp_path, policy, write_card(policy, selected, verdict, "fake", useful))
    assert Policy.load(tmp_path).predict(np.zeros((1, len(FEATURES)))) == policy.predict(np.zeros((1, len(FEATURES))))
    assert "| new | +" in (tmp_path / "README.md").read_text()
    assert not judge(policy, {"new": invented(90, helps=True)}, budget_ms=31.0).mean  # 2 + 3 · 10 ms do not fit


def test_noise_does_not_ship() -> None:
    groups = {f"c{seed}": invented(seed, helps=False) for seed in range(4)}
    policy, _ = train(groups, rounds=10)
    assert not judge(policy, {"new": invented(92, helps=False)}).ships


def test_a_rule_that_costs_one_collection_too_much_is_not_chosen(useful: dict[str, list[Measured]]) -> None:
    def turned(row: Measured) -> Measured:
        scores = {choice: (1.0 - recall, 1.0 - gain) for choice, (recall, gain) in row.scores.items()}
        return Measured(row.question_id, row.features, scores, None, row.texts, row.ms, row.look_ms, 0.0)

    groups = {**useful, "contrary": [turned(row) for row in useful["c0"]]}
    selected = select_rule(groups, rounds=20)
    assert all(min(each.recall, each.ndcg) >= -0.005 for each in selected.outcomes.values())
    assert selected.rule == NEVER or selected.mean > 0


def test_kinds_with_too_little_to_learn_from_are_never_asked_for(useful: dict[str, list[Measured]]) -> None:
    few = {name: rows[:10] for name, rows in useful.items()}
    assert fit_policy(few, rule=Rule(0.0, -1.0, 3), rounds=3).kinds == ()
    with pytest.raises(InvalidInput, match="2 training collections: at least three"):
        fit_policy({name: useful[name] for name in ("c0", "c1")})
    with pytest.raises(InvalidInput, match="at least four"):
        select_rule({name: useful[name] for name in ("c0", "c1", "c2")})


def test_choices_are_named_in_one_order_and_gains_are_paired(useful: dict[str, list[Measured]]) -> None:
    predicted = [{"step_back": Prediction(0.3, 0), "hyde": Prediction(0.1, 0)}, {"step_back": Prediction(-1.0, 0)}]
    assert choices(Rule(0.0, 0.0, 2), predicted) == ["hyde+step_back", NONE]
    assert set(choices(Rule(0.0, 0.0, 2), predicted)) <= set(CHOICES)
    rows = useful["c0"]
    assert outcome(rows, [NONE] * len(rows)).utility == 0.0
    assert outcome(rows, ["step_back"] * len(rows)).recall == pytest.approx(-0.1)
    low, high = interval({"c0": rows}, lambda _: ["step_back"] * len(rows))
    assert (low, high) == (pytest.approx(-0.1), pytest.approx(-0.1))
    assert costs({"c0": rows})["hyde"].ms(10.0) == pytest.approx(32.0)


def test_the_command_writes_only_what_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    groups = {name: invented(seed, helps=seed < 10) for seed, name in enumerate("abcd")}
    made = {**groups, "good": invented(50, helps=True), "bad": invented(51, helps=False)}
    monkeypatch.setattr(command, "load_encoder", FakeEncoder)
    monkeypatch.setattr(command, "gather", lambda data, names, *_, **__: {name: made[name] for name in names})
    base = ["--data", str(tmp_path), "--collections", *groups, "--out", str(tmp_path / "policy")]
    assert command.main([*base, "--hold-out", "bad"]) == 0
    assert "not written: it does not beat no translation beyond chance" in capsys.readouterr().out
    assert not (tmp_path / "policy").exists()
    assert command.main([*base, "--hold-out", "good"]) == 0
    assert f"written: {tmp_path / 'policy' / MODEL}" in capsys.readouterr().out
    assert math.isfinite(Policy.load(tmp_path / "policy").rule.margin)
    with pytest.raises(InvalidInput, match="--hold-out a: what is trained on"):
        command.main([*base, "--hold-out", "a"])
