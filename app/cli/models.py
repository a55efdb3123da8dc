"""`attest models`: the language models on this machine, their size, and what of them runs here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from app.cli.serve import HomeOption
from app.errors import AttestError, InvalidInput


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model folder. `runs` is what it can do here: "generate", "load" (no decoder) or "no"; `reason` says why.

    `parameters`, `dtype` and `context_tokens` are None where the folder does not load.
    """

    name: str
    folder: str
    family: str
    kind: str | None
    parameters: int | None
    bytes: int
    dtype: str | None
    context_tokens: int | None
    chat_template: bool
    runs: str
    reason: str


def models(
    folders: Annotated[list[Path] | None, typer.Argument(help="Model folders, or folders of them, to look at.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
    home: HomeOption = None,
) -> None:
    """List language models (ATTEST_HOME/models and the folders given), and say which of them run."""
    from app.cli.home import quiet_settings
    from app.generation.model_place import model_folders

    settings = quiet_settings(home)
    for given in folders or ():
        if not given.is_dir():
            raise InvalidInput(f"{given} is no folder")
    places = [settings.home / "models", *(folders or ())]
    found = [look_at(folder) for folder in dict.fromkeys(f for place in places for f in model_folders(place))]
    if as_json:
        print(json.dumps([asdict(each) for each in found], ensure_ascii=False, indent=2))
    elif not found:
        print(
            f"no model folder in {' or '.join(map(str, places))} (a model folder holds config.json and *.safetensors)"
        )
    for each in () if as_json else found:
        print(_line(each))


def look_at(folder: Path) -> FoundModel:
    """What a model folder holds; nothing in it raises, a folder that does not run says which part is unknown."""
    from app.transformer.json_files import read_json_object

    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    family, kind, parameters, dtype, context, chat = "unknown", None, None, None, None, False
    try:
        family = str(read_json_object(folder / "config.json").get("model_type", "unknown"))
        from app.transformer.checkpoints.loading import load_model
        from app.transformer.model_tokenizer import load_tokenizer

        loaded = load_model(folder)  # weights are mapped, not read: cheap for any size
        tensors = {id(each): each for each in loaded.model.parameters()}
        kind, parameters = loaded.kind, sum(each.numel() for each in tensors.values())
        dtype = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
        context = getattr(loaded.config, "context_tokens", getattr(loaded.config, "max_positions", None))
        chat = load_tokenizer(folder).template is not None
        runs, reason = (
            ("generate", "") if kind == "causal" else ("load", f"an {kind} model does not write from a prompt")
        )
        if runs == "generate" and not chat:
            reason = "no chat template: a base model, which answers questions poorly"
    except AttestError as error:
        runs, reason = ("load" if parameters else "no"), error.message.removeprefix(f"{folder}: ")
    return FoundModel(folder.name, str(folder), family, kind, parameters, size, dtype, context, chat, runs, reason)


def _line(model: FoundModel) -> str:
    size = f"{model.bytes / 1e9:.2f} GB" if model.bytes >= 1e8 else f"{model.bytes / 1e6:.1f} MB"
    facts = [model.family, size]
    if model.parameters is not None:
        facts.append(
            f"{model.parameters / 1e9:.2f} B parameters"
            if model.parameters >= 1e8
            else f"{model.parameters:,} parameters"
        )
        facts.append(f"{model.dtype}")
    if model.context_tokens:
        facts.append(f"{model.context_tokens} tokens of context")
    verdict = {"generate": "runs", "load": "loads", "no": "does not run"}[model.runs]
    why = f": {model.reason}" if model.reason else ""
    how = f"\n    ATTEST_GENERATION__MODEL=local:{model.folder}" if model.runs == "generate" else ""
    return f"{model.name}  ({', '.join(facts)})\n    {verdict}{why}{how}"
