"""Both RAG modes against the enumeration of every answer, on tables of random probabilities."""

from __future__ import annotations

import math

import pytest
import torch

from app.errors import Cancelled, InvalidInput, Unavailable
from app.generation.marginalize import Marginals, Search, Written, log_sum, posterior
from app.generation.rag_sequence import rag_sequence
from app.generation.rag_token import rag_token
from tests.unit.generation.table_model import TableModel

PRIOR = [math.log(0.5), math.log(0.3), math.log(0.2)]
WIDE = 10_000


def wide(max_tokens: int, *, keep_cut: bool) -> Search:
    return Search(WIDE, max_tokens, keep_cut=keep_cut)


def sequence_sums(model: TableModel, max_tokens: int, *, cut: bool) -> dict[Written, float]:
    """Σ_z p(z) Π_i p(y_i | z, y_<i), in plain probabilities."""
    return {
        written: sum(math.exp(p) * math.exp(model.logprob(z, written)) for z, p in enumerate(PRIOR))
        for written in model.every(max_tokens, cut=cut)
    }


def token_products(model: TableModel, max_tokens: int, *, cut: bool) -> dict[Written, float]:
    """Π_i Σ_z p(z) p(y_i | z, y_<i), in plain probabilities; z among the documents that can produce y_<i."""
    products = {}
    for written in model.every(max_tokens, cut=cut):
        whole = 1.0
        steps = [*written.tokens, *([model.vocab_size] if written.ended else [])]
        for place, token in enumerate(steps):
            tables = [model.table(z, written.tokens[:place]) for z in range(model.num_documents)]
            able = [z for z, table in enumerate(tables) if max(table) > -math.inf]
            share = sum(math.exp(PRIOR[z]) for z in able)
            whole *= sum(math.exp(PRIOR[z] + tables[z][token]) for z in able) / share if able else 0.0
        products[written] = whole
    return products


def assert_equal(found: Marginals, expected: dict[Written, float], model: TableModel) -> None:
    possible = {written: p for written, p in expected.items() if p > 0}
    assert {h.written: math.exp(h.logprob) for h in found.hypotheses} == pytest.approx(possible, rel=1e-9)
    order = [h.logprob for h in found.hypotheses]
    assert order == sorted(order, reverse=True)
    for hypothesis in found.hypotheses:
        for z, logprob in enumerate(hypothesis.document_logprobs):
            assert logprob == pytest.approx(model.logprob(z, hypothesis.written), rel=1e-9)
    assert found.empty_logprobs == pytest.approx([model.table(z, ())[-1] for z in range(model.num_documents)])


@pytest.mark.parametrize("lacking", [False, True])
@pytest.mark.parametrize(("max_tokens", "cut"), [(3, True), (4, True), (3, False)])
def test_thorough_rag_sequence_with_all_beams_is_the_enumeration(max_tokens: int, cut: bool, lacking: bool) -> None:
    model = TableModel(3, 3, seed=1, lacking=lacking)
    found = rag_sequence(model, PRIOR, wide(max_tokens, keep_cut=cut), max_hypotheses=WIDE)
    assert_equal(found, sequence_sums(model, max_tokens, cut=cut), model)


@pytest.mark.parametrize("lacking", [False, True])
@pytest.mark.parametrize(("max_tokens", "cut"), [(3, True), (4, True), (3, False)])
def test_rag_token_with_all_beams_is_the_enumeration(max_tokens: int, cut: bool, lacking: bool) -> None:
    model = TableModel(3, 3, seed=2, lacking=lacking)
    found = rag_token(model, PRIOR, wide(max_tokens, keep_cut=cut))
    assert_equal(found, token_products(model, max_tokens, cut=cut), model)


@pytest.mark.parametrize("lacking", [False, True])
@pytest.mark.parametrize("decode", [rag_token, lambda *a: rag_sequence(*a, max_hypotheses=WIDE)])
def test_all_answers_together_have_probability_one(decode: object, lacking: bool) -> None:
    found = decode(TableModel(3, 4, seed=3, lacking=lacking), PRIOR, wide(3, keep_cut=True))  # type: ignore[operator]
    empty = log_sum([p + each for p, each in zip(PRIOR, found.empty_logprobs, strict=True)])
    assert math.exp(empty) + sum(math.exp(h.logprob) for h in found.hypotheses) == pytest.approx(1.0)


def test_the_two_modes_differ_in_where_they_sum() -> None:
    # Two documents, equally likely: one always says "0 0", the other "1 1".
    class Sure(TableModel):
        def table(self, document: int, prefix: tuple[int, ...]) -> list[float]:
            sure, other, end = math.log(0.98), math.log(0.01), math.log(0.01)
            if len(prefix) == 2:
                return [math.log(0.005), math.log(0.005), math.log(0.99)]
            return [sure, other, end] if document == 0 else [other, sure, end]

    model, prior, search = Sure(2, 2), [math.log(0.5)] * 2, wide(2, keep_cut=False)
    by_sequence = {h.written.tokens: math.exp(h.logprob) for h in rag_sequence(model, prior, search).hypotheses}
    by_token = {h.written.tokens: math.exp(h.logprob) for h in rag_token(model, prior, search).hypotheses}
    assert by_sequence[0, 0] == pytest.approx((0.98**2 + 0.01**2) / 2 * 0.99)
    assert by_sequence[0, 1] == pytest.approx(0.98 * 0.01 * 0.99)
    assert by_token[0, 0] == by_token[0, 1] == pytest.approx((0.99 / 2) ** 2 * 0.99)


def test_fast_decoding_takes_nothing_where_a_beam_did_not_find_the_answer() -> None:
    model = TableModel(3, 5, seed=4)
    search = Search(1, 3)
    fast = rag_sequence(model, PRIOR, search, thorough=False)
    assert model.scored == []
    thorough = rag_sequence(model, PRIOR, search)
    assert {h.written for h in fast.hypotheses} == {h.written for h in thorough.hypotheses}
    whole = {h.written: h for h in thorough.hypotheses}
    missing = 0
    for hypothesis in fast.hypotheses:
        for z, logprob in enumerate(hypothesis.document_logprobs):
            missing += logprob == -math.inf
            assert logprob in (-math.inf, pytest.approx(whole[hypothesis.written].document_logprobs[z]))
        assert hypothesis.logprob <= whole[hypothesis.written].logprob + 1e-12
    assert missing
    assert len(model.scored) == missing  # thorough decoding looked at exactly those
    sums = sequence_sums(model, 3, cut=True)
    assert {h.written: math.exp(h.logprob) for h in thorough.hypotheses} == pytest.approx(
        {written: sums[written] for written in whole}
    )


def test_a_wider_search_never_finds_less() -> None:
    for decode in (rag_sequence, rag_token):
        best = [
            decode(TableModel(3, 5, seed=5), PRIOR, Search(beams, 4)).hypotheses[0].logprob for beams in (1, 3, 9, 500)
        ]
        assert best == sorted(best), decode.__name__


def test_hypotheses_are_bounded_and_proposals_scored() -> None:
    model = TableModel(3, 5, seed=6)
    few = rag_sequence(model, PRIOR, Search(4, 4), max_hypotheses=3)
    assert len(few.hypotheses) == 3
    proposed = rag_sequence(model, PRIOR, Search(1, 2), proposals=[(4, 4, 4), (4, 4, 4), ()])
    extra = [h for h in proposed.hypotheses if h.written.tokens == (4, 4, 4)]
    assert len(extra) == 1
    assert math.exp(extra[0].logprob) == pytest.approx(
        sum(math.exp(PRIOR[z] + model.logprob(z, Written((4, 4, 4)))) for z in range(3))
    )


def test_a_hopeless_hypothesis_is_left_behind_early() -> None:
    patient, hasty = TableModel(2, 4, seed=7), TableModel(2, 4, seed=7)
    prior = [math.log(0.5)] * 2
    one = rag_token(patient, prior, Search(64, 6))
    other = rag_token(hasty, prior, Search(64, 6, lost=0.5))
    assert hasty.stepped < patient.stepped
    assert other.hypotheses[0] == one.hypotheses[0]


def test_posteriors_follow_bayes_rule() -> None:
    # 0.5 · 0.2 = 0.10 against 0.3 · 0.1 = 0.03 and 0.2 · 0 = 0
    found = posterior(PRIOR, [math.log(0.2), math.log(0.1), -math.inf])
    assert found == pytest.approx((0.10 / 0.13, 0.03 / 0.13, 0.0))
    assert posterior(PRIOR, [-math.inf] * 3) == (0.0, 0.0, 0.0)
    assert log_sum([-1e4, -1e4]) == pytest.approx(-1e4 + math.log(2))  # e^−10000 would be 0
    assert log_sum([]) == -math.inf


def test_a_prior_needs_no_normalising() -> None:
    shifted = [p + 700.0 for p in PRIOR]
    for decode in (rag_sequence, rag_token):
        one, other = (decode(TableModel(3, 3, seed=8), each, Search(3, 3)) for each in (PRIOR, shifted))
        assert [h.logprob for h in one.hypotheses] == pytest.approx([h.logprob for h in other.hypotheses])


def test_cancelling_stops_between_steps() -> None:
    for decode in (rag_sequence, rag_token):
        model, calls = TableModel(2, 3, seed=9), []

        def check(calls: list[int] = calls) -> None:
            calls.append(1)
            if len(calls) == 2:
                raise Cancelled("gone")

        with pytest.raises(Cancelled):
            decode(model, [0.0, 0.0], Search(3, 9, check=check))
        assert model.stepped == 1


def test_bad_input_is_named() -> None:
    model = TableModel(2, 2)
    with pytest.raises(InvalidInput, match="num_beams=0"):
        Search(0, 3)
    for prior in ([0.0], [0.0, math.nan], [-math.inf, -math.inf], []):
        with pytest.raises(InvalidInput, match="log_prior"):
            rag_sequence(model, prior, Search(1, 1))
    model.table = lambda document, prefix: [math.nan] * 3  # type: ignore[method-assign]
    for decode in (rag_sequence, rag_token):
        with pytest.raises(Unavailable, match="not finite"):
            decode(model, [0.0, 0.0], Search(1, 1))
    assert not torch.is_inference_mode_enabled()
