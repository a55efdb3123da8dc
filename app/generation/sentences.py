"""A generator without a model: the passage sentence that holds most of the question, weighted by rarity.

It serves where the reader cannot spell the language (its vocabulary is English), where no weights are wanted, and as
the rival that the reader has to beat. Score of a sentence s for a question q over the n passage sentences, with t
the analysed terms:

    coverage(q, s) = Σ_{t ∈ q ∩ s} idf(t) / Σ_{t ∈ q} idf(t),   idf(t) = ln(1 + (n − df(t) + ½) / (df(t) + ½))

a small bonus goes to passages ranked higher by retrieval.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from app.errors import Cancelled, Unavailable
from app.generation.abstention import sigmoid
from app.index.analysis import analyze, sentence_spans
from app.types import Evidence, Generated, GenerationOptions, PassageSpan, Prompt

RANK_BONUS = 0.05


@dataclass(frozen=True, slots=True)
class SentenceConfidence:
    """Platt's logistic regression over the selector's evidence; `threshold` is where "auto" abstains."""

    bias: float
    coverage_weight: float
    margin_weight: float
    threshold: float

    def confidence(self, evidence: Evidence) -> float:
        """The probability in [0, 1] that the sentence holds the answer."""
        coverage, margin = evidence.question_coverage or 0.0, evidence.margin or 0.0
        return sigmoid(self.bias + self.coverage_weight * coverage + self.margin_weight * margin)


def bundled_confidence_file() -> Path:
    """The fitted numbers that ship with Attest; the card beside them says on what they were fitted."""
    return Path(str(resources.files("app.bundled"))) / "sentences" / "calibration.json"


def load_confidence(path: Path | None = None) -> SentenceConfidence:
    """The calibration in `path`, or the bundled one. Raises Unavailable when the file is missing."""
    file = path or bundled_confidence_file()
    if not file.is_file():
        raise Unavailable(f"calibration file {file.name} of the sentence selector is missing: reinstall Attest")
    return SentenceConfidence(**json.loads(file.read_text(encoding="utf-8")))


class SentenceSelector:
    """Implements `Generator`; deterministic, any language that the analyser knows."""

    name = "sentences"

    def generate(
        self, prompt: Prompt, options: GenerationOptions, cancelled: Callable[[], bool] = lambda: False
    ) -> Generated:
        """The best sentence and its span; `answered` is false when no sentence shares a term with the question."""
        terms = set(analyze(prompt.question))
        rows: list[tuple[PassageSpan, set[str]]] = []
        for number, passage in enumerate(prompt.passages):
            if cancelled():
                raise Cancelled("generation was cancelled")
            for start, end in sentence_spans(passage.text):
                said = set(analyze(passage.text[start:end]))
                if said - terms:  # a heading that only repeats the question answers nothing
                    rows.append((PassageSpan(number, start, end), said & terms))
        frequency = Counter(term for _, found in rows for term in found)
        idf = {term: math.log(1 + (len(rows) - frequency[term] + 0.5) / (frequency[term] + 0.5)) for term in terms}
        whole = sum(idf.values()) or 1.0

        scored = sorted(
            ((sum(idf[term] for term in found) / whole, span) for span, found in rows),
            key=lambda row: (-(row[0] + RANK_BONUS / (1 + row[1].passage)), row[1].passage, row[1].char_start),
        )
        best, span = scored[0] if scored else (0.0, None)
        text = prompt.passages[span.passage].text[span.char_start : span.char_end] if span and best > 0 else ""
        mass = [0.0] * len(prompt.passages)
        if span is not None:
            mass[span.passage] = best
        runner_up = scored[1] if len(scored) > 1 else None
        return Generated(
            text=text,
            spans=(span,) if span and text else (),
            answered=bool(text),
            evidence=Evidence(
                margin=best - (runner_up[0] if runner_up else 0.0),
                passage_mass=tuple(mass),
                question_coverage=best,
            ),
            prompt_tokens=prompt.tokens,
            completion_tokens=len(analyze(text)),
            model=self.name,
            warnings=()
            if options.mode == "fusion"
            else (f"mode {options.mode} was not used: the sentence selector has no probabilities to marginalize",),
        )
