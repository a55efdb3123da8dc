"""What a model's makers say about decoding it: generation_config.json, with the older keys of config.json below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import IntegrityError
from app.transformer.json_files import read_json_object

GENERATION_CONFIG_NAME = "generation_config.json"


@dataclass(frozen=True, slots=True)
class GenerationDefaults:
    """The makers' settings; `None`, 0 or 1 where they say nothing, as the fields of `SamplingParams` mean it.

    `do_sample` False means greedy or beam search, whatever `temperature` says.
    """

    eos_token_ids: tuple[int, ...] = ()
    bos_token_id: int | None = None
    pad_token_id: int | None = None
    decoder_start_token_id: int | None = None
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = None
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    num_beams: int = 1
    length_penalty: float = 1.0
    max_new_tokens: int | None = None


def read_generation_defaults(folder: Path, config: Mapping[str, Any]) -> GenerationDefaults:
    """Return the defaults of `folder`; `config` is its config.json, asked where generation_config.json is silent.

    Raises:
        IntegrityError: generation_config.json is not JSON, or a value is of the wrong kind.
    """
    path = folder / GENERATION_CONFIG_NAME
    said = read_json_object(path) if path.is_file() else {}

    def value(name: str, kind: type[int] | type[float], default: Any = None) -> Any:
        found = said.get(name) if said.get(name) is not None else config.get(name)
        if found is None:
            return default
        if isinstance(found, list) and len(found) == 1:
            found = found[0]
        if isinstance(found, bool) or not isinstance(found, int if kind is int else int | float):
            raise IntegrityError(f"{path if name in said else folder / 'config.json'}: {name}={found!r} is no number")
        return kind(found)

    return GenerationDefaults(
        eos_token_ids=_ids("eos_token_id", said, config, folder),
        bos_token_id=value("bos_token_id", int),
        pad_token_id=value("pad_token_id", int),
        decoder_start_token_id=value("decoder_start_token_id", int),
        forced_bos_token_id=value("forced_bos_token_id", int),
        forced_eos_token_id=value("forced_eos_token_id", int),
        do_sample=bool(said.get("do_sample", False)),
        # Sampling settings of old config.json files are library defaults, not the makers' word: only this file counts.
        temperature=float(said.get("temperature") or 1.0),
        top_k=int(said.get("top_k") or 0),
        top_p=float(said.get("top_p") or 1.0),
        min_p=float(said.get("min_p") or 0.0),
        repetition_penalty=float(said.get("repetition_penalty") or 1.0),
        num_beams=value("num_beams", int, 1),
        length_penalty=value("length_penalty", float, 1.0),
        max_new_tokens=value("max_new_tokens", int),
    )


def _ids(name: str, said: Mapping[str, Any], config: Mapping[str, Any], folder: Path) -> tuple[int, ...]:
    found = said.get(name) if said.get(name) is not None else config.get(name)
    listed = [] if found is None else found if isinstance(found, list) else [found]
    if not all(isinstance(token, int) and not isinstance(token, bool) for token in listed):
        raise IntegrityError(f"{folder}: {name}={found!r} must be a token id or a list of token ids")
    return tuple(listed)
