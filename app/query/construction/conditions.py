"""Single conditions → one filter in the syntax of the index; and the words in which a person reads a condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

_OPPOSITE = {"eq": "ne", "ne": "eq", "in": "nin", "nin": "in", "gt": "lte", "gte": "lt", "lt": "gte", "lte": "gt"}
_WORDS = {
    "eq": "is", "ne": "is not", "gt": "is above", "gte": "is at least", "lt": "is below", "lte": "is at most",
    "in": "is one of", "nin": "is none of", "contains": "contains",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """One condition on `field`, read from `question[start:end]`.

    `operations` is `{operator: operand}`; `every` means that a list must hold each of its values.
    """

    field: str
    operations: Mapping[str, Any]
    start: int
    end: int
    score: float
    every: bool = False

    def negative(self) -> Part:
        """What is true where this is not, for a condition of one operator."""
        ((operator, operand),) = self.operations.items()
        return replace(self, operations={_OPPOSITE[operator]: operand})


def combined(parts: Sequence[Part]) -> dict[str, Any]:
    """All the conditions as one filter: as a flat object where it can say them, with "all" where it can't."""
    flat: dict[str, dict[str, Any]] = {}
    rest: list[dict[str, Any]] = []
    for part in parts:
        if part.every:
            rest += [{part.field: value} for value in part.operations["in"]]
            continue
        held = flat.get(part.field)
        if held == dict(part.operations):
            continue
        if held is None or not set(held) & set(part.operations):
            flat[part.field] = {**(held or {}), **part.operations}
        elif set(held) == {"eq"} == set(part.operations) and not isinstance(held["eq"], str | bool):
            flat[part.field] = {"in": [held["eq"], part.operations["eq"]]}  # "2019 and 2021": one document has one year
        elif len(held) == 2 and set(held) == set(part.operations):
            rest.append({"any": [{part.field: held}, {part.field: dict(part.operations)}]})
            del flat[part.field]
        else:
            rest.append({part.field: _short(part.operations)})
    built: dict[str, Any] = {name: _short(operations) for name, operations in flat.items()}
    if rest:
        built["all"] = rest
    return built


def _short(operations: Mapping[str, Any]) -> Any:
    return operations["eq"] if set(operations) == {"eq"} else dict(operations)


def in_words(part: Part, question: str) -> str:
    """`company is "Acme" (from "Acme's")`."""
    told = " and ".join(f"{_WORDS[operator]} {_shown(operand)}" for operator, operand in part.operations.items())
    if part.every:
        told = f"has all of {_shown(part.operations['in'])}"
    return f"{part.field} {told} (from {question[part.start : part.end]!r})"


def _shown(operand: Any) -> str:
    if isinstance(operand, list | tuple):
        return ", ".join(_shown(element) for element in operand)
    if isinstance(operand, bool):
        return "true" if operand else "false"
    return f'"{operand}"' if isinstance(operand, str) else str(operand)
