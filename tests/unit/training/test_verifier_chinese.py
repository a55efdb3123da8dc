"""The Chinese verifier's lessons by hand: changed questions in both scripts, twins, what agrees, parts of passages."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from app.generation.reader import bilingual_folder, has_bilingual, load_reader
from app.index.unsegmented import fold_han
from app.training.behaviours.loading import load_behaviours
from app.training.loop import LoopOptions
from app.training.reading_sets import CROSS_LINGUAL_SET, ReadingQuestion
from app.training.verifier.agreement import agrees, apart
from app.training.verifier.command import export_verifier, main, train_verifier
from app.training.verifier.courses import COURSES
from app.training.verifier.examples import (
    GroupBuilder,
    Judged,
    Mixture,
    VerifierSource,
    behaviour_groups,
    rights,
    wrongs,
)
from app.training.verifier.exclusive_words_zh import EXCLUSIVE_ZH, NEGATED_ZH, OPPOSITES_ZH
from app.training.verifier.mining import FoundSpan, Mined, MiningShares, mine
from app.training.verifier.perturb_zh import asked_kind, content_words, is_chinese, names_of, perturbed_zh
from app.training.verifier.relations import families, twin
from app.training.verifier.windows import shortened, window
from app.transformer.pointer_rows import SpecialIds
from app.transformer.verifier import MarkIds, marked_row
from app.transformer.verifier_checkpoints import read_verifier_manifest

TEXT = "石桥磨坊由林若川创立。1931年，高启明把它卖给了沈嘉禾。"
needs_bilingual = pytest.mark.skipif(not has_bilingual(), reason="the bilingual weights are not installed")


def changes(question: str, text: str = "", draws: int = 80, **given: list[str]) -> set[str]:
    return {
        changed
        for seed in range(draws)
        if (changed := perturbed_zh(question, text, random.Random(seed), **given)) is not None
    }


def mined(question: str, answers: tuple[str, ...], *found: str, own: bool = True) -> Mined:
    def spans(texts: tuple[str, ...]) -> tuple[FoundSpan, ...]:
        return tuple(FoundSpan(TEXT.index(t), TEXT.index(t) + len(t), 9.0 - n) for n, t in enumerate(texts))

    gold = spans(answers) if own else ()
    return Mined(question, "cmrc2018", "train", "磨坊", question, TEXT, answers, own, gold, spans(found))


def said(judged: Judged) -> tuple[str, str, bool]:
    return judged.question, judged.text[judged.start : judged.end], judged.right


@pytest.mark.parametrize(
    ("question", "start", "end", "expected"),
    [
        ("磨坊的创始人是谁？", "磨坊的", "是谁？", "总经理"),
        ("磨坊的創始人是誰？", "磨坊的", "是誰？", "總經理"),
        ("哪座山是最高的？", "哪座山是", "的？", "最低"),
        ("哪一座山是最長的？", "哪一座山是", "的？", "最短"),
    ],
)
def test_relations_and_opposites_change_in_the_script_of_the_question(
    question: str, start: str, end: str, expected: str
) -> None:
    made = changes(question)
    assert f"{start}{expected}{end}" in made
    # a negation may come instead, where there is a verb to negate
    assert all(one.startswith(start) or "不是" in one for one in made)
    assert all(one.endswith(end) or "不是" in one for one in made)


def test_years_and_counts_become_other_ones() -> None:
    years = changes("1931年磨坊怎么了？")
    assert years
    for changed in years:
        assert changed.endswith("年磨坊怎么了？")
        assert changed[:4].isdigit()
        assert abs(int(changed[:4]) - 1931) <= 50
    assert {"第三座桥叫什么？", "第七座桥叫什么？"} <= changes("第二座桥叫什么？")
    assert not any("哪" not in changed for changed in changes("磨坊在哪一年卖掉？", TEXT))  # 哪一年 is no count


def test_names_give_way_to_names_of_their_kind_and_may_change_places() -> None:
    made = changes("上海在哪一年开始供水？", "北京在1910年、上海在1883年开始供水。", draws=200)
    assert "北京在哪一年开始供水？" in made
    assert names_of("《红楼梦》的作者住在北京，用的是Remington打字机。") == ["红楼梦", "北京", "Remington"]
    exchanged = changes("上海比北京早多少年供水？", draws=200)
    assert "北京比上海早多少年供水？" in exchanged
    assert not any(one.startswith("北京和上海") for one in changes("上海和北京何时供水？", draws=200))


def test_a_word_of_the_text_gives_way_to_one_that_it_does_not_have() -> None:
    made = changes("这座城市的机场叫什么？", "这座城市的机场叫白云。", words=["医院", "机场", "城市"], draws=200)
    assert "这座城市的医院叫什么？" in made
    assert content_words("這座島上的機場有多少員工？") == ["机场", "员工"]


@pytest.mark.parametrize(
    "question",
    [
        "石桥磨坊是谁创立的？",
        "石橋磨坊是誰創立的？",
        "1931年谁买下了它？",
        "哪个城市是最大的？",
        "磨坊属于谁？",
        "為什麼高啟明把它賣掉？",
        "第一次世界大战什么时候结束？",
        "《盐路》的作者是谁",
        "？",
        "",
        "Who founded the mill?",
    ],
)
def test_a_changed_question_is_never_the_question_itself(question: str) -> None:
    made = changes(question, TEXT, names=["林若川", "北京", "鹽路"], words=["作者", "磨坊", "城市"], draws=150)
    assert question not in made
    assert fold_han(question) not in {fold_han(changed) for changed in made}
    assert all(changed.strip() for changed in made)


def test_questions_are_told_apart_by_what_they_ask_for() -> None:
    asked = {
        "磨坊是哪一年建的？": "when",
        "磨坊建於何時？": "when",
        "磨坊有多少名員工？": "many",
        "誰建了磨坊？": "who",
        "磨坊在哪裡？": "where",
        "磨坊为什么关闭？": "why",
        "磨坊被称为什么？": "what",
        "怎样修磨坊？": "how",
        "磨坊卖什么？": "what",
    }
    assert {question: asked_kind(question) for question in asked} == asked
    assert is_chinese("Who wrote 红楼梦?")
    assert not is_chinese("Who wrote it？")


def test_words_that_exclude_one_another_are_never_their_own_opposite() -> None:
    for word, groups in EXCLUSIVE_ZH.items():
        assert groups
        for group in groups:
            assert group
            assert word not in group
    assert all(word != opposite for word, opposite in OPPOSITES_ZH.items())
    assert all(OPPOSITES_ZH[OPPOSITES_ZH[word]] for word in OPPOSITES_ZH)
    assert all(verb[-2:] in negated and verb != negated for verb, negated in NEGATED_ZH.items() if verb != "能够")


def test_made_up_twins_mark_the_answer_of_the_question_asked() -> None:
    known, words = families("zh")
    assert len(known) == 13
    for family in known:
        assert len(family.relations) >= 3
        for statements, questions in family.relations:
            assert all(statement.count("{x}") == 1 and "{y}" in statement for statement in statements)
            assert all("{x}" not in question and "{y}" in question for question in questions)
            if any("{year}" in question for question in questions):  # else the text would not carry the answer
                assert all("{year}" in statement for statement in statements)
    years = 0
    for seed in range(400):
        made = twin(random.Random(seed), "zh")
        assert made.text[made.start : made.end] in {answer for family in known for answer in family.answers}
        assert made.asked != made.unanswered
        assert not set("{}\0") & set(made.text + made.asked + made.unanswered)
        assert made.text.endswith("。")
        asked, unanswered = (set(filter(str.isdigit, text)) for text in (made.asked, made.unanswered))
        years += bool(asked) and bool(unanswered) and asked != unanswered
    assert years > 0
    assert all(len(set(members)) == len(members) for members in words.values())


@pytest.mark.parametrize(
    ("guess", "answers", "agreeing", "distinct"),
    [
        ("1998年", ["1998年5月"], True, False),
        ("1998", ["1998年"], True, False),
        ("2003年", ["1998年"], False, True),
        ("千年", ["1998年"], False, False),
        ("北京大学", ["中国大学"], False, False),
        ("林若川", ["高启明"], False, True),
        ("桥", ["石桥磨坊的主人"], False, False),
        ("石桥磨坊的主人林若川", ["林若川"], False, False),
        ("林若川", [], False, True),
        ("Ida Brandt", ["Brandt"], True, False),
        ("Ida", ["Clara Moss"], False, True),
    ],
)
def test_a_guess_agrees_is_apart_or_neither(guess: str, answers: list[str], agreeing: bool, distinct: bool) -> None:
    assert (agrees(guess, answers), apart(guess, answers)) == (agreeing, distinct)


def test_groups_hold_a_right_answer_a_mistake_and_a_question_that_it_does_not_answer() -> None:
    asked = [
        mined("谁创立了磨坊？", ("林若川",), "林若川", "高启明"),
        mined("磨坊是哪一年卖掉的？", ("1931年",), "1931年", "沈嘉禾"),
        mined("谁卖掉了磨坊？", ("高启明",), "沈嘉禾"),
    ]
    assert [said(j)[1] for j in rights(asked[0])] == ["林若川"]
    assert [said(j)[1] for j in wrongs(asked[0])] == ["高启明"]
    mixture = Mixture(
        perturbed_share=1.0,
        other_question_share=1.0,
        twins=2,
        parallel=0,
        language="zh",
        behaviour_languages=("zh", "zh-Hant"),
    )
    groups = GroupBuilder(VerifierSource(asked, mixture=mixture)).one_pass(random.Random(0))
    told = {tuple(sorted(map(said, group))) for group in groups}
    assert len(told) == 5
    # of the questions about the same text the one that asks for the same kind of thing tempts most
    assert (
        ("谁创立了磨坊？", "林若川", True),
        ("谁创立了磨坊？", "高启明", False),
        ("谁卖掉了磨坊？", "林若川", False),
    ) in told
    twins = [group for group in groups if group[0].text != TEXT]
    assert all(is_chinese(judged.question) for group in twins for judged in group)
    blank = mined("", ("林若川",), "高启明")
    assert GroupBuilder(VerifierSource([blank, asked[0]], mixture=mixture)).one_pass(random.Random(1))


def test_some_scenarios_of_the_training_part_are_scored_and_not_learned_from() -> None:
    course = COURSES["zh"]
    told, scored = course.parted(load_behaviours("train", ("refusal", "sentence")))
    assert {one.lang for one in [*told, *scored]} == {"zh", "zh-Hant"}
    assert {one.kind for one in scored} == {"refusal"}
    assert not {one.scenario for one in scored} & {one.scenario for one in told if one.kind == "refusal"}
    pairs = behaviour_groups(scored, course.mixture.behaviour_languages)
    assert len(pairs) > 5
    assert all([judged.right for judged in pair] == [True, False] for pair in pairs)
    english, none = COURSES["en"].parted(load_behaviours("train", ("refusal", "sentence")))
    assert {one.lang for one in english} == {"en"}
    assert none == []


def test_a_part_of_a_passage_is_whole_sentences_around_the_likeliest_place() -> None:
    filler = "这一句什么也没说。"
    text = filler * 5 + "高启明姓高。" + filler * 5 + "高启明在1931年卖掉了磨坊。" + filler * 5
    for seed in range(10):
        part = window(text, "谁卖掉了磨坊？", ["高启明"], 40, random.Random(seed))
        assert "高启明在1931年卖掉了磨坊。" in part
        assert len(part) <= 40
        assert part in text
        assert part.endswith("。")
    assert window(text, "谁卖掉了磨坊？", ["高启明"], 1, random.Random(0)) == "高启明在1931年卖掉了磨坊。"
    long = ReadingQuestion("a", "cmrc2018", "train", "", "谁卖掉了磨坊？", text, ("高启明", "姓高"))
    short = ReadingQuestion("b", "cmrc2018", "train", "", "谁？", TEXT, ("高启明",))
    unanswerable = ReadingQuestion("c", "cmrc2018", "train", "", "谁？", text, ())
    cut, *same = shortened([long, short, unanswerable], 40)
    assert cut.answers == ("高启明",)
    assert cut.context in text
    assert same == [short, unanswerable]
    assert shortened([long], 40) == [cut]


def test_matches_are_told_by_types_around_the_marks() -> None:
    ids = [11, 12, 13, 14, 15]
    marked = marked_row(SpecialIds(1, 2, 0), MarkIds(3, 4), [12, 13, 15], [9], ids, (1, 3), show_matches=True)
    assert marked.source.ids == [1, 12, 13, 15, 2, 9, 2, 11, 3, 12, 13, 4, 14, 15, 2]
    assert marked.source.passage_types == (1, 1, 3, 3, 1, 1, 2)
    assert marked.source.ids[marked.mark] == 3
    plain = marked_row(SpecialIds(1, 2, 0), MarkIds(3, 4), [12, 13, 15], [9], ids, (1, 3))
    assert plain.source.passage_types == ()
    assert plain.source.ids == marked.source.ids


@needs_bilingual
def test_sets_whose_texts_say_the_same_in_another_language_lend_no_other_text(tmp_path: Path) -> None:
    texts = (TEXT, "The mill was founded by Lin. In 1931 Gao sold it to Shen.", "磨坊在1931年卖给了唐书仪。")
    questions = [
        ReadingQuestion(f"{name}-{number}", name, "train", "", "唐书仪之前磨坊卖给了谁？", text, (answer,))
        for name in (CROSS_LINGUAL_SET, "drcd")
        for number, (text, answer) in enumerate(zip(texts, ("沈嘉禾", "Shen", "唐书仪"), strict=True))
    ]
    shares = MiningShares(draws=(), other_text=1.0, own_text_only=(CROSS_LINGUAL_SET,), sentence_pairs=0)
    found = mine(load_reader(bilingual_folder(), verify=False), questions, tmp_path, tmp_path / "mined.jsonl", shares)
    assert sum(one.own for one in found) == 6
    assert {(one.id, one.text) for one in found if not one.own} == {("drcd-0", texts[2]), ("drcd-1", texts[2])}


@needs_bilingual
def test_a_short_run_exports_a_verifier_that_stands_on_three_blocks(tmp_path: Path) -> None:
    asked = [mined("谁创立了磨坊？", ("林若川",), "林若川", "高启明")]
    course = COURSES["zh"]
    source = VerifierSource(asked, mixture=Mixture(twins=4, parallel=0, language="zh"))
    _, scored = course.parted(load_behaviours("train", ("refusal", "sentence")))
    folder = bilingual_folder()
    loop = LoopOptions(max_steps=1, threads=1)
    checkpoint = train_verifier(asked, source, tmp_path, folder, loop, course=course, scored=scored[:4])
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    (scores,) = [line for line in lines if line["kind"] == "dev"]
    assert 0.0 <= scores["near_misses_auroc"] <= 1.0
    export_verifier(checkpoint, folder, tmp_path / "verifier", course)
    manifest = read_verifier_manifest(tmp_path / "verifier")
    assert (manifest.config.shared_layers, manifest.config.show_matches) == (3, True)
    assert manifest.config.encoder.type_vocab_size == 4
    assert manifest.settings["name"] == course.model_name
    assert (tmp_path / "verifier" / "model.safetensors").stat().st_size < 12_000_000


def test_an_unknown_language_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--data", str(tmp_path), "--out", str(tmp_path), "--language", "fr"])
    assert "invalid choice: 'fr'" in capsys.readouterr().err
