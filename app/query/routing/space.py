"""A set of routes as vectors and words: what a question is measured against."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Sequence
from threading import Lock

import numpy as np
import numpy.typing as npt

from app.index.analysis import analyze
from app.protocols import Encoder
from app.query.routing.elsewhere import ELSEWHERE
from app.query.routing.question_form import has_form_of
from app.query.routing.routes import texts_of
from app.routing_types import Route

FEATURES = ("nearest", "mean", "words", "form", "classifier")
"""Columns of `RouteSpace.features`; see there."""

_NEAREST = 2
_RIDGE = 0.3
_KEPT_TEXTS = 20_000
_KEPT_SPACES = 32
Array = npt.NDArray[np.float64]


class RouteSpace:
    """Descriptions and examples of some routes, embedded, and the classifier that is trained on them.

    The classifier is regularised least squares from embeddings to the routes (one column a route, targets 1 and 0 less
    their mean): a closed form, so that it is fresh a moment after a route has changed.
    """

    def __init__(self, routes: Sequence[Route], vectors: Array, elsewhere: Array) -> None:
        self.routes = tuple(routes)
        texts = [texts_of(route) for route in routes]
        self._owner = np.repeat(np.arange(len(routes)), [len(group) for group in texts])
        self._vectors = vectors
        self._elsewhere = elsewhere
        self._postings, self._idf = _words([text for group in texts for text in group])
        targets = (self._owner[:, None] == np.arange(len(routes))) - 1.0 / len(routes)
        inner = vectors.T @ vectors + _RIDGE * np.eye(vectors.shape[1])
        self._weights = np.linalg.solve(inner, vectors.T @ targets)

    def features(self, question: str, vector: Array) -> tuple[Array, float]:
        """`[routes, len(FEATURES)]`, and the likeness of the question to questions of no route.

        nearest: mean cosine of the two nearest texts of the route. mean: of all of them. words: the greatest cosine of
        tf-idf weighted index terms. form: 1 where the question is put as questions to the route's kind are.
        classifier: the output of least squares.
        """
        cosines = self._vectors @ vector
        words = self._word_cosines(question)
        found = np.zeros((len(self.routes), len(FEATURES)))
        for place, route in enumerate(self.routes):
            own = cosines[self._owner == place]
            found[place, 0] = _top(own)
            found[place, 1] = own.mean()
            found[place, 2] = words[self._owner == place].max()
            found[place, 3] = float(has_form_of(route.kind, question))
        found[:, 4] = vector @ self._weights
        return found, _top(self._elsewhere @ vector)

    def _word_cosines(self, question: str) -> Array:
        weights = {term: (1 + math.log(n)) * self._idf_of(term) for term, n in Counter(analyze(question)).items()}
        norm = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
        cosines = np.zeros(len(self._owner))
        for term, weight in weights.items():
            for place, held in self._postings.get(term, ()):
                cosines[place] += weight / norm * held
        return cosines

    def _idf_of(self, term: str) -> float:
        return self._idf.get(term, math.log(1 + 2 * len(self._owner)))


class RouteSpaces:
    """Spaces of the route sets asked lately; every text is embedded once. Threads may share it."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._vectors: dict[str, Array] = {}
        self._spaces: OrderedDict[tuple[Route, ...], RouteSpace] = OrderedDict()
        self._lock = Lock()

    def of(self, routes: tuple[Route, ...]) -> RouteSpace:
        """The space of these routes, at least one, each with some text."""
        with self._lock:
            found = self._spaces.pop(routes, None)
            if found is None:
                texts = [text for route in routes for text in texts_of(route)]
                found = RouteSpace(routes, self._embedded(texts), self._embedded(ELSEWHERE))
            self._spaces[routes] = found
            if len(self._spaces) > _KEPT_SPACES:
                self._spaces.popitem(last=False)
            return found

    def vector(self, question: str) -> Array:
        """The question's embedding; not kept."""
        return np.asarray(self._encoder.encode_queries([question])[0], dtype=np.float64)

    def _embedded(self, texts: Sequence[str]) -> Array:
        missing = list(dict.fromkeys(text for text in texts if text not in self._vectors))
        if len(self._vectors) + len(missing) > _KEPT_TEXTS:
            self._vectors.clear()
            missing = list(dict.fromkeys(texts))
        if missing:
            for text, vector in zip(missing, self._encoder.encode_queries(missing), strict=True):
                self._vectors[text] = np.asarray(vector, dtype=np.float64)
        return np.stack([self._vectors[text] for text in texts])


def _words(texts: Sequence[str]) -> tuple[dict[str, list[tuple[int, float]]], dict[str, float]]:
    """Term → (text, weight) with unit-length weights, and term → idf."""
    counts = [Counter(analyze(text)) for text in texts]
    frequency = Counter(term for count in counts for term in count)
    idf = {term: math.log(1 + len(texts) / (n + 0.5)) for term, n in frequency.items()}
    postings: dict[str, list[tuple[int, float]]] = {}
    for place, count in enumerate(counts):
        weights = {term: (1 + math.log(n)) * idf[term] for term, n in count.items()}
        norm = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
        for term, weight in weights.items():
            postings.setdefault(term, []).append((place, weight / norm))
    return postings, idf


def _top(cosines: Array) -> float:
    return float(np.sort(cosines)[-_NEAREST:].mean())
