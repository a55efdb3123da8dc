from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import jsonschema
import pytest
import torch
from tokenizers import Tokenizer, models

from app.errors import InvalidInput, Unavailable
from app.transformer.decoding.constraints import GrammarCompiler
from app.transformer.decoding.detokenize import Detokenizer
from app.transformer.decoding.generate import decode
from app.transformer.decoding.params import GrammarSpec, SamplingParams
from app.transformer.decoding.sequence import Generation
from tests.unit.transformer.decoding.scripted import ScriptedSteps, random_logits
from tests.unit.transformer.decoding.vocabularies import tokenizer_of

EOS = 0
BYTE_KINDS = ("byte_level", "byte_fallback")
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "kind": {"enum": ["human", "robot", None]},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
    },
    "required": ["name", "age", "kind"],
    "additionalProperties": False,
}
SCHEMAS: list[dict[str, Any]] = [
    PERSON,
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3},
    {"anyOf": [{"const": "中文 👩‍🚀"}, {"type": "number", "minimum": 1, "maximum": 2}]},
    {
        "$defs": {"leaf": {"type": "null"}},
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/leaf"}},
        "required": ["x"],
        "additionalProperties": False,
    },
    {"type": "string", "pattern": "^[a-c]{2,4}$"},
]


def compiler_of(kind: str, extra: int = 5) -> GrammarCompiler:
    tokenizer = tokenizer_of(kind)
    return GrammarCompiler(tokenizer, vocab_size=tokenizer.get_vocab_size() + extra, eos_token_ids=[EOS])


def random_answers(kind: str, grammar: GrammarSpec, max_tokens: int, **settings: Any) -> list[Generation]:
    """Return what a model with random logits answers under `grammar`, to eight prompts at once."""
    tokenizer = tokenizer_of(kind)
    logits_of = random_logits(tokenizer.get_vocab_size() + 5, spread=3.0)
    return decode(
        ScriptedSteps([[5, number] for number in range(8)], logits_of),
        [SamplingParams(max_tokens, grammar=grammar, seed=number, **settings) for number in range(8)],
        eos_token_ids=[EOS],
        detokenizer=Detokenizer(tokenizer),
        grammars=compiler_of(kind),
    )


@pytest.mark.parametrize("kind", BYTE_KINDS)
@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_random_model_writes_json_of_the_schema(kind: str, schema: dict[str, Any], temperature: float) -> None:
    answers = random_answers(kind, GrammarSpec.json_schema(schema), 200, temperature=temperature)
    complete = [answer for answer in answers if answer.finish_reason == "stop"]
    assert complete
    for answer in complete:
        jsonschema.validate(json.loads(answer.text), schema)
    for answer in answers:
        assert answer.finish_reason in ("stop", "length")


def test_any_json_and_json_objects() -> None:
    for answer in random_answers("byte_level", GrammarSpec.json_schema(True), 60):
        assert answer.finish_reason == "length" or json.loads(answer.text) is not Ellipsis
    objects = [
        each for each in random_answers("byte_level", GrammarSpec.json_object(), 150) if each.finish_reason == "stop"
    ]
    assert objects
    assert all(isinstance(json.loads(each.text), dict) for each in objects)


def test_a_limit_in_the_middle_is_reported_as_length() -> None:
    answers = random_answers("byte_fallback", GrammarSpec.json_schema(PERSON), 6)
    assert {answer.finish_reason for answer in answers} == {"length"}
    for answer in answers:
        assert len(answer.token_ids) == 6
        assert answer.text.startswith('{"name')  # what there is, is a beginning
        with pytest.raises(json.JSONDecodeError):
            json.loads(answer.text)


@pytest.mark.parametrize("kind", BYTE_KINDS)
def test_a_regular_expression_is_matched_from_end_to_end(kind: str) -> None:
    for answer in random_answers(kind, GrammarSpec.regex(r"(ab|[0-9]{3}|中+x)!"), 100):
        assert answer.finish_reason == "length" or re.fullmatch(r"(ab|[0-9]{3}|中+x)!", answer.text)


@pytest.mark.parametrize("kind", BYTE_KINDS)
def test_one_of_the_choices_is_taken_whatever_they_contain(kind: str) -> None:
    choices = ["yes", "no", "a/b", 'say "x"', "line\nbreak", "[a-z]+", "中文", "👩‍🚀", "\\d", "yes, but", " space"]
    seen = set()
    for attempt in range(3):
        for answer in random_answers(kind, GrammarSpec.choice(choices), 40, top_k=20 + attempt):
            assert answer.finish_reason == "stop"
            assert answer.text in choices
            seen.add(answer.text)
    assert len(seen) >= 4


@pytest.mark.parametrize(
    "choice", ["yes", "a/b", 'say "x"', "line\nbreak", "[a-z]+", "中文", "👩‍🚀", "\\d", "a|b", "~#&-"]
)
def test_a_single_choice_is_forced(choice: str) -> None:
    answer = random_answers("byte_level", GrammarSpec.choice([choice]), 60)[0]
    assert (answer.text, answer.finish_reason) == (choice, "stop")


def test_a_lark_grammar_is_followed() -> None:
    grammar = GrammarSpec.lark('start: term ("+" term)*\nterm: /[0-9]{1,2}/ | "(" start ")"')
    complete = [each.text for each in random_answers("byte_level", grammar, 80) if each.finish_reason == "stop"]
    assert complete
    assert any("(" in text for text in complete)
    for text in complete:
        while (inner := re.sub(r"\(\d{1,2}(\+\d{1,2})*\)", "1", text)) != text:
            text = inner
        assert re.fullmatch(r"\d{1,2}(\+\d{1,2})*", text)


def test_the_ending_token_may_come_only_where_the_text_is_complete() -> None:
    tokenizer = tokenizer_of("byte_fallback")
    constraint = compiler_of("byte_fallback").compile(GrammarSpec.regex("ab?"))
    allowed = []
    for token in ("a", "b"):
        mask = constraint.mask()
        allowed.append({tokenizer.id_to_token(place) for place in mask.nonzero().flatten().tolist()})
        assert not constraint.finished
        constraint.accept(tokenizer.token_to_id(token))
    assert allowed[0] == {"a", "<0x61>", "ab"}
    assert allowed[1] == {"<eos>", "b", "<0x62>"}
    assert constraint.finished
    assert constraint.mask().nonzero().flatten().tolist() == [EOS]


def test_min_tokens_never_forces_text_that_the_grammar_forbids() -> None:
    answer = random_answers("byte_level", GrammarSpec.choice(["no"]), 9, min_tokens=9)[0]
    assert (answer.text, answer.finish_reason) == ("no", "stop")


def test_two_sequences_of_one_grammar_do_not_touch_each_other() -> None:
    compiler = compiler_of("byte_level")
    first, second = (compiler.compile(GrammarSpec.regex("abc")) for _ in range(2))
    before = second.mask()
    first.accept(int(first.mask().nonzero()[0]))
    assert torch.equal(second.mask(), before)
    assert not torch.equal(first.mask(), before)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (GrammarSpec.json_schema({"type": "objekt"}), "Invalid type: objekt"),
        (GrammarSpec.json_schema({"$ref": "#/nope"}), "'/nope' does not exist"),
        (GrammarSpec.json_schema({"not": {"type": "string"}}), "not"),
        (GrammarSpec.json_schema({"type": "integer", "minimum": 5, "maximum": 3}), "minimum .5. is greater"),
        (GrammarSpec.json_schema({"type": "array", "uniqueItems": True}), "uniqueItems"),
        (GrammarSpec.json_schema({"type": "string", "pattern": "(?=a)b"}), "look-around"),
        (GrammarSpec.regex("a("), "unclosed group"),
        (GrammarSpec.regex("a(?=b)"), "look-around"),
        (GrammarSpec.lark("start: nothing"), "unknown name"),
        (GrammarSpec.lark('other: "a"'), "no start rule"),
        (GrammarSpec.lark(""), "Empty grammar"),
    ],
)
def test_what_can_not_be_compiled_is_refused_with_its_reason(spec: GrammarSpec, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        compiler_of("byte_level").compile(spec)


def test_a_token_that_the_mask_forbids_is_an_error() -> None:
    constraint = compiler_of("byte_level").compile(GrammarSpec.regex("abc"))
    forbidden = int((~constraint.mask()).nonzero()[20])
    with pytest.raises(InvalidInput, match="can't be followed"):
        constraint.accept(forbidden)


def test_a_tokenizer_that_spells_no_bytes_is_refused() -> None:
    with pytest.raises(Unavailable, match="tokenizer can't be constrained"):
        compiler_of("wordpiece")


def test_a_tokenizer_that_the_engine_chokes_on_is_refused() -> None:
    vocabulary = {"<eos>": 0, **{f"<0x{byte:02X}>": 1 + byte for byte in range(256)}, "<0xZZ>": 257}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    tokenizer.decoder = tokenizer_of("byte_fallback").decoder
    with pytest.raises(Unavailable, match="tokenizer can't be constrained"):
        GrammarCompiler(tokenizer, vocab_size=258, eos_token_ids=[0])


def test_a_metaspace_tokenizer_is_constrained_with_its_spaces() -> None:
    answers = random_answers("metaspace", GrammarSpec.choice(["the dog", " fox"]), 40)
    assert {answer.text for answer in answers} <= {"the dog", " fox"}
    assert " fox" in {answer.text for answer in answers}


@pytest.mark.parametrize(("vocab_size", "ends"), [(400, []), (400, [400]), (400, [-1]), (20, [0])])
def test_sizes_and_ends_that_do_not_fit_are_refused(vocab_size: int, ends: Sequence[int]) -> None:
    with pytest.raises(InvalidInput):
        GrammarCompiler(tokenizer_of("byte_level"), vocab_size=vocab_size, eos_token_ids=ends)
