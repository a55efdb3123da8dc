"""Rows with a marked answer by hand, and a tiny verifier on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.errors import IntegrityError, Unavailable
from app.transformer.encoder import BertConfig, build_bert_encoder
from app.transformer.pointer_checkpoints import write_sums
from app.transformer.pointer_rows import SpecialIds
from app.transformer.verifier import AnswerVerifier, MarkIds, VerifierConfig, marked_row, pad_marked, room_for_text
from app.transformer.verifier_checkpoints import (
    VerifierManifest,
    load_verifier,
    read_verifier_manifest,
    save_verifier,
    verifier_on,
)

SPECIAL = SpecialIds(cls=1, sep=2, pad=0)
MARKS = MarkIds(opening=3, closing=4)
SIZES = BertConfig(vocab_size=40, embed_dim=8, num_layers=3, num_heads=2, ff_dim=16, max_positions=32)
CONFIG = VerifierConfig(SIZES, shared_layers=1)


def tiny() -> AnswerVerifier:
    torch.manual_seed(0)
    return AnswerVerifier(build_bert_encoder(SIZES)).eval()


def test_the_answer_stands_between_its_marks() -> None:
    row = marked_row(SPECIAL, MARKS, [10, 11], [20], [30, 31, 32], (1, 2))
    assert row.source.ids == [1, 10, 11, 2, 20, 2, 30, 3, 31, 4, 32, 2]
    assert row.source.ids[row.mark] == MARKS.opening
    assert row.source.type_boundary == 4
    assert len(row.source.ids) == 12 - room_for_text([10, 11], [20], 12) + 3
    bare = marked_row(SPECIAL, MARKS, [10, 11], [], [30, 31, 32], (0, 3))
    assert bare.source.ids == [1, 10, 11, 2, 3, 30, 31, 32, 4, 2]
    assert bare.source.ids[bare.mark] == MARKS.opening
    assert len(bare.source.ids) == 10 - room_for_text([10, 11], [], 10) + 3


def test_padding_changes_no_logit_and_the_place_of_the_mark_does() -> None:
    model = tiny()
    short = marked_row(SPECIAL, MARKS, [10], [], [30, 31], (0, 1))
    other = marked_row(SPECIAL, MARKS, [10], [], [30, 31], (1, 2))
    long = marked_row(SPECIAL, MARKS, [10, 11, 12], [], [30, 31, 32, 33, 34], (2, 3))
    with torch.inference_mode():
        rows, marks = pad_marked([short, long, other], SPECIAL.pad)
        together = model(rows.token_ids, rows.mask, rows.token_types, marks)
        rows, marks = pad_marked([short], SPECIAL.pad)
        alone = model(rows.token_ids, rows.mask, rows.token_types, marks)
    assert together[0].item() == pytest.approx(alone[0].item(), abs=1e-6)
    assert together[0].item() != pytest.approx(together[2].item(), abs=1e-4)


def test_a_saved_verifier_stands_on_the_readers_own_modules(tmp_path: Path) -> None:
    torch.manual_seed(1)
    encoder = build_bert_encoder(SIZES).to(torch.bfloat16)
    made = verifier_on(encoder, CONFIG, shared=False).to(torch.bfloat16)
    with torch.no_grad():
        made.get_parameter("encoder.blocks.2.feed_forward.down.bias").add_(1.0)
    save_verifier(made, VerifierManifest(CONFIG, "abc", {"name": "v"}), tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert not any(name.startswith(("encoder.embeddings", "encoder.blocks.0")) for name in stored)
    loaded, manifest = load_verifier(tmp_path, encoder, dtype=torch.bfloat16)
    assert manifest == VerifierManifest(CONFIG, "abc", {"name": "v"})
    assert loaded.encoder.embeddings is encoder.embeddings
    assert loaded.encoder.blocks[0] is encoder.blocks[0]
    assert loaded.encoder.blocks[2] is not encoder.blocks[2]
    rows, marks = pad_marked([marked_row(SPECIAL, MARKS, [10], [12], [30, 31], (1, 2))], SPECIAL.pad)
    with torch.inference_mode():
        before, after = (
            model.eval()(rows.token_ids, rows.mask, rows.token_types, marks).item() for model in (made, loaded)
        )
    assert before == after


def test_a_folder_that_is_not_a_whole_verifier_is_refused(tmp_path: Path) -> None:
    encoder = build_bert_encoder(SIZES)
    with pytest.raises(Unavailable, match="SHA256SUMS is missing: reinstall"):
        load_verifier(tmp_path, encoder, dtype=torch.float32)
    save_verifier(verifier_on(encoder, CONFIG, shared=False), VerifierManifest(CONFIG, "abc"), tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    save_file({name: t for name, t in stored.items() if name != "output.bias"}, tmp_path / "model.safetensors")
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        load_verifier(tmp_path, encoder, dtype=torch.float32)
    write_sums(tmp_path)
    with pytest.raises(IntegrityError, match=r"does not fit config.json \(first: output.bias\): reinstall"):
        load_verifier(tmp_path, encoder, dtype=torch.float32)
    wider = replace(CONFIG, encoder=replace(SIZES, ff_dim=24))
    save_verifier(verifier_on(encoder, CONFIG, shared=False), VerifierManifest(wider, "abc"), tmp_path)
    with pytest.raises(IntegrityError, match="does not fit"):
        load_verifier(tmp_path, encoder, dtype=torch.float32)
    (tmp_path / "config.json").write_text('{"model_type": "attest-pointer-reader"}')
    with pytest.raises(ValueError, match="give a folder of an answer verifier"):
        read_verifier_manifest(tmp_path)
