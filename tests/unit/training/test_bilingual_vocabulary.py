"""Words, vocabulary and first vectors of the bilingual reader, over a few sentences."""

from __future__ import annotations

import json

import pytest
import torch
from tokenizers import Tokenizer

from app.training.bilingual.first_vectors import (
    ParallelText,
    cooccurrence_vectors,
    first_vectors,
    model_one,
    ridge,
    translations,
)
from app.training.bilingual.vocabulary import RARE_IDS, BilingualVocabulary, build_vocabulary
from app.training.bilingual.words import longest_matches, possible_tokens, proper_nouns, spellings
from app.training.reader import minilm_folder
from app.transformer.tokenizers import TextTokenizer

TEXT = "电脑在1945年，书和河流。一百本书，電腦。电和水。"


@pytest.fixture(scope="module")
def vocabulary() -> BilingualVocabulary:
    return build_vocabulary(minilm_folder() / "tokenizer.json", possible_tokens(), [(TEXT, 1.0)], min_count=1)


@pytest.fixture(scope="module")
def tokenizer(vocabulary: BilingualVocabulary, tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    path = tmp_path_factory.mktemp("vocabulary") / "tokenizer.json"
    path.write_text(json.dumps(vocabulary.tokenizer, ensure_ascii=False), encoding="utf-8")
    return TextTokenizer(path)


def test_the_longest_words_are_cut_from_the_left() -> None:
    assert longest_matches("电脑书电", {"电脑", "脑书"}) == ["电脑", "书", "电"]
    assert longest_matches("", {"电脑"}) == []


def test_words_are_simplified_and_start_with_no_numeral() -> None:
    possible = possible_tokens()
    assert {"电脑", "河流", "法国大革命"[:2]} <= possible
    assert not {"一百", "第二", "電腦", "水"} & possible
    assert "黄河" in proper_nouns()
    assert "黃河" in proper_nouns()
    assert "河流" not in proper_nouns()


def test_a_word_is_spelled_in_both_scripts() -> None:
    assert {"电脑", "電腦"} <= set(spellings("电脑"))
    assert spellings("水") == ["水"]


def test_words_and_characters_get_ids_and_numerals_no_words(vocabulary: BilingualVocabulary) -> None:
    assert {"电脑", "河流", "书", "电", "百"} <= set(vocabulary.words)
    assert "一百" not in vocabulary.words
    assert vocabulary.first_id == 30522
    assert vocabulary.counts["电脑"] == 2


def test_both_scripts_and_both_positions_share_ids(tokenizer: TextTokenizer) -> None:
    old, new = tokenizer.encode(["電腦書", "电脑书"])
    assert old.ids == new.ids
    assert len(old.ids) == 2
    assert tokenizer.encode(["书电脑"])[0].ids == new.ids[::-1]
    assert tokenizer.encode(["１９４５，"])[0].ids[-1] == tokenizer.encode([","])[0].ids[0]


@pytest.mark.parametrize(
    "text", ["电脑在1945年，書。", "Gary在《河流》里", "龘龘和A龘 𠀀 café电脑", "第一百零一 河流river", "ＧＰＵ１２％"]
)
def test_offsets_are_those_of_the_text_and_nothing_is_lost(tokenizer: TextTokenizer, text: str) -> None:
    tokens = tokenizer.encode([text])[0]
    covered = {place for start, end in tokens.offsets for place in range(start, end)}
    assert covered == {place for place, character in enumerate(text) if not character.isspace()}
    assert all(a[1] <= b[0] for a, b in zip(tokens.offsets, tokens.offsets[1:], strict=False))


def test_rare_characters_are_told_apart_and_are_not_unknown(
    tokenizer: TextTokenizer, vocabulary: BilingualVocabulary
) -> None:
    rare = tokenizer.encode(["龘鑫龘"])[0].ids
    assert rare[0] == rare[2] != rare[1]
    assert all(vocabulary.size - RARE_IDS <= i < vocabulary.size for i in rare)


def test_english_is_spelled_as_before(tokenizer: TextTokenizer) -> None:
    base = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
    base.no_padding()
    text = "The committee's unbelievable 1,250.5 report (2021)"
    assert tokenizer.encode([text])[0].ids == base.encode(text, add_special_tokens=False).ids


def test_vocabulary_has_one_token_for_every_id(tokenizer: TextTokenizer, vocabulary: BilingualVocabulary) -> None:
    tokens = tokenizer.vocabulary()
    assert len(tokens) == vocabulary.size
    shared = tokens[tokenizer.token_id("电脑")]
    assert tokenizer.token_id(shared) == tokenizer.token_id("电脑")
    assert tokenizer.token_id("電腦") == tokenizer.token_id("##电脑")


def test_model_one_finds_who_translates_whom() -> None:
    # 1 = das, 2 = Haus, 3 = Buch, 4 = ein; 11 = the, 12 = house, 13 = book, 14 = a: the textbook's three sentences.
    found = model_one([[1, 2], [1, 3], [4, 3]], [[11, 12], [11, 13], [14, 13]], 20)
    assert max(found[1], key=lambda t: found[1][t]) == 11
    assert max(found[2], key=lambda t: found[2][t]) == 12
    assert max(found[3], key=lambda t: found[3][t]) == 13
    assert max(found[4], key=lambda t: found[4][t]) == 14
    assert sum(found[3].values()) == pytest.approx(1)


def test_tokens_used_alike_lie_near_each_other_and_unused_ones_nowhere() -> None:
    rows = [[1, animal, 2, 3] for animal in (10, 11)] * 20 + [[4, tool, 5, 6] for tool in (20, 21)] * 20
    vectors = cooccurrence_vectors(rows, 30, 4)
    assert float(vectors[10] @ vectors[11]) > 0.9
    assert float(vectors[10] @ vectors[20]) < 0.5
    assert float(vectors[25].abs().sum()) == 0


def test_ridge_without_penalty_is_least_squares() -> None:
    torch.manual_seed(0)
    x, w = torch.randn(40, 5), torch.randn(5, 3)
    torch.testing.assert_close(ridge(x, x @ w, 1e-6), w, atol=1e-4, rtol=1e-4)


def test_a_word_starts_near_its_translation(vocabulary: BilingualVocabulary, tokenizer: TextTokenizer) -> None:
    table = torch.randn(vocabulary.first_id, 48, generator=torch.Generator().manual_seed(3))
    parallel = ParallelText(
        ["computer", "the computer", "river", "a river", "computer river", "book", "book river"],
        ["电脑", "在电脑", "河流", "和河流", "电脑河流", "书", "书河流"],
    )
    lexicon = translations(tokenizer, parallel, vocabulary.first_id)
    for word, meaning in (("电脑", "computer"), ("河流", "river"), ("书", "book")):
        options = lexicon[tokenizer.token_id(word)]
        assert max(options, key=lambda e: options[e]) == tokenizer.token_id(meaning)
    rows = first_vectors(vocabulary, tokenizer, [TEXT, TEXT], parallel, table, dims=8)
    assert rows.shape == (len(vocabulary.words) + RARE_IDS, 48)
    assert bool(rows.isfinite().all())
    for word, meaning in (("电脑", "computer"), ("河流", "river"), ("书", "book")):
        nearness = torch.cosine_similarity(rows[vocabulary.words.index(word)].unsqueeze(0), table[1996:])
        assert int(nearness.argmax()) + 1996 == tokenizer.token_id(meaning)
    assert torch.equal(rows, first_vectors(vocabulary, tokenizer, [TEXT, TEXT], parallel, table, dims=8))
