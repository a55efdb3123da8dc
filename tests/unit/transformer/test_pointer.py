"""The pointer reader: its logits, its beam search against brute force, its rows, and its files."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch

from app.errors import Cancelled, IntegrityError, Unavailable
from app.transformer.checkpoints import save_bert_encoder, sha256_of
from app.transformer.encoder import BertConfig
from app.transformer.pointer import Memory, PointerConfig, PointerReader, build_pointer_reader
from app.transformer.pointer_checkpoints import ReaderManifest, load_pointer_reader, save_pointer_reader
from app.transformer.pointer_rows import RowTensors, SpecialIds, build_row, pad_rows, room_for_passage, split_windows
from app.transformer.pointer_search import RankWeights, best_extractive_span, extractive_spans, search

SIZES = BertConfig(vocab_size=30, embed_dim=16, num_layers=2, num_heads=4, ff_dim=32, max_positions=16)
CONFIG = PointerConfig(encoder=SIZES, decoder_layers=2, decoder_heads=4, decoder_ff_dim=32, max_answer_tokens=3)
SPECIAL = SpecialIds(cls=2, sep=3, pad=0)


def tiny_reader() -> PointerReader:
    torch.manual_seed(5)
    return build_pointer_reader(CONFIG).eval()


def two_rows() -> RowTensors:
    rows = [build_row(SPECIAL, [7, 8], [], [10, 11, 12], (0, 3)), build_row(SPECIAL, [7, 8], [9], [13, 14], (0, 2))]
    return pad_rows(rows, SPECIAL.pad)


def read(model: PointerReader, rows: RowTensors, rows_per_group: int) -> Memory:
    return model.read(rows.token_ids, rows.mask, rows.token_types, rows.copyable, rows_per_group)


def test_rows_hold_query_heading_and_passage() -> None:
    row = build_row(SPECIAL, [7, 8], [9], [10, 11, 12, 13], (1, 3))
    assert row.ids == [2, 7, 8, 3, 9, 3, 11, 12, 3]
    assert (row.type_boundary, row.copy_start, row.copy_count, row.first_token) == (4, 6, 2, 1)
    tensors = two_rows()
    assert tensors.token_ids.tolist() == [[2, 7, 8, 3, 10, 11, 12, 3, 0], [2, 7, 8, 3, 9, 3, 13, 14, 3]]
    assert tensors.mask[0].tolist() == [True] * 8 + [False]
    assert tensors.copyable[0].nonzero().flatten().tolist() == [4, 5, 6]
    assert tensors.token_types[0].tolist()[:8] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert room_for_passage([7, 8], [9], 20) == 20 - 2 - 2 - 3
    assert room_for_passage([7, 8], [], 20) == 20 - 2 - 3


def test_windows_cover_every_token_and_are_full() -> None:
    assert split_windows(5, 10, 4) == [(0, 5)]
    assert split_windows(10, 4, 3) == [(0, 4), (3, 7), (6, 10)]
    assert split_windows(9, 4, 3) == [(0, 4), (3, 7), (5, 9)]
    for size, room, stride in itertools.product(range(1, 30), (3, 5), (1, 2, 3)):
        windows = split_windows(size, room, stride)
        assert {i for a, b in windows for i in range(a, b)} == set(range(size))
        assert all(b - a == min(room, size) for a, b in windows)
    with pytest.raises(ValueError, match="stride"):
        split_windows(9, 3, 4)


def test_first_step_adds_the_extractive_start_logits() -> None:
    model = tiny_reader()
    torch.nn.init.zeros_(model.query_proj.weight)
    torch.nn.init.zeros_(model.query_proj.bias)
    with torch.inference_mode():
        memory = read(model, two_rows(), 2)
        logits = model.first_logits(memory, torch.zeros(1, 16))
    allowed = memory.copyable[0]
    torch.testing.assert_close(logits[0, :-1][allowed], memory.start_logits[0][allowed])
    assert (logits[0, :-1][~allowed] < -1e8).all()
    # softmin of the two [CLS] logits: −ln((e^−a + e^−b) / 2)
    a, b = memory.null_logits[0]
    torch.testing.assert_close(logits[0, -1], -torch.log((torch.exp(-a) + torch.exp(-b)) / 2))


def test_later_steps_prefer_the_next_token_and_add_the_end_logit() -> None:
    model = tiny_reader()
    for module in (model.query_proj, model.copy_next, model.end_step):
        torch.nn.init.zeros_(module.weight)
        torch.nn.init.zeros_(module.bias)
    torch.nn.init.constant_(model.copy_next.bias, 7.0)
    with torch.inference_mode():
        memory = read(model, two_rows(), 2)
        logits = model.later_logits(memory, torch.zeros(1, 2, 16), torch.tensor([[4, 6]]))
    # Row 0 copies from columns 4, 5, 6; after 6 stands [SEP], which may not be copied.
    assert logits[0, 0, 5] == 7.0
    assert logits[0, 0, 4] == logits[0, 0, 6] == 0.0
    assert logits[0, 1, 7] < -1e8
    torch.testing.assert_close(logits[0, :, -1], memory.end_logits[0, [4, 6]])


def test_rows_are_encoded_alone_and_padding_changes_nothing() -> None:
    model = tiny_reader()
    alone = pad_rows([build_row(SPECIAL, [7, 8], [], [10, 11, 12], (0, 3))], SPECIAL.pad)
    with torch.inference_mode():
        both, one = read(model, two_rows(), 2), read(model, alone, 1)
    torch.testing.assert_close(both.states[:, :8], one.states, atol=1e-5, rtol=0)


def sequence_logprob(model: PointerReader, memory: Memory, positions: tuple[int, ...]) -> float:
    """Teacher-forced log-probability of copying `positions` and stopping, without a cache."""
    copied = torch.tensor([positions])
    inputs = torch.cat([model.begin_embedding(1), model.target_embeddings(memory, copied)], dim=1)
    decoded = model.decode(memory, inputs)
    first = torch.log_softmax(model.first_logits(memory, decoded[:, 0]), dim=1)[0]
    later = torch.log_softmax(model.later_logits(memory, decoded[:, 1:], copied), dim=2)[0]
    targets = [*positions[1:], later.shape[1] - 1]
    return float(first[positions[0]] + sum(later[step, target] for step, target in enumerate(targets)))


def test_search_with_all_beams_equals_brute_force() -> None:
    model = tiny_reader()
    # Endings must compete: otherwise every best sequence is one token long.
    torch.nn.init.constant_(model.end_step.bias, 1.0)
    torch.nn.init.constant_(model.copy_next.bias, 3.0)
    with torch.inference_mode():
        memory = read(model, two_rows(), 2)
        copyable = memory.copyable[0].nonzero().flatten().tolist()
        scored = {
            positions: sequence_logprob(model, memory, positions)
            for size in (1, 2, 3)
            for positions in itertools.product(copyable, repeat=size)
        }
        first = torch.log_softmax(model.first_logits(memory, model.decode(memory, model.begin_embedding(1))[:, 0]), 1)
    found = search(model, memory, num_beams=200, max_answer_tokens=3)
    best = sorted(scored, key=lambda positions: -scored[positions])[:5]
    assert [sequence.positions for sequence in found.sequences[:5]] == best
    for sequence in found.sequences[:5]:
        assert sequence.logprob == pytest.approx(scored[sequence.positions], abs=1e-4)
    assert found.null_logprob == pytest.approx(float(first[0, -1]), abs=1e-5)
    assert sum(found.row_mass) + float(first[0, -1].exp()) == pytest.approx(1.0, abs=1e-5)


def test_the_heads_and_the_length_reorder_what_was_found() -> None:
    model = tiny_reader()
    memory = read(model, two_rows(), 2)
    weights = RankWeights(start=0.5, end=2.0, length=0.7)
    ranked = search(model, memory, num_beams=20, max_answer_tokens=2, weights=weights)
    starts, ends = (
        torch.log_softmax(logits.detach().masked_fill(~memory.copyable, -1e9), dim=1)[0]
        for logits in (memory.start_logits, memory.end_logits)
    )
    for sequence in ranked.sequences:
        first, last, tokens = sequence.positions[0], sequence.positions[-1], len(sequence.positions)
        expected = sequence.logprob + 0.5 * float(starts[first]) + 2.0 * float(ends[last]) + 0.7 * math.log(tokens)
        assert sequence.rank_score == pytest.approx(expected, abs=1e-5)
    scores = [sequence.rank_score for sequence in ranked.sequences]
    assert scores == sorted(scores, reverse=True)


def test_spans_of_the_extractive_heads_are_candidates_beside_the_beams() -> None:
    model = tiny_reader()
    memory = read(model, two_rows(), 2)
    spans = extractive_spans(memory, 3)
    assert spans[0] == tuple(range(best_extractive_span(memory, 3)[0], best_extractive_span(memory, 3)[1] + 1))
    assert all(1 <= len(span) <= 3 and bool(memory.copyable[0, list(span)].all()) for span in spans)
    narrow = search(model, memory, num_beams=1, max_answer_tokens=3)
    wide = search(model, memory, num_beams=1, max_answer_tokens=3, weights=RankWeights())
    found = {sequence.positions: sequence.logprob for sequence in wide.sequences}
    assert set(found) == {sequence.positions for sequence in narrow.sequences} | set(spans)
    assert len(found) == len(wide.sequences)
    with torch.inference_mode():
        for positions, logprob in found.items():
            assert logprob == pytest.approx(sequence_logprob(model, memory, positions), abs=1e-4)


def test_proposed_paths_are_candidates_too_jumps_included() -> None:
    model = tiny_reader()
    memory = read(model, two_rows(), 2)
    copyable = memory.copyable[0].nonzero().flatten().tolist()
    odd = (copyable[-1], copyable[0])
    found = search(model, memory, num_beams=1, max_answer_tokens=3, proposed=[odd])
    scored = {sequence.positions: sequence.logprob for sequence in found.sequences}
    with torch.inference_mode():
        assert scored[odd] == pytest.approx(sequence_logprob(model, memory, odd), abs=1e-4)


def test_search_can_be_abandoned_between_steps() -> None:
    model = tiny_reader()
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Cancelled("gone")

    memory = read(model, two_rows(), 2)
    with pytest.raises(Cancelled):
        search(model, memory, check=check)
    assert len(calls) == 2


def test_extractive_span_stays_in_one_row_and_maximises_start_plus_end() -> None:
    memory = Memory(
        states=torch.zeros(1, 6, 1),
        readable=torch.ones(1, 6, dtype=torch.bool),
        copyable=torch.tensor([[False, True, True, False, True, True]]),
        start_logits=torch.tensor([[1.0, 2.0, 5.0, 0.0, 3.0, 1.0]]),
        end_logits=torch.tensor([[1.0, 9.0, 1.0, 0.0, 2.0, 4.0]]),
        null_logits=torch.tensor([[1.0, 0.0]]),
        keys=torch.zeros(1, 6, 1),
    )
    # Row 0 less its nulls (1, 1): spans (1,1)=9, (1,2)=1, (2,2)=4; row 1: (4,4)=5, (4,5)=7, (5,5)=5.
    assert best_extractive_span(memory) == (1, 1, 9.0)


def saved_reader(folder: Path) -> tuple[PointerReader, Path, Path]:
    model = tiny_reader()
    encoder_folder, reader_folder = folder / "encoder", folder / "reader"
    save_bert_encoder(model.encoder, SIZES, encoder_folder)
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text("{}", encoding="utf-8")
    manifest = ReaderManifest(CONFIG, sha256_of(encoder_folder / "model.safetensors"), {"name": "tiny"})
    save_pointer_reader(model, manifest, tokenizer, reader_folder)
    return model, encoder_folder, reader_folder


def test_a_saved_reader_loads_without_storing_the_embeddings(tmp_path: Path) -> None:
    model, encoder_folder, folder = saved_reader(tmp_path)
    loaded, manifest = load_pointer_reader(folder, encoder_folder)
    assert manifest.config == CONFIG
    assert manifest.settings == {"name": "tiny"}
    torch.testing.assert_close(loaded.encoder.embeddings.word.weight, model.encoder.embeddings.word.weight)
    with torch.inference_mode():
        ours, theirs = read(model, two_rows(), 2), read(loaded, two_rows(), 2)
    torch.testing.assert_close(ours.states, theirs.states, atol=0.05, rtol=0.05)  # stored in bfloat16


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_tampered_reader_is_refused_with_the_remedy(tmp_path: Path, name: str) -> None:
    _, encoder_folder, folder = saved_reader(tmp_path)
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(IntegrityError, match=rf"{name} has sha256 .* expected .*: do that"):
        load_pointer_reader(folder, encoder_folder, remedy="do that")


def test_missing_files_are_named(tmp_path: Path) -> None:
    _, encoder_folder, folder = saved_reader(tmp_path)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(Unavailable, match=r"tokenizer\.json is missing: do that"):
        load_pointer_reader(folder, encoder_folder, remedy="do that")
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(Unavailable, match="SHA256SUMS is missing"):
        load_pointer_reader(folder, encoder_folder)
