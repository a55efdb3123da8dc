"""The directions between rooms, and what importing costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def loaded_by(statement: str) -> set[str]:
    """Top-level modules and `app.*` rooms in a fresh interpreter after `statement`."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()
    return {name for name in out if "." not in name} | {name for name in out if name.startswith("app.")}


def test_importing_app_costs_nothing() -> None:
    before, after = loaded_by("pass"), loaded_by("import app")
    assert after - before == {"app"}


@pytest.mark.parametrize("module", ["app.types", "app.errors", "app.index.catalog", "app.index.generations"])
def test_the_lower_rooms_load_neither_fastapi_nor_torch(module: str) -> None:
    assert loaded_by(f"import {module}").isdisjoint({"fastapi", "starlette", "torch", "transformers", "lightgbm"})


def test_help_loads_only_the_command_line() -> None:
    loaded = loaded_by("import app.cli.root")
    assert loaded.isdisjoint(
        {"torch", "fastapi", "uvicorn", "pydantic", "sqlalchemy", "faiss", "tantivy", "numpy", "httpx", "ingestion"}
    )


def test_import_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=110, env=os.environ | {"COLUMNS": "100"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
