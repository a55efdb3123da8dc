"""A Hugging Face folder → a model of ours: the config read, the tensors mapped, everything that does not fit named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from app.errors import AttestError, IntegrityError, InvalidInput, Unavailable
from app.transformer.checkpoints.generation_defaults import GenerationDefaults, read_generation_defaults
from app.transformer.checkpoints.tensor_files import StoredTensors, some
from app.transformer.families import Family, ModelKind
from app.transformer.families.registry import family_of
from app.transformer.json_files import read_json_object

CONFIG_NAME = "config.json"
FLOATS = (torch.float32, torch.bfloat16, torch.float16)
_RANDOM_FILLS = (torch.Tensor.normal_, torch.Tensor.uniform_)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in evaluation mode and what its folder says of it.

    `described` is the folder's config.json; `config` what we made of it.
    """

    kind: ModelKind
    model: nn.Module
    config: Any
    folder: Path
    described: Mapping[str, Any]
    generation: GenerationDefaults


def load_model(folder: Path, *, dtype: torch.dtype | None = None) -> LoadedModel:
    """Return the model of a Hugging Face folder, in evaluation mode, its weights mapped from the files.

    A weight that is not cast is a view of the mapped file: it is read from disk when it is first used, and several
    processes share one copy.

    Args:
        folder: config.json and model.safetensors, or shards with model.safetensors.index.json.
        dtype: float32, bfloat16 or float16 to cast to; None keeps what is stored (where a folder mixes precisions, the
            one that most numbers have).

    Raises:
        Unavailable: a file is missing, or the model uses a part that does not run here; the message says which.
        IntegrityError: a file is cut off, or tensors are missing, unexpected or of another shape; it names them.
    """
    described = read_json_object(folder / CONFIG_NAME)
    family, config = read_config(folder, described)
    stored = StoredTensors(folder)
    model, config = build_from(family, config, stored, dtype=dtype)
    generation = read_generation_defaults(folder, described)
    return LoadedModel(family.kind, model, config, folder, described, generation)


def read_config(folder: Path, described: Mapping[str, Any]) -> tuple[Family, Any]:
    """Return the family and our config of what `folder`'s config.json says.

    Raises:
        Unavailable: unknown family, quantized weights, code of its own, or a part that the family does not know.
        IntegrityError: a value is missing or of the wrong kind.
    """
    if described.get("quantization_config"):
        method = described["quantization_config"].get("quant_method", "unknown")
        raise Unavailable(
            f"{folder}: its weights are quantized (quantization_config, quant_method={method!r}), which is not read: "
            "get the model's unquantized folder and quantize it here"
        )
    family = family_of(described, folder)
    try:
        return family, family.to_config(described)
    except Unavailable as error:
        raise Unavailable(f"{folder}: {error.message}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{folder / CONFIG_NAME} does not fit model_type={described.get('model_type')!r}: {error}"
        ) from error


def build_from(
    family: Family, config: Any, stored: StoredTensors, *, dtype: torch.dtype | None = None
) -> tuple[nn.Module, Any]:
    """Return the family's model over the `stored` tensors, in evaluation mode, and its config as the tensors settle it.

    Raises:
        IntegrityError: tensors are missing, unexpected, of another shape or no floating-point numbers.
    """
    if dtype is not None and dtype not in FLOATS:
        raise InvalidInput(f"dtype={dtype} is no precision to load weights in: choose one of {FLOATS}")
    theirs = _Stored(stored)
    if family.settle is not None:
        config = family.settle(config, theirs)
    try:
        with _EmptyParameters():
            model = family.build(config)
    except (TypeError, ValueError, RuntimeError, ArithmeticError, AttestError) as error:
        raise IntegrityError(f"{stored.folder / CONFIG_NAME} describes no model that can be built: {error}") from error
    with torch.no_grad():
        expected = family.to_theirs(model.state_dict(keep_vars=True), config)
    wrong = [
        f"{name!r} is {list(stored.shape(name))}, not {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in stored and stored.shape(name) != tuple(tensor.shape)
    ]
    if wrong:
        raise IntegrityError(
            f"{stored.folder}: wrongly shaped {some(wrong, quoted=False)}: config.json and weights are of different "
            "models"
        )
    try:
        ours = family.to_ours(theirs, config)
    except KeyError as error:
        raise IntegrityError(f"{stored.folder}: {_missing([str(error.args[0])])}") from error
    except Unavailable as error:
        raise IntegrityError(f"{stored.folder}: {error.message}") from error
    _check(model, ours, expected, stored.folder)
    _assign(model, ours, dtype or _commonest_dtype(ours.values()))
    return model.eval(), config


def _check(model: nn.Module, ours: Mapping[str, Tensor], expected: Mapping[str, Tensor], folder: Path) -> None:
    """Raise `IntegrityError` that names, as the folder spells them, tensors that are missing or have no place."""
    state = model.state_dict(keep_vars=True)
    # A tensor that a family passes on unchanged is the same object under both names.
    spelled = {id(tensor): name for name, tensor in expected.items()}
    problems: list[str] = []
    missing = [names[0] for names in _places(model) if not any(name in ours for name in names)]
    if missing:
        problems.append(_missing(sorted(spelled.get(id(state[name]), name) for name in missing)))
    if unexpected := sorted(ours.keys() - state.keys()):
        problems.append(f"unexpected {some(unexpected)}: a part of that model does not run here")
    if strange := sorted(name for name, tensor in ours.items() if tensor.dtype not in FLOATS):
        stored_as = ours[strange[0]].dtype
        problems.append(f"{some(strange)} stored as {stored_as}: get the model in float32, bfloat16 or float16")
    if problems:
        raise IntegrityError(f"{folder}: " + "; ".join(problems))


def _assign(model: nn.Module, ours: dict[str, Tensor], dtype: torch.dtype) -> None:
    """Put the tensors into the model: a parameter that stands in several places stays one."""
    state = model.state_dict(keep_vars=True)
    for names in _places(model):
        name = next(name for name in names if name in ours)
        # Popped: once cast, the view of the stored tensor is let go, so one tensor at a time is held twice.
        tensor = ours.pop(name).to(dtype)
        value = nn.Parameter(tensor) if isinstance(state[name], nn.Parameter) else tensor
        for each in names:
            owner, _, last = each.rpartition(".")
            setattr(model.get_submodule(owner), last, value)


def _places(model: nn.Module) -> list[list[str]]:
    """The names in the state, grouped: names of one and the same parameter (tied weights) stand together."""
    groups: dict[int, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        groups.setdefault(id(tensor), []).append(name)
    return list(groups.values())


def _missing(names: list[str]) -> str:
    return f"missing {some(names)}: the weights are incomplete or of another model than config.json, fetch both again"


def _commonest_dtype(tensors: Iterable[Tensor]) -> torch.dtype:
    counts: Counter[torch.dtype] = Counter()
    for tensor in tensors:
        counts[tensor.dtype] += tensor.numel()
    return counts.most_common(1)[0][0]


class _Stored(Mapping[str, Tensor]):
    """Stored tensors by name; one is mapped when it is asked for."""

    def __init__(self, stored: StoredTensors) -> None:
        self._stored = stored

    def __getitem__(self, name: str) -> Tensor:
        return self._stored.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


class _EmptyParameters(TorchFunctionMode):
    """While it is entered, uninitialised tensors are made on "meta": a model is built without memory for its weights.

    Tensors with values (the tables of fixed positions) are made as always, unlike under `torch.device("meta")`.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.empty:
            kwargs["device"] = "meta"
        # There is nothing to fill; and filling a "meta" tensor at random imports torch's compiler, which takes seconds.
        if func in _RANDOM_FILLS or getattr(func, "__module__", "") == nn.init.__name__:
            tensor: Tensor = kwargs["tensor"] if "tensor" in kwargs else args[0]
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)
