"""What the verifier is shown of a passage, and that its batches say what the network says."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import pytest
import torch

from app.errors import Cancelled
from app.generation.abstention import abstention_threshold, calibrated_confidence
from app.generation.reader import Reader, bundled_folder, load_reader
from app.generation.reader_search import Found, ReadPrompt, second_look
from app.generation.reader_spans import Candidate, PassageRow
from app.generation.verifier import Claim, RowBuilder, Verifier, verifier_for
from app.transformer.encoder import BertConfig, build_bert_encoder
from app.transformer.pointer_checkpoints import TOKENIZER_NAME
from app.transformer.pointer_rows import SourceRow
from app.transformer.tokenizers import TextTokenizer
from app.transformer.verifier import AnswerVerifier, MarkedRow, VerifierConfig, pad_marked
from app.types import GenerationOptions, Hit, Passage, PassageSpan, Prompt, StoredChunk

SIZES = BertConfig(embed_dim=24, num_layers=2, num_heads=2, ff_dim=32, max_positions=128)
CONFIG = VerifierConfig(SIZES, max_tokens=40)
CELL = "How many passengers does the Terna take?"
TEXT = "The mill makes lamps. It is led by Ida Brandt. Its shop is in Cork."


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer(bundled_folder() / TOKENIZER_NAME)


@pytest.fixture(scope="module")
def shown(tokenizer: TextTokenizer) -> Callable[[MarkedRow | None], str]:
    pieces = tokenizer.vocabulary()

    def words(row: MarkedRow | None) -> str:
        assert row is not None
        assert pieces[row.source.ids[row.mark]] == "«"
        return " ".join(pieces[i] for i in row.source.ids)

    return words


def claim(tokenizer: TextTokenizer, text: str, answer: str, heading: str = "") -> Claim:
    start = text.index(answer)
    tokens, above = tokenizer.encode([text, heading])
    return Claim(text, tokens, above.ids, start, start + len(answer))


def test_a_row_shows_the_answers_sentence_and_the_one_before(
    tokenizer: TextTokenizer, shown: Callable[[MarkedRow | None], str]
) -> None:
    rows = RowBuilder(tokenizer, CONFIG)
    question = tokenizer.encode(["Who founded it?"])[0].ids
    assert shown(rows.row(question, claim(tokenizer, TEXT, "Ida Brandt", "Lamps"))) == (
        "[CLS] who founded it ? [SEP] lamps [SEP] the mill makes lamps . it is led by « ida brandt » . [SEP]"
    )
    first = shown(rows.row(question, claim(tokenizer, TEXT, "lamps")))
    assert first == "[CLS] who founded it ? [SEP] the mill makes « lamps » . [SEP]"


def test_where_room_is_short_the_sentence_before_goes_first_and_then_what_is_far_from_the_answer(
    tokenizer: TextTokenizer, shown: Callable[[MarkedRow | None], str]
) -> None:
    question = tokenizer.encode(["Who founded it?"])[0].ids
    narrow = RowBuilder(tokenizer, VerifierConfig(SIZES, max_tokens=20))
    assert shown(narrow.row(question, claim(tokenizer, TEXT, "Ida Brandt"))) == (
        "[CLS] who founded it ? [SEP] it is led by « ida brandt » . [SEP]"
    )
    endless = " ".join(["one"] * 90 + ["Ida"] + ["two"] * 90)
    row = narrow.row(question, claim(tokenizer, endless, "Ida"))
    assert row is not None
    assert len(row.source.ids) <= 20
    assert "one « ida » two" in shown(row)
    last = narrow.row(question, claim(tokenizer, endless[: endless.index("two") - 1], "Ida"))
    assert "one « ida » [SEP]" in shown(last)
    long_answer = narrow.row(question, claim(tokenizer, endless, " ".join(["one"] * 60)))
    assert long_answer is not None
    assert len(long_answer.source.ids) <= 20


def test_long_questions_and_headings_are_cut(tokenizer: TextTokenizer) -> None:
    row = RowBuilder(tokenizer, VerifierConfig(SIZES, max_tokens=80)).row(
        tokenizer.encode(["why " * 70])[0].ids, claim(tokenizer, TEXT, "Ida Brandt", "lamps " * 70)
    )
    assert row is not None
    assert len(row.source.ids) <= 80


def test_a_batch_says_what_the_network_says_of_each_row(tokenizer: TextTokenizer) -> None:
    torch.manual_seed(0)
    model = AnswerVerifier(build_bert_encoder(SIZES)).eval()
    verifier = Verifier(model, CONFIG, tokenizer, "tiny")
    question = tokenizer.encode(["Who founded the mill?"])[0].ids
    claims = [claim(tokenizer, TEXT, answer) for answer in ("Ida Brandt", "lamps", "Cork")]
    nowhere = Claim("   ", tokenizer.encode(["   "])[0], (), 0, 3)
    found = verifier(question, [claims[0], nowhere, *claims[1:]])
    assert found[1] is None
    rows = [RowBuilder(tokenizer, CONFIG).row(question, one) for one in claims]
    tensors, marks = pad_marked([row for row in rows if row is not None], 0)
    with torch.inference_mode():
        expected = model(tensors.token_ids, tensors.mask, tensors.token_types, marks).tolist()
    assert [found[0], *found[2:]] == pytest.approx(expected, abs=1e-4)
    assert verifier(question, [nowhere]) == [None]

    def cancel() -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        verifier(question, claims[:1], cancel)


def test_another_readers_verifier_is_left_out(tokenizer: TextTokenizer) -> None:
    encoder = build_bert_encoder(SIZES)
    assert verifier_for("0" * 64, encoder, tokenizer, torch.float32, remedy="reinstall") is None


def candidate(start: int, end: int, rank_score: float, passage: int = 0) -> Candidate:
    span = PassageSpan(passage, start, end)
    return Candidate(TEXT[start:end], (span,), frozenset({start}), -1.0, rank_score, 1, start, end)


class Told:
    """Stands for a `Verifier` whose log-odds are known."""

    def __init__(self, logits: dict[str, float | None]) -> None:
        self.asked: list[str] = []
        self._logits = logits

    def __call__(
        self, question_ids: Sequence[int], claims: Sequence[Claim], check: Callable[[], None]
    ) -> list[float | None]:
        texts = [one.text[one.start : one.end] for one in claims]
        self.asked += texts
        return [self._logits[text] for text in texts]


def test_the_second_look_can_prefer_the_second_guess_and_asks_only_once(tokenizer: TextTokenizer) -> None:
    (tokens,) = tokenizer.encode([TEXT])
    row = PassageRow(0, tokens, SourceRow([], 0, 0, 0, 0))
    passage = Passage(1, Hit(StoredChunk.of_text(TEXT, "c", collection="x")), TEXT, 0, len(TEXT))
    read = ReadPrompt(Prompt("Who leads it?", (passage,), TEXT, 0), [], (row,), None)
    mill, ida = (candidate(TEXT.index(t), TEXT.index(t) + len(t), s) for t, s in (("mill", 2.0), ("Ida Brandt", 1.0)))
    found, told = Found([mill, ida], -1.0), Told({"mill": -1.0, "Ida Brandt": 3.0})

    def look(weight: float, verifier: Told = told, shown: Found = found) -> tuple[str, float | None]:
        best, logit = second_look(
            cast(Verifier, verifier), read, shown, [mill, ida], [[]], weight=weight, check=lambda: None
        )
        return best.text, logit

    assert look(0.0) == ("mill", -1.0)
    assert told.asked == ["mill"]  # no log-odds could bring the second to the front
    assert look(0.2) == ("mill", -1.0)  # 2 − 0.2 > 1 + 0.6
    assert look(0.5) == ("Ida Brandt", 3.0)  # 2 − 0.5 < 1 + 1.5
    assert told.asked == ["mill", "Ida Brandt"]
    assert look(0.5, Told({"mill": None, "Ida Brandt": 1.0}), Found([mill, ida], -1.0)) == ("mill", None)


def test_the_passages_prior_is_weighed_when_it_is_ranked() -> None:
    first, second = candidate(0, 3, 1.0), candidate(4, 8, 0.5, passage=1)
    found = Found([first, second], -1.0, log_prior=(math.log(0.2), math.log(0.8)))
    assert [one.text for one in found.ranked(0.0)] == [first.text, second.text]
    # 1 + w ln 0.2 against 0.5 + w ln 0.8: equal at w = 0.5 / ln 4
    assert [one.text for one in found.ranked(0.5 / math.log(4) + 0.01)] == [second.text, first.text]
    assert [one.text for one in found.ranked(0.5 / math.log(4) - 0.01)] == [first.text, second.text]
    named = Found([first, second], -1.0, log_prior=(0.0, 0.0), cells=frozenset({(4, 8)}))
    assert named.names_cell(second)
    assert [one.text for one in named.ranked(1.0)] == [second.text, first.text]
    marginalized = Found([second, first], -1.0)
    assert marginalized.ranked(5.0) == [second, first]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return load_reader(dtype=torch.float32)


def asked(question: str, *texts: str) -> Prompt:
    passages = tuple(
        Passage(number, Hit(StoredChunk.of_text(text, f"c{number}", collection="x")), text, 0, len(text))
        for number, text in enumerate(texts, start=1)
    )
    return Prompt(question, passages, "", 0)


def test_another_relation_of_the_same_person_is_told_apart(reader: Reader) -> None:
    texts = (
        "The chief executive of Acme is Jane Miller. The company makes anvils and has 300 employees.",
        "The bakery in Hollow Street sells rye bread. Its owner is Tomas Reyes.",
    )
    for right, near in (
        ("Who is the chief executive of Acme?", "Who founded Acme?"),
        ("How many employees does Acme have?", "How many customers does Acme have?"),
        ("Who owns the bakery?", "Who founded the bakery?"),
    ):
        answered = reader.generate(asked(right, *texts), GenerationOptions())
        tempting = reader.generate(asked(near, *texts), GenerationOptions())
        assert answered.text == tempting.text
        assert answered.evidence.verification is not None
        assert tempting.evidence.verification is not None
        assert answered.evidence.verification > 3.0 > 0.0 > tempting.evidence.verification
        assert calibrated_confidence(answered.evidence) > 0.6
        assert calibrated_confidence(tempting.evidence) < min(0.5, calibrated_confidence(answered.evidence) - 0.4)
        assert calibrated_confidence(tempting.evidence) < abstention_threshold()
        assert answered.detail["verify_ms"] > 0.0


def test_whole_sentences_and_cells_are_not_verified_nor_anything_where_it_is_switched_off(reader: Reader) -> None:
    table = "Ship: Havfrue; Built: 1998; Passengers: 820\nShip: Terna; Built: 2006; Passengers: 640"
    for question, text in (("Is the bakery in Hollow Street?", "The bakery is in Hollow Street."), (CELL, table)):
        generated = reader.generate(asked(question, text), GenerationOptions())
        assert generated.evidence.verification is None
        assert generated.detail == {}
    plain = load_reader(dtype=torch.float32, verify=False)
    generated = plain.generate(asked("Who owns the bakery?", "Tomas Reyes owns the bakery."), GenerationOptions())
    assert generated.text == "Tomas Reyes"
    assert generated.evidence.verification is None
    assert plain.with_weights(1.0, 2.0).weights == (1.0, 2.0)
    assert plain.weights == reader.weights != (1.0, 2.0)


def test_the_rag_modes_keep_their_own_ranking(reader: Reader) -> None:
    prompt = asked("Who owns the bakery?", "Tomas Reyes owns the bakery.", "Ida Brandt sweeps the bakery.")
    for options in (GenerationOptions(mode="rag_sequence"), GenerationOptions(mode="rag_token")):
        generated = reader.with_weights(0.35, 9.0).generate(prompt, options)
        unverified = reader.with_weights(0.35, 0.0).generate(prompt, options)
        assert generated.text == unverified.text
        assert generated.evidence.document_posterior == unverified.evidence.document_posterior != ()
        assert generated.evidence.verification is not None
