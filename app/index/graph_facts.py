"""What was read from one document version for the graph; kept as JSON beside the index, so that it is read once.

Spans are `[char_start, char_end)` in code points of the version's text; entities are named by their keys.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import asdict, dataclass
from typing import Literal

from app.errors import IntegrityError

EntityKind = Literal["name", "acronym", "organisation", "person", "place", "work", "concept"]
_SPACE = re.compile(r"\s+")
_ENDS = " \t\n.,;:!?'\"“”‘’«»()[]《》、。，；：！？"


def entity_key(name: str) -> str:
    """The form in which two spellings of a name are the same entity: compatible characters, case and spaces folded."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", name)).strip(_ENDS).casefold()


@dataclass(frozen=True, slots=True)
class Mention:
    """`key` is the entity, `name` how it is best written (an acronym's expansion), the span what stands in the text."""

    key: str
    name: str
    kind: EntityKind
    char_start: int
    char_end: int
    acronym: str = ""


@dataclass(frozen=True, slots=True)
class CoOccurrence:
    """`first` < `second`, by key; they share `count` sentences, the first of them at the span."""

    first: str
    second: str
    count: int
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True)
class Relation:
    """`subject` `name` `object`, as in "paris", "capital of", "france"; read from the sentence at the span."""

    subject: str
    name: str
    object: str
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    level: int
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the document: `columns` are its headers, empty where its rows have none."""

    title: str
    columns: tuple[str, ...]
    rows: int
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True)
class VersionFacts:
    version_id: int
    document_id: str
    version: int
    title: str
    media_type: str
    source_url: str
    chars: int
    metadata: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    tables: tuple[Table, ...]
    mentions: tuple[Mention, ...]
    co_occurrences: tuple[CoOccurrence, ...]
    relations: tuple[Relation, ...]

    def to_json(self) -> bytes:
        """Bytes that `from_json` reads back to an equal object."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> VersionFacts:
        """Raises IntegrityError where `data` is not what `to_json` wrote."""
        try:
            read = json.loads(data)
            return cls(
                **{
                    **read,
                    "metadata": tuple((str(key), str(value)) for key, value in read["metadata"]),
                    "sections": tuple(Section(**each) for each in read["sections"]),
                    "tables": tuple(Table(**{**each, "columns": tuple(each["columns"])}) for each in read["tables"]),
                    "mentions": tuple(Mention(**each) for each in read["mentions"]),
                    "co_occurrences": tuple(CoOccurrence(**each) for each in read["co_occurrences"]),
                    "relations": tuple(Relation(**each) for each in read["relations"]),
                }
            )
        except (ValueError, TypeError, KeyError) as error:
            raise IntegrityError(
                f"facts of a graph can't be read ({type(error).__name__}): remove the collection's graph folder, "
                "the worker builds it anew"
            ) from None
