"""Metadata as callers and loaders give it → checked values → rows that filters search."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from app.errors import InvalidInput

Scalar = str | int | float | bool
MAX_FIELDS = 256
MAX_LIST = 1_000
_ALLOWED = "a string, a finite number, a boolean or a list of those"


def check_json(name: str, value: object) -> None:
    """Raises InvalidInput unless `value` is JSON that UTF-8 can hold."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} cannot be stored as JSON in UTF-8 ({error}): correct the value") from error


def check_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the caller's metadata. Raises InvalidInput naming the field that is not searchable."""
    if len(metadata) > MAX_FIELDS:
        raise InvalidInput(f"metadata has {len(metadata)} fields: use at most {MAX_FIELDS}")
    return {_check_field(field): _check_value(field, value) for field, value in metadata.items()}


def from_loader(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A loader's metadata with dates written as RFC 3339 and empty fields left out, then checked as a caller's."""
    values = {field: value for field, value in metadata.items() if value is not None}
    return check_metadata({k: v.isoformat() if isinstance(v, date | datetime) else v for k, v in values.items()})


def entries(version_id: int, collection_id: int, metadata: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One row of `metadata_entries` per value; a list gives one row per element, an empty one a row without a value."""
    for field, value in metadata.items():
        for position, scalar in enumerate(value or [None] if isinstance(value, list) else [value]):
            yield {
                "version_id": version_id,
                "field": field,
                "position": position,
                "collection_id": collection_id,
                "value_text": scalar if isinstance(scalar, str) else None,
                "value_num": float(scalar) if is_number(scalar) else None,
                "value_bool": scalar if isinstance(scalar, bool) else None,
            }


def is_number(value: object) -> bool:
    """Whether `value` is an int or float that a float can hold; a boolean is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _check_field(field: object) -> str:
    if not isinstance(field, str) or not 1 <= len(field) <= 128 or not _is_utf8(field):
        raise InvalidInput(f"metadata field {str(field)[:80]!r} is not a name: use 1 to 128 characters")
    return field


def _check_value(field: str, value: object) -> object:
    if isinstance(value, list | tuple):
        if len(value) > MAX_LIST:
            raise InvalidInput(f"metadata field {field!r} lists {len(value)} values: use at most {MAX_LIST}")
        return [_check_scalar(field, element) for element in value]
    return _check_scalar(field, value)


def _check_scalar(field: str, value: object) -> Scalar:
    if isinstance(value, bool) or is_number(value):
        return value  # type: ignore[return-value]
    if isinstance(value, str):
        if _is_utf8(value):
            return value
        raise InvalidInput(f"metadata field {field!r} holds a lone surrogate, which UTF-8 cannot: remove it")
    raise InvalidInput(f"metadata field {field!r} is {str(value)[:80]!r}: use {_ALLOWED}, or leave the field out")


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
