"""From a name to a folder: existing ones, hub names and nothing in between; only a hub name asks the network."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import InvalidInput, Unavailable
from app.transformer import model_folders
from app.transformer.model_folders import copy_companions, hub_folder, local_folder, resolve


def test_a_folder_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_folders, "hub_folder", None)  # never called
    assert resolve(tmp_path) == tmp_path.resolve()
    assert resolve(str(tmp_path)) == tmp_path.resolve()
    monkeypatch.chdir(tmp_path.parent)
    assert resolve(f"./{tmp_path.name}") == tmp_path.resolve()
    assert resolve(tmp_path.name) == tmp_path.resolve()  # a folder counts before a hub name
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert resolve(f"~/{tmp_path.name}") == tmp_path.resolve()


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/model", "~/no-such-model", "..\\up"])
def test_a_path_without_a_folder_is_no_hub_name(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"no such folder; name a folder that holds config\.json"):
        resolve(name)


@pytest.mark.parametrize("name", ["", "  ", "a/b/c", "owner/na me", "-x/y"])
def test_what_is_neither_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="neither an existing folder nor a hub name"):
        resolve(name)


def test_a_file_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weights").write_text("x")
    with pytest.raises(InvalidInput, match="no such folder"):
        resolve("weights")
    assert local_folder("owner/name") is None


def test_a_hub_name_that_can_not_be_fetched_says_what_to_do() -> None:
    with pytest.raises(Unavailable, match=r"'nobody/no-such-model' \(revision main\) could not be fetched"):
        resolve("nobody/no-such-model", revision="main")  # the tests have no network


def test_a_download_leaves_code_and_pickles_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.utils import filter_repo_objects

    asked: dict[str, object] = {}

    def download(name: str, **arguments: object) -> str:
        asked.update(arguments, name=name)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert resolve("owner/name", revision="v1") == tmp_path
    assert (asked["name"], asked["revision"]) == ("owner/name", "v1")
    wanted = ["model-00001-of-00002.safetensors", "model.safetensors.index.json", "config.json", "tokenizer.model"]
    others = ["pytorch_model.bin", "modeling_thing.py", "model.gguf", "onnx/model.onnx", "README.md"]
    patterns = asked["allow_patterns"]
    assert list(filter_repo_objects([*wanted, *others], allow_patterns=patterns)) == wanted  # type: ignore[arg-type]
    hub_folder("owner/name", None, ignore=["*.onnx"])
    assert (asked["allow_patterns"], asked["ignore_patterns"]) == (None, ["*.onnx"])


def test_companions_are_copied_and_nothing_else(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "additional_chat_templates").mkdir(parents=True)
    names = ["LICENSE.txt", "additional_chat_templates/tool_use.jinja", "merges.txt", "tokenizer.model", "vocab.json"]
    for name in [*names, "model.safetensors", "config.json", "README.md", "modeling.py"]:
        (source / name).write_text(name)
    assert copy_companions(source, target) == names
    assert sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()) == names
    assert copy_companions(source, source) == []  # over itself: nothing is emptied
    assert (source / "vocab.json").read_text() == "vocab.json"
