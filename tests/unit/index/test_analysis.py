"""The analyser: what becomes a term, where it stood, where sentences end, which language a text is in."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.index.analysis import STOP_WORDS, analyze, analyze_spans, detect_language, sentence_spans
from app.index.unsegmented import fold_han


def test_english_is_stemmed_and_stop_words_go() -> None:
    assert analyze("The companies were running quickly") == ["compani", "run", "quick"]
    assert analyze("company's CATS") == ["compani", "cat"]
    assert analyze("don't you'll it is") == []
    assert {"the", "and", "don't", "的"} <= STOP_WORDS


def test_a_name_in_capitals_is_no_stop_word() -> None:
    assert analyze("What does the WHO say to IT staff") == ["who", "say", "it", "staff"]
    assert "who" not in analyze("who said so")


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("RFC-9457", ["rfc-9457", "rfc", "9457"]),
        ("10-Q", ["10-q", "10", "q"]),
        ("v1.2.3", ["v1.2.3", "1.2.3", "v1", "1", "2", "3"]),
        ("1.2.3", ["1.2.3"]),
        ("A320neo", ["a320neo", "320", "neo"]),
        ("1,452.4", ["1452.4"]),
        ("1452.4", ["1452.4"]),
        ("12,345,678 dollars", ["12345678", "dollar"]),
        ("2,023,4", ["2023", "4"]),
        ("COVID‑19", ["covid-19", "covid", "19"]),
        ("snake_case.py", ["snake_case.py", "snake", "case", "py"]),
        ("AT&T", ["at&t"]),
        ("C++ and C#", ["c++", "c#"]),
        ("U.S.A. e.g. U.K.", ["usa", "uk"]),
        ("state-of-the-art", ["state", "art"]),
        ("O’Brien", ["o", "brien"]),
        ("2021-10-20", ["2021-10-20", "2021", "10", "20"]),
    ],
)
def test_codes_and_numbers_stay_exact(text: str, terms: list[str]) -> None:
    assert analyze(text) == terms


def test_compatibility_forms_accents_and_soft_hyphens_fold() -> None:
    assert analyze("ＡＢＣ") == analyze("abc")
    assert analyze("ﬁnancial") == analyze("financial")
    assert analyze("Cafe\u0301 naïve") == analyze("CAFÉ naive") == ["cafe", "naiv"]
    assert analyze("inter\u00adnational") == analyze("international")


def test_chinese_words_in_search_mode_and_traditional_folds_to_simplified() -> None:
    assert analyze("北京大学的学生") == ["北京", "北京大学", "大学", "学生"]
    assert analyze("北京大學的學生") == analyze("北京大学的学生")
    assert set(analyze("清華大學")) == set(analyze("清华大学"))


def test_folding_han_never_changes_the_length() -> None:
    text = "乾隆皇帝與頭髮發財臺灣後來\uf900麵包"
    assert len(fold_han(text)) == len(text)


def test_an_unknown_chinese_name_is_found_wherever_it_stands() -> None:
    alone = set(analyze("周鸿祎"))
    inside = set(analyze("昨天我是在北京看见周鸿祎的"))
    assert alone <= inside


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("カナダ", ["カナ", "ナダ"]),
        ("ｶﾅﾀﾞ", ["カナ", "ナダ"]),
        ("ไทย", ["ไท", "ทย"]),
        ("한국어", ["한국어", "한국", "국어"]),
        ("\u1112\u1161\u11ab", ["한"]),
        ("食べる", ["食", "べる"]),
    ],
)
def test_scripts_without_spaces_give_bigrams(text: str, terms: list[str]) -> None:
    assert analyze(text) == terms


def test_other_alphabets_use_their_own_stemmer() -> None:
    assert analyze("книги") == analyze("книга")
    assert analyze("हिन्दी") != []


def test_spans_point_into_the_original_text() -> None:
    text = "Ｎet sales of 1,452.4 ﬁnance RFC-9457 北京大學"
    spans = analyze_spans(text)
    assert [term for term, _, _ in spans] == analyze(text)
    found = {term: text[a:b] for term, a, b in spans}
    assert found["1452.4"] == "1,452.4"
    assert found["financ"] == "ﬁnance"
    assert found["9457"] == "9457"
    assert found["北京大学"] == "北京大學"


# the characters that break tokenizers: scripts, joiners, marks, connectors, surrogate-free astral planes
_NASTY = st.text(
    st.sampled_from("aZ9 .,-_'’@&/:+#\u00ad\u200d\u0301ßİﬁ²½①北學々ｶﾞかタ한\u1112\u1161ไิ\U0002000b\U0001f600\u0e33\n\t"),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=60), _NASTY))
def test_any_text_gives_clean_terms_with_spans_inside_it(text: str) -> None:
    spans = analyze_spans(text)
    assert [term for term, _, _ in spans] == analyze(text)
    for term, start, end in spans:
        assert term
        assert not any(c.isspace() for c in term)
        assert 0 <= start < end <= len(text)
    assert [a for _, a, _ in spans] == sorted(a for _, a, _ in spans)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["risks", "北京大学", "RFC-9457", "カナダ", "the", "1,000", "한국어"]), max_size=8))
def test_a_query_is_cut_like_the_document_that_holds_it(words: list[str]) -> None:
    query, document = " ".join(words), "Preface. " + " ".join(words) + " and the end"
    assert set(analyze(query)) <= set(analyze(document))


def test_a_huge_run_does_not_take_forever_and_terms_are_bounded() -> None:
    terms = analyze("a" * 100_000 + " " + "x1" * 50_000 + " " + "-".join(["a1"] * 5_000))
    assert terms
    assert max(map(len, terms)) <= 128


def test_jieba_prints_nothing_and_leaves_no_cache(tmp_path: object) -> None:
    code = (
        "import os, tempfile; from app.index.analysis import analyze; import sys; "
        "assert 'jieba' not in sys.modules; assert analyze('北京大学'); "
        "assert not os.listdir(tempfile.gettempdir()), os.listdir(tempfile.gettempdir())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- sentences ---------------------------------------------------------------------------------------------------


def sentences(text: str) -> list[str]:
    return [text[a:b] for a, b in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Dr. Smith met J. R. R. Tolkien. They talked.", ["Dr. Smith met J. R. R. Tolkien.", "They talked."]),
        ("Sales rose 3.5 percent. See Fig. 3 and No. 5.", ["Sales rose 3.5 percent.", "See Fig. 3 and No. 5."]),
        ("He said no. Then he left.", ["He said no.", "Then he left."]),
        ("Use tools, e.g. Hammers, i.e. Iron ones.", ["Use tools, e.g. Hammers, i.e. Iron ones."]),
        ("It left the U.S. The end came.", ["It left the U.S.", "The end came."]),
        ("The U.S. Senate met.", ["The U.S. Senate met."]),
        ("Apple Inc. reported. Good.", ["Apple Inc. reported.", "Good."]),
        ("“Stop!” he said. “Go.” She went.", ["“Stop!” he said.", "“Go.”", "She went."]),
        ("It was found.[12] Next one.", ["It was found.[12]", "Next one."]),
        ("Wait... what is it? Fine.", ["Wait... what is it?", "Fine."]),
        ("你好。“走吧！”他说……好；行", ["你好。", "“走吧！”", "他说……", "好；", "行"]),
        ("版本 1.2 好。下一句", ["版本 1.2 好。", "下一句"]),
        ("Title\n\nBody goes on", ["Title", "Body goes on"]),
        ("List:\n- one\n- two\n1. First\n2. Second", ["List:", "- one", "- two", "1. First", "2. Second"]),
        ("a\tb\nc\td", ["a\tb", "c\td"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_a_wrapped_line_goes_on_and_a_heading_does_not() -> None:
    text = "Results\nThe quick brown fox jumps over the lazy dog near the\nRiver bank and then it sleeps."
    assert sentences(text) == [
        "Results",
        "The quick brown fox jumps over the lazy dog near the\nRiver bank and then it sleeps.",
    ]


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("aB1 .!?。！”\"'\n\r\t)-…[]i.e;；北"), max_size=80))
def test_sentences_lose_nothing(text: str) -> None:
    spans = sentence_spans(text)
    inside = "".join(text[a:b] for a, b in spans)
    assert "".join(inside.split()) == "".join(text.split())
    assert all(text[a:b] == text[a:b].strip() != "" for a, b in spans)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


# --- languages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The cat sat on the mat and slept", "en"),
        ("GPU memory", "en"),
        ("你好，世界 Hello", "zh"),
        ("これは日本語の文章です", "ja"),
        ("한국어 문장입니다", "ko"),
        ("Это русский текст", "ru"),
        ("ภาษาไทย", "th"),
        ("123 !!", "und"),
        ("", "und"),
    ],
)
def test_language_by_script(text: str, language: str) -> None:
    assert detect_language(text) == language


def test_latin_languages_are_told_apart_when_asked() -> None:
    french = "Le chat est assis sur la table et il mange une pomme avec ses amis"
    assert detect_language(french) == "en"
    assert detect_language(french, identify_latin=True) == "fr"
    assert detect_language("The cat sat on the mat and it slept", identify_latin=True) == "en"
