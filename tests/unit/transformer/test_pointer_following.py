"""What follows copied paths: run by run it must be what it is step by step."""

from __future__ import annotations

import pytest
import torch

from app.errors import Cancelled
from app.transformer.pointer import Memory, PointerReader
from app.transformer.pointer_following import Following, Path, widened
from tests.unit.transformer.test_pointer import read, tiny_reader, two_rows


def stepwise(model: PointerReader, memory: Memory, path: Path) -> torch.Tensor:
    """Log-probabilities [m + 1] of what comes after `path`, by one pass over that path alone."""
    copied = torch.tensor([path])
    inputs = torch.cat([model.begin_embedding(1), model.target_embeddings(memory, copied)], dim=1)
    decoded = model.decode(memory, inputs)
    return torch.log_softmax(model.later_logits(memory, decoded[:, 1:], copied), dim=2)[0, -1]


def following(model: PointerReader, memory: Memory, calls: list[int], branches: int = 3) -> Following:
    kv = model.decoder.project_memory(memory.states)
    return Following(model, memory, kv, branches=branches, max_tokens=3, check=lambda: calls.append(1))


@torch.inference_mode()
def test_a_path_brings_what_follows_it_in_the_source_and_asks_once() -> None:
    model = tiny_reader()
    memory = read(model, two_rows(), 2)  # row 0 copies from 4, 5, 6; row 1 from 15, 16
    calls: list[int] = []
    found = following(model, memory, calls)
    found.look_up([(4,), (15,), (6,)])
    asked = len(calls)
    for path in [(4,), (4, 5), (4, 5, 6), (15,), (15, 16), (6,)]:
        expected = stepwise(model, memory, path)
        assert found.end(path) == pytest.approx(float(expected[-1]), abs=1e-4)
        best = expected[:-1].topk(3)
        assert [position for _, position in found.best(path)] == best.indices.tolist()
        assert [value for value, _ in found.best(path)] == pytest.approx(best.values.tolist(), abs=1e-4)
    found.look_up([(4, 5), (15, 16)])
    assert len(calls) == asked
    with pytest.raises(KeyError):
        found.end((6, 7))  # [SEP] is not copied


@torch.inference_mode()
def test_a_path_that_jumps_is_computed_when_it_is_asked_for() -> None:
    model = tiny_reader()
    memory = read(model, two_rows(), 2)
    calls: list[int] = []
    found = following(model, memory, calls)
    found.look_up([(4,), (5,)])
    before = len(calls)
    found.look_up([(4, 16), (5, 4)])
    assert len(calls) > before
    for path in [(4, 16), (5, 4), (5, 4, 5)]:
        assert found.end(path) == pytest.approx(float(stepwise(model, memory, path)[-1]), abs=1e-4)


@torch.inference_mode()
def test_a_run_is_worth_its_steps_and_its_stop() -> None:
    model = tiny_reader()
    memory = read(model, two_rows(), 2)
    found = following(model, memory, [])
    found.look_up([(15,)], runs=[(4, 5, 6), (5,)])
    expected = (
        float(stepwise(model, memory, (4,))[5])
        + float(stepwise(model, memory, (4, 5))[6])
        + float(stepwise(model, memory, (4, 5, 6))[-1])
    )
    assert found.logprob((4, 5, 6)) == pytest.approx(expected, abs=1e-4)
    assert found.logprob((5,)) == pytest.approx(float(stepwise(model, memory, (5,))[-1]), abs=1e-4)


@torch.inference_mode()
def test_no_path_grows_beyond_the_longest_answer() -> None:
    model = tiny_reader()
    memory = read(model, two_rows(), 2)
    found = Following(
        model, memory, model.decoder.project_memory(memory.states), branches=2, max_tokens=2, check=lambda: None
    )
    found.look_up([(4,)])
    assert found.end((4, 5)) < 0
    with pytest.raises(KeyError):
        found.end((4, 5, 6))


@torch.inference_mode()
def test_a_pass_can_be_refused() -> None:
    model = tiny_reader()
    memory = read(model, two_rows(), 2)

    def refuse() -> None:
        raise Cancelled("gone")

    kv = model.decoder.project_memory(memory.states)
    found = Following(model, memory, kv, branches=2, max_tokens=3, check=refuse)
    with pytest.raises(Cancelled):
        found.look_up([(4,)])


def test_a_widened_memory_copies_nothing() -> None:
    memory = read(tiny_reader(), two_rows(), 2)
    wide = widened(memory, 5)
    assert wide.states.shape[0] == wide.end_logits.shape[0] == 5
    assert wide.states.data_ptr() == memory.states.data_ptr()
    assert wide.keys is memory.keys
