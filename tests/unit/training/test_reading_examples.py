"""Examples point at the answers, windows keep them, batches stay in bounds, distractors do not answer."""

from __future__ import annotations

import random

import pytest

from app.training.distractors import find_distractors
from app.training.reader import minilm_folder, special_ids
from app.training.reading_examples import ExampleBuilder, MixtureOptions, ReadingExample, batches, occurrences, thinned
from app.training.reading_sets import ReadingQuestion
from app.transformer.pointer_rows import SpecialIds, build_row
from app.transformer.tokenizers import TextTokenizer


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer(minilm_folder() / "tokenizer.json")


def question(number: int, context: str, *answers: str, parts: bool = False, text: str = "Who?") -> ReadingQuestion:
    return ReadingQuestion(f"q{number}", "nq_oracle", "train", "Bridges", text, context, answers, parts)


def copied(example: ReadingExample, tokenizer: TextTokenizer) -> list[str]:
    return [tokenizer.decode([example.rows[r].ids[c] for r, c in span]) for span in example.candidates]


def test_every_whole_occurrence_of_every_answer_is_a_candidate(tokenizer: TextTokenizer) -> None:
    q = question(1, "In 1924, 24 boats and 24 men came.", "24", "24 men")
    builder = ExampleBuilder([q], tokenizer, special_ids(tokenizer), MixtureOptions())
    example = builder.build(q, [q.context], random.Random(0))
    assert example is not None
    assert copied(example, tokenizer) == ["24", "24", "24 men"]


def test_parts_of_a_list_are_one_candidate_in_reading_order(tokenizer: TextTokenizer) -> None:
    q = question(1, "Sales rose in 2019, fell in 2018, and rose in 2017.", "2017", "2019", parts=True)
    builder = ExampleBuilder([q], tokenizer, special_ids(tokenizer), MixtureOptions())
    example = builder.build(q, [q.context], random.Random(0))
    assert example is not None
    assert copied(example, tokenizer) == ["2019 2017"]


def test_a_long_passage_is_cut_to_a_window_with_the_answer(tokenizer: TextTokenizer) -> None:
    q = question(1, "word " * 300 + "Ada Lovelace " + "word " * 300, "Ada Lovelace")
    options = MixtureOptions(max_tokens=64)
    builder = ExampleBuilder([q], tokenizer, special_ids(tokenizer), options)
    for seed in range(10):
        example = builder.build(q, [q.context], random.Random(seed))
        assert example is not None
        assert len(example.rows[0].ids) <= 64
        assert copied(example, tokenizer) == ["ada lovelace"]


def test_goldless_examples_have_no_candidates_and_too_long_answers_no_example(tokenizer: TextTokenizer) -> None:
    q = question(1, "Ada built the bridge.", "Ada")
    long = question(2, "one two three four five", "one two three four five")
    builder = ExampleBuilder([q, long], tokenizer, special_ids(tokenizer), MixtureOptions(max_answer_tokens=4))
    goldless = builder.build(q, ["Nothing here.", "Nor here."], random.Random(0), answers=())
    assert goldless is not None
    assert len(goldless.rows) == 2
    assert goldless.candidates == ()
    assert builder.build(long, [long.context], random.Random(0)) is None


def test_one_pass_is_the_same_for_the_same_seed(tokenizer: TextTokenizer) -> None:
    rivers = ["Po", "Rhine", "Elbe", "Oder", "Ebro", "Tiber"]
    texts = [f"A bridge over the {river} was built by Ada{n}." for n, river in enumerate(rivers * 4)]
    questions = [question(n, text, f"Ada{n}", text=text[9:-9]) for n, text in enumerate(texts)]
    builder = ExampleBuilder(questions, tokenizer, special_ids(tokenizer), MixtureOptions(group_share=0.5))
    assert builder.one_pass(random.Random(3)) == builder.one_pass(random.Random(3))
    sizes = {len(example.rows) for example in builder.one_pass(random.Random(3))}
    assert sizes <= {1, 2, 3}
    assert len(sizes) > 1


def test_occurrences_prefer_whole_words_and_fall_back(tokenizer: TextTokenizer) -> None:
    text = "unhappy happy"
    tokens = tokenizer.encode([text])[0]
    assert [text[tokens.offsets[s[0]][0] : tokens.offsets[s[-1]][1]] for s in occurrences(text, tokens, "happy")] == [
        "happy"
    ]
    inside = tokenizer.encode(["unhappy"])[0]
    assert len(occurrences("unhappy", inside, "happy")) == 1


def test_batches_hold_equal_rows_within_the_token_budget() -> None:
    special = SpecialIds(101, 102, 0)
    rng = random.Random(0)
    examples = []
    for _ in range(60):
        row = build_row(special, [7], [], list(range(rng.randint(1, 40))), (0, rng.randint(1, 40)))
        examples.append(ReadingExample((row,) * rng.choice([1, 2]), ()))
    made = batches(examples, 200, random.Random(1))
    assert sorted(map(id, (e for batch in made for e in batch))) == sorted(map(id, examples))
    for batch in made:
        assert len({len(example.rows) for example in batch}) == 1
        assert len(batch) * max(example.padded_tokens for example in batch) <= 200


def test_distractors_overlap_but_do_not_answer(tokenizer: TextTokenizer) -> None:
    near = question(1, "Ada built the stone bridge in Oslo.", "Ada", text="Who built the stone bridge?")
    other = question(2, "The stone bridge in Bergen fell down.", "Bergen")
    holds = question(3, "The stone bridge was painted by ADA.", "ADA")
    far = question(4, "Rye bread needs water.", "water")
    members = [near, other, holds, far, *(question(n, f"Filler {n} the in was.", "Filler") for n in range(5, 25))]
    found = find_distractors(members, lambda text: tokenizer.encode([text])[0].ids)
    assert found["q1"] == [other.context]


STORY = "The bridge is old. Ada built it. It has two arches. People like it. Ada was paid for it."


def test_a_thinned_passage_loses_only_sentences_without_an_answer_and_keeps_its_order() -> None:
    q = question(1, STORY, "Ada")
    seen = {thinned(q, random.Random(seed)).context for seed in range(40)}
    assert len(seen) > 3
    sentences = [one + "." for one in STORY.rstrip(".").split(". ")]
    for context in seen:
        kept = [one for one in sentences if one in context]
        assert context == " ".join(kept)
        assert {"Ada built it.", "Ada was paid for it."} <= set(kept)


@pytest.mark.parametrize(
    "q",
    [question(1, STORY), question(2, STORY, "Ada", "two arches", parts=True)],
    ids=["unanswerable", "list"],
)
def test_a_passage_stays_whole_where_thinning_could_change_the_answer(q: ReadingQuestion) -> None:
    assert all(thinned(q, random.Random(seed)) == q for seed in range(20))


def test_an_answer_over_the_end_of_a_sentence_is_never_torn() -> None:
    q = question(1, STORY, "old. Ada")
    seen = {thinned(q, random.Random(seed)).context for seed in range(40)}
    assert len(seen) > 1
    assert all("old. Ada" in context for context in seen)


def test_thinned_examples_still_point_at_the_answer(tokenizer: TextTokenizer) -> None:
    q = question(1, STORY, "Ada")
    options = MixtureOptions(group_share=0.0, negative_share=0.0, thinned_share=1.0)
    builder = ExampleBuilder([q], tokenizer, special_ids(tokenizer), options)
    examples = [builder.mixed(q, random.Random(seed)) for seed in range(20)]
    assert all(example is not None and copied(example, tokenizer) == ["ada", "ada"] for example in examples)
    assert len({len(example.rows[0].ids) for example in examples if example is not None}) > 2
