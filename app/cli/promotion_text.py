"""Versions of any kind as lines of text: a line each in a list, and what a training came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Sequence[str]


def versions_text(
    found: Sequence[Mapping[str, Any]], noun: str, counted: str, measured: str, cells: Callable[[Any], Row]
) -> str:
    """A line a version: what it is, whether it serves, what it stands on, and what it is worth on held-out questions.

    Args:
        found: newest first, the shipped one last.
        noun: what a version is called.
        counted: heading of what it was made of.
        measured: heading of what it is worth.
        cells: a version's status, and what stands under these headings.
    """
    rows: list[Row] = [("collection", noun, "status", counted, measured, "made")]
    for one in found:
        if one["id"] == "shipped":
            rows.append(("any other" if len(found) > 1 else "every one", "shipped", "serves", "", "", ""))
            continue
        rows.append((one["collection"], one["id"], *cells(one), when(one)))
    return table(rows, right=(3,))


def verdict_text(noun: str, result: Mapping[str, Any], collection: str) -> str:
    """What a training came to."""
    after = (
        f"{result[noun]} serves {collection} from the next question on; "
        f"`attest {noun}s rollback -c {collection}` takes it back"
        if result["promoted"]
        else f"{result[noun]} is kept for the record; what served goes on serving"
    )
    return f"{result['reason']}\n{after}"


def when(version: Mapping[str, Any]) -> str:
    """The minute in which a version was made."""
    return str(version["created_at"])[:16].replace("T", " ")


def table(rows: Sequence[Row], right: Sequence[int] = ()) -> str:
    """Columns as wide as their widest cell; those in `right` are set flush right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
