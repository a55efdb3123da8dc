"""The log of a training run as a picture: losses over minutes, scores beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from app.errors import MissingPackage, Unavailable
from app.training.loop import LOG_NAME

_AXES = ("kind", "step", "minutes", "passes", "grad_norm", "tokens_per_s")


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of `folder/log.jsonl`.

    Raises:
        Unavailable: there is none.
    """
    path = folder / LOG_NAME
    if not path.is_file():
        raise Unavailable(f"{path} is missing: give the --out folder of a training run")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def series(lines: Sequence[Mapping[str, Any]], kind: str) -> dict[str, tuple[list[float], list[float]]]:
    """Return every figure that lines of `kind` hold, as (minutes, values)."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for line in lines:
        if line["kind"] != kind:
            continue
        for name, value in line.items():
            if name not in _AXES and isinstance(value, int | float):
                minutes, values = found.setdefault(name, ([], []))
                minutes.append(float(line["minutes"]))
                values.append(float(value))
    return found


def require_matplotlib() -> None:
    """Return nothing if curves can be drawn.

    Raises:
        MissingPackage: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingPackage("matplotlib draws the curves of a training run: pip install matplotlib")


def draw_curves(folder: Path, target: Path) -> None:
    """Write an SVG of the run in `folder`: above what was logged in training, below the scores.

    Raises:
        Unavailable: there is no log.
    """
    require_matplotlib()
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    lines = read_log(folder)
    panels = [
        (title, found) for title, kind in (("training", "train"), ("scores", "dev")) if (found := series(lines, kind))
    ]
    figure = Figure(figsize=(8, 3.2 * max(1, len(panels))), layout="constrained")
    FigureCanvasSVG(figure)
    for place, (title, found) in enumerate(panels, start=1):
        axes = figure.add_subplot(len(panels), 1, place)
        for name, (minutes, values) in found.items():
            axes.plot(minutes, values, marker="o" if len(values) < 30 else None, markersize=3, linewidth=1, label=name)
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("minutes")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(target, format="svg")
