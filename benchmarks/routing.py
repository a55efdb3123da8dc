"""Which route a question takes: accuracy, calibration and CPU time on ten routes of our own, and four in Chinese.

    python -m benchmarks.routing            the figures, on held_out.json
    python -m benchmarks.routing --fit      the weights of app/query/routing/router.py, from tuning.json

Routes and questions lie in `benchmarks/routing_questions/`; each route has examples that it is declared with and
questions that it has not seen, and there are questions that belong to none. The subjects of the two files differ. The
rules, the features and the weights were chosen on tuning.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.embedding.loading import load_encoder
from app.protocols import Encoder
from app.query.routing.router import THRESHOLD, Method, Router
from app.query.routing.routes import checked_all
from app.query.routing.space import FEATURES, Array, RouteSpaces
from app.routing_types import Route

QUESTIONS = Path(__file__).parent / "routing_questions"
BINS = 10
_USED = {"SEMANTIC": ("nearest", "mean", "words", "form"), "CLASSIFIER": ("classifier", "mean", "words", "form")}


@dataclass(frozen=True, slots=True)
class RouteSet:
    """Declared routes, and (question, index of its route or -1)."""

    name: str
    routes: tuple[Route, ...]
    asked: tuple[tuple[str, int], ...]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="print the weights that tuning.json gives")
    encoder = load_encoder(None, dtype="float32")
    if parser.parse_args().fit:
        return fit(encoder)
    print(f"{'routes':22}{'way':12}{'right':>8}{'taken':>8}{'right':>8}{'none':>8}{'ECE':>8}{'CPU ms':>8}")
    print(f"{'':22}{'':12}{'of all':>8}{f'≥ {THRESHOLD}':>8}{'of those':>8}{'taken':>8}")
    for group in (load("held_out"), load("held_out", "chinese")):
        for way in ("semantic", "logical"):
            print(row(group, encoder, way), flush=True)
    return 0


def load(name: str, part: str | None = None) -> RouteSet:
    """A set of routes with the questions that they have not seen."""
    found: dict[str, Any] = json.loads((QUESTIONS / f"{name}.json").read_text(encoding="utf-8"))
    found = found[part] if part else found
    routes = [
        Route(
            entry["name"],
            entry["kind"],
            source="table" if entry["kind"] == "sql" else None,
            description=entry["description"],
            examples=tuple(entry["examples"]),
        )
        for entry in found["routes"]
    ]
    asked = [(question, at) for at, entry in enumerate(found["routes"]) for question in entry["held_out"]]
    asked += [(question, -1) for question in found["outside"]]
    return RouteSet(f"{len(routes)} routes{f' ({part})' if part else ''}", checked_all(routes), tuple(asked))


def row(group: RouteSet, encoder: Encoder, way: Method) -> str:
    """One line: of the questions that belong somewhere, how many find it and how many are sure."""
    router = Router(encoder)
    router.route("first", group.routes)
    scores, right, belongs, took_ms = [], [], [], []
    for question, at in group.asked:
        begun = time.process_time()
        routed = router.route(question, group.routes, method=way)
        took_ms.append(1_000 * (time.process_time() - begun))
        assert routed.route is not None
        scores.append(routed.score)
        right.append(at >= 0 and routed.route.name == group.routes[at].name)
        belongs.append(at >= 0)
    score, correct, inside = np.asarray(scores), np.asarray(right), np.asarray(belongs)
    sure = score >= THRESHOLD
    return (
        f"{group.name:22}{way:12}{correct[inside].mean():8.3f}{sure[inside].mean():8.3f}"
        f"{correct[inside & sure].mean():8.3f}{sure[~inside].mean():8.3f}{calibration_error(score, correct):8.3f}"
        f"{statistics.median(took_ms):8.1f}"
    )


def calibration_error(score: Array, correct: Array) -> float:
    """Expected calibration error over bins of equal width; a question of no route counts as not right."""
    at = np.clip((score * BINS).astype(int), 0, BINS - 1)
    held = [at == number for number in range(BINS) if (at == number).any()]
    return float(sum(abs(correct[mask].mean() - score[mask].mean()) * mask.mean() for mask in held))


def fit(encoder: Encoder) -> int:
    """Prints the weights of each way, of the greatest likelihood over the sets of tuning.json, each counting alike."""
    from scipy.optimize import minimize  # comes with scikit-learn; nothing but fitting needs it

    spaces = RouteSpaces(encoder)
    sets = [observed(load("tuning", part), spaces) for part in (None, "city", "chinese")]
    for name, columns in _USED.items():
        at = [FEATURES.index(column) for column in columns]
        best = minimize(_loss, np.zeros(len(at) + 2), args=(sets, at)).x
        weights = dict(zip(columns, best, strict=False))
        features = ", ".join(f"{weights.get(column, 0.0):.2f}" for column in FEATURES)
        print(f"{name} = Weights(({features}), {best[-2]:.2f}, {best[-1]:.2f})")
    return 0


def observed(group: RouteSet, spaces: RouteSpaces) -> tuple[Array, Array, Array]:
    """Features `[n, routes, features]`, likeness to no route `[n]`, and the right route, `routes` for none.

    Declared examples count too, each measured against the routes without it.
    """
    found, elsewhere, right = [], [], []
    items: list[tuple[str, int, tuple[Route, ...]]] = [(question, at, group.routes) for question, at in group.asked]
    for at, route in enumerate(group.routes):
        for example in route.examples:
            rest = tuple(text for text in route.examples if text != example)
            routes = list(group.routes)
            routes[at] = Route(
                route.name, route.kind, source=route.source, description=route.description, examples=rest
            )
            items.append((example, at, tuple(routes)))
    for question, at, declared in items:
        features, none = spaces.of(declared).features(question, spaces.vector(question))
        found.append(features)
        elsewhere.append(none)
        right.append(at if at >= 0 else len(group.routes))
    return np.stack(found), np.asarray(elsewhere), np.asarray(right)


def _loss(weights: Array, sets: Sequence[tuple[Array, Array, Array]], columns: Sequence[int]) -> float:
    total = 0.0
    for features, elsewhere, right in sets:
        logits = features[:, :, columns] @ weights[: len(columns)]
        logits = np.concatenate([logits, (weights[-2] * elsewhere + weights[-1])[:, None]], axis=1)
        logits -= logits.max(axis=1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        total -= float(logs[np.arange(len(right)), right].mean()) / len(sets)
    return total + 1e-4 * float(weights @ weights)


if __name__ == "__main__":
    sys.exit(main())
