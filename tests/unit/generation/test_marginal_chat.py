"""A language model in the RAG modes: what it is shown, what is pooled, and where its citations point."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor

from app.context.assembly import assemble
from app.errors import Cancelled, InvalidInput, TooLarge
from app.generation.citations import compose
from app.generation.local import LocalChat, load_language_model, start_engine
from app.generation.marginal_chat import ShownDocuments
from app.generation.marginalize import Written
from app.generation.prompted import PromptedGenerator
from app.types import GenerationOptions, Hit, Message, Prompt
from tests.tiny_llama import save_tiny_llama
from tests.unit.generation.chat_fakes import FakeChat
from tests.unit.generation.passages import passage

MODES: tuple[Literal["rag_sequence", "rag_token"], ...] = ("rag_sequence", "rag_token")
TOLL = "The toll of the Kestrel bridge is 3 crowns."
BUILT = "The Kestrel bridge was opened in 1931 by Maria Lindqvist."
DOCUMENT = f"{TOLL} {BUILT} Rye bread is sold in Hollow Street."
YES, YES_TOO, NO, ELSE = range(4)
SAID = {
    YES: "It was opened in 1931 by Maria Lindqvist [1].",
    YES_TOO: "It was opened in 1931 by Maria Lindqvist.",
    NO: "The documents don't say.",
    ELSE: "Rye bread is sold there [1].",
}


def asked(*texts: str, scores: Sequence[float] = ()) -> Prompt:
    hits = []
    for number, text in enumerate(texts, start=1):
        chunk = passage(number, DOCUMENT, text).hit.chunk
        hits.append(Hit(chunk, {"rerank": scores[number - 1]} if scores else {}))
    return assemble(
        "Who opened the bridge?",
        hits,
        max_chunks=10,
        budget_tokens=10_000,
        count_tokens=lambda each: [len(text.split()) for text in each],
        template="local:fake",
        refusal="The documents don't say.",
    )


@dataclass
class WholeAnswers:
    """Each document says one of four whole answers, a token each, and ends."""

    chances: Sequence[Sequence[float]]  # [documents][4]

    @property
    def num_documents(self) -> int:
        return len(self.chances)

    def start(self) -> Tensor:
        return torch.tensor([[*row, 0.0] for row in self.chances], dtype=torch.float64).log()

    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> Tensor:
        return torch.tensor([[0.0, 0.0, 0.0, 0.0, 1.0]] * len(tokens), dtype=torch.float64).log()

    def score(self, pairs: Sequence[tuple[int, Written]]) -> list[float]:
        return [math.log(chance) if (chance := self.chances[z][w.tokens[0]]) else -math.inf for z, w in pairs]


@dataclass
class FakeDocumentChat(FakeChat):
    """A chat model whose documents are made up."""

    chances: Sequence[Sequence[float]] = ()
    shown: list[str] = field(default_factory=list)

    def documents(
        self, conversations: Sequence[Sequence[Message]], *, max_tokens: int, num_beams: int, check: Callable[[], None]
    ) -> ShownDocuments:
        check()
        self.shown = ["\n\n".join(message.content for message in messages) for messages in conversations]
        return ShownDocuments(WholeAnswers(self.chances), 77, max_tokens)

    def text(self, tokens: Sequence[int]) -> str:
        return " ".join(SAID[token] for token in tokens)


def options(mode: Literal["rag_sequence", "rag_token"], num_beams: int = 4) -> GenerationOptions:
    return GenerationOptions(mode=mode, num_beams=num_beams, max_tokens=5)


@pytest.mark.parametrize("mode", MODES)
def test_the_answer_of_the_passage_that_knows_is_cited_in_it(mode: Literal["rag_sequence", "rag_token"]) -> None:
    prompt = asked(TOLL, BUILT)
    chat = FakeDocumentChat([], chances=[[0.1, 0.05, 0.8, 0.05], [0.5, 0.3, 0.2, 0.0]])
    generated = PromptedGenerator(chat).generate(prompt, options(mode))
    assert generated.answered
    assert generated.text == "It was opened in 1931 by Maria Lindqvist [1]."
    assert [span.passage for span in generated.spans] == [1]
    evidence = generated.evidence
    # with and without its marker it is one answer: ½ · (0.1 + 0.05) and ½ · (0.5 + 0.3)
    assert evidence.document_posterior == pytest.approx((0.075 / 0.475, 0.4 / 0.475))
    assert evidence.answer_logprob == pytest.approx(math.log(0.475))
    assert evidence.null_logprob == pytest.approx(math.log(0.5))  # ½ · 0.8 + ½ · 0.2 say that there is none
    assert evidence.support is not None
    assert evidence.support > 0
    assert generated.prompt_tokens == 77
    composed = compose(generated, prompt, {1: DOCUMENT})
    assert [citation.quote for citation in composed.citations] == [BUILT]
    assert "Maria Lindqvist [1]" in composed.text


def test_each_passage_is_shown_alone_as_the_first(tmp_path: Path) -> None:
    prompt = asked(TOLL, BUILT, "Rye bread is sold in Hollow Street.")
    chat = FakeDocumentChat([], chances=[[0.25] * 4] * 3)
    PromptedGenerator(chat).generate(prompt, options("rag_sequence"))
    assert len(chat.shown) == 3
    for text, shown in zip((TOLL, BUILT, "Rye bread is sold in Hollow Street."), chat.shown, strict=True):
        assert f"<<<passage 1: T>>>\n{text}\n<<<end 1>>>\n\nQuestion: Who opened the bridge?" in shown
        assert shown.count("<<<passage") == shown.count("<<<end") == 1
        assert shown.startswith(prompt.instruction)


def test_a_marker_is_put_where_the_model_wrote_none_and_the_prior_counts() -> None:
    chances = [[0.0, 0.9, 0.1, 0.0]] * 2
    prompt = asked(TOLL, BUILT, scores=(5.0, 0.0))  # retrieval prefers the passage that does not carry the answer
    generated = PromptedGenerator(FakeDocumentChat([], chances=chances)).generate(prompt, options("rag_sequence"))
    assert generated.evidence.document_posterior[0] > 0.9
    assert [span.passage for span in generated.spans] == [1]  # the likeliest one does not say it
    assert generated.text.endswith("[1]")


@pytest.mark.parametrize("mode", MODES)
def test_when_every_passage_declines_there_is_no_answer(mode: Literal["rag_sequence", "rag_token"]) -> None:
    chat = FakeDocumentChat([], chances=[[0.0, 0.0, 1.0, 0.0]] * 2)
    generated = PromptedGenerator(chat).generate(asked(TOLL, BUILT), options(mode))
    assert not generated.answered
    assert generated.spans == generated.claims == ()
    assert generated.evidence.support == 0


def test_nothing_unsupported_is_cited_and_an_empty_answer_is_none() -> None:
    said = FakeDocumentChat([], chances=[[0.0, 0.0, 0.0, 1.0]])
    generated = PromptedGenerator(said).generate(asked(TOLL), options("rag_token"))
    assert generated.evidence.support == 0
    assert generated.spans == ()
    silent = FakeDocumentChat([], chances=[[0.0, 0.0, 0.0, 0.0]])
    assert PromptedGenerator(silent).generate(asked(TOLL), options("rag_sequence")).text == ""


def test_temperature_draws_among_the_answers_with_a_seed() -> None:
    chat = FakeDocumentChat([], chances=[[0.6, 0.0, 0.0, 0.4]])
    drawn = [
        PromptedGenerator(chat)
        .generate(
            asked(BUILT), GenerationOptions(mode="rag_sequence", num_beams=4, max_tokens=5, temperature=1.0, seed=seed)
        )
        .text
        for seed in range(200)
    ]
    assert 0.3 < sum(text.startswith("Rye") for text in drawn) / 200 < 0.5


def test_a_model_without_probabilities_refuses_the_modes() -> None:
    with pytest.raises(InvalidInput, match="use mode='fusion'"):
        PromptedGenerator(FakeChat([])).generate(asked(TOLL), options("rag_token"))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalChat]:
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    save_tiny_llama(folder)
    model = load_language_model(folder, dtype="fp32")
    chat = LocalChat(model, start_engine(model, context_tokens=2048, cache_bytes=2**22, max_batch=2, threads=1))
    yield chat
    chat.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_local_model_writes_in_both_modes(local: LocalChat, mode: Literal["rag_sequence", "rag_token"]) -> None:
    prompt = asked(TOLL, BUILT)
    generator = PromptedGenerator(local)
    short = GenerationOptions(mode=mode, num_beams=2, max_tokens=6)
    generated = generator.generate(prompt, short)
    assert generated == generator.generate(prompt, short)
    assert generated.text
    assert generated.completion_tokens <= 6
    assert sum(generated.evidence.document_posterior) == pytest.approx(1.0)
    assert generated.prompt_tokens > 2 * 200

    calls = []

    def cancelled() -> bool:
        calls.append(1)
        return len(calls) > 2

    with pytest.raises(Cancelled):
        generator.generate(prompt, short, cancelled)
    wide = GenerationOptions(mode=mode, num_beams=10**6, max_tokens=2_000)
    with pytest.raises(TooLarge, match="fewer context_chunks, num_beams or max_tokens"):
        generator.generate(prompt, wide)
