"""The ratings of a collection's answers on the wire: how many there are, how many a fit needs, and what they say."""

from __future__ import annotations

from pydantic import Field

from app.api.wire import WireResponse
from app.index.calibrations import CalibrationStore
from app.index.catalog import Catalog


class BinBody(WireResponse):
    """The answers whose confidence lies in `[low, high)`, the last bin's in `[low, 1]`."""

    low: float
    high: float
    count: int
    confidence: float = Field(description="their mean confidence")
    right: float = Field(description="the share of them that was right")
    right_low: float = Field(description="lower end of that share's 95 % interval (Wilson)")
    right_high: float


class PointBody(WireResponse):
    """Of the surest `coverage` of the answers the share `risk` is wrong."""

    coverage: float
    risk: float


class GivenBody(WireResponse):
    """The share of these answers that is sure enough to be given, and the share of those that is wrong."""

    coverage: float
    risk: float | None = Field(description="null where none is given")


class ConfidenceBody(WireResponse):
    """What confidences are worth, judged by answers whose outcome is known."""

    questions: int
    wrong: float = Field(description="share of the questions whose answer was wrong")
    calibration_error: float = Field(description="expected calibration error over ten equal-width bins")
    auroc: float | None = Field(description="null without both right and wrong answers")
    reliability: list[BinBody] = Field(description="bins with answers in them, lowest confidence first")
    risk_coverage: list[PointBody]
    given: GivenBody


class NeededBody(WireResponse):
    """How many more rated questions a fit needs, in all and of each kind; all 0 where there are enough."""

    rated: int
    right: int
    wrong: int


class RatingsBody(WireResponse):
    """What people made of the answers that the collection alone gave; a question counts once."""

    collection: str
    rated: int
    right: int
    wrong: int
    unrated: int = Field(description="questions whose answers nobody rated")
    outdated: int = Field(description="answers rated under another shipped calibration, which do not count")
    needed: NeededBody
    enough: bool = Field(description="whether POST /v1/calibrations/train can fit a calibration")
    figures: ConfidenceBody | None = Field(
        description="of the shipped calibration's confidence in the rated answers; null where there are none"
    )


def ratings_body(catalog: Catalog, collection: str, serving: str) -> RatingsBody:
    """The state of a collection's ratings; `serving` is the id of the shipped calibration in use.

    Raises:
        NotFound: no such collection.
    """
    from app.evaluation.confidences import confidence_figures
    from app.generation.calibration_job import drawn
    from app.generation.rated_questions import rated_questions

    catalog.get_collection(collection)
    found = rated_questions(CalibrationStore(catalog).given(collection), serving)
    needed, right, wrong = found.needed
    confidences = [each.confidence for each in found.rated]
    return RatingsBody(
        collection=collection,
        rated=len(found.rated),
        right=found.right,
        wrong=found.wrong,
        unrated=found.unrated,
        outdated=found.outdated,
        needed=NeededBody(rated=needed, right=right, wrong=wrong),
        enough=needed == 0,
        figures=ConfidenceBody.model_validate(drawn(found.rated, confidences, confidence_figures))
        if found.rated
        else None,
    )
