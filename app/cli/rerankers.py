"""`attest rerankers`: what ratings taught a collection's reranker, trained, put into service and taken back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.home import prepare
from app.cli.promotion_text import verdict_text
from app.cli.promotions import AtHome, CollectionOption, JsonOption, Kind, as_text, commands, result_of, work_off
from app.cli.reranker_text import list_text, state_text
from app.cli.serve import HomeOption
from app.errors import Conflict

if TYPE_CHECKING:
    from app.api.reranker_bodies import RatedPassagesBody
    from app.api.rerankers import RerankerListBody
    from app.index.catalog import Catalog
    from app.settings import Settings


class RerankersAtHome(AtHome):
    """Only a training, which searches for every rated question, loads the models."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        from app.api.rerankers import rerankers

        super().__init__(settings, catalog)
        self._enabled = settings.rerank.enabled
        self.versions = rerankers(catalog, enabled=self._enabled)

    def listing(self, collection: str | None) -> RerankerListBody:
        from app.api.rerankers import RerankerListBody

        data = self.versions.all(collection)
        return RerankerListBody(data=data, enabled=self._enabled, obstacle=self._obstacle())

    def rated(self, collection: str) -> RatedPassagesBody:
        from app.api.reranker_bodies import rated_passages_body

        return rated_passages_body(self.catalog, collection)

    def train(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What can be known to fail is told before the models are loaded."""
        from app.api.background import directly
        from app.api.chores import build_background
        from app.api.rerankers import TrainBody, start_training
        from app.bootstrap import build_services
        from app.index.evaluations import EvaluationStore
        from app.index.rerankers import RerankerStore
        from app.rerank.collected import collect

        collection = str(body["collection"])
        self.catalog.get_collection(collection)
        if obstacle := self._obstacle():
            raise Conflict(obstacle)
        stores = RerankerStore(self.catalog), EvaluationStore(self.catalog)
        collect(collection, *stores, body.get("golden") or ()).check_enough()
        services = build_services(self.settings)
        try:
            job_id = start_training(services, TrainBody.model_validate(body)).id
            return work_off(services.jobs, build_background(services, directly), job_id)
        finally:
            services.close()

    def _obstacle(self) -> str | None:
        from app.rerank.promotion import CONFIGURED, SWITCHED_OFF

        if not self._enabled:
            return SWITCHED_OFF
        return CONFIGURED if self.settings.rerank.model is not None else None


KIND = Kind("reranker", RerankersAtHome, list_text, state_text)
cli = commands(KIND, "A collection's own reranker: its state, a training on ratings, and the way back.")


@cli.command()
def train(
    collection: CollectionOption = "default",
    golden: Annotated[
        Path | None,
        typer.Option("--golden", help="JSON Lines beside the ratings: question, and relevant ids; as `attest eval`'s."),
    ] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Train a reranker on the ratings of a collection's passages; it serves only if held-out nDCG@10 rises."""
    settings = prepare(home)
    body: dict[str, Any] = {"collection": collection}
    if golden is not None:
        from app.cli.eval import read_request

        asked = read_request(golden, None, collection, settings).golden
        body["golden"] = [row.model_dump(mode="json", exclude_none=True) for row in asked]
    with KIND.opened(settings) as rerankers:
        result = result_of(rerankers.train(body), "training")
    print(as_text(result) if as_json else verdict_text(KIND.noun, result, collection))
