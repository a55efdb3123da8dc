"""Which of some routes a question belongs to, with a calibrated probability.

p(route | question) is a softmax over the routes and "none of them"; a route's logit is a weighted sum of its features
(`space.py`), that of none grows with the likeness to questions of no route. The few weights were fitted on route sets
and questions of other subjects than those that the figures are measured on: `python -m benchmarks.routing --fit`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from app.errors import AttestError, Cancelled
from app.protocols import Encoder, TextModel
from app.query.routing.choosing import chosen_by
from app.query.routing.orders import without_orders
from app.query.routing.space import FEATURES, Array, RouteSpaces
from app.routing_types import Route

Method = Literal["auto", "logical", "semantic"]
THRESHOLD = 0.5
"""Probability below which a question is asked everywhere."""

_SHOWN_TO_MODEL = 20
_MODEL_SHARE = 0.6  # of the probability, for what a model picked: it decides, and is not certain where likeness differs


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the columns of `FEATURES`, of the likeness to no route, and the constant of no route."""

    features: tuple[float, ...]
    elsewhere: float
    constant: float


SEMANTIC = Weights((4.89, 15.27, 3.78, 1.55, 0.0), 15.21, 0.77)
CLASSIFIER = Weights((0.0, 14.91, 3.71, 1.41, 3.80), 10.77, 1.22)


@dataclass(frozen=True, slots=True)
class Routed:
    """`route` is the likeliest, None without candidates; `sure` says whether it may be taken.

    Args:
        score: its probability. alternatives: the others, likeliest first.
        how: "embeddings", "classifier", or the model's name.
        error: why the model was not asked or not heard.
    """

    route: Route | None
    kind: Literal["logical", "semantic"]
    score: float
    alternatives: tuple[tuple[str, float], ...]
    how: str
    sure: bool
    error: str | None = None


class Router:
    """Threads may share it.

    Args:
        encoder: embeds questions, descriptions and examples.
        model: follows instructions; None leaves logical routing to the classifier.
        method: of questions that do not say: "auto" is by likeness, and asks the model where that is not sure.
        threshold: probability below which no route is taken.
    """

    def __init__(
        self, encoder: Encoder, model: TextModel | None = None, *, method: Method = "auto", threshold: float = THRESHOLD
    ) -> None:
        self._spaces = RouteSpaces(encoder)
        self._model = model
        self._method: Method = method
        self.threshold = threshold

    def warm(self, routes: Sequence[Route]) -> None:
        """Embeds the routes, so that no question waits for it."""
        if routes:
            self._spaces.of(tuple(routes))

    def route(
        self,
        question: str,
        routes: Sequence[Route],
        *,
        method: Method | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Routed:
        """The likeliest of the routes; what the question says of routes, rather than asks, is not read.

        Args:
            question: standalone.
            routes: those that the caller may ask, as `checked`.
            method: None as the router was built.
            cancelled: stops a model's writing.

        Raises:
            Cancelled: `cancelled()` became true while a model wrote.
        """
        method = method or self._method
        kind: Literal["logical", "semantic"] = "logical" if method == "logical" else "semantic"
        asked = without_orders(question)
        if not routes or not asked:
            return Routed(None, kind, 0.0, (), "orders only" if routes else "no routes", False)
        candidates = tuple(routes)
        features, elsewhere = self._measured(asked, candidates)
        weights = CLASSIFIER if kind == "logical" else SEMANTIC
        scores = probabilities(features, elsewhere, weights)
        how, error = ("classifier" if kind == "logical" else "embeddings"), None
        if self._model is not None and (kind == "logical" or (method == "auto" and scores.max() < self.threshold)):
            try:
                scores, how = self._with_model(self._model, asked, candidates, scores, cancelled)
                kind = "logical"
            except Cancelled:
                raise
            except AttestError as failure:
                error = failure.message
        order = np.argsort(-scores, kind="stable")
        best = float(scores[order[0]])
        return Routed(
            candidates[order[0]],
            kind,
            round(best, 4),
            tuple((candidates[at].name, round(float(scores[at]), 4)) for at in order[1:]),
            how,
            best >= self.threshold,
            error,
        )

    def _measured(self, question: str, routes: tuple[Route, ...]) -> tuple[Array, float]:
        return self._spaces.of(routes).features(question, self._spaces.vector(question))

    def _with_model(
        self,
        model: TextModel,
        question: str,
        routes: tuple[Route, ...],
        scores: Array,
        cancelled: Callable[[], bool],
    ) -> tuple[Array, str]:
        """The probabilities once the model has picked: a mixture of its choice and of the likeness."""
        likeliest = [routes[at] for at in np.argsort(-scores, kind="stable")[:_SHOWN_TO_MODEL]]
        picked = chosen_by(model, question, likeliest, cancelled)
        mixed = (1 - _MODEL_SHARE) * scores
        for at, route in enumerate(routes):
            if route.name == picked:
                mixed[at] += _MODEL_SHARE
        return mixed, model.name


def probabilities(features: Array, elsewhere: float, weights: Weights) -> Array:
    """p(route | question) of each row of `features`; what they lack to 1 is the probability of no route."""
    assert features.shape[1] == len(FEATURES)
    logits = features @ np.asarray(weights.features)
    none = weights.elsewhere * elsewhere + weights.constant
    greatest = max(float(logits.max()), none)
    powers = np.exp(logits - greatest)
    found: Array = powers / (powers.sum() + np.exp(none - greatest))
    return found
