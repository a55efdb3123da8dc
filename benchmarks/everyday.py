"""What people ask of everyday documents, through the whole service: held-out questions of our own.

    python -m benchmarks.everyday [--language en] [--part heldout] [--places apart together] [--limit 0] [--wrong 0]

The documents of `app/training/everyday` are ingested as Markdown by the worker itself, either each in a collection of
its own (`apart`) or all in one (`together`, where another document may speak of the same thing). Every question is
asked with nothing but its words. `right`: F1 of one half or more with an accepted answer; `declined` and `F1` are of
questions that the document answers, `F1` counts a declined one 0; `near misses declined` is of those that it does not
answer; AUROC says how well the confidence tells right answers from all else. For yes-or-no questions `decides` says
that the sentence that decides is quoted. Percentages, but for AUROC.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.bootstrap import Services, build_services
from app.evaluation.metrics import auroc, f1
from app.index.records import NewDocument
from app.settings import Settings
from app.telemetry import Trace, configure_logging
from app.training.everyday import EverydayPassage, EverydayQuestion, everyday_passages
from app.types import Answer, AskRequest
from benchmarks.behaviour_scores import holds, percent
from ingestion.bootstrap import build_worker

PLACES = ("apart", "together")
_RIGHT_F1 = 0.5
_TOGETHER = "everyday"


@dataclass(frozen=True, slots=True)
class Told:
    """A question and what the service said."""

    asked: EverydayQuestion
    answer: Answer

    @property
    def text(self) -> str:
        return "" if self.answer.abstained else self.answer.short_answer

    @property
    def right(self) -> bool:
        return bool(self.asked.answers) and f1(self.text, self.asked.answers) >= _RIGHT_F1

    @property
    def decides(self) -> bool:
        quotes = [] if self.answer.abstained else [citation.quote for citation in self.answer.citations]
        return any(holds(quote, answer) for quote in quotes for answer in self.asked.answers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("train", "heldout"), default="heldout")
    parser.add_argument("--language", choices=("en", "zh"), default="en")
    parser.add_argument("--places", choices=PLACES, nargs="+", default=list(PLACES))
    parser.add_argument("--limit", type=int, default=0, help="questions asked; 0 for all")
    parser.add_argument("--wrong", type=int, default=0, help="show as many questions that went wrong")
    args = parser.parse_args()
    configure_logging("WARNING")
    documents: dict[str, list[EverydayPassage]] = defaultdict(list)
    for _, passage in everyday_passages(args.part, args.language):
        documents[passage.document].append(passage)
    questions = [
        (document, asked) for document, passages in documents.items() for one in passages for asked in one.questions
    ]
    if args.limit:
        questions = random.Random(0).sample(questions, min(args.limit, len(questions)))
    print(f"{len(documents)} documents, {sum(map(len, documents.values()))} passages, {len(questions)} questions")
    for place in args.places:
        told, milliseconds = asked_of(documents, questions, apart=place == "apart")
        print(f"{place:<10}" + "; ".join(f"{name} {value:.3g}" for name, value in scores(told)), flush=True)
        print(f"{'':<10}{milliseconds:.0f} ms an answer at the median")
        for one in [one for one in told if wrong(one)][: args.wrong]:
            confidence = f"{one.answer.confidence:.2f}"
            print(f"    {one.asked.question!r} -> {one.text!r} ({confidence}), wanted {one.asked.answers or None}")


def scores(told: Sequence[Told]) -> list[tuple[str, float]]:
    short = [one for one in told if one.asked.kind == "Q"]
    answerable = [one for one in short if one.asked.answers]
    decided = [one for one in told if one.asked.kind == "B"]
    told_yes_no = [one for one in decided if one.asked.answers]
    return [
        ("answerable", float(len(answerable))),
        ("right", percent(one.right for one in answerable)),
        ("declined", percent(one.answer.abstained for one in answerable)),
        ("F1", percent(f1(one.text, one.asked.answers) for one in answerable)),
        ("near misses", float(len(short) - len(answerable))),
        ("near misses declined", percent(one.answer.abstained for one in short if not one.asked.answers)),
        ("wrong among answers", percent(not one.right for one in short if not one.answer.abstained)),
        ("AUROC", auroc([one.answer.confidence for one in short], [one.right for one in short])),
        ("yes or no", float(len(told_yes_no))),
        ("decides", percent(one.decides for one in told_yes_no)),
        ("not told, declined", percent(one.answer.abstained for one in decided if not one.asked.answers)),
    ]


def wrong(one: Told) -> bool:
    if not one.asked.answers:
        return not one.answer.abstained
    return not (one.right if one.asked.kind == "Q" else one.decides)


def asked_of(
    documents: dict[str, list[EverydayPassage]], questions: Iterable[tuple[str, EverydayQuestion]], *, apart: bool
) -> tuple[list[Told], float]:
    """What a service over a temporary home says, and the median of its milliseconds."""
    names = {document: f"document-{number}" if apart else _TOGETHER for number, document in enumerate(documents)}
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home))
        services = build_services(settings)
        try:
            ingest(services, settings, documents, names)
            told, seconds = [], []
            for document, asked in questions:
                began = time.perf_counter()
                answer = services.pipeline.answer(AskRequest(asked.question, (names[document],)), Trace())
                seconds.append(time.perf_counter() - began)
                told.append(Told(asked, answer))
            return told, 1000 * statistics.median(seconds)
        finally:
            services.close()


def ingest(
    services: Services, settings: Settings, documents: dict[str, list[EverydayPassage]], names: dict[str, str]
) -> None:
    for name in dict.fromkeys(names.values()):
        services.catalog.create_collection(name)
    for document, passages in documents.items():
        sections = [f"## {one.heading}\n\n{one.text}" if one.heading else one.text for one in passages]
        text = "\n\n".join([f"# {document}", *sections]) + "\n"
        sha256, size = services.blobs.put(text.encode(), 2**20)
        new = NewDocument(
            sha256=sha256, bytes=size, media_type="text/markdown", filename=None, title=document, source_url=None
        )
        services.catalog.submit(names[document], [new])
    worker = build_worker(settings)
    while worker.run_once():
        pass


if __name__ == "__main__":
    main()
