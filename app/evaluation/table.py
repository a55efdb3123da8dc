"""A report as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.evaluation.scoring import METRICS


def report_table(report: Mapping[str, Any]) -> str:
    """Metrics down, settings across, then the differences from the first setting with their intervals."""
    entries: Sequence[Mapping[str, Any]] = report["settings"]
    names = [_clean(entry["name"]) for entry in entries]
    rows = [["", *names]]
    rows += [[name, *(_number(entry[name]) for entry in entries)] for name in METRICS]
    rows.append(["abstention auroc", *(_number(entry["abstention"]["auroc"]) for entry in entries)])
    rows.append(["refused", *(_number(entry["abstention"]["refused"]) for entry in entries)])
    for share in ("p50", "p95"):
        rows.append([f"latency {share} (ms)", *(_number(entry["latency_ms"][share], 0) for entry in entries)])
    parts = [_aligned(rows)]
    for name, entry in zip(names, entries, strict=True):
        if entry.get("difference"):
            parts.append(_difference(name, names[0], entry["difference"]))
    notes = {f"{metric}: {reason}" for entry in entries for metric, reason in entry.get("not_computed", {}).items()}
    notes |= {
        f"{name}: {entry['counts']['failed']} questions failed"
        for name, entry in zip(names, entries, strict=True)
        if entry["counts"]["failed"]
    }
    if notes:
        parts.append("\n".join(["Not computed or incomplete:", *(f"  {_clean(note)}" for note in sorted(notes))]))
    return "\n\n".join(parts)


def _difference(name: str, first: str, difference: Mapping[str, Any]) -> str:
    rows = [["", "mean", "low", "high", "n", ""]]
    for metric, one in difference.items():
        digits = 1 if metric == "latency_ms" else 3
        cells = [_signed(one[part], digits) for part in ("mean", "low", "high")]
        rows.append([metric, *cells, str(one["n"]), "*" if one["significant"] else ""])
    return f"{name} minus {first}, 95 % interval (* leaves out 0)\n{_aligned(rows)}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}"


def _clean(text: str) -> str:
    """Without control characters, which a terminal would obey."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(text))
