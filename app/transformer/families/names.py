"""Tensor names between Hugging Face and us, for encoders and encoder–decoders: one to one, given as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

# TensorFlow's names of a norm's weight and bias, which the first BERT checkpoints still carry.
_OLD_ENDINGS = {".LayerNorm.weight": ".LayerNorm.gamma", ".LayerNorm.bias": ".LayerNorm.beta"}


def to_names(
    theirs: Mapping[str, Tensor], names: Mapping[str, str], *, prefix: str, copies: Sequence[str] = ()
) -> dict[str, Tensor]:
    """Return the stored tensors by our names; the loader reports what is missing, or left over under its own name.

    Args:
        theirs: stored tensors.
        names: ours → theirs, without `prefix`.
        prefix: of the bare model inside a model with a head; may be there or not, tensor by tensor.
        copies: names, with or without the prefix, that hold nothing new and are left out.
    """
    found = {ours: present(theirs, name, prefix) for ours, name in names.items()}
    known = {*found.values(), *copies, *(prefix + copy for copy in copies)}
    ours = {ours: theirs[name] for ours, name in found.items() if name is not None}
    return ours | {name: theirs[name] for name in theirs if name not in known}


def from_names(
    ours: Mapping[str, Tensor], names: Mapping[str, str], *, prefix: str, unprefixed: Sequence[str] = ()
) -> dict[str, Tensor]:
    """Return our tensors by their names, with `prefix` but for those that begin with one of `unprefixed`.

    Raises:
        KeyError: a tensor is missing.
    """
    return {
        theirs if theirs.startswith(tuple(unprefixed)) else prefix + theirs: ours[name]
        for name, theirs in names.items()
    }


def present(theirs: Mapping[str, Tensor], name: str, prefix: str) -> str | None:
    """Return how `name` is spelled in `theirs`: with or without `prefix`, the new or the old way; None: not at all."""
    spellings = [name, *(name.removesuffix(new) + old for new, old in _OLD_ENDINGS.items() if name.endswith(new))]
    candidates = [full for spelling in spellings for full in (prefix + spelling, spelling)]
    return next((candidate for candidate in candidates if candidate in theirs), None)
