"""A collection in which ratings say something that the shipped reranker does not, so that a training can find it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.bootstrap import Services
from app.index.catalog import Catalog
from app.index.rerankers import RerankerRecord, RerankerStore, new_reranker_id
from app.rerank.serving import ServingRanker, following

ANIMALS = (
    "otter", "heron", "badger", "lynx", "marten", "stoat", "weasel", "ferret", "beaver", "hedgehog", "squirrel",
    "rabbit", "hare", "fox", "wolf", "bear", "moose", "elk", "deer", "boar", "bison", "ibex", "chamois", "marmot",
    "vole", "shrew", "mole", "bat", "swift", "swallow", "crane", "stork",
)  # fmt: skip
_LONG = " Visitors like to look at it from the bridge near the pond in the morning." * 3


def question(animal: str) -> str:
    return f"Where does the {animal} sleep?"


def documents() -> list[dict[str, str]]:
    """Two for each animal; the shipped model puts the short one first."""
    return [
        document
        for animal in ANIMALS
        for document in (
            {"id": f"{animal}-short", "text": f"The {animal} sleeps in the {animal} house at night."},
            {"id": f"{animal}-long", "text": f"The {animal} sleeps in a burrow.{_LONG}"},
        )
    ]


def with_ranker(services: Services) -> Services:
    """The same services with the shipped reranker, in whose place a promoted one serves."""
    ranker = following(ServingRanker.load(), services.settings.home, services.catalog)
    services.pipeline.stages.ranker = ranker
    return replace(services, ranker=ranker)


def praise(catalog: Catalog, collection: str, animals: Sequence[str], kind: str = "long", rating: int = 1) -> None:
    """An answer to each animal's question, and a rating of its long or short document."""
    for animal in animals:
        answer_id = f"ans_{kind}_{animal}_{rating}"
        catalog.save_answer(answer_id, question(animal), {"collection_generation": {collection: 1}, "citations": []})
        catalog.add_feedback(answer_id, rating, catalog.get_document_chunks(f"{animal}-{kind}")[0].chunk_id)


def trained(
    catalog: Catalog, collection: str, after: float, *, promote: bool = True, before: float = 0.63
) -> RerankerRecord:
    """A version with figures as a training leaves them, and no model."""
    store, mean = RerankerStore(catalog), after - before
    figures: dict[str, Any] = {
        "held_out": {
            "questions": 10,
            "ndcg@10": {"base": before, "trained": after},
            "difference": {"mean": mean, "low": mean - 0.05, "high": mean + 0.05, "confidence": 0.9},
        },
        "training": {"ratings": 32, "golden": 0, "judged_questions": 32, "questions": 22, "trees_added": 5},
    }
    reason = f"{'' if promote else 'not '}promoted: held-out nDCG@10 {before:.3f} before, {after:.3f} after"
    return store.add(
        collection,
        new_reranker_id(),
        job_id="job_made_up",
        promote=promote,
        reason=reason,
        figures=figures,
        base=store.active(collection),
    )
