"""What people made of a collection's answers, a question a case, and whether that is enough to fit anything to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.errors import InvalidInput
from app.generation.collection_calibration import MIN_EACH, MIN_RATED, Rated, normalized
from app.index.calibrations import GivenAnswer


@dataclass(frozen=True, slots=True)
class RatedQuestions:
    """The questions that a collection alone answered under the shipped calibration in use.

    `unrated` is how many questions nobody rated; `outdated` how many answers were rated under another calibration.
    """

    rated: Sequence[Rated]
    unrated: int
    outdated: int

    @property
    def right(self) -> int:
        return sum(each.right for each in self.rated)

    @property
    def wrong(self) -> int:
        return len(self.rated) - self.right

    @property
    def needed(self) -> tuple[int, int, int]:
        """How many more rated questions a fit needs: in all, of them right, and wrong. All 0 where it is enough."""
        right, wrong = max(0, MIN_EACH - self.right), max(0, MIN_EACH - self.wrong)
        return max(MIN_RATED - len(self.rated), right + wrong), right, wrong

    def check_enough(self) -> None:
        """Raises InvalidInput that says how many ratings there are and how many are needed."""
        if self.needed[0] > 0:
            older = f" ({self.outdated} more were given under an earlier calibration)" if self.outdated else ""
            raise InvalidInput(
                f"the answers to {self.right} questions to this collection alone are rated as helpful and to "
                f"{self.wrong} as not{older}; a calibration needs {MIN_RATED} rated questions, at least {MIN_EACH} of "
                "each kind: collect more with POST /v1/feedback"
            )


def rated_questions(given: Iterable[GivenAnswer], calibration: str) -> RatedQuestions:
    """Every question with the mean confidence of its rated answers, right where more ratings praise than blame them.

    Args:
        given: the collection's answers.
        calibration: id of the shipped calibration in use; answers of another one are counted, and no more.
    """
    outdated = 0
    asked: dict[str, list[GivenAnswer]] = {}
    for answer in given:
        if answer.calibration == calibration:
            asked.setdefault(normalized(answer.question), []).append(answer)
        else:
            outdated += answer.votes != 0
    rated: list[Rated] = []
    for question, answers in asked.items():
        votes = sum(answer.votes for answer in answers)
        counted = [answer for answer in answers if answer.votes]
        if votes:
            confidence = sum(answer.confidence for answer in counted) / len(counted)
            threshold = sum(answer.threshold for answer in counted) / len(counted)
            rated.append(Rated(question, confidence, votes > 0, threshold))
    return RatedQuestions(rated, len(asked) - len(rated), outdated)
