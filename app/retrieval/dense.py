"""Dense retrieval: queries and chunks compared by the cosine of their embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from app.errors import Unavailable
from app.protocols import Float32
from app.retrieval.views import Key, Place, Ranking, View, merge


def search_dense(views: Sequence[View], vectors: Float32, top_k: int, places: dict[Key, Place]) -> list[Ranking]:
    """One ranking by cosine for each of `vectors` `[q, embed_dim]`, which are L2-normalised."""
    return merge(
        views,
        lambda view: view.snapshot.search_dense(vectors, top_k, view.mask),
        queries=len(vectors),
        top_k=top_k,
        places=places,
    )


def cosines(
    views: Sequence[View], keys: Sequence[Key], vector: Float32, places: Mapping[Key, Place]
) -> dict[Key, float]:
    """The cosine of one L2-normalised `vector` `[embed_dim]` with each key's chunk, whichever retriever found it."""
    found: dict[Key, float] = {}
    for number, view in enumerate(views):
        here = [key for key in keys if places[key][0] == number]
        if here:
            products = view.snapshot.vectors([places[key][1] for key in here]) @ vector
            found.update(zip(here, products.astype(np.float64).tolist(), strict=True))
    return found


def check_encoder(views: Sequence[View], encoder_name: str) -> None:
    """Refuses to compare vectors of two models.

    Raises:
        Unavailable: a collection was embedded with another model.
    """
    for view in views:
        if view.snapshot.live_chunks and view.snapshot.encoder_name != encoder_name:
            raise Unavailable(
                f"collection {view.collection!r} was embedded with {view.snapshot.encoder_name}, queries are with "
                f"{encoder_name}: run `attest reindex`, or set the former model again"
            )
