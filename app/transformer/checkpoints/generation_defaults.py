"""What a model's makers say about decoding it: generation_config.json, with the older keys of config.json below it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from app.errors import IntegrityError
from app.transformer.decoding.params import SamplingParams
from app.transformer.json_files import read_json_object

GENERATION_CONFIG_NAME = "generation_config.json"

# Settings that choose no token here, with the values that mean "off" in `transformers`.
_UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "begin_suppress_tokens": ((),),
    "constraints": ((),),
    "diversity_penalty": (0.0,),
    "dola_layers": (),
    "encoder_repetition_penalty": (1.0,),
    "epsilon_cutoff": (0.0, 1.0),
    "eta_cutoff": (0.0, 1.0),
    "exponential_decay_length_penalty": ((),),
    "force_words_ids": ((),),
    "guidance_scale": (1.0,),
    "num_beam_groups": (1,),
    "num_return_sequences": (1,),
    "penalty_alpha": (0.0,),
    "remove_invalid_values": (),
    "sequence_bias": ({}, ()),
    "token_healing": (),
    "top_h": (),
    "typical_p": (1.0,),
    "watermarking_config": ({},),
}
_READ = frozenset(
    re.findall(
        r"\w+",
        """bos_token_id eos_token_id pad_token_id decoder_start_token_id forced_bos_token_id forced_eos_token_id
    do_sample temperature top_k top_p min_p repetition_penalty num_beams length_penalty early_stopping max_new_tokens
    max_length min_new_tokens min_length no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids suppress_tokens
    renormalize_logits stop_strings""",
    )
)
# Speed, memory and the shape of the answer in `transformers`: no other token comes out.
_NO_EFFECT = frozenset(
    re.findall(
        r"\w+",
        """_from_model_config transformers_version use_cache cache_implementation cache_config max_matching_ngram_size
    prompt_lookup_num_tokens num_assistant_tokens num_assistant_tokens_schedule assistant_confidence_threshold
    assistant_early_exit assistant_lookbehind target_lookbehind is_assistant disable_compile compile_config
    prefill_chunk_size low_memory output_attentions output_hidden_states output_scores output_logits
    return_dict_in_generate max_time trust_remote_code continuous_batching_config""",
    )
)


@dataclass(frozen=True, slots=True)
class GenerationDefaults:
    """The makers' settings; `None`, 0 or 1 where they say nothing, as the fields of `SamplingParams` mean it.

    `do_sample` False means greedy or beam search, whatever `temperature` says. `unsupported` names, with their values,
    the settings that are on and do nothing here.
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
    early_stopping: bool | Literal["never"] = False
    max_new_tokens: int | None = None
    max_length: int | None = None
    min_new_tokens: int = 0
    min_length: int = 0
    no_repeat_ngram_size: int = 0
    encoder_no_repeat_ngram_size: int = 0
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    suppress_tokens: tuple[int, ...] = ()
    renormalize_logits: bool = False
    stop_strings: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()

    def limits(self, max_tokens: int) -> dict[str, Any]:
        """Return what `SamplingParams` call penalties, bans and least lengths: they hold for every way to search."""
        return {
            "repetition_penalty": self.repetition_penalty,
            "no_repeat_ngram_size": self.no_repeat_ngram_size,
            "encoder_no_repeat_ngram_size": self.encoder_no_repeat_ngram_size,
            "bad_words_ids": self.bad_words_ids,
            "suppress_tokens": self.suppress_tokens,
            "min_tokens": min(self.min_new_tokens, max_tokens),
            "min_length": self.min_length,
        }

    def params(self, max_tokens: int, **chosen: Any) -> SamplingParams:
        """Return what the makers decode with; `chosen` goes before their word.

        Args:
            max_tokens: most new tokens; theirs (`max_new_tokens`, `max_length`) are in these defaults to choose from.
            chosen: fields of `SamplingParams`.
        """
        said = self.limits(max_tokens)
        if self.num_beams > 1:
            said |= {
                "num_beams": self.num_beams,
                "length_penalty": self.length_penalty,
                "early_stopping": self.early_stopping,
                "renormalize_logits": self.renormalize_logits,
            }
        elif self.stop_strings:
            said["stop"] = self.stop_strings
        if self.do_sample and self.num_beams == 1:
            said |= {
                "temperature": self.temperature,
                "top_k": self.top_k,
                "top_p": self.top_p,
                "min_p": self.min_p,
            }
        else:
            said["temperature"] = 0.0
        return SamplingParams(max_tokens, **{**said, **chosen})


def read_generation_defaults(folder: Path, config: Mapping[str, Any]) -> GenerationDefaults:
    """Return the defaults of `folder`; `config` is its config.json, asked where generation_config.json is silent.

    Raises:
        IntegrityError: generation_config.json is not JSON, or a value is of the wrong kind.
    """
    path = folder / GENERATION_CONFIG_NAME
    said = read_json_object(path) if path.is_file() else {}

    def found(name: str) -> tuple[Any, Path]:
        if said.get(name) is not None:
            return said[name], path
        return config.get(name), folder / "config.json"

    def value(name: str, kind: type[int] | type[float], default: Any = None) -> Any:
        given, where = found(name)
        if given is None:
            return default
        if isinstance(given, list) and len(given) == 1:
            given = given[0]
        if isinstance(given, bool) or not isinstance(given, int if kind is int else int | float):
            raise IntegrityError(f"{where}: {name}={given!r} is no number")
        return kind(given)

    def size(name: str) -> int:
        number: int = value(name, int, 0)
        if number < 0:
            raise IntegrityError(f"{found(name)[1]}: {name}={number} must not be below 0")
        return number

    def words(name: str) -> tuple[tuple[int, ...], ...]:
        given, where = found(name)
        listed = given or []
        if not isinstance(listed, list) or not all(isinstance(word, list) and word and _ids(word) for word in listed):
            raise IntegrityError(f"{where}: {name}={given!r} must be a list of lists of token ids")
        return tuple(tuple(word) for word in listed)

    def ids(name: str) -> tuple[int, ...]:
        given, where = found(name)
        listed = [] if given is None else given if isinstance(given, list) else [given]
        if not _ids(listed):
            raise IntegrityError(f"{where}: {name}={given!r} must be a token id or a list of token ids")
        return tuple(listed)

    stopping, where = found("early_stopping")
    if stopping not in (None, True, False, "never"):
        raise IntegrityError(f"{where}: early_stopping={stopping!r} must be true, false or 'never'")
    strings = said.get("stop_strings") or []
    strings = [strings] if isinstance(strings, str) else strings
    if not isinstance(strings, list) or not all(isinstance(text, str) and text for text in strings):
        raise IntegrityError(f"{path}: stop_strings={strings!r} must be texts, none of them empty")
    return GenerationDefaults(
        eos_token_ids=ids("eos_token_id"),
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
        early_stopping=stopping or False,
        max_new_tokens=value("max_new_tokens", int),
        max_length=value("max_length", int),
        min_new_tokens=size("min_new_tokens"),
        min_length=size("min_length"),
        no_repeat_ngram_size=size("no_repeat_ngram_size"),
        encoder_no_repeat_ngram_size=size("encoder_no_repeat_ngram_size"),
        bad_words_ids=words("bad_words_ids"),
        suppress_tokens=ids("suppress_tokens"),
        renormalize_logits=bool(said.get("renormalize_logits", False)),
        stop_strings=tuple(strings),
        unsupported=_unsupported(said, config),
    )


def _unsupported(said: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[str, ...]:
    """The settings that are on and that nothing here reads; of config.json only those that are known to be such."""
    given = {name: config[name] for name in sorted(_UNSUPPORTED) if config.get(name) is not None}
    given |= {name: value for name, value in said.items() if name not in _READ and name not in _NO_EFFECT}
    on = []
    for name, value in given.items():
        comparable = tuple(value) if isinstance(value, list) else value
        if value is not None and value is not False and comparable not in _UNSUPPORTED.get(name, ()):
            on.append(f"{name}={value!r}")
    if said.get("do_sample") and (said.get("num_beams") or 1) > 1:
        on.append("do_sample with num_beams (beams draw nothing here)")
    return tuple(on)


def _ids(listed: list[Any]) -> bool:
    return all(isinstance(token, int) and not isinstance(token, bool) and token >= 0 for token in listed)
