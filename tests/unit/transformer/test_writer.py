from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.errors import IntegrityError, Unavailable
from app.transformer.encoder import BertConfig, build_bert_encoder
from app.transformer.pointer_rows import SpecialIds
from app.transformer.writer import Source, Writer, WriterConfig, warm_start
from app.transformer.writer_checkpoints import WriterManifest, load_writer, read_writer_manifest, save_writer
from app.transformer.writer_rows import padded, writer_row
from app.transformer.writer_search import write

SPECIAL = SpecialIds(cls=1, sep=2, pad=0)
GENERABLE = (2, 5, 6, 7)
SIZES = WriterConfig(
    embed_dim=16, decoder_layers=2, num_heads=2, ff_dim=24, generable=4, tasks=3, max_tokens=32, max_written=10
)


def writer() -> Writer:
    torch.manual_seed(3)
    model = Writer(torch.randn(20, 16), torch.tensor(GENERABLE), SIZES)
    with torch.no_grad():  # what starts at zero would hide mistakes
        for parameter in (model.word_proj.weight, model.follow.weight, model.gate.weight, model.segment.weight):
            parameter.normal_(std=0.3)
    return model.eval()


def source(model: Writer, *rows: list[int]) -> Source:
    tensors, segments = padded([writer_row(SPECIAL, row, max_tokens=32) for row in rows], SPECIAL)
    torch.manual_seed(5)
    table = torch.randn(20, 16)
    return model.read(table[tensors.token_ids], tensors.token_ids, segments, tensors.mask, tensors.copyable)


def teacher_forced(model: Writer, read: Source, target: list[int]) -> Tensor:
    """ln p of each target token, from one pass over all of them."""
    task = torch.tensor([1])
    written = torch.tensor([target[:-1]])
    inputs = torch.cat([model.first_input(task), model.later_inputs(task, written)], dim=1)
    last = torch.tensor([[-1, *target[:-1]]])
    before = torch.tensor([[-1, -1, *target[:-2]]])
    scores = model.score(read, model.decode(read, inputs), last, before)
    return model.target_logprobs(read, scores, torch.tensor([target]))[0]


def step_by_step(model: Writer, read: Source, target: list[int]) -> Tensor:
    """The same from one step after the other, over the whole vocabulary."""
    caches, found, task = model.decoder.new_caches(), [], torch.tensor([1])
    for at, token in enumerate(target):
        inputs = model.later_inputs(task, torch.tensor([[target[at - 1]]])) if at else model.first_input(task)
        last = torch.tensor([[target[at - 1] if at else -1]])
        before = torch.tensor([[target[at - 2] if at > 1 else -1]])
        logprobs = model.next_logprobs(read, model.score(read, model.decode(read, inputs, caches), last, before))
        found.append(logprobs[0, token])
    return torch.stack(found)


def test_the_two_ways_to_a_token_sum_to_one() -> None:
    model = writer()
    read = source(model, [8, 9, 5, 8])
    scores = model.score(
        read, model.decode(read, model.first_input(torch.tensor([0]))), torch.tensor([[-1]]), torch.tensor([[-1]])
    )
    torch.testing.assert_close(
        scores.generated.exp().sum(2) + scores.copied.exp().sum(2), torch.ones(1, 1), rtol=0, atol=1e-5
    )
    probabilities = model.next_logprobs(read, scores).exp()
    torch.testing.assert_close(probabilities.sum(1), torch.ones(1), rtol=0, atol=1e-5)
    held = set(GENERABLE) | {8, 9}
    assert {token for token in range(20) if probabilities[0, token] > 1e-9} == held  # names come from the source alone


def test_training_and_decoding_give_a_text_the_same_probability() -> None:
    model = writer()
    read = source(model, [8, 9, 5, 8, 11])
    target = [8, 9, 6, 5, 2]
    with torch.no_grad():
        torch.testing.assert_close(
            teacher_forced(model, read, target), step_by_step(model, read, target), rtol=1e-4, atol=1e-5
        )


def test_padding_changes_nothing() -> None:
    model = writer()
    target = [8, 5, 2]
    with torch.no_grad():
        alone = teacher_forced(model, source(model, [8, 9]), target)
        both = source(model, [8, 9], [5, 6, 7, 8, 9, 10])
        first = Source(
            both.token_ids[:1],
            both.memory[:1],
            both.readable[:1],
            both.copyable[:1],
            both.keys[:1],
            [(k[:1], v[:1]) for k, v in both.memory_kv],
        )
        torch.testing.assert_close(teacher_forced(model, first, target), alone, rtol=1e-4, atol=1e-5)


def test_a_token_that_can_neither_be_generated_nor_copied_is_impossible() -> None:
    model = writer()
    with torch.no_grad():
        logprobs = teacher_forced(model, source(model, [8, 9]), [12, 8, 2])
    assert logprobs[0] < -1e8
    assert logprobs[1] > -30


def test_what_follows_the_copied_token_gets_the_bonus() -> None:
    model = writer()
    read = source(model, [8, 9, 10, 8, 11])  # row: [CLS] 8 9 10 8 11 [SEP]
    decoded = model.decode(read, model.first_input(torch.tensor([0])))

    def copied(last: int, before: int) -> Tensor:
        with torch.no_grad():
            return model.score(read, decoded, torch.tensor([[last]]), torch.tensor([[before]])).copied[0, 0]

    with torch.no_grad():
        model.follow.weight.zero_()
        model.follow.bias.copy_(torch.tensor([1.0, 2.0]))
    plain, after_one, after_two = copied(-1, -1), copied(8, -1), copied(8, 10)
    # against the position of token 10, which follows no 8
    gained = (after_one - after_one[3]) - (plain - plain[3])
    torch.testing.assert_close(gained[[2, 5]], torch.tensor([1.0, 1.0]), rtol=0, atol=1e-4)
    torch.testing.assert_close(gained[[1, 4]], torch.zeros(2), rtol=0, atol=1e-4)
    gained = (after_two - after_two[3]) - (plain - plain[3])
    torch.testing.assert_close(gained[[2, 5]], torch.tensor([1.0, 3.0]), rtol=0, atol=1e-4)


def test_rows_mark_their_parts_and_copy_all_but_separators() -> None:
    row = writer_row(SPECIAL, [8, 9], [10], [11, 12, 13], max_tokens=9)
    assert row.ids == [1, 8, 9, 2, 10, 2, 11, 12, 2]  # the passage is cut
    tensors, segments = padded([row, writer_row(SPECIAL, [8], [10], max_tokens=9)], SPECIAL)
    assert segments.tolist() == [[0, 0, 0, 0, 1, 1, 2, 2, 2], [0, 0, 0, 1, 1, 0, 0, 0, 0]]
    assert tensors.copyable[0].tolist() == [False, True, True, False, True, False, True, True, False]
    assert tensors.token_ids[1].tolist()[:5] == [1, 8, 2, 10, 2]


def test_the_decoder_starts_from_the_encoders_layers() -> None:
    torch.manual_seed(0)
    encoder = build_bert_encoder(
        BertConfig(vocab_size=20, embed_dim=16, num_layers=3, num_heads=2, ff_dim=24, max_positions=32)
    )
    model = writer()
    warm_start(model, encoder, (0, 2))
    block, layer = model.decoder.blocks[1], encoder.blocks[2]
    assert torch.equal(
        block.get_parameter("cross_attention.q_proj.weight"), layer.get_parameter("attention.q_proj.weight")
    )
    assert torch.equal(block.get_parameter("feed_forward.up.bias"), layer.get_parameter("feed_forward.up.bias"))
    with pytest.raises(ValueError, match="one encoder layer for each of the 2"):
        warm_start(model, encoder, (0,))


def greedy(model: Writer, read: Source, steps: int) -> list[int]:
    ids: list[int] = []
    for _ in range(steps):
        caches, task = model.decoder.new_caches(), torch.tensor([1])
        for at in range(len(ids) + 1):
            inputs = model.later_inputs(task, torch.tensor([[ids[at - 1]]])) if at else model.first_input(task)
            decoded = model.decode(read, inputs, caches)
        last = torch.tensor([[ids[-1] if ids else -1]])
        before = torch.tensor([[ids[-2] if len(ids) > 1 else -1]])
        token = int(model.next_logprobs(read, model.score(read, decoded, last, before)).argmax())
        if token == 2:
            return ids
        ids.append(token)
    return ids


def test_one_beam_is_greedy_decoding() -> None:
    model = writer()
    read = source(model, [8, 9, 5, 11])
    with torch.no_grad():
        model.output_bias[GENERABLE.index(2)] = 6.0  # so that texts end
        expected = greedy(model, read, 9)
    found = write(model, read, 1, 2, num_beams=1)
    assert [list(one.ids) for one in found] == [expected]
    torch.testing.assert_close(
        torch.tensor(found[0].logprob),
        step_by_step(model, read, [*expected, 2]).sum().detach(),
        rtol=1e-4,
        atol=1e-4,
    )


def test_more_beams_find_distinct_texts_best_first_and_never_repeat_three_tokens() -> None:
    model = writer()
    read = source(model, [8, 9, 5, 11])
    with torch.no_grad():
        model.output_bias[GENERABLE.index(2)] = 3.0
    found = write(model, read, 1, 2, num_beams=4)
    assert len({one.ids for one in found}) == len(found) >= 2
    assert [one.rank_score for one in found] == sorted((one.rank_score for one in found), reverse=True)
    for one in found:
        triples = [one.ids[at : at + 3] for at in range(len(one.ids) - 2)]
        assert len(triples) == len(set(triples))


def test_what_never_ends_is_given_up_and_bad_calls_are_refused() -> None:
    model = writer()
    read = source(model, [8, 9])
    with torch.no_grad():
        model.output_bias[GENERABLE.index(2)] = -40.0
    assert write(model, read, 0, 2, num_beams=2) == []
    with pytest.raises(ValueError, match="num_beams=0"):
        write(model, read, 0, 2, num_beams=0)
    with pytest.raises(ValueError, match="rows=2"):
        write(model, source(model, [8], [9]), 0, 2)


def test_a_search_can_be_abandoned() -> None:
    def stop() -> None:
        raise Unavailable("stopped")

    with pytest.raises(Unavailable, match="stopped"):
        write(writer(), source(writer(), [8, 9]), 0, 2, check=stop)


def saved(tmp_path: Path) -> tuple[Writer, Path]:
    model = writer()
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text("{}", encoding="utf-8")
    save_writer(model, WriterManifest(SIZES, "ab" * 32, {"name": "tiny"}), tokenizer, tmp_path / "writer")
    return model, tmp_path / "writer"


def test_a_writer_comes_back_from_its_folder(tmp_path: Path) -> None:
    model, folder = saved(tmp_path)
    loaded, manifest = load_writer(folder, model.words)
    assert manifest.settings["name"] == "tiny"
    assert loaded.generable.tolist() == list(GENERABLE)
    rounded = model.to(torch.bfloat16).float()
    read = source(loaded, [8, 9, 5])
    with torch.no_grad():
        torch.testing.assert_close(
            teacher_forced(loaded, read, [8, 9, 2]),
            teacher_forced(rounded.requires_grad_(False), source(rounded, [8, 9, 5]), [8, 9, 2]),
            rtol=0.1,
            atol=0.1,
        )
    stored = {"words", "slot", "tied.weight"} & {name for name, _ in loaded.state_dict().items()}
    assert not stored  # word vectors are the encoder's


def test_damaged_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    model, folder = saved(tmp_path)
    with pytest.raises(IntegrityError, match="names words that its encoder has not"):
        load_writer(folder, model.words[:6])
    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(described | {"tasks": ["poem"]}), encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"config\.json"):
        load_writer(folder, model.words)
    with pytest.raises(ValueError, match="poem"):
        read_writer_manifest(folder)


def test_the_vocabulary_must_fit_the_sizes() -> None:
    with pytest.raises(ValueError, match=r"generable \(4,\)"):
        Writer(torch.randn(20, 16), torch.tensor(GENERABLE), replace(SIZES, generable=5))
