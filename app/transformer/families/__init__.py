"""Hugging Face model families: one file each, `config.json` → our config, tensor names both ways."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from app.errors import Unavailable

ModelKind = Literal["causal", "encoder", "seq2seq"]


@dataclass(frozen=True, slots=True)
class Family:
    """Returns, by pure functions, what a folder of this family means here and what a model of ours is called there.

    Attributes:
        model_types: values of `model_type` in config.json.
        architectures: values of `architectures`; the first is written on saving.
        kind: what `build` makes.
        to_config: config.json → our config. Raises `Unavailable` naming the key that it does not know.
        from_config: our config and the config.json it came from (`None`: made here) → config.json to write.
        build: our config → the model, random weights (on "meta" when built under that device).
        to_ours: their tensors by name → ours by `state_dict` name; a tied head may be missing in both.
        to_theirs: the other way, exactly the tensors that a folder holds (no tied copies).
        settle: our config and the stored tensors → our config, where the tensors and not config.json decide: which
            heads there are, whether a head is tied.
    """

    model_types: tuple[str, ...]
    architectures: tuple[str, ...]
    kind: ModelKind
    to_config: Callable[[Mapping[str, Any]], Any]
    from_config: Callable[[Any, Mapping[str, Any] | None], dict[str, Any]]
    build: Callable[[Any], nn.Module]
    to_ours: Callable[[Mapping[str, Tensor], Any], dict[str, Tensor]]
    to_theirs: Callable[[Mapping[str, Tensor], Any], dict[str, Tensor]]
    settle: Callable[[Any, Mapping[str, Tensor]], Any] | None = None


# Keys that change no number of a forward pass in evaluation mode.
_HARMLESS_KEYS = """
    _name_or_path architectures model_type torch_dtype dtype transformers_version use_cache initializer_range
    attention_dropout attention_probs_dropout_prob hidden_dropout hidden_dropout_prob resid_pdrop embd_pdrop attn_pdrop
    resid_dropout classifier_dropout dropout dropout_rate activation_dropout embedding_dropout summary_type
    summary_use_proj summary_activation summary_first_dropout summary_proj_to_labels pad_token_id bos_token_id
    eos_token_id sep_token_id cls_token_id mask_token_id unk_token_id decoder_start_token_id forced_bos_token_id
    forced_eos_token_id task_specific_params output_attentions output_hidden_states output_past return_dict
    return_dict_in_generate is_encoder_decoder pretraining_tp gradient_checkpointing id2label label2id
    num_labels problem_type finetuning_task tokenizer_class prefix auto_map chunk_size_feed_forward
    attn_implementation _attn_implementation _attn_implementation_internal attn_implementation_autoset
    _attn_implementation_autoset torchscript use_bfloat16 n_ctx reorder_and_upcast_attn max_window_layers
    cache_implementation bad_words_ids begin_suppress_tokens suppress_tokens
    num_beams max_length min_length do_sample early_stopping num_return_sequences temperature top_k top_p typical_p
    is_llama_config transformers.js_config unsloth_fixed unsloth_version model_max_length _num_labels
    repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size num_beam_groups
    diversity_penalty exponential_decay_length_penalty remove_invalid_values output_scores"""
_HARMLESS = frozenset(re.findall(r"[\w.]+", _HARMLESS_KEYS))


class ConfigKeys:
    """Returns the values of a config.json one by one, and refuses at the end what nobody asked for.

    A key that we do not know may change the mathematics; running the model without it would give wrong answers quietly.

    Args:
        config: the parsed file.
        family: named in messages.
    """

    def __init__(self, config: Mapping[str, Any], family: str) -> None:
        self._config = config
        self._family = family
        self._read: set[str] = set()

    def take(self, key: str, default: Any = None) -> Any:
        """Return the value, or `default` where the key is absent or null."""
        self._read.add(key)
        value = self._config.get(key)
        return default if value is None else value

    def need(self, key: str) -> Any:
        """Return the value.

        Raises:
            Unavailable: the key is missing.
        """
        value = self.take(key)
        if value is None:
            raise Unavailable(f"config.json has no {key!r}, which a {self._family} model needs: copy the whole folder")
        return value

    def expect(self, key: str, *allowed: object) -> None:
        """Return if the value is absent or one of `allowed`.

        Raises:
            Unavailable: it is something else.
        """
        value = self.take(key)
        if value is not None and value not in allowed:
            raise self.refusal(key, value, f"only {', '.join(map(repr, allowed))} runs here")

    def finish(self) -> None:
        """Return if every key was taken, is harmless, or is off.

        Raises:
            Unavailable: naming the first key that is left.
        """
        for key, value in self._config.items():
            off = value is None or value is False or value in ({}, [])
            if key not in self._read and key not in _HARMLESS and not off:
                raise self.refusal(key, value, f"which the {self._family} loader does not know")

    def refusal(self, key: str, value: object, why: str) -> Unavailable:
        """Return the error for a value that we can not run."""
        shown = repr(value)
        shown = shown if len(shown) < 80 else shown[:77] + "…"
        return Unavailable(f"this folder's config.json uses {key}={shown}, {why}: choose another model")


def harmless_keys(original: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the keys of a config.json that say nothing about the mathematics: ids of special tokens, dropout, …

    Without an original there are no special tokens; nothing said would mean the ids of the family's first model.
    """
    if original is None:
        return {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    return {key: value for key, value in original.items() if key in _HARMLESS}
