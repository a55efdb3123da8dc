"""JSON files of a model folder, read with messages that name the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.errors import IntegrityError, Unavailable


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the object in `path`.

    Raises:
        Unavailable: no such file.
        IntegrityError: it is not JSON, or not an object.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Unavailable(f"model file {path} is missing: copy the whole folder of the model there") from None
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"model file {path} is not JSON ({error}): fetch it again") from error
    if not isinstance(read, dict):
        raise IntegrityError(f"model file {path} holds a {type(read).__name__}, not a JSON object: fetch it again")
    return read


def write_json(value: Mapping[str, Any], path: Path) -> None:
    """Write `value` to `path`, readable by people, replacing what was there in one step."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(path)
