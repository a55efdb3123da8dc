from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidInput
from app.transformer.decoding.params import GrammarSpec, SamplingParams


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", 3.5),
        ("max_tokens", True),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", "warm"),
        ("top_k", -1),
        ("top_k", 2.0),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("repetition_penalty", 0.0),
        ("presence_penalty", 2.5),
        ("frequency_penalty", -3),
        ("seed", 1.5),
        ("seed", True),
        ("stop", ("",)),
        ("stop", tuple("abcdefghijklmnopq")),
        ("stop_token_ids", (-1,)),
        ("stop_token_ids", ("a",)),
        ("min_tokens", 11),
        ("min_length", -1),
        ("no_repeat_ngram_size", 1.5),
        ("encoder_no_repeat_ngram_size", -2),
        ("bad_words_ids", ((),)),
        ("bad_words_ids", (3,)),
        ("suppress_tokens", (-1,)),
        ("logprobs", 21),
        ("logprobs_of", "both"),
        ("num_beams", 0),
        ("num_beams", 65),
        ("length_penalty", float("nan")),
        ("early_stopping", "always"),
    ],
)
def test_a_bad_value_is_named_with_its_constraint(name: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        SamplingParams(**{"max_tokens": 10, name: value})
    assert name in caught.value.message
    assert "must be" in caught.value.message


@pytest.mark.parametrize("other", [{"stop": ("a",)}, {"grammar": GrammarSpec.regex("a")}, {"logprobs": 2}])
def test_beams_refuse_what_they_do_not_do(other: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="num_beams=2 excludes"):
        SamplingParams(10, num_beams=2, **other)


def test_one_stop_string_is_not_taken_apart() -> None:
    assert SamplingParams(1, stop="END").stop == ("END",)  # type: ignore[arg-type]
    assert SamplingParams(1, stop=["a", "b"], stop_token_ids=[3]).stop == ("a", "b")  # type: ignore[arg-type]


@pytest.mark.parametrize("schema", ["{", "[1]", '"text"', "3", "false"])
def test_a_schema_that_is_no_object_is_refused(schema: str) -> None:
    with pytest.raises(InvalidInput, match="JSON Schema"):
        GrammarSpec.json_schema(schema)


@pytest.mark.parametrize("choices", [[], [""], "yes", ["a", 3]])
def test_choices_that_are_no_texts_are_refused(choices: Any) -> None:
    with pytest.raises(InvalidInput, match="choices="):
        GrammarSpec.choice(choices)


def test_equal_schemas_are_equal_specs_whatever_their_layout() -> None:
    assert GrammarSpec.json_schema('{ "type":"object" }') == GrammarSpec.json_object()
    assert len({GrammarSpec.json_object(), GrammarSpec.json_schema({"type": "object"})}) == 1
