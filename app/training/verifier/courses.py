"""What each reader's verifier learns from: the English course and the Chinese one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.generation.reader import bilingual_folder, bundled_folder
from app.training.behaviours.loading import Behaviour
from app.training.bilingual.reading import all_chinese_questions
from app.training.everyday import all_reading_questions
from app.training.reading_sets import CROSS_LINGUAL_SET, ReadingQuestion, article_bucket
from app.training.verifier.examples import Mixture
from app.training.verifier.mining import MiningShares
from app.training.verifier.relations import Language
from app.training.verifier.windows import shortened

_MINED_CHARS = 240
"""Of a Chinese passage: what the reader guesses in a few sentences costs a third of what it does in a whole one."""


@dataclass(frozen=True, slots=True)
class Course:
    """Questions, shares and sizes of one verifier.

    `shared_layers` blocks are its reader's; `show_matches` as that reader was trained. Refusals whose scenario's
    `article_bucket` is in `dev_buckets` are scored, not learned from.
    """

    model_name: str
    reader_folder: Callable[[], Path]
    questions: Callable[[Path], list[ReadingQuestion]]
    shares: MiningShares
    mixture: Mixture
    shared_layers: int = 2
    show_matches: bool = False
    dev_buckets: range = range(0)

    def parted(self, behaviours: Sequence[Behaviour]) -> tuple[list[Behaviour], list[Behaviour]]:
        """Return the behaviours that are learned from, and those that are scored."""
        mine = [one for one in behaviours if one.lang in self.mixture.behaviour_languages]
        scored = [one for one in mine if one.kind == "refusal" and article_bucket(one.scenario) in self.dev_buckets]
        return [one for one in mine if one not in scored], scored


def _chinese_questions(data_dir: Path) -> list[ReadingQuestion]:
    return shortened(all_chinese_questions(data_dir), _MINED_CHARS)


COURSES: dict[Language, Course] = {
    "en": Course("attest-verifier-minilm-3", bundled_folder, all_reading_questions, MiningShares(), Mixture()),
    "zh": Course(
        "attest-verifier-zh-3",
        bilingual_folder,
        _chinese_questions,
        MiningShares(
            draws=((CROSS_LINGUAL_SET, 600),), other_text=0.5, own_text_only=(CROSS_LINGUAL_SET,), sentence_pairs=0
        ),
        Mixture(
            perturbed_share=0.6,
            twins=1800,
            sentence_questions=0,
            behaviour_repeats=3,
            language="zh",
            behaviour_languages=("zh", "zh-Hant"),
        ),
        shared_layers=3,  # a fourth block of its own would take the bundled models over 120 MB together
        show_matches=True,
        dev_buckets=range(40, 70),
    ),
}
