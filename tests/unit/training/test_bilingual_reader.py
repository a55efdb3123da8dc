"""The bilingual recipe from made-up sets: roles, cloze questions, one step of each training, export and exact spans."""

from __future__ import annotations

import gzip
import json
import lzma
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from app.errors import IntegrityError, Unavailable
from app.generation.reader import load_reader
from app.training.bilingual.cloze import cloze_questions
from app.training.bilingual.finetune import MODEL_NAME, export_bilingual, finetune, trained_bilingual
from app.training.bilingual.pretrain import ChineseTextOptions, pretrain
from app.training.bilingual.ranking import Option, best_weights, mean_f1
from app.training.bilingual.reading import load_chinese_questions, parallel_texts, training_contexts
from app.training.loop import LoopOptions
from app.transformer.pointer_checkpoints import read_manifest
from app.transformer.pointer_rows import SpecialIds, build_row, match_types, pad_rows
from app.transformer.pointer_search import RankWeights
from app.types import GenerationOptions
from tests.unit.generation.test_reader import prompt
from tests.unit.training.reading_rows import DEV_TITLE, TRAIN_TITLE, title_in, write_sets

HELD_OUT = title_in(range(12))
LOOP = LoopOptions(minutes=30, max_steps=1, threads=torch.get_num_threads(), log_steps=1)


def chinese(number: int, **changed: Any) -> dict[str, Any]:
    plain = {
        "id": f"c{number}",
        "question": f"{number}号桥是谁修建的？",
        "context": f"{number}号桥横跨一条河流。它由工程师王小明{number}于1931年修建，名叫《长虹》。",
        "title": TRAIN_TITLE,
        "answers": [f"王小明{number}"],
        "answerable": True,
        "lang": "zh",
        "split": "dev",
    }
    return plain | changed


def write_chinese(folder: Path, **rows: list[dict[str, Any]]) -> Path:
    english = {"xquad_en_zh": rows.pop("xquad_en_zh")} if "xquad_en_zh" in rows else {}
    write_sets(folder, english)
    for name in ("cmrc2018", "drcd", "xquad_cross_en_zh"):
        with gzip.open(folder / "rc" / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows.get(name, []))
    return folder


def test_articles_keep_their_role_in_every_set_and_both_scripts(tmp_path: Path) -> None:
    held = next(f"書{n}" for n in range(400) if title_role(f"書{n}") == "heldout" and title_role(f"书{n}") == "train")
    folder = write_chinese(
        tmp_path,
        cmrc2018=[
            chinese(1),
            chinese(2, title=HELD_OUT),
            chinese(3, title=DEV_TITLE),
            chinese(7, title=held.replace("書", "书")),
        ],
        drcd=[chinese(4, lang="zh-Hant", title=held)],
        xquad_en_zh=[chinese(5, title=title_in(range(12, 20)))],
        xquad_cross_en_zh=[chinese(6, lang="en>zh", title=title_in(range(12, 20)))],
    )
    roles = {q.id: (q.collection, q.role) for q in load_chinese_questions(folder)}
    assert roles == {
        "c1": ("cmrc2018", "train"),
        "c2": ("cmrc2018", "heldout"),
        "c3": ("cmrc2018", "dev"),
        "c4": ("drcd", "heldout"),
        "c5": ("xquad_zh", "heldout"),
        "c6": ("xquad_cross_en_zh", "heldout"),
    }
    assert training_contexts(load_chinese_questions(folder)) == [chinese(1)["context"]]


def title_role(title: str) -> str:
    from app.training.reading_sets import article_bucket

    bucket = article_bucket(title)
    return "heldout" if bucket < 12 else "dev" if bucket in range(28, 34) else "train"


def test_a_set_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cmrc2018"):
        load_chinese_questions(tmp_path)


def test_cloze_questions_ask_for_what_stands_in_their_sentence() -> None:
    contexts = [chinese(n)["context"] + "葡萄牙位于欧洲西部，人口约1000万。" for n in range(20)]
    made = cloze_questions(contexts, frozenset({"葡萄牙"}), random.Random(0))
    assert len(made) > 15
    answers = set()
    for q in made:
        assert q.answers[0] in q.context
        assert q.answers[0] not in q.question
        assert q.question.endswith("？")
        answers.add(q.answers[0])
    assert {"1931年", "长虹", "葡萄牙"} <= answers
    assert made == cloze_questions(contexts, frozenset({"葡萄牙"}), random.Random(0))
    assert cloze_questions(["没有什么可以问的一句话而已呀。"], frozenset(), random.Random(0)) == []


def test_parallel_texts_are_those_of_training_articles(tmp_path: Path) -> None:
    english = {"lang": "en", "question": "Who built it?", "answers": ["Ada"], "context": "Ada built it. It is long."}
    chinese_ = {"question": "谁修建的？", "answers": ["阿达"], "context": "阿达修建了它。它很长。"}
    rows = [
        chinese(1, id="xquad-en-a1", **english),
        chinese(2, id="xquad-zh-a1", **chinese_),
        chinese(3, id="xquad-en-b1", **english | {"title": HELD_OUT}),
        chinese(4, id="xquad-zh-b1", **chinese_ | {"title": HELD_OUT}),
        chinese(5, id="xquad-en-c1", **english),
    ]
    folder = write_chinese(tmp_path, xquad_en_zh=rows)
    assert parallel_texts(folder) == (
        ["Who built it?", "Ada", "Ada built it.", "It is long."],
        ["谁修建的？", "阿达", "阿达修建了它。", "它很长。"],
    )


def test_passage_tokens_that_the_question_has_are_marked() -> None:
    assert match_types([7, 8, 9], [1, 7, 8, 2, 9, 7]) == (1, 3, 3, 1, 2, 2)
    assert match_types([], [4, 5]) == (1, 1)
    special = SpecialIds(cls=2, sep=3, pad=0)
    rows = [
        build_row(special, [7, 8], [9], [4, 7, 8, 5], (1, 4), show_matches=True),
        build_row(special, [7, 8], [9], [4, 7, 8, 5], (0, 1)),
    ]
    assert pad_rows(rows, 0).token_types.tolist() == [[0, 0, 0, 0, 1, 1, 3, 3, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1, 0, 0]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one step of pre-training and one of fine-tuning, exported."""
    folder = tmp_path_factory.mktemp("bilingual")
    data = write_chinese(
        folder,
        cmrc2018=[chinese(n, title=TRAIN_TITLE if n < 6 else DEV_TITLE) for n in range(8)],
        drcd=[chinese(20 + n, lang="zh-Hant", question=f"{n}號橋何時修建？", answers=["1931年"]) for n in range(3)],
    )
    (folder / "text").mkdir()
    sentence = "黄河是中国的一条大河流，流经九个省区，沿岸修建了许多桥。" * 12
    with lzma.open(folder / "text" / "zh_rivers.jsonl.xz", "wt", encoding="utf-8") as file:
        file.write(json.dumps({"text": sentence}, ensure_ascii=False) + "\n")
    texts = ChineseTextOptions(row_tokens=20)
    pretrain(data, folder / "text", folder, LOOP, texts)
    finetune(data, folder, LOOP)
    export_bilingual(folder, folder / "reader")
    return folder


def test_training_leaves_english_words_as_they_were_and_changes_new_ones(run: Path) -> None:
    model, config = trained_bilingual(run)
    english = load_reader(dtype=torch.float32)
    words = model.encoder.embeddings.word.weight
    assert words.shape[0] == config.encoder.vocab_size > 30522
    assert torch.equal(words[:30522], english._model.encoder.embeddings.word.weight)
    pretrained = torch.load(run / "masked-language" / "checkpoint.pt", weights_only=True)["model"]
    assert not torch.equal(pretrained["encoder.embeddings.word.weight"][30522:], words[30522:])
    kinds = [json.loads(line) for line in (run / "reading" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {"cmrc2018_f1", "cmrc2018_em", "cmrc2018_f1_extractive"} <= set(kinds[-1])


def test_the_exported_reader_loads_and_cites_exact_characters(run: Path) -> None:
    reader = load_reader(run / "reader", dtype=torch.float32)
    assert reader.name == MODEL_NAME
    asked = prompt("誰修建了黃河上的橋？", "黄河上的桥，由Gary于1931年修建。", "電腦。𠀀龘 是罕見字。")
    for options in (GenerationOptions(), replace(GenerationOptions(), max_tokens=3)):
        generated = reader.generate(asked, options)
        assert generated.model == MODEL_NAME
        said = [asked.passages[s.passage].text[s.char_start : s.char_end] for s in generated.spans]
        assert generated.text == ", ".join(said)
        assert all(said)
    manifest = read_manifest(run / "reader")
    assert manifest.settings["show_matches"] is True
    assert manifest.config.encoder.type_vocab_size == 4


def test_bfloat16_export_answers_as_the_trained_reader_reads(run: Path) -> None:
    trained, _ = trained_bilingual(run)
    loaded = load_reader(run / "reader", dtype=torch.float32)._model
    assert torch.equal(
        loaded.encoder.embeddings.word.weight[30522:],
        trained.encoder.embeddings.word.weight[30522:].to(torch.bfloat16).float(),
    )
    assert torch.equal(
        loaded.encoder.embeddings.token_type.weight,
        trained.encoder.embeddings.token_type.weight.to(torch.bfloat16).float(),
    )


def test_damage_is_seen_at_load(run: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "damaged"
    shutil.copytree(run / "reader", folder)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace("黄河", "河黄"), encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"tokenizer\.json"):
        load_reader(folder)


def test_rank_weights_are_those_that_put_the_right_candidates_first() -> None:
    right = Option(f1=1.0, logprob=-3.0, start=-0.5, end=-0.5, length=1.0)
    wrong = Option(f1=0.0, logprob=-1.0, start=-4.0, end=-4.0, length=0.0)
    grid = (RankWeights(), RankWeights(start=0.1), RankWeights(start=0.5, end=0.5), RankWeights(start=1.0))
    assert best_weights([[wrong, right]], grid) == RankWeights(start=0.5, end=0.5)
    assert mean_f1([[wrong, right], []], RankWeights()) == 0.0
    assert mean_f1([[wrong, right], []], RankWeights(end=1.0)) == 0.5
