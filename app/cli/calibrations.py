"""`attest calibrations`: how a collection's own confidence is doing, fitted, put into service and taken back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.cli.calibration_text import list_text, state_text
from app.cli.home import prepare
from app.cli.promotion_text import verdict_text
from app.cli.promotions import AtHome, CollectionOption, JsonOption, Kind, as_text, commands, result_of, work_off
from app.cli.serve import HomeOption

if TYPE_CHECKING:
    from app.api.calibration_bodies import RatingsBody
    from app.api.calibrations import CalibrationBody
    from app.api.promotions import PromotionListBody
    from app.index.catalog import Catalog
    from app.settings import Settings


class CalibrationsAtHome(AtHome):
    """A fit needs no model, so none is loaded."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        from app.api.calibrations import calibrations
        from app.bootstrap.generators import calibration_id

        super().__init__(settings, catalog)
        self._serving = calibration_id(settings)
        self.versions = calibrations(catalog, self._serving)

    def listing(self, collection: str | None) -> PromotionListBody[CalibrationBody]:
        from app.api.calibrations import CalibrationBody
        from app.api.promotions import PromotionListBody

        return PromotionListBody[CalibrationBody](data=self.versions.all(collection))

    def rated(self, collection: str) -> RatingsBody:
        from app.api.calibration_bodies import ratings_body

        return ratings_body(self.catalog, collection, self._serving)

    def train(self, body: Mapping[str, Any]) -> dict[str, Any]:
        from app.api.background import Background
        from app.api.chores import calibrating
        from app.index.calibrations import KIND as JOB
        from app.index.jobs import JobQueue

        collection = str(body["collection"])
        self.catalog.get_collection(collection)
        jobs = JobQueue(self.catalog, max_attempts=self.settings.worker.max_attempts)
        work = {JOB: calibrating(self.catalog, jobs, self._serving)}
        job_id = jobs.enqueue(JOB, {}, collection, unit="answers").id
        return work_off(jobs, Background(jobs, work, self.settings.worker), job_id)


KIND = Kind(
    "calibration",
    CalibrationsAtHome,
    lambda found: list_text(found["data"]),
    lambda ratings, found: state_text(ratings, found["data"]),
)
cli = commands(KIND, "A collection's own confidence: its state, a fit to ratings, and the way back.")


@cli.command()
def fit(collection: CollectionOption = "default", as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Fit a calibration to the ratings of a collection's answers; it serves only if held-out log loss falls."""
    with KIND.opened(prepare(home)) as calibrations:
        result = result_of(calibrations.train({"collection": collection}), "fit")
    print(as_text(result) if as_json else verdict_text(KIND.noun, result, collection))
