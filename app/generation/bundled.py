"""The generators that ship with Attest, and how sure each one's output is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from app.generation.abstention import abstention_threshold, calibrated_confidence, load_calibration
from app.generation.fallback import FallbackGenerator, Readable, is_latin, is_latin_or_chinese
from app.generation.reader import bilingual_folder, bundled_folder, has_bilingual, load_reader, reader_name
from app.generation.sentences import SentenceSelector, load_confidence
from app.generation.styles.styled import THRESHOLD as STYLED
from app.generation.support import SUPPORTED
from app.protocols import Generator
from app.types import Generated

Judge = Callable[[Generated], tuple[float, float]]
"""Output → (confidence in [0, 1], the threshold below which to abstain)."""


def copying_generator(kind: Literal["reader", "sentences"], reader: Path | None, *, verify: bool = True) -> Generator:
    """Return the readers, each for the languages that it can spell, or the sentence selector alone.

    Args:
        kind: which of the two.
        reader: folder of the first reader's weights; None: the bundled ones.
        verify: each reader's verifier looks at its answers, if there is one that belongs to it.

    Raises:
        Unavailable: weights are missing.
        IntegrityError: they are not what their checksums say.
    """
    if kind == "sentences":
        return SentenceSelector()
    readers = [Readable(load_reader(reader, verify=verify), is_latin)]
    if has_bilingual():
        readers.append(Readable(load_reader(bilingual_folder(), verify=verify), is_latin_or_chinese))
    return FallbackGenerator(readers, SentenceSelector())


def judge_of(*, reads: bool, reader: Path | None, abstain_below: float | None) -> Judge:
    """Return how an output is judged: each generator has a calibration of its own, free text its measured support.

    Args:
        reads: whether the readers may be asked; without them their calibrations are not read.
        reader: folder of the first reader; None: the bundled one.
        abstain_below: a threshold in every calibrated one's place.
    """
    own = load_calibration((reader or bundled_folder()) / "calibration.json") if reads else None
    bilingual = load_calibration(bilingual_folder() / "calibration.json") if reads and has_bilingual() else None
    bilingual_name = reader_name(bilingual_folder()) if bilingual else None
    sentences = load_confidence()

    def judge(generated: Generated) -> tuple[float, float]:
        evidence = generated.evidence
        if evidence.style_probability is not None:
            confidence, threshold = evidence.style_probability, STYLED
        elif evidence.support is not None:
            confidence, threshold = evidence.support, SUPPORTED
        elif generated.model == SentenceSelector.name:
            confidence, threshold = sentences.confidence(evidence), sentences.threshold
        else:
            fitted = bilingual if generated.model == bilingual_name else own
            confidence, threshold = calibrated_confidence(evidence, fitted), abstention_threshold(fitted)
        return confidence, threshold if abstain_below is None else abstain_below

    return judge
