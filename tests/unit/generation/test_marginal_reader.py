"""The RAG modes of the bundled reader on made-up passages."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import pytest
import torch

from app.errors import Cancelled
from app.generation.abstention import calibrated_confidence
from app.generation.posterior import TEMPERATURES
from app.generation.reader import Reader, load_reader
from app.types import GenerationOptions, Hit, Prompt
from tests.unit.generation.test_reader import BAKERY, BRIDGE, copied, prompt

OTHER = "A plaque on the pier names Maria Lindqvist, who also drew the harbour."
MODES: tuple[Literal["rag_sequence", "rag_token"], ...] = ("rag_sequence", "rag_token")


@pytest.fixture(scope="module")
def reader() -> Reader:
    return load_reader(dtype=torch.float32)


def ranked(asked: Prompt, *scores: float) -> Prompt:
    """The prompt as if the reranker had given these scores; a difference of 1 is odds of e."""
    passages = tuple(
        replace(each, hit=Hit(each.hit.chunk, {"rerank": score * TEMPERATURES["rerank"]}))
        for each, score in zip(asked.passages, scores, strict=True)
    )
    return replace(asked, passages=passages)


@pytest.mark.parametrize("mode", MODES)
def test_an_answer_comes_with_its_posterior_and_points_into_the_likeliest_passage(
    reader: Reader, mode: Literal["rag_sequence", "rag_token"]
) -> None:
    asked = ranked(prompt("Who opened the Kestrel bridge?", BAKERY, OTHER, BRIDGE), 0.0, 0.0, 2.0)
    generated = reader.generate(asked, GenerationOptions(mode=mode))
    assert generated.text == copied(generated, asked) == "Maria Lindqvist"
    evidence = generated.evidence
    shares = evidence.document_posterior
    assert len(shares) == 3
    assert sum(shares) == pytest.approx(1.0)
    assert shares[0] == 0.0  # the bakery's passage can not spell the name
    assert 0.0 < shares[1] < shares[2]
    assert [span.passage for span in generated.spans] == [2]
    assert evidence.passage_mass == shares
    assert evidence.answer_logprob is not None
    assert evidence.answer_logprob <= 0
    assert 0 < calibrated_confidence(evidence) < 1
    assert generated.answered


@pytest.mark.parametrize("mode", MODES)
def test_the_prior_decides_between_passages_that_contradict(
    reader: Reader, mode: Literal["rag_sequence", "rag_token"]
) -> None:
    old, new = "The toll of the Kestrel bridge is 3 crowns.", "The toll of the Kestrel bridge is 8 crowns."
    asked = prompt("What is the toll of the Kestrel bridge?", old, new)
    options = GenerationOptions(mode=mode)
    for scores, place, toll in (((4.0, 0.0), 0, "3"), ((0.0, 4.0), 1, "8")):
        generated = reader.generate(ranked(asked, *scores), options)
        assert toll in generated.text
        assert generated.spans[0].passage == place
        assert generated.evidence.document_posterior[place] > 0.9


def test_the_posterior_of_rag_sequence_is_bayes_rule_over_passages_read_alone(reader: Reader) -> None:
    asked = ranked(prompt("Who opened the Kestrel bridge?", OTHER, BRIDGE), 1.0, 0.0)
    options = GenerationOptions(mode="rag_sequence")
    together = reader.generate(asked, options)
    alone = [
        reader.generate(replace(asked, passages=(each,)), options).evidence.answer_logprob for each in asked.passages
    ]
    assert alone[0] is not None
    assert alone[1] is not None
    prior = [math.e / (math.e + 1), 1 / (math.e + 1)]
    joint = [p * math.exp(each) for p, each in zip(prior, alone, strict=True)]
    assert together.evidence.answer_logprob == pytest.approx(math.log(sum(joint)), abs=1e-3)
    assert together.evidence.document_posterior == pytest.approx([each / sum(joint) for each in joint], abs=1e-3)


def test_with_one_passage_all_modes_agree(reader: Reader) -> None:
    asked = prompt("Who opened the Kestrel bridge?", BRIDGE)
    fused = reader.generate(asked, GenerationOptions())
    for mode in MODES:
        generated = reader.generate(asked, GenerationOptions(mode=mode))
        assert (generated.text, generated.spans) == (fused.text, fused.spans)
        assert generated.evidence.null_logprob == pytest.approx(fused.evidence.null_logprob, abs=1e-3)
        assert generated.evidence.answer_logprob == pytest.approx(fused.evidence.answer_logprob, abs=0.05)
        assert generated.evidence.document_posterior == pytest.approx((1.0,))
    assert fused.evidence.document_posterior == ()


@pytest.mark.parametrize("mode", MODES)
def test_a_long_passage_is_one_document_in_several_windows(
    reader: Reader, mode: Literal["rag_sequence", "rag_token"]
) -> None:
    filler = "The weather in the valley was mild and the fields were green. " * 40
    asked = prompt("Who opened the Kestrel bridge?", BAKERY, "", filler + BRIDGE)
    generated = reader.generate(asked, GenerationOptions(mode=mode))
    assert generated.text == "Maria Lindqvist"
    assert generated.spans[0].char_start == asked.passages[2].text.index("Maria")
    assert generated.evidence.document_posterior == pytest.approx((0.0, 0.0, 1.0))


@pytest.mark.parametrize("mode", MODES)
def test_nothing_to_read_cancelling_and_short_answers(
    reader: Reader, mode: Literal["rag_sequence", "rag_token"]
) -> None:
    assert reader.generate(prompt("Who?", " "), GenerationOptions(mode=mode)).spans == ()
    calls = []

    def cancelled() -> bool:
        calls.append(1)
        return len(calls) > 3

    asked = prompt("Who opened the Kestrel bridge?", BAKERY, BRIDGE)
    with pytest.raises(Cancelled):
        reader.generate(asked, GenerationOptions(mode=mode), cancelled)
    assert len(calls) == 4
    assert reader.generate(asked, GenerationOptions(mode=mode, max_tokens=1)).completion_tokens == 2
