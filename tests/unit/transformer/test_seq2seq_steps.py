"""An encoder–decoder as a StepModel: forced tokens, rows that come, go and fork, sources that do not fit."""

from __future__ import annotations

import pytest
import torch

from app.errors import InvalidInput
from app.transformer.decoding.generate import decode
from app.transformer.decoding.params import SamplingParams
from app.transformer.seq2seq import Seq2Seq, Seq2SeqConfig
from app.transformer.seq2seq_steps import Seq2SeqSteps

SOURCES = [[5, 6, 7, 8], [9, 3], [11, 12, 13]]


def tiny(positions: str = "learned") -> Seq2Seq:
    torch.manual_seed(4)
    config = Seq2SeqConfig(
        vocab_size=20,
        embed_dim=16,
        encoder_layers=1,
        decoder_layers=2,
        encoder_heads=2,
        decoder_heads=2,
        head_dim=8,
        encoder_ff_dim=32,
        decoder_ff_dim=32,
        positions=positions,  # type: ignore[arg-type]
        max_positions=10,
        decoder_start_token_id=1,
    )
    model = Seq2Seq(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


@torch.inference_mode()
def test_each_row_is_what_it_is_alone() -> None:
    model = tiny()
    together = Seq2SeqSteps(model, SOURCES, max_tokens=4)
    alone = [Seq2SeqSteps(model, [source], max_tokens=4) for source in SOURCES]
    assert [list(prompt) for prompt in together.prompts] == [[1], [1], [1]]
    first = together.start()
    torch.testing.assert_close(first, torch.cat([each.start() for each in alone]), atol=1e-5, rtol=0)
    newest = torch.tensor([4, 5, 6])
    second = together.step(newest)
    expected = torch.cat([each.step(newest[row : row + 1]) for row, each in enumerate(alone)])
    torch.testing.assert_close(second, expected, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_rows_fork_end_and_change_places() -> None:
    model = tiny()
    steps = Seq2SeqSteps(model, SOURCES, max_tokens=6)
    steps.start()
    steps.step(torch.tensor([4, 5, 6]))
    steps.reorder([2, 0, 0])  # the second row ends, the first forks, the third comes first
    got = steps.step(torch.tensor([7, 8, 9]))
    whole = []
    for source, target in ((SOURCES[2], [1, 6, 7]), (SOURCES[0], [1, 4, 8]), (SOURCES[0], [1, 4, 9])):
        mask = torch.ones(1, len(source), dtype=torch.bool)
        whole.append(model(torch.tensor([source]), mask, torch.tensor([target]))[:, -1])
    torch.testing.assert_close(got, torch.cat(whole), atol=1e-5, rtol=0)
    steps.reorder([1])
    assert steps.step(torch.tensor([3])).shape == (1, 20)
    assert len(steps.prompts) == len(steps.room_tokens) == 1


def test_the_first_and_the_last_token_can_be_forced() -> None:
    steps = Seq2SeqSteps(tiny(), SOURCES, max_tokens=4, forced_bos_token_id=17, forced_eos_token_id=2)
    rows = decode(steps, SamplingParams(max_tokens=4, temperature=0.0), eos_token_ids=())
    assert [row.token_ids[0] for row in rows] == [17, 17, 17]
    assert [row.token_ids[-1] for row in rows] == [2, 2, 2]
    assert all(len(row.token_ids) == 4 for row in rows)


def test_a_target_can_be_begun() -> None:
    steps = Seq2SeqSteps(tiny(), SOURCES[:1], max_tokens=3, decoder_start=[1, 14, 15])
    assert [list(prompt) for prompt in steps.prompts] == [[1, 14, 15]]
    assert list(steps.room_tokens) == [7]
    model = tiny()
    mask = torch.ones(1, 4, dtype=torch.bool)
    with torch.inference_mode():
        whole = model(torch.tensor(SOURCES[:1]), mask, torch.tensor([[1, 14, 15]]))[:, -1]
        torch.testing.assert_close(steps.start(), whole, atol=1e-5, rtol=0)


def test_positions_bound_what_is_generated() -> None:
    rows = decode(
        Seq2SeqSteps(tiny(), SOURCES, max_tokens=50), SamplingParams(max_tokens=50, temperature=0.0, ignore_eos=True)
    )
    assert [len(row.token_ids) for row in rows] == [9, 9, 9]  # 10 positions, one of them the start
    free = decode(
        Seq2SeqSteps(tiny("relative"), SOURCES, max_tokens=25),
        SamplingParams(max_tokens=25, temperature=0.0, ignore_eos=True),
    )
    assert [len(row.token_ids) for row in free] == [25, 25, 25]


@pytest.mark.parametrize("sources", [[], [[]], [[1], []]])
def test_a_source_must_have_tokens(sources: list[list[int]]) -> None:
    with pytest.raises(InvalidInput, match="one or more lists"):
        Seq2SeqSteps(tiny(), sources, max_tokens=3)


def test_a_source_beyond_the_positions_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"11 tokens .* 10 positions"):
        Seq2SeqSteps(tiny(), [[3] * 11], max_tokens=3)
    Seq2SeqSteps(tiny("relative"), [[3] * 11], max_tokens=3)
