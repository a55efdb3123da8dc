"""The ground that every wire model stands on: strict types, no unknown fields in requests, bounded numbers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, StrictBool, StrictStr

INT64 = 2**63


class WireRequest(BaseModel):
    """A request body: wrong types are refused, not converted; an unknown field is a typo and is named as such."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class WireResponse(BaseModel):
    """A response body; fields may be added in later versions."""

    model_config = ConfigDict(frozen=True)


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    return text


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("must say its time zone, like 2026-01-31T00:00:00Z")
    return moment.astimezone(UTC)


def rfc3339(moment: datetime) -> str:
    """`moment` in UTC with a trailing Z; a naive one is UTC already (SQLite keeps no zone)."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.isoformat().replace("+00:00", "Z")


Text = Annotated[StrictStr, AfterValidator(_no_nul)]
"""A string without NUL (SQLite and C libraries end at it); lone surrogates are refused by pydantic itself."""

Moment = Annotated[datetime, Field(strict=False), AfterValidator(_aware)]
"""An RFC 3339 time with its zone, as UTC."""

Utc = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
"""A time in a response: RFC 3339, UTC."""

Integer = Annotated[int, Field(strict=True, ge=-INT64, lt=INT64)]
Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Scalar = Text | StrictBool | Integer | Float
MetadataValue = Scalar | list[Scalar]
MetadataKey = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_no_nul)]
Metadata = dict[MetadataKey, MetadataValue]
CollectionName = Annotated[Text, Field(min_length=1, max_length=200)]


def json_ready(value: Any) -> Any:
    """`value` with dataclasses, tuples, sets, numpy numbers and times turned into what JSON can say."""
    if isinstance(value, (str, bool, int, float)) or value is None:
        return value if not isinstance(value, float) or value - value == 0.0 else None  # no NaN, no infinity in JSON
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((json_ready(item) for item in value), key=str)
    if hasattr(value, "__dataclass_fields__"):
        return {name: json_ready(getattr(value, name)) for name in value.__dataclass_fields__}
    if hasattr(value, "tolist"):
        return json_ready(value.tolist())
    return str(value)
