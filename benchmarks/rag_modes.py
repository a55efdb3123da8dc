"""Fusion, RAG-Sequence and RAG-Token with the bundled reader, through the whole service on held-out questions.

    python -m benchmarks.rag_modes --data DIR [--limit 100]
    python -m benchmarks.rag_modes --data DIR --tune [--limit 200]

The corpus is every held-out paragraph (of dev articles with `--tune`) of SQuAD, XQuAD, FairytaleQA and QED mixed, one
document each. Every question is asked in every mode, in turn, so that a busy machine slows all of them alike. EM and F1
are of answerable questions, all answered; a citation holds the answer when its quote has an accepted answer in it;
coverage is the largest share of all questions that can be answered, surest first, with at most 10 % of them wrong (F1
below one half, or not answerable at all). `--tune` prints how probable each retriever score makes the answering
passages of the dev questions, by temperature: where `app.generation.posterior` has its numbers from.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from app.bootstrap import Services, build_services
from app.evaluation.metrics import auroc, exact_match, expected_calibration_error, f1, normalize_answer, risk_coverage
from app.generation.marginalize import log_sum
from app.generation.sentences import SentenceSelector
from app.index.records import NewDocument
from app.settings import Settings
from app.telemetry import Trace, configure_logging
from app.training.reading_sets import ReadingQuestion, Role, load_reading_questions
from app.types import Answer, AskRequest, GenerationOptions
from ingestion.bootstrap import build_worker

MODES = ("fusion", "rag_sequence", "rag_token")
SETS = ("squad2_dev_half", "xquad_en_zh", "fairytaleqa", "qed_extra", "nq_oracle")
RISK = 0.1
GRIDS = {
    "rerank": (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 4.0),
    "cosine": (0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2),
    "rrf": (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    question: ReadingQuestion
    answer: Answer

    @property
    def right(self) -> bool:
        return bool(self.question.answers) and f1(self.answer.short_answer, self.question.answers) >= 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"))
    parser.add_argument("--limit", type=int, default=100, help="questions, as many of each set")
    parser.add_argument("--role", choices=("dev", "heldout"), default="heldout")
    parser.add_argument("--tune", action="store_true", help="temperatures of p(passage | question), dev questions")
    args = parser.parse_args()
    if args.data is None or not (Path(args.data) / "rc").is_dir():
        parser.error("--data DIR must hold rc/*.jsonl.gz; set it or ATTEST_DATA_DIR")
    configure_logging("WARNING")
    role: Role = "dev" if args.tune else args.role
    questions = [q for q in load_reading_questions(Path(args.data)) if q.role == role and q.collection in SETS]
    asked = draw(questions, args.limit)
    contexts = sorted({q.context for q in questions})
    with serving(contexts, SentenceSelector() if args.tune else None) as services:
        if args.tune:
            tune(services, [q for q in asked if q.answers])
            return
        outcomes: dict[str, list[Outcome]] = {mode: [] for mode in MODES}
        for mode in MODES:  # the first of each plans its kernels
            ask(services, asked[0], mode)
        for question in asked:
            for mode in MODES:
                outcomes[mode].append(Outcome(question, ask(services, question, mode)))
    answerable = sum(bool(q.answers) for q in asked)
    print(f"{role}: {len(asked)} questions ({answerable} answerable), {len(contexts)} paragraphs, six passages each")
    show(outcomes)


@contextmanager
def serving(contexts: Sequence[str], generator: SentenceSelector | None) -> Iterator[Services]:
    """The service over a corpus of one document for each text, named by `document_id`."""
    with tempfile.TemporaryDirectory() as home:
        services = build_services(Settings(home=Path(home)), generator=generator)
        try:
            documents = []
            for text in contexts:
                digest, size = services.blobs.put(text.encode(), 2**20)
                documents.append(
                    NewDocument(
                        sha256=digest,
                        bytes=size,
                        media_type="text/plain",
                        filename=None,
                        title=None,
                        source_url=None,
                        metadata={},
                        document_id=document_id(text),
                    )
                )
            for start in range(0, len(documents), 1_000):
                services.catalog.submit("default", documents[start : start + 1_000])
            with build_worker(Settings(home=Path(home))) as worker:
                while worker.run_once():
                    pass
            yield services
        finally:
            services.close()


def document_id(text: str) -> str:
    return f"doc_{sha256(text.encode()).hexdigest()[:20]}"


def draw(questions: Sequence[ReadingQuestion], limit: int) -> list[ReadingQuestion]:
    """As many questions of each set, in an order that mixes them."""
    rng = random.Random(0)
    names = sorted({q.collection for q in questions})
    drawn = []
    for name in names:
        members = [q for q in questions if q.collection == name]
        drawn += rng.sample(members, min(len(members), math.ceil(limit / len(names))))
    rng.shuffle(drawn)
    return drawn[:limit]


def ask(services: Services, question: ReadingQuestion, mode: str) -> Answer:
    options = GenerationOptions(mode=mode)  # type: ignore[arg-type]
    return services.pipeline.answer(AskRequest(question.question, generation=options, abstain="never"), Trace())


def show(outcomes: dict[str, list[Outcome]]) -> None:
    print(
        f"{'mode':<14}{'EM':>7}{'F1':>7}{'cited':>8}{'cover@10%':>11}{'AURC':>8}{'AUROC':>8}{'ECE':>7}"
        f"{'generate ms':>13}{'total ms':>10}"
    )
    for mode, rows in outcomes.items():
        answerable = [row for row in rows if row.question.answers]
        confidences, right = [row.answer.confidence for row in rows], [row.right for row in rows]
        curve = risk_coverage(confidences, right)
        quotes = [
            any(normalize_answer(gold) in normalize_answer(citation.quote) for gold in row.question.answers)
            for row in answerable
            for citation in row.answer.citations
        ]
        print(
            f"{mode:<14}"
            f"{percent([exact_match(row.answer.short_answer, row.question.answers) for row in answerable]):>7.1f}"
            f"{percent([f1(row.answer.short_answer, row.question.answers) for row in answerable]):>7.1f}"
            f"{percent([float(quote) for quote in quotes]):>8.1f}"
            f"{100 * curve.coverage_at(RISK):>11.1f}"
            f"{curve.area:>8.3f}"
            f"{auroc(confidences, right):>8.3f}"
            f"{expected_calibration_error(confidences, right):>7.3f}"
            f"{statistics.median(row.answer.timings_ms['generate'] for row in rows):>13.0f}"
            f"{statistics.median(row.answer.timings_ms['total'] for row in rows):>10.0f}"
        )


def tune(services: Services, asked: Sequence[ReadingQuestion]) -> None:
    """Mean negative log-probability of the answering passage under the softmax of each score."""
    prompts = []
    for question in asked:
        passages = ask(services, question, "fusion").passages
        gold = [place for place, p in enumerate(passages) if p.hit.chunk.document_id == document_id(question.context)]
        if gold and len(passages) > 1:
            prompts.append((passages, gold))
    print(f"{len(prompts)} of {len(asked)} dev questions have the answering passage among the six")
    print(f"no score: {statistics.mean(math.log(len(p) / len(gold)) for p, gold in prompts):.3f} nats")
    for name, grid in GRIDS.items():
        losses = {}
        for temperature in grid:
            found = []
            for passages, gold in prompts:
                logits = [passage.hit.scores[name] / temperature for passage in passages]
                found.append(log_sum(logits) - log_sum([logits[place] for place in gold]))
            losses[temperature] = statistics.mean(found)
        best = min(losses, key=lambda temperature: losses[temperature])
        print(f"{name:<8}" + "  ".join(f"{t}: {loss:.3f}" for t, loss in losses.items()) + f"  best {best}")


def percent(values: Sequence[float]) -> float:
    return 100 * sum(values) / len(values) if values else math.nan


if __name__ == "__main__":
    main()
