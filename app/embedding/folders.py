"""What a folder that sentence-transformers has saved says of a model, and whether our own encoder computes the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Pooling = Literal["mean", "cls"]

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert")
_POOLINGS: Mapping[str, Pooling] = {"mean": "mean", "cls": "cls"}
_OLD_POOLING = "pooling_mode_"
_OLD_POOLINGS = {"cls_token": "cls", "mean_tokens": "mean"}


class NotOurs(Exception):
    """The folder needs something that only sentence-transformers does; the message says what."""


@dataclass(frozen=True, slots=True)
class EncoderFolder:
    """A model of ours: tokens → states → one pooled vector. `max_tokens` counts special tokens too."""

    folder: Path
    pooling: Pooling
    max_tokens: int
    query_prompt: str
    passage_prompt: str


def read_encoder_folder(folder: Path) -> EncoderFolder:
    """What `folder` says, if `CoreEncoder` gives the vectors that sentence-transformers would.

    Raises:
        NotOurs: another architecture, further modules, another pooling, or files in a form that is not read here.
    """
    modules = _modules(folder)
    main = folder / modules[0]
    config = _json(main / "config.json")
    if config.get("model_type") not in _FAMILIES:
        raise NotOurs(f"model_type {config.get('model_type')!r} is none of {', '.join(_FAMILIES)}")
    if not (main / "tokenizer.json").is_file():
        raise NotOurs("it has no tokenizer.json")
    if not any((main / name).is_file() for name in _WEIGHTS):
        raise NotOurs("its weights are not in model.safetensors")
    shape = _json(main / "sentence_bert_config.json", missing={})
    described = _json(main / "tokenizer_config.json", missing={})
    _check_case(_json(main / "tokenizer.json"), shape, described)
    query_prompt, passage_prompt = _prompts(_json(folder / "config_sentence_transformers.json", missing={}))
    return EncoderFolder(
        folder=main,
        pooling=_pooling(_json(folder / modules[1] / "config.json")),
        max_tokens=_max_tokens(config, shape, described),
        query_prompt=query_prompt,
        passage_prompt=passage_prompt,
    )


def _modules(folder: Path) -> list[str]:
    """The folders of its Transformer and its Pooling, which are all that it may have besides a Normalize."""
    listed = _json(folder / "modules.json")
    if not isinstance(listed, list):
        raise NotOurs("modules.json holds no list")
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in listed]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]):
        raise NotOurs(f"its modules are {', '.join(kinds)}")
    return [str(module["path"]) for module in listed]


def _pooling(config: Mapping[str, Any]) -> Pooling:
    modes = config.get("pooling_mode")
    if modes is None:
        given = [name.removeprefix(_OLD_POOLING) for name, on in config.items() if name.startswith(_OLD_POOLING) and on]
        modes = [_OLD_POOLINGS.get(name, name) for name in given]
    names = [modes] if isinstance(modes, str) else list(modes)
    if len(names) != 1 or names[0] not in _POOLINGS:
        raise NotOurs(f"its pooling is {' and '.join(map(str, names)) or 'not said'}")
    if config.get("include_prompt", True) is not True:
        raise NotOurs("its pooling leaves the prompt out")
    return _POOLINGS[names[0]]


def _max_tokens(config: Mapping[str, Any], shape: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> int:
    positions = int(config["max_position_embeddings"])
    if config["model_type"] != "bert":  # these count positions from the padding's id + 1
        positions -= int(config.get("pad_token_id", 1)) + 1
    chosen = shape.get("max_seq_length") or tokenizer.get("model_max_length") or positions
    return int(min(chosen, positions))


def _prompts(config: Mapping[str, Any]) -> tuple[str, str]:
    """Of queries and of passages: the names that sentence-transformers looks for, then the default one."""
    prompts = config.get("prompts") or {}
    default = prompts.get(config.get("default_prompt_name") or "", "")
    query = prompts.get("query", default)
    passage = next((prompts[name] for name in ("document", "passage", "corpus") if name in prompts), default)
    return query or "", passage or ""


def _check_case(tokenizer: Mapping[str, Any], shape: Mapping[str, Any], described: Mapping[str, Any]) -> None:
    """Three files may say whether letters are lowered; where they do not agree, their author's library decides."""
    lowers = _lowers(tokenizer.get("normalizer"))
    said = [flag for flag in (described.get("do_lower_case"), shape.get("do_lower_case") or None) if flag is not None]
    if any(bool(flag) != lowers for flag in said):
        raise NotOurs("its files do not agree on whether letters are lowered")


def _lowers(normalizer: Any) -> bool:
    if not isinstance(normalizer, Mapping):
        return False
    if normalizer.get("type") == "Sequence":
        parts: Sequence[Any] = normalizer.get("normalizers", [])
        return any(_lowers(part) for part in parts)
    return normalizer.get("type") == "Lowercase" or bool(normalizer.get("lowercase"))


def _json(path: Path, missing: Any = None) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if missing is None:
            raise NotOurs(f"it has no {path.name}") from None
        return missing
    except (OSError, ValueError) as error:
        raise NotOurs(f"{path.name} can not be read: {error}") from error
