"""The query encoder learns from answers alone which documents help; the documents' vectors stay as they are."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app.embedding.split_encoder import SplitEncoder
from app.errors import InvalidInput
from app.training.loop import LoopOptions, run_training
from app.training.marginal_objective import (
    FLOOR,
    MarginalObjective,
    MarginalOptions,
    QueryEncoder,
    RetrieverAndReader,
)
from app.training.reader import minilm_folder, special_ids
from app.training.reader_loss import answer_logprobs, reader_loss
from app.training.reading_sets import ReadingQuestion
from app.transformer.encoder import BertConfig, build_bert_encoder
from app.transformer.pointer import PointerConfig, build_pointer_reader
from app.transformer.tokenizers import TextTokenizer

DOCUMENTS = [
    "The Kestrel bridge was built by Ada Lovelace in 1931.",
    "The harbour of Kestrel is closed in winter.",
    "The tower of Merlin was finished by Paul Dirac.",
    "Merlin is a town with three mills and a fair.",
]
QUESTIONS = [
    ReadingQuestion("1", "made", "train", "", "Who built the Kestrel bridge?", DOCUMENTS[0], ("Ada Lovelace",)),
    ReadingQuestion("2", "made", "train", "", "Who finished the tower of Merlin?", DOCUMENTS[2], ("Paul Dirac",)),
]
SIZES = BertConfig(
    vocab_size=30_522, embed_dim=16, num_layers=1, num_heads=2, ff_dim=16, max_positions=128, norm_eps=1e-5
)


# No warm-up and far more time than is needed: the rates are the same on a slow machine.
LOOP = LoopOptions(minutes=600.0, max_steps=60, warmup_share=1e-9, threads=1)


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer(minilm_folder() / "tokenizer.json")


def objective(tokenizer: TextTokenizer, **changed: float) -> MarginalObjective:
    torch.manual_seed(0)
    query = QueryEncoder(build_bert_encoder(SIZES))
    reader = build_pointer_reader(PointerConfig(SIZES, decoder_layers=1, decoder_heads=2, decoder_ff_dim=16))
    vectors = nn.functional.normalize(torch.randn(4, 16), dim=1)
    options = MarginalOptions(documents=4, **{"query_lr": 1e-2, "reader_lr": 3e-3, **changed})
    return MarginalObjective(
        RetrieverAndReader(query, reader),
        QUESTIONS,
        QUESTIONS,
        DOCUMENTS,
        vectors,
        tokenizer,
        special_ids(tokenizer),
        options,
    )


def test_the_loss_is_that_of_every_document_written_out(tokenizer: TextTokenizer) -> None:
    made = objective(tokenizer)
    with torch.no_grad():
        found = made.loss(QUESTIONS)
    total = 0.0
    with torch.no_grad():
        for row, question in enumerate(QUESTIONS):
            cosines = (made.encode([q.question for q in QUESTIONS]) @ made._vectors.T)[row]
            prior = torch.softmax(cosines / 0.07, dim=0)
            marginal = 0.0
            for place, document in enumerate(DOCUMENTS):
                example = made.example(question, document)
                assert (example is not None) == (question.answers[0] in document)
                told = FLOOR
                if example is not None:
                    told = float(answer_logprobs(made.model.reader, [example], pad_id=0, device=torch.device("cpu"))[0])
                marginal += float(prior[place]) * math.exp(told)
            total -= math.log(marginal)
    assert float(found["loss"]) == pytest.approx(total / 2, rel=1e-4)
    assert 0 < float(found["mass_on_answer"]) < 1


def test_an_answers_log_probability_is_the_loss_without_the_extractive_heads(tokenizer: TextTokenizer) -> None:
    made = objective(tokenizer)
    example = made.example(QUESTIONS[0], DOCUMENTS[0])
    assert example is not None
    pair, device = [example, example], torch.device("cpu")
    loss = reader_loss(made.model.reader, pair, pad_id=0, device=device, extractive_weight=0.0)
    told = answer_logprobs(made.model.reader, pair, pad_id=0, device=device)
    torch.testing.assert_close(loss.total, -told.mean())
    assert told[0] == told[1] < 0


def test_training_finds_the_helpful_documents_and_resumes(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    made = objective(tokenizer)
    vectors = made._vectors.clone()
    before = dict(made.scores())
    run_training(made, tmp_path, LOOP)
    made.model.eval()
    after = dict(made.scores())
    assert after["marginal_loss"] < before["marginal_loss"] - 1
    assert after["recall@1"] == 1.0
    assert torch.equal(made._vectors, vectors)
    again = objective(tokenizer)
    run_training(again, tmp_path, LOOP)
    again.model.eval()
    assert dict(again.scores()) == pytest.approx(after)


def test_a_frozen_reader_stays_and_embeddings_always_do(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    made = objective(tokenizer, reader_lr=0.0)
    before = {name: tensor.clone() for name, tensor in made.model.state_dict().items()}
    run_training(made, tmp_path, LoopOptions(minutes=5.0, max_steps=3, threads=1))
    changed = {name for name, tensor in made.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("query.encoder.blocks.") for name in changed)


def test_a_document_without_the_answer_in_reach_teaches_the_reader_nothing(tokenizer: TextTokenizer) -> None:
    made = objective(tokenizer)
    assert made.example(QUESTIONS[0], DOCUMENTS[1]) is None
    far = "Nothing here matters. " * 400 + "It was Ada Lovelace."
    example = made.example(QUESTIONS[0], far)
    assert example is not None
    assert len(example.rows[0].ids) <= 384
    (candidate,) = example.candidates
    ids = [example.rows[0].ids[column] for _, column in candidate]
    assert tokenizer.decode(ids) == "ada lovelace"


class _Fixed:
    """An encoder that gives one number everywhere."""

    name, max_tokens = "fixed", 8

    def __init__(self, value: float, embed_dim: int = 2) -> None:
        self.value, self.embed_dim = value, embed_dim

    def count_tokens(self, texts: list[str]) -> list[int]:
        return [1] * len(texts)

    def encode_passages(self, texts: list[str]) -> np.ndarray:
        return np.full((len(texts), self.embed_dim), self.value, dtype=np.float32)

    encode_queries = encode_passages


def test_questions_go_through_their_own_encoder_and_the_index_keeps_its_name() -> None:
    split = SplitEncoder(_Fixed(1.0), _Fixed(2.0))
    assert (split.name, split.embed_dim, split.max_tokens, split.count_tokens(["a"])) == ("fixed", 2, 8, [1])
    assert split.encode_passages(["a"]).tolist() == [[1.0, 1.0]]
    assert split.encode_queries(["a"]).tolist() == [[2.0, 2.0]]
    with pytest.raises(InvalidInput, match="query_model has vectors of 3"):
        SplitEncoder(_Fixed(1.0), _Fixed(2.0, 3))


def test_the_query_encoder_pools_the_mean_of_real_tokens(tokenizer: TextTokenizer) -> None:
    made = objective(tokenizer)
    short, long = "Who?", "Who built the Kestrel bridge over the river?"
    together = made.encode([short, long])
    alone: Tensor = made.encode([short])
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(2))
