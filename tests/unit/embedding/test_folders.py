"""Which folders our own encoder takes, and what it reads from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.embedding.folders import NotOurs, read_encoder_folder
from app.embedding.loading import load_encoder
from app.errors import InvalidInput

BERT: dict[str, Any] = {"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}
KINDS = ("models.Transformer", "models.Pooling", "models.Normalize")
LOWERS: dict[str, Any] = {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}}


def folder(root: Path, **files: Any) -> Path:
    """A folder as sentence-transformers saves it, without real weights; `files` replace or (None) remove some."""
    modules = [
        {"idx": i, "path": path, "type": f"sentence_transformers.{kind}"}
        for i, (path, kind) in enumerate(zip(("", "1_Pooling", "2_Normalize"), KINDS, strict=True))
    ]
    contents: dict[str, Any] = {
        "modules": modules,
        "config": BERT,
        "1_Pooling/config": {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False},
        "tokenizer": {"normalizer": None},
        **files,
    }
    (root / "1_Pooling").mkdir()
    for name, content in contents.items():
        if content is not None:
            (root / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    (root / "model.safetensors").write_bytes(b"weights")
    return root


def test_a_plain_folder_is_ours(tmp_path: Path) -> None:
    found = read_encoder_folder(folder(tmp_path))
    assert (found.folder, found.pooling, found.max_tokens) == (tmp_path, "mean", 512)
    assert (found.query_prompt, found.passage_prompt) == ("", "")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"sentence_bert_config": {"max_seq_length": 256}}, 256),
        ({"sentence_bert_config": {"max_seq_length": None}, "tokenizer_config": {"model_max_length": 128}}, 128),
        ({"tokenizer_config": {"model_max_length": 10**30}}, 512),
        ({"config": {"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}}, 512),
    ],
)
def test_the_longest_input_is_the_least_of_what_the_files_say(
    tmp_path: Path, files: dict[str, Any], expected: int
) -> None:
    assert read_encoder_folder(folder(tmp_path, **files)).max_tokens == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"prompts": {"query": "query: ", "passage": "passage: "}}, ("query: ", "passage: ")),
        ({"prompts": {"query": "q ", "document": "d ", "corpus": "c "}}, ("q ", "d ")),
        ({"prompts": {"query": "", "all": "x "}, "default_prompt_name": "all"}, ("", "x ")),
        ({"prompts": None, "default_prompt_name": None}, ("", "")),
    ],
)
def test_prompts_are_found_as_sentence_transformers_finds_them(
    tmp_path: Path, config: dict[str, Any], expected: tuple[str, str]
) -> None:
    found = read_encoder_folder(folder(tmp_path, config_sentence_transformers=config))
    assert (found.query_prompt, found.passage_prompt) == expected


@pytest.mark.parametrize(
    "pooling", [{"pooling_mode": "cls"}, {"pooling_mode": ["cls"]}, {"pooling_mode_cls_token": True}]
)
def test_pooling_is_read_in_the_old_form_and_the_new(tmp_path: Path, pooling: dict[str, Any]) -> None:
    assert read_encoder_folder(folder(tmp_path, **{"1_Pooling/config": pooling})).pooling == "cls"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"config": {**BERT, "model_type": "mpnet"}}, "mpnet"),
        ({"modules": [{"path": "", "type": "a.Transformer"}]}, "modules are Transformer"),
        ({"modules": None}, "no modules.json"),
        ({"modules": "{"}, "modules.json can not be read"),
        ({"1_Pooling/config": {"pooling_mode_max_tokens": True}}, "pooling is max_tokens"),
        ({"1_Pooling/config": {"pooling_mode": ["mean", "cls"]}}, "mean and cls"),
        ({"1_Pooling/config": {"pooling_mode": "mean", "include_prompt": False}}, "leaves the prompt out"),
        ({"tokenizer": None}, "no tokenizer.json"),
        ({"tokenizer_config": {"do_lower_case": True}}, "do not agree"),
        ({"tokenizer": LOWERS, "tokenizer_config": {"do_lower_case": False}}, "do not agree"),
    ],
)
def test_what_our_encoder_would_compute_otherwise_is_not_ours(
    tmp_path: Path, files: dict[str, Any], reason: str
) -> None:
    with pytest.raises(NotOurs, match=reason):
        read_encoder_folder(folder(tmp_path, **files))


def test_the_core_asked_for_by_name_says_why_it_can_not(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"'core', which can not run .* its pooling is max_tokens; set ATTEST"):
        load_encoder(str(folder(tmp_path, **{"1_Pooling/config": {"pooling_mode_max_tokens": True}})), engine="core")
