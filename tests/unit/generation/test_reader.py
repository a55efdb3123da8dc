"""The bundled reader on made-up passages, and a tiny reader with random weights for what needs no knowledge."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.errors import Cancelled, IntegrityError, InvalidInput, TooLarge
from app.generation.reader import Reader, bundled_folder, load_reader
from app.generation.reader_spans import Candidate, PassageRow, draw, pool, positions_of, whole_words
from app.transformer.pointer_rows import SpecialIds, build_row
from app.transformer.tokenizers import TokenizedText
from app.types import Generated, GenerationOptions, Hit, Passage, PassageSpan, Prompt, StoredChunk

BRIDGE = "The Kestrel bridge was opened in 1931 by the engineer Maria Lindqvist. It is 412 metres long."
BAKERY = "The bakery in Hollow Street sells rye bread. Its owner is Tomas Reyes."
OPTIONS = GenerationOptions()


def passage(number: int, text: str, title: str = "") -> Passage:
    chunk = StoredChunk(
        chunk_id=f"1-{number}",
        version_id=1,
        ordinal=number,
        document_id="d1",
        version=1,
        collection="default",
        title=title,
        source_url=None,
        media_type="text/plain",
        text=text,
        char_start=0,
        char_end=len(text),
        page=None,
        heading_path=(),
        metadata={},
    )
    return Passage(number, Hit(chunk), text, 0, len(text))


def prompt(question: str, *texts: str) -> Prompt:
    return Prompt(question, tuple(passage(n, text) for n, text in enumerate(texts, start=1)), "\n\n".join(texts), 0)


def copied(generated: Generated, asked: Prompt) -> str:
    return ", ".join(asked.passages[s.passage].text[s.char_start : s.char_end] for s in generated.spans)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return load_reader(dtype=torch.float32)


def test_answers_from_the_right_characters_of_the_right_passage(reader: Reader) -> None:
    asked = prompt("Who opened the Kestrel bridge?", BAKERY, BRIDGE)
    generated = reader.generate(asked, OPTIONS)
    assert generated.text == "Maria Lindqvist"
    start = BRIDGE.index("Maria")
    assert generated.spans == (PassageSpan(1, start, start + len("Maria Lindqvist")),)
    assert generated.answered
    assert generated.model == reader.name
    evidence = generated.evidence
    assert evidence.answer_logprob is not None
    assert evidence.null_logprob is not None
    assert evidence.margin == pytest.approx(evidence.answer_logprob - evidence.null_logprob)
    assert evidence.passage_mass[1] > 0.5
    assert sum(evidence.passage_mass) + math.exp(evidence.null_logprob) == pytest.approx(1, abs=1e-3)
    assert evidence.runner_up != generated.text


def test_a_question_that_nothing_answers_has_less_evidence(reader: Reader) -> None:
    found = reader.generate(prompt("Who opened the Kestrel bridge?", BAKERY, BRIDGE), OPTIONS).evidence
    missing = reader.generate(prompt("Which king signed the treaty of Vardo?", BAKERY, BRIDGE), OPTIONS).evidence
    assert missing.margin is not None
    assert found.margin is not None
    assert missing.margin < found.margin
    assert missing.question_coverage is not None
    assert missing.question_coverage < 0.5


def test_a_yes_no_question_gets_the_sentence_that_bears_on_it(reader: Reader) -> None:
    for question, sentence in [
        ("Was the Kestrel bridge opened by Maria Lindqvist?", BRIDGE[: BRIDGE.index(" It is")]),
        ("Is the Kestrel bridge 500 metres long?", "It is 412 metres long."),
        ("Does the bakery sell rye bread?", BAKERY[: BAKERY.index(" Its")]),
    ]:
        asked = prompt(question, BAKERY, BRIDGE)
        generated = reader.generate(asked, OPTIONS)
        assert generated.text == copied(generated, asked) == sentence


def test_the_cell_that_the_question_names_is_the_answer(reader: Reader) -> None:
    table = (
        "Ship: Havfrue; Built: 1998; Passengers: 820; Home port: Esbjerg\n"
        "Ship: Stella Borealis; Built: 2004; Passengers: 1,150; Home port: Hirtshals\n"
        "Ship: Terna; Built: 2006; Passengers: 640; Home port: Grenaa"
    )
    for question, cell in [
        ("How many passengers does the Stella Borealis take?", "1,150"),
        ("What is the home port of the Terna?", "Grenaa"),
        ("In which year was the Havfrue built?", "1998"),
    ]:
        asked = prompt(question, BAKERY, table)
        generated = reader.generate(asked, OPTIONS)
        assert generated.text == copied(generated, asked) == cell
        assert generated.evidence.kind_fit == (0.0 if "port" in question else 1.0)
        assert generated.evidence.named_cell
    assert not reader.generate(prompt("Who opened the Kestrel bridge?", BRIDGE, table), OPTIONS).evidence.named_cell


def test_what_retrieval_ranks_first_decides_between_equal_passages(reader: Reader) -> None:
    texts = ("The Kestrel bridge was opened by Maria Lindqvist.", "The Kestrel bridge was opened by Tomas Reyes.")
    plain = [passage(number, text) for number, text in enumerate(texts, start=1)]
    for first in (0, 1):
        ranked = tuple(
            replace(
                one,
                hit=Hit(
                    one.hit.chunk,
                    {"rerank": 4.0 if place == first else -4.0},
                    {"rerank": 1 if place == first else 2, "bm25": 1 if place == first else 2},
                ),
            )
            for place, one in enumerate(plain)
        )
        generated = reader.generate(Prompt("Who opened the Kestrel bridge?", ranked, "", 0), OPTIONS)
        assert generated.spans[0].passage == first
        assert generated.evidence.retrieval_agreement == 0.0
    assert reader.generate(prompt("Who opened it?", *texts), OPTIONS).evidence.retrieval_agreement is None


def test_spans_become_the_positions_that_copy_them() -> None:
    tokens = TokenizedText([11, 12, 13, 14], [(0, 3), (4, 7), (8, 12), (12, 13)])
    special = SpecialIds(cls=1, sep=2, pad=0)
    first = PassageRow(0, tokens, build_row(special, [7], [], tokens.ids, (0, 3)))  # copies from position 3
    second = PassageRow(0, tokens, build_row(special, [7], [], tokens.ids, (1, 4)))
    rows = [first, second]
    assert positions_of(PassageSpan(0, 4, 12), rows, 10) == (4, 5)
    assert positions_of(PassageSpan(0, 8, 13), rows, 10) == (14, 15)  # only the second window holds it all
    assert positions_of(PassageSpan(0, 0, 13), rows, 10) == ()
    assert positions_of(PassageSpan(1, 0, 3), rows, 10) == ()
    assert positions_of(PassageSpan(0, 3, 4), rows, 10) == ()


def test_the_order_of_passages_does_not_change_the_answer(reader: Reader) -> None:
    one = reader.generate(prompt("What does the bakery sell?", BAKERY, BRIDGE), OPTIONS)
    other = reader.generate(prompt("What does the bakery sell?", BRIDGE, BAKERY), OPTIONS)
    assert one.text == other.text
    assert (one.spans[0].passage, other.spans[0].passage) == (0, 1)
    assert one.evidence.null_logprob == pytest.approx(other.evidence.null_logprob, abs=1e-3)


def test_a_long_passage_is_read_to_its_end(reader: Reader) -> None:
    filler = "The weather in the valley was mild and the fields were green. " * 60
    asked = prompt("Who opened the Kestrel bridge?", filler + BRIDGE)
    generated = reader.generate(asked, OPTIONS)
    assert generated.text == "Maria Lindqvist"
    assert generated.spans[0].char_start == asked.passages[0].text.index("Maria")
    assert generated.prompt_tokens > 700


def test_text_is_what_the_spans_hold(reader: Reader) -> None:
    odd = "Zürich’s café — “Naïve” — opened  in\n1931 (by Łukasz O’Neil-Ångström)."
    for question in ("Who opened the café?", "When did it open?", "What is its name?"):
        asked = prompt(question, odd)
        generated = reader.generate(asked, OPTIONS)
        assert generated.spans
        assert generated.text == copied(generated, asked)


def test_without_passages_or_text_there_is_no_answer(reader: Reader) -> None:
    for asked in (prompt("Who?"), prompt("Who?", "", " \n")):
        generated = reader.generate(asked, OPTIONS)
        assert (generated.text, generated.spans, generated.answered) == ("", (), False)
        assert generated.evidence.null_logprob == 0.0


def test_cancelling_stops_between_steps(reader: Reader) -> None:
    calls = []

    def cancelled() -> bool:
        calls.append(1)
        return len(calls) > 3

    with pytest.raises(Cancelled):
        reader.generate(prompt("Who opened the Kestrel bridge?", BAKERY, BRIDGE), OPTIONS, cancelled)
    assert len(calls) == 4


def test_limits_are_named(reader: Reader) -> None:
    with pytest.raises(TooLarge, match="shorten the question"):
        reader.generate(prompt("why " * 300, BRIDGE), OPTIONS)
    with pytest.raises(InvalidInput, match="max_tokens=0"):
        reader.generate(prompt("Who?", BRIDGE), GenerationOptions(max_tokens=0))


def test_few_tokens_shorten_the_copy(reader: Reader) -> None:
    generated = reader.generate(prompt("Who opened the Kestrel bridge?", BRIDGE), GenerationOptions(max_tokens=1))
    assert generated.completion_tokens == 2  # one copied, one END


def test_a_tampered_or_incomplete_folder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    shutil.copytree(bundled_folder(), folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    with pytest.raises(IntegrityError, match=r"model\.safetensors has sha256 .*: reinstall Attest"):
        load_reader(folder)


def test_whole_words_are_never_cut() -> None:
    text = "the engineers, 1931"
    assert whole_words(PassageSpan(0, 6, 9), text) == PassageSpan(0, 4, 13)
    assert whole_words(PassageSpan(0, 4, 13), text) == PassageSpan(0, 4, 13)
    assert whole_words(PassageSpan(0, 16, 17), text) == PassageSpan(0, 15, 19)


@pytest.mark.parametrize(
    ("text", "piece", "whole"),
    [
        ("Write to support@example.com.", "example.com", "support@example.com"),
        ("It costs 1,250.5 francs", "250", "1,250.5"),
        ("In Oslo,Bergen", "Oslo", "Oslo"),
        ("See Lisbon; Porto", "Lisbon;", "Lisbon"),
        ("Logs are in /var/log/attest. Next", "/var/log/attest.", "/var/log/attest"),
        ("in the U.S. Next", "U.S.", "U.S."),
        ("by Acme Inc. in", "Acme Inc.", "Acme Inc."),
    ],
)
def test_numbers_addresses_and_abbreviations_stay_whole(text: str, piece: str, whole: str) -> None:
    start = text.index(piece)
    span = whole_words(PassageSpan(0, start, start + len(piece)), text)
    assert text[span.char_start : span.char_end] == whole


def candidate(text: str, logprob: float, position: int) -> Candidate:
    return Candidate(
        text, (PassageSpan(0, position, position + 1),), frozenset({position}), logprob, logprob, 1, position, position
    )


def test_equal_spellings_pool_their_probability() -> None:
    # 0.3 + 0.2 for "Ada" beats 0.4 for "Bob"; the better of the two places stays.
    ranked = pool(
        [candidate("Bob", math.log(0.4), 1), candidate("ada", math.log(0.2), 2), candidate("Ada", math.log(0.3), 3)]
    )
    assert [c.text for c in ranked] == ["Ada", "Bob"]
    assert ranked[0].logprob == pytest.approx(math.log(0.5))
    assert ranked[0].spans == (PassageSpan(0, 3, 4),)
    assert ranked[0].positions == {2, 3}


def test_drawing_is_greedy_at_zero_and_seeded_above() -> None:
    ranked = [candidate("Ada", math.log(0.6), 1), candidate("Bob", math.log(0.4), 2)]
    assert draw(ranked, GenerationOptions(temperature=0.0)).text == "Ada"
    hot = [draw(ranked, GenerationOptions(temperature=1.0, seed=seed)).text for seed in range(300)]
    assert hot == [draw(ranked, GenerationOptions(temperature=1.0, seed=seed)).text for seed in range(300)]
    assert 0.3 < hot.count("Bob") / 300 < 0.5
