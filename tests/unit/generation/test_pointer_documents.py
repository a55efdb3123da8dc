"""The pointer reader as documents of the RAG modes: against sums over every path of positions, on a tiny model."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import pytest
import torch

from app.errors import Cancelled
from app.generation.marginalize import Search, Tokens, Written
from app.generation.pointer_documents import PointerDocument, PointerDocuments
from app.generation.rag_sequence import rag_sequence
from app.generation.rag_token import rag_token
from app.transformer.encoder import BertConfig
from app.transformer.pointer import Memory, PointerConfig, PointerReader, build_pointer_reader
from app.transformer.pointer_rows import SpecialIds, build_row, pad_rows

SIZES = BertConfig(vocab_size=30, embed_dim=16, num_layers=1, num_heads=4, ff_dim=32, max_positions=16)
SPECIAL = SpecialIds(cls=2, sep=3, pad=0)
TEXTS = ([10, 11, 10], [11, 12], [13, 12, 11])  # word pieces 10 … 13 are tokens 0 … 3
PRIOR = [math.log(0.6), math.log(0.3), math.log(0.1)]
LONGEST = 3


@pytest.fixture(scope="module")
def model() -> PointerReader:
    torch.manual_seed(11)
    config = PointerConfig(encoder=SIZES, decoder_layers=2, decoder_heads=4, decoder_ff_dim=32, max_answer_tokens=4)
    built = build_pointer_reader(config).eval()
    torch.nn.init.constant_(built.end_step.bias, 0.5)  # endings and jumps must compete with the next token
    torch.nn.init.constant_(built.copy_next.bias, 1.5)
    return built


def document(model: PointerReader, text: list[int]) -> PointerDocument:
    row = build_row(SPECIAL, [7, 8], [], text, (0, len(text)))
    tensors = pad_rows([row], SPECIAL.pad)
    with torch.inference_mode():
        memory = model.read(tensors.token_ids, tensors.mask, tensors.token_types, tensors.copyable, 1)
    pieces = [-1] * len(row.ids)
    pieces[row.copy_start : row.copy_start + row.copy_count] = text
    return PointerDocument(memory, pieces)


@pytest.fixture(scope="module")
def documents(model: PointerReader) -> list[PointerDocument]:
    return [document(model, text) for text in TEXTS]


def path_tables(model: PointerReader, memory: Memory, path: tuple[int, ...]) -> list[list[float]]:
    """Probabilities of every position and END at each step of copying `path`, without a cache."""
    with torch.inference_mode():
        copied = torch.tensor([path], dtype=torch.int64).reshape(1, -1)
        inputs = torch.cat([model.begin_embedding(1), model.target_embeddings(memory, copied)], dim=1)
        decoded = model.decode(memory, inputs)
        tables = [torch.softmax(model.first_logits(memory, decoded[:, 0]), dim=1)[0]]
        if path:
            tables += list(torch.softmax(model.later_logits(memory, decoded[:, 1:], copied), dim=2)[0])
    return [table.tolist() for table in tables]


def prefix_sums(model: PointerReader, each: PointerDocument) -> tuple[dict[Tokens, float], dict[Tokens, float]]:
    """By spelling: p(prefix) and p(prefix, END), summed over every path of at most `LONGEST` positions."""
    begun: dict[Tokens, float] = defaultdict(float)
    ended: dict[Tokens, float] = defaultdict(float)
    places = [position for position, piece in enumerate(each.pieces) if piece >= 0]
    for length in range(LONGEST + 1):
        for path in itertools.product(places, repeat=length):
            tables = path_tables(model, each.memory, path)
            probability = math.prod(tables[step][position] for step, position in enumerate(path))
            spelled = tuple(each.pieces[position] - 10 for position in path)
            begun[spelled] += probability
            ended[spelled] += probability * tables[-1][-1]
    return begun, ended


def test_rag_sequence_sums_every_path_that_spells_the_answer(
    model: PointerReader, documents: list[PointerDocument]
) -> None:
    ended = [prefix_sums(model, each)[1] for each in documents]
    expected = {
        tokens: sum(math.exp(p) * sums.get(tokens, 0.0) for p, sums in zip(PRIOR, ended, strict=True))
        for tokens in set().union(*ended)
        if tokens
    }
    exact = PointerDocuments(model, documents, max_paths=1_000, jumps=True)
    for width in (3, 500):  # narrow beams: most answers are scored, not found
        found = rag_sequence(exact, PRIOR, Search(width, LONGEST, keep_cut=False), max_hypotheses=10_000)
        assert found.hypotheses
        for hypothesis in found.hypotheses:
            assert math.exp(hypothesis.logprob) == pytest.approx(expected[hypothesis.written.tokens], rel=1e-3)
            for logprob, sums in zip(hypothesis.document_logprobs, ended, strict=True):
                assert math.exp(logprob) == pytest.approx(sums.get(hypothesis.written.tokens, 0.0), rel=1e-3)
    assert {h.written.tokens for h in found.hypotheses} == set(expected)
    assert [math.exp(null) for null in found.empty_logprobs] == pytest.approx([sums[()] for sums in ended], rel=1e-4)


def test_rag_token_takes_the_prior_over_documents_that_can_follow(
    model: PointerReader, documents: list[PointerDocument]
) -> None:
    sums = [prefix_sums(model, each) for each in documents]

    def expected(tokens: Tokens) -> float:
        whole = 1.0
        for place in range(len(tokens) + 1):
            prefix, longer = tokens[:place], tokens[: place + 1]
            able = [z for z, (begun, _) in enumerate(sums) if begun.get(prefix, 0.0) > 0]
            step = 0.0
            for z in able:
                begun, ended = sums[z]
                after = begun.get(longer, 0.0) if place < len(tokens) else ended[prefix]
                step += math.exp(PRIOR[z]) * after / begun[prefix]
            whole *= step / sum(math.exp(PRIOR[z]) for z in able)
        return whole

    exact = PointerDocuments(model, documents, max_paths=1_000)
    found = rag_token(exact, PRIOR, Search(500, LONGEST, keep_cut=False))
    every = {tokens for _, ended in sums for tokens in ended if tokens}
    assert {h.written.tokens for h in found.hypotheses} == every
    for hypothesis in found.hypotheses:
        assert math.exp(hypothesis.logprob) == pytest.approx(expected(hypothesis.written.tokens), rel=1e-3)


def test_steps_sum_to_one_where_a_document_can_follow_and_are_impossible_elsewhere(
    model: PointerReader, documents: list[PointerDocument]
) -> None:
    exact = PointerDocuments(model, documents, max_paths=1_000)
    start = exact.start()
    assert start.shape == (3, 5)
    assert start.exp().sum(dim=1).tolist() == pytest.approx([1.0] * 3)
    assert start[0, 2] == start[0, 3] == -math.inf  # the first passage holds neither 12 nor 13
    after = exact.step([0, 1, 2], [0, 0, 1])
    assert after.exp().sum(dim=1).tolist() == pytest.approx([1.0, 0.0, 1.0])
    assert exact.step([1, 2], [1, 1]).exp().sum(dim=1).tolist() == pytest.approx([0.0, 1.0])


def test_a_full_score_counts_whole_places_and_places_jump_only_where_there_are_none(
    model: PointerReader, documents: list[PointerDocument]
) -> None:
    plain = PointerDocuments(model, documents)
    first = documents[0]
    start = first.pieces.index(10)

    def spell(*path: int) -> float:
        tables = path_tables(model, first.memory, path)
        return math.log(math.prod(t[p] for t, p in zip(tables, path, strict=False)) * tables[-1][-1])

    scores = plain.score([(0, Written((0, 1))), (0, Written((0,))), (1, Written((0,))), (0, Written((0, 0)))])
    assert scores[0] == pytest.approx(spell(start, start + 1), rel=1e-3)
    assert math.exp(scores[1]) == pytest.approx(math.exp(spell(start)) + math.exp(spell(start + 2)), rel=1e-3)
    assert scores[2] == scores[3] == -math.inf
    assert plain.places(0, (0, 1)) == [((start, start + 1), pytest.approx(scores[0]))]
    jumping = dict(plain.places(0, (0, 0)))
    assert set(jumping) == {(a, b) for a in (start, start + 2) for b in (start, start + 2)}
    assert jumping[start, start + 2] == pytest.approx(spell(start, start + 2), rel=1e-3)
    assert plain.places(1, (0,)) == []


def test_proposals_are_spans_of_the_passages(model: PointerReader, documents: list[PointerDocument]) -> None:
    proposals = PointerDocuments(model, documents, max_answer_tokens=2).proposals()
    assert len(set(proposals)) == len(proposals) > 1
    texts = [tuple(piece - 10 for piece in text) for text in TEXTS]
    for tokens in proposals:
        assert 1 <= len(tokens) <= 2
        assert any(tokens == text[i : i + len(tokens)] for text in texts for i in range(3)), tokens


def test_scoring_can_be_cancelled(model: PointerReader, documents: list[PointerDocument]) -> None:
    def check() -> None:
        raise Cancelled("gone")

    with pytest.raises(Cancelled):
        PointerDocuments(model, documents, check=check).score([(0, Written((0,)))])
