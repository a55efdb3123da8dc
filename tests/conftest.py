"""What every test stands on: no network, no user settings, fixed seeds, one thread per model, a home of its own."""

from __future__ import annotations

import os
import random
import shutil
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy, faiss and torch read it
for _name in [name for name in os.environ if name.startswith("ATTEST_")]:
    if _name not in ("ATTEST_FORBID_SKIPS", "ATTEST_DATA_DIR"):
        del os.environ[_name]

import numpy as np  # noqa: E402
import pytest  # noqa: E402

FORBID_SKIPS = os.environ.get("ATTEST_FORBID_SKIPS") == "1"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`@pytest.mark.system_package("tesseract-ocr", "tesseract")` skips, or fails where skips are forbidden."""
    for marker in item.iter_markers("system_package"):
        package, command = marker.args
        if shutil.which(command) is None:
            reason = f"needs {command}: apt-get install {package}"
            if FORBID_SKIPS:
                pytest.fail(f"{reason} (ATTEST_FORBID_SKIPS=1 forbids the skip)", pytrace=False)
            pytest.skip(reason)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(0)
    np.random.seed(0)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_user_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No `attest.toml` and no `~/.attest` of the person who runs the tests is ever read or written."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp() / "user-home"))
    # Kernels that a test compiled serve the next run too (app/transformer/native/build.py).
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path(__file__).parents[1] / ".pytest_cache" / "machine"))
    monkeypatch.delenv("ATTEST_HOME", raising=False)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ATTEST_HOME, set in the environment too."""
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("ATTEST_HOME", str(path))
    return path
