"""What the index of values leaves to compare finds what comparing everything finds."""

import random

import pytest

from app.query.construction.fields import Field, FieldSchema
from app.query.construction.value_index import ValueIndex
from app.query.construction.values import find_values, words_of

FIRST = ["Anna", "Bruno", "Clara", "Dmitri", "Elena", "Farid", "Gunnar", "Hinton", "Isabelle", "Joachim", "Katharina"]
LAST = ["Lovelace", "Babbage", "Hopper", "Turing", "Neumann", "Johansson", "Fitzgerald", "Kowalski", "Oppenheimer"]
NOUNS = ["battery", "batteries", "colour", "color", "organisation", "organization", "laptop", "laptops", "glass", "box"]
CHINESE = ["北京", "上海市", "浦东新区", "华为技术", "笔记本电脑"]


def slip(word, rng):
    """The word with one letter left out, doubled, or changed with its neighbour."""
    if len(word) < 4:
        return word
    at = rng.randrange(1, len(word) - 1)
    before, after = word[:at], word[at + 1 :]
    return rng.choice([before + after, before + word[at] + word[at:], before + after[:1] + word[at] + after[1:]])


def made(rng):
    """Columns of values, and a question that names some of them, more or less well."""
    columns = []
    for _ in range(rng.randint(1, 5)):
        pool = [f"{rng.choice(FIRST)} {rng.choice(LAST)}" for _ in range(rng.randint(0, 8))]
        pool += rng.sample(NOUNS, rng.randint(0, 6)) + rng.sample(CHINESE, rng.randint(0, 3))
        pool += [str(rng.randrange(100)), f"AB-{rng.randrange(1000)}"]
        columns.append(tuple(dict.fromkeys(pool)))
    said = []
    for _ in range(rng.randint(1, 6)):
        value = rng.choice(rng.choice(columns))
        parts = value.split()
        slipped = " ".join(slip(part, rng) for part in parts)
        said.append(rng.choice([value, value.lower(), value.upper(), parts[-1], slipped, f"{value}s"]))
    return columns, rng.choice(["which of {} ?", "show {} please", "谁是{}的"]).format(" and ".join(said))


@pytest.mark.parametrize("seed", range(300))
def test_the_same_values_are_found_as_without_the_index(seed):
    columns, question = made(random.Random(seed))
    everything = FieldSchema(tuple(Field(str(n), "text", values=values) for n, values in enumerate(columns)))
    left = ValueIndex(tuple(columns)).candidates(words_of(question))
    pruned = FieldSchema(tuple(Field(str(n), "text", values=values) for n, values in left.items()))
    assert find_values(question, pruned) == find_values(question, everything)


def test_most_values_are_never_compared():
    columns = tuple(tuple(f"Item{column} {number}x" for number in range(500)) for column in range(20))
    index = ValueIndex((*columns, ("Lovelace",)))
    assert index.candidates(words_of("what did Lovelce write")) == {20: ("Lovelace",)}
    assert index.candidates(words_of("nothing of that kind")) == {}


def test_no_values_at_all():
    assert ValueIndex(()).candidates(words_of("a question")) == {}
    assert ValueIndex(((), ("", "  ", "?!"))).candidates(words_of("? ")) == {}


def test_more_columns_than_a_question_can_weigh_keep_the_one_that_is_said_whole():
    columns = (*((f"Berlin Depot {number}",) for number in range(400)), ("Berlin",))
    left = ValueIndex(columns).candidates(words_of("how many are in Berlin"))
    assert len(left) == 256
    assert left[400] == ("Berlin",)
